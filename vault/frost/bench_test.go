package frost

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
)

// One run prints our figures beside those of a plain signature:
//
//	go test -run '^$' -bench . ./vault/frost

func BenchmarkPlainEd25519Sign(b *testing.B) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(b, err)
	for b.Loop() {
		ed25519.Sign(key, message(1))
	}
}

func BenchmarkPlainEd25519Verify(b *testing.B) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	must(b, err)
	sig := ed25519.Sign(key, message(1))
	for b.Loop() {
		if !ed25519.Verify(public, message(1), sig) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkPlainBIP340Sign(b *testing.B) {
	key, err := btcec.NewPrivateKey()
	must(b, err)
	for b.Loop() {
		if _, err := schnorr.Sign(key, message(1)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainBIP340Verify(b *testing.B) {
	key, err := btcec.NewPrivateKey()
	must(b, err)
	sig, err := schnorr.Sign(key, message(1))
	must(b, err)
	for b.Loop() {
		if !sig.Verify(message(1), key.PubKey()) {
			b.Fatal("refused")
		}
	}
}

// benchEach runs f for each suite with a fresh 2-of-4 world.
func benchEach(b *testing.B, f func(b *testing.B, w *world)) {
	for _, s := range suites {
		b.Run(s.name, func(b *testing.B) {
			w := newWorld(b, s, 2, rand.Reader)
			combOf()
			b.ReportAllocs()
			b.ResetTimer()
			f(b, w)
		})
	}
}

// BenchmarkWhole is all work of all parties for one 2-of-4 signature, messages encoded
// and decoded as they travel: two regions prepare and sign, the leader combines and
// verifies. The prime-order test of a published commitment is not in it; BenchmarkPublish
// is that.
func BenchmarkWhole(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		for b.Loop() {
			whole(b, w)
		}
	})
}

func whole(b *testing.B, w *world) {
	var sent [][]byte
	for _, region := range []uint8{1, 3} {
		c, err := w.pools[region].Prepare(rand.Reader, 1)
		must(b, err)
		sent = append(sent, c[0].Encode())
	}
	var parts [][]byte
	for _, region := range []uint8{1, 3} {
		s, err := w.pools[region].Sign(w.shares[region], w.key, message(1), readAll(b, w.pools[region], sent))
		must(b, err)
		parts = append(parts, s.Encode())
	}
	combineAll(b, w, readAll(b, w.pools[2], sent), parts)
}

func combineAll(b *testing.B, w *world, cs []*Commitment, parts [][]byte) {
	var shares []*SignatureShare
	for i, p := range parts {
		s, err := DecodeSignatureShare(cs[i].region, p)
		must(b, err)
		shares = append(shares, s)
	}
	if _, err := w.key.Aggregate(message(1), cs, shares); err != nil {
		b.Fatal(err)
	}
}

func readAll(b *testing.B, p *Pool, sent [][]byte) []*Commitment {
	var cs []*Commitment
	for _, e := range sent {
		c, err := p.Read(e)
		must(b, err)
		cs = append(cs, c)
	}
	return cs
}

// BenchmarkPrepare is one nonce and its commitment, ahead of time, in offers of 256.
func BenchmarkPrepare(b *testing.B) {
	const offer = 256
	benchEach(b, func(b *testing.B, w *world) {
		for done := 0; done < b.N; done += offer {
			cs, err := w.pools[1].Prepare(rand.Reader, min(offer, b.N-done))
			must(b, err)
			for _, c := range cs {
				w.pools[1].Burn(c)
			}
		}
	})
}

// BenchmarkPublish is the strict reading of one published commitment, once at each reader.
func BenchmarkPublish(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		c, err := w.pools[1].Prepare(rand.Reader, 1)
		must(b, err)
		enc := c[0].Encode()
		b.ResetTimer()
		for b.Loop() {
			if _, err := DecodeCommitment(1, enc); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOnline is one region's work between question and answer: reading the named
// commitments, signing, encoding.
func BenchmarkOnline(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		other, err := w.pools[3].Prepare(rand.Reader, 1)
		must(b, err)
		sent := [][]byte{nil, other[0].Encode()}
		var own [][]byte
		for b.Loop() {
			if len(own) == 0 {
				b.StopTimer()
				cs, err := w.pools[1].Prepare(rand.Reader, 1024)
				must(b, err)
				for _, c := range cs {
					own = append(own, c.Encode())
				}
				b.StartTimer()
			}
			sent[0], own = own[0], own[1:]
			s, err := w.pools[1].Sign(w.shares[1], w.key, message(1), readAll(b, w.pools[1], sent))
			must(b, err)
			s.Encode()
		}
	})
}

// BenchmarkAggregate combines two parts and verifies the result.
func BenchmarkAggregate(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		cs := w.commit(b, []uint8{1, 3})
		var parts [][]byte
		for _, s := range w.parts(b, w.key, message(1), cs) {
			parts = append(parts, s.Encode())
		}
		b.ResetTimer()
		for b.Loop() {
			combineAll(b, w, cs, parts)
		}
	})
}

// BenchmarkCheckShare is what a failed aggregation costs for each part.
func BenchmarkCheckShare(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		cs := w.commit(b, []uint8{1, 3})
		parts := w.parts(b, w.key, message(1), cs)
		b.ResetTimer()
		for b.Loop() {
			if err := w.key.CheckShare(message(1), cs, parts[0]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkNewKey is a whole ceremony of four regions, all their work, sealing apart.
func BenchmarkNewKey(b *testing.B) {
	for _, s := range suites {
		b.Run(s.name, func(b *testing.B) {
			combOf()
			for b.Loop() {
				newWorld(b, s, 2, rand.Reader)
			}
		})
	}
}

// BenchmarkRefresh is a whole refresh dealt by two of four.
func BenchmarkRefresh(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		for b.Loop() {
			dealers := []uint8{1, 3}
			old := map[uint8]*Share{1: w.shares[1], 3: w.shares[3]}
			runCeremony(b, Refresh(w.key, session("refresh"), "test", dealers), old, rand.Reader)
		}
	})
}

// BenchmarkChild derives one child key.
func BenchmarkChild(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		for b.Loop() {
			if _, _, err := w.key.Child([32]byte{1}, 7); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGeneratorMultiple(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		k := randomScalarOf(b, w.key.suite)
		for b.Loop() {
			w.key.suite.group.base(k)
		}
	})
}
