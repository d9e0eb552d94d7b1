package vault_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
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
