//go:build liar

package clock_test

import (
	"os"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/race"
)

func TestMain(m *testing.M) {
	race.OneProcessor()
	os.Exit(m.Run())
}
