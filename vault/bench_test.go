package vault_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// BenchmarkSign is the vault's share of the path: four regions in one process, software
// keys, no disk, no network, entries of what 64 clients ask at once. The log's pretended
// fsync of 1 ms is in it.
func BenchmarkSign(b *testing.B) {
	w := newWorld(b)
	defer w.close()
	w.setUp()
	for _, curve := range []command.Curve{command.P256, command.Ed25519} {
		k := w.key(curve, 2)
		b.Run(curve.String(), func(b *testing.B) {
			b.SetParallelism(32)
			var n atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					c := w.request(k, fmt.Sprint(b.N, n.Add(1)))
					if _, err := w.nodes[1].vault.Sign(b.Context(), c); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkThreshold is the same for keys that exist nowhere. At one client it shows what
// the vault adds to the way of one request, at 64 what it costs.
func BenchmarkThreshold(b *testing.B) {
	w := newWorld(b)
	defer w.close()
	w.sharings.quiet = true
	w.setUp()
	keys := map[string]*fsm.Key{"ed25519": w.ready(command.Ed25519, 2), "bip340": w.ready(command.Secp256k1, 2),
		"multisig-ed25519": w.key(command.Ed25519, 2)} // to compare with
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		for _, clients := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/clients-%d", name, clients), func(b *testing.B) { w.load(b, keys[name], clients) })
		}
	}
}

// load signs b.N requests from so many clients and reports rate, median and processor time.
func (w *world) load(b *testing.B, k *fsm.Key, clients int) {
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var all sync.WaitGroup
	before := processorTime()
	b.ResetTimer()
	for range clients {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
				began := time.Now()
				c := w.joint(k, fmt.Sprint(b.N, i))
				req, err := w.nodes[1].vault.Sign(b.Context(), c)
				if err == nil {
					_, err = w.nodes[1].vault.Signatures(req)
				}
				if err != nil {
					b.Error(err)
				}
				took[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sig/s")
	b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(w.turnedAway())/float64(b.N), "dry/sig")
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-us/sig")
}

// turnedAway counts the requests that found no nonces since it was last asked.
func (w *world) turnedAway() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.results {
		for _, o := range w.results[i].Outcomes {
			if o.Code == errs.NoEligiblePair {
				n++
			}
		}
	}
	w.results = nil
	return n
}
