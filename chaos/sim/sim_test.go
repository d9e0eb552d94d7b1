package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/internal/race"
)

var (
	seed   = flag.Uint64("seed", 0, "seed TestSeed runs")
	length = flag.Duration("length", time.Minute, "simulated time with faults of one seed")
	stuck  = flag.Duration("stuck", 3*time.Minute, "real time after which one seed is taken to hang")
)

// simulate runs one plan in a bubble. A bubble that hangs is no deadlock Go could see, so
// a watchdog outside of it prints every stack.
func simulate(t *testing.T, p *Plan, o Options) (h *chaos.History, found []chaos.Violation) {
	t.Helper()
	dog := time.AfterFunc(*stuck, func() {
		fmt.Fprintf(os.Stderr, "seed %d hangs; look for waits that are not (durable)\n%s", p.Seed, p)
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		os.Exit(2)
	})
	defer dog.Stop()
	synctest.Test(t, func(t *testing.T) { h, found = Run(t, p, o) })
	return h, append(found, chaos.Check(h)...)
}

func report(t *testing.T, p *Plan, found []chaos.Violation) {
	t.Helper()
	if len(found) == 0 {
		return
	}
	t.Errorf("%sagain: go test ./chaos/sim -run TestSeed -seed %d -length %s -v", p, p.Seed, p.Length)
	for _, v := range found {
		t.Error(v)
	}
}

// TestSeed runs one seed, with a log when verbose.
func TestSeed(t *testing.T) {
	if *seed == 0 {
		t.Skip("no -seed")
	}
	p, o := NewPlan(*seed, *length), Options{}
	if testing.Verbose() {
		o.Log = t.Output()
	}
	began := time.Now()
	h, found := simulate(t, p, o)
	sum := chaos.Summary{}
	sum.Add(h)
	t.Logf("%s, in %s", sum, time.Since(began))
	report(t, p, found)
}

// short is what runs with every "go test": a few seeds, of which each has about a dozen
// faults.
const (
	shortSeeds  = 3
	shortLength = 45 * time.Second
	sharedSeed  = 2 // the one with threshold keys: they cost half as much again
)

// TestRandomFaults runs the short form, or the long one: CHAOS_SEEDS seeds from CHAOS_FROM on, or
// as many as it takes for CHAOS_HOURS simulated hours with faults.
func TestRandomFaults(t *testing.T) {
	from, count, each, err := extent()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var tally chaos.Tally
	sum, began := chaos.Summary{}, time.Now()
	t.Run("seed", func(t *testing.T) { // returns when all of them are done
		for s := from; s < from+count; s++ {
			t.Run(fmt.Sprint(s), func(t *testing.T) {
				t.Parallel()
				p := NewPlan(s, each)
				p.Shared = long() || s == sharedSeed
				h, found := simulate(t, p, Options{})
				report(t, p, found)
				mu.Lock()
				defer mu.Unlock()
				sum.Add(h)
				if err := tally.Add(h); err != nil {
					t.Error(err)
				}
			})
		}
	})
	for _, v := range tally.Check() {
		t.Error(v)
	}
	simulated, real := time.Duration(count)*each, time.Since(began)
	t.Logf("seeds from %d: %s with faults in %s, %.0f simulated seconds a second; %s; %d draws counted",
		from, simulated, real.Round(time.Second), simulated.Seconds()/real.Seconds(), sum, tally.Draws())
	if sum.Shares == 0 && count > 1 || sum.Redraws == 0 || sum.Terms <= sum.Runs || sum.Boots <= sites*sum.Runs {
		t.Errorf("the faults did not bite: %s", sum)
	}
}

// unraced leaves a test that plants a bug to the run without the race detector: nothing of
// the vault runs in it that TestRandomFaults does not run.
func unraced(t *testing.T) {
	race.Without(t)
	t.Parallel()
}

// long reports whether more than the short form is asked for.
func long() bool { return os.Getenv("CHAOS_SEEDS")+os.Getenv("CHAOS_HOURS") != "" }

func extent() (from, count uint64, each time.Duration, err error) {
	from, count, each = 1, shortSeeds, shortLength
	if race.On {
		from, count = 2, 1
	}
	number := func(name string, into *uint64) {
		if s := os.Getenv(name); s != "" && err == nil {
			if *into, err = strconv.ParseUint(s, 10, 32); err == nil {
				each = *length
			}
		}
	}
	hours := uint64(0)
	number("CHAOS_FROM", &from)
	number("CHAOS_SEEDS", &count)
	number("CHAOS_HOURS", &hours)
	if hours > 0 {
		count = uint64((time.Duration(hours)*time.Hour + each - 1) / each)
	}
	return from, count, each, err
}
