package cluster

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestWatchdogTimes: a write may take anything short of HungWrite, and ends the node then.
// The last stretch counts from a timer that was set after the first had run out, so that
// a process paused in between gets all of it.
func TestWatchdogTimes(t *testing.T) {
	for _, c := range []struct {
		takes          time.Duration
		fences, fatals int32
	}{
		{100 * time.Millisecond, 0, 0}, {800 * time.Millisecond, 2, 0}, {4500 * time.Millisecond, 2, 0},
		{4900 * time.Millisecond, 2, 0}, {5100 * time.Millisecond, 2, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			var fences, fatals atomic.Int32 // timers count in goroutines of their own
			w := &watchdog{slow: 700 * time.Millisecond, hung: 5 * time.Second, fence: func(bool) { fences.Add(1) }, fatal: func(err error) {
				if fatals.Add(1); errs.CodeOf(err) != errs.DiskFailed {
					t.Errorf("code %s", errs.CodeOf(err))
				}
			}}
			if err := w.run("writing", func() error { time.Sleep(c.takes); return nil }); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			if fences.Load() != c.fences || fatals.Load() != c.fatals {
				t.Errorf("a write of %s: fence moved %d times, fatal %d times; want %d, %d", c.takes, fences.Load(), fatals.Load(), c.fences, c.fatals)
			}
		})
	}
}
