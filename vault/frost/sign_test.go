package frost

import (
	"crypto/rand"
	"testing"
)

func TestEverySignerSetSigns(t *testing.T) {
	for _, s := range suites {
		for threshold := 2; threshold <= 4; threshold++ {
			w := newWorld(t, s, threshold, rand.Reader)
			for i, set := range signerSets(threshold) {
				w.sign(t, w.key, message(i), set)
			}
		}
	}
}
