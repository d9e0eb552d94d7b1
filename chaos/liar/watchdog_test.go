//go:build liar

package liar_test

import (
	"flag"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
)

var stuck = flag.Duration("stuck", 5*time.Minute, "processor time after which a telling counts as hanging, with all stacks printed")

// A telling keeps the processor busy: time is simulated. On a machine with other work it
// gets little of it, so what counts is what it got, and that it gets any at all.
const (
	idleLook = time.Minute
	idleCPU  = 20 * time.Millisecond
)

// watchdog prints all stacks when a telling uses too much processor time, or none.
func watchdog(t *testing.T) (stop func()) {
	quit := make(chan struct{})
	began, last, looked := cpuTime(), cpuTime(), time.Now()
	go func() {
		ticker := time.NewTicker(5 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case now := <-ticker.C:
				used := cpuTime()
				if used-began > *stuck {
					hangs(t, "used %s of processor time", used-began)
				}
				if now.Sub(looked) < idleLook {
					continue
				}
				if used-last < idleCPU {
					hangs(t, "did nothing for %s", now.Sub(looked))
				}
				last, looked = used, now
			}
		}
	}()
	return func() { close(quit) }
}

// cpuTime is what this process has used so far, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func hangs(t *testing.T, format string, args ...any) {
	buf := make([]byte, 8<<20)
	panic(fmt.Sprintf("%s hangs: it %s\n%s", t.Name(), fmt.Sprintf(format, args...), buf[:runtime.Stack(buf, true)]))
}
