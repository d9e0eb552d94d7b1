package race_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/internal/race"
)

func TestMain(m *testing.M) { race.Main(m) }

// TestTimersDueWhenPolled polls timers that are due already on sixteen goroutines at once, which
// crashes the race detector within a second where it runs on two processors.
func TestTimersDueWhenPolled(t *testing.T) {
	for range 60 {
		synctest.Test(t, func(t *testing.T) {
			var all sync.WaitGroup
			for range 16 {
				all.Go(func() {
					for range 300 {
						due := time.NewTimer(time.Millisecond)
						time.Sleep(time.Millisecond)
						select {
						case <-due.C:
						default:
							t.Error("a timer that is due did not fire")
						}
					}
				})
			}
			all.Wait()
		})
	}
}
