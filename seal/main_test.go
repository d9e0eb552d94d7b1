package seal_test

import (
	"testing"

	"github.com/tetrad-vault/tetrad/internal/race"
)

func TestMain(m *testing.M) { race.Main(m) }
