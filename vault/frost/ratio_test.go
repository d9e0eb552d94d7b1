package frost

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
)

// BenchmarkGoals measures the figures that have a goal, on a machine that others use too:
// the plain signature and ours take turns in one loop, the least time of each counts, and
// the quotient is reported as x-plain.
func BenchmarkGoals(b *testing.B) {
	for _, s := range suites {
		w := newWorld(b, s, 2, rand.Reader)
		plain := plainSign(b, s)
		b.Run("whole/"+s.name, func(b *testing.B) { takeTurns(b, plain, nil, func() { whole(b, w) }) })

		other, err := w.pools[3].Prepare(rand.Reader, 1)
		must(b, err)
		sent := [][]byte{nil, other[0].Encode()}
		fresh := func() {
			own, err := w.pools[1].Prepare(rand.Reader, 1)
			must(b, err)
			sent[0] = own[0].Encode()
		}
		b.Run("online/"+s.name, func(b *testing.B) {
			takeTurns(b, plain, fresh, func() {
				part, err := w.pools[1].Sign(w.shares[1], w.key, message(1), readAll(b, w.pools[1], sent))
				must(b, err)
				part.Encode()
			})
		})
		b.Run("prepare/"+s.name, func(b *testing.B) {
			takeTurns(b, plain, nil, func() {
				c, err := w.pools[2].Prepare(rand.Reader, 1)
				must(b, err)
				w.pools[2].Burn(c[0])
			})
		})
	}
}

func plainSign(b *testing.B, s *Suite) func() {
	if s == Ed25519 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		must(b, err)
		return func() { ed25519.Sign(key, message(1)) }
	}
	key, err := btcec.NewPrivateKey()
	must(b, err)
	return func() {
		if _, err := schnorr.Sign(key, message(1)); err != nil {
			b.Fatal(err)
		}
	}
}

func takeTurns(b *testing.B, plain, before, ours func()) {
	const turns = 1500
	for range b.N {
		least := [2]time.Duration{time.Hour, time.Hour}
		for range turns {
			if before != nil {
				before()
			}
			for i, f := range []func(){plain, ours} {
				start := time.Now()
				f()
				least[i] = min(least[i], time.Since(start))
			}
		}
		b.ReportMetric(float64(least[0].Nanoseconds()), "plain-ns")
		b.ReportMetric(float64(least[1].Nanoseconds()), "least-ns")
		b.ReportMetric(float64(least[1])/float64(least[0]), "x-plain")
	}
}
