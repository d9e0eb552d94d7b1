package fsm_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tetrad-vault/tetrad/internal/race"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fewerHistories has a test play fewer of its random histories under the race detector,
// where each costs twenty times as much; TETRAD_LONG=1 plays all. Tests that want all to have
// shown something do not ask for it.
func fewerHistories(t *testing.T) {
	checks := flag.Lookup("rapid.checks").Value
	if before := checks.String(); race.On && os.Getenv("TETRAD_LONG") == "" && before == "100" {
		_ = checks.Set("30")
		t.Cleanup(func() { _ = checks.Set(before) })
	}
}
