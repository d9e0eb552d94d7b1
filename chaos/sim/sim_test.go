package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/chaos"
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
	t.Logf("%d operations, %d signatures in %s", len(h.Ops), len(h.Made), time.Since(began))
	report(t, p, found)
}
