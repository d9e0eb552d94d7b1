package vault_test

import (
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

// BenchmarkRefreshAll is the refresh of 1,000 keys by one command.
func BenchmarkRefreshAll(b *testing.B) {
	const keys = 1000
	for _, curve := range []command.Curve{ed25519Curve, taproot} {
		b.Run(curve.String(), func(b *testing.B) {
			w := newWorld(b)
			defer w.close()
			w.setUp()
			began, before := time.Now(), processorTime()
			w.manyKeys(curve, keys)
			b.Logf("%d new keys: %s, %s of processors", keys, time.Since(began).Round(time.Millisecond), (processorTime() - before).Round(time.Millisecond))
			for epoch := uint32(2); b.Loop(); epoch++ {
				time.Sleep(fsm.RetireTime + time.Second)
				b.StopTimer()
				began, before, entries := time.Now(), processorTime(), len(w.log)
				w.refresh(command.KeyID{})
				w.allAt(epoch, keys)
				b.Logf("refresh of %d keys: %s, %s of processors, %d entries", keys, time.Since(began).Round(time.Millisecond),
					(processorTime() - before).Round(time.Millisecond), len(w.log)-entries)
				b.StartTimer()
			}
		})
	}
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
