package vault_test

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

// processorTime is what this process used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkKeyCeremony is a new key from the administrators' command to the live sharing,
// one after another: four regions in one process, no network, the log's pretended fsync of
// 1 ms. cpu-ms is of all four regions, state machines included.
func BenchmarkKeyCeremony(b *testing.B) {
	for _, curve := range []command.Curve{ed25519Curve, taproot} {
		b.Run(curve.String(), func(b *testing.B) {
			w := newWorld(b)
			defer w.close()
			w.setUp()
			w.threshold(curve, 2) // and the wrapping keys
			before := processorTime()
			b.ResetTimer()
			for range b.N {
				id := w.newThreshold(curve, 2)
				w.eventually("key live", func() bool { return w.keyState(id) == fsm.KeyActive })
			}
			b.StopTimer()
			b.ReportMetric(float64((processorTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// BenchmarkRefreshAll makes 1,000 keys, refreshes all by one command, and signs all the
// while with a multisig key: what is logged is how long each takes.
func BenchmarkRefreshAll(b *testing.B) {
	const keys = 1000
	for _, curve := range []command.Curve{ed25519Curve, taproot} {
		b.Run(curve.String(), func(b *testing.B) {
			w := newWorld(b)
			defer w.close()
			w.setUp()
			k := w.key(p256, 2)
			b.Logf("signing alone: median %s", w.signing(k, func() { time.Sleep(5 * time.Second) }))
			w.timed(keys, "new", func() { w.manyKeys(curve, keys) })
			time.Sleep(fsm.RetireTime + time.Second)
			b.ResetTimer()
			for range b.N {
				median := w.signing(k, func() {
					w.timed(keys, "refreshed", func() {
						epoch := w.nodes[1].View().ThresholdKeys()[0].Sharing.Epoch + 1
						w.refresh(command.KeyID{})
						w.allAt(epoch, keys)
					})
				})
				b.Logf("signing meanwhile: median %s", median)
			}
		})
	}
}

// timed logs what something done to n keys takes.
func (w *world) timed(n int, what string, do func()) {
	w.mu.Lock()
	entries := len(w.log)
	w.mu.Unlock()
	began, before := time.Now(), processorTime()
	do()
	w.mu.Lock()
	entries = len(w.log) - entries
	w.mu.Unlock()
	w.t.Logf("%d keys %s: %s, %s of processors, %d entries, %d failed tries", n, what, time.Since(began).Round(time.Millisecond),
		(processorTime() - before).Round(time.Millisecond), entries, w.nodes[1].vault.Stats().FailedTries)
}

// signing signs one request after another while do runs, and returns the median time.
func (w *world) signing(k *fsm.Key, do func()) time.Duration {
	var took []time.Duration
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
			began := time.Now()
			w.signs++
			if _, err := w.nodes[1].vault.Sign(context.Background(), w.request(k, fmt.Sprint("beside ", w.signs))); err != nil {
				w.t.Error(err)
			}
			took = append(took, time.Since(began))
		}
	}()
	do()
	close(over)
	<-ended
	slices.Sort(took)
	return took[len(took)/2].Round(100 * time.Microsecond)
}

// manyKeys makes keys as fast as they may be asked for.
func (w *world) manyKeys(curve command.Curve, n int) {
	for made := range n {
		w.eventually("room for a ceremony", func() bool { return len(w.nodes[1].View().Ceremonies()) < 128 })
		w.newThreshold(curve, 2)
		_ = made
	}
	w.allAt(1, n)
}

// allAt waits until n keys have a live sharing of an epoch.
func (w *world) allAt(epoch uint32, n int) {
	w.t.Helper()
	w.eventually("all keys live", func() bool {
		live := 0
		for _, k := range w.nodes[1].View().ThresholdKeys() {
			if k.Sharing != nil && k.Sharing.Epoch >= epoch {
				live++
			}
		}
		return live >= n
	})
}
