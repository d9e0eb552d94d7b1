package cluster_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/tetrad-vault/tetrad/internal/race"
)

func TestMain(m *testing.M) {
	race.OneProcessor()
	goleak.VerifyTestMain(m)
}
