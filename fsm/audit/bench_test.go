package audit_test

import (
	"fmt"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/audit"
)

// BenchmarkFrontier is the tree's part of a leaf at several sizes: it must stay flat.
func BenchmarkFrontier(b *testing.B) {
	for _, size := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("leaves=%d", size), func(b *testing.B) {
			var f audit.Frontier
			for range size {
				f.Append([32]byte{1})
			}
			for b.Loop() {
				next := f.Clone()
				next.Append([32]byte{1})
				f = next
			}
		})
	}
}
