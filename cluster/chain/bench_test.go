package chain_test

import (
	"testing"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// BenchmarkEntry is one entry over all four regions: the leader signs it, three check
// that, four ack it, the leader checks three acks and joins them, three check the
// certificate. With a roster that remembers, a follower checks two of its three acks.
func BenchmarkEntry(b *testing.B) {
	w := newWorld(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		t := at(uint64(i+1), 0)
		e, err := chain.SignEntry(w.signers[1], t)
		w.must(err)
		for range 3 {
			w.must(e.Verify(w.book))
		}
		col := chain.NewCollector(lineage, w.book, 0)
		var cert *chain.Certificate
		for r := identity.RegionID(1); r <= 4; r++ {
			a := w.ack(r, t)
			if cert == nil {
				cert, err = col.Add(a)
				w.must(err)
			}
		}
		for range 3 {
			w.must(cert.Verify(w.book, lineage))
		}
	}
}

func BenchmarkSign(b *testing.B) {
	w := newWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		_, err := chain.SignAck(w.signers[1], at(1, 0), noon)
		w.must(err)
	}
}

func BenchmarkVerifyCertificate(b *testing.B) {
	w := newWorld(b)
	c, err := chain.Certify([]chain.Ack{w.ack(1, at(1, 0)), w.ack(2, at(1, 0)), w.ack(3, at(1, 0))})
	w.must(err)
	b.ReportAllocs()
	for b.Loop() {
		w.must(c.Verify(w.book, lineage))
	}
	b.ReportMetric(float64(len(c.Encode())), "bytes/certificate")
}

func BenchmarkVerifyLeaderProof(b *testing.B) {
	s := newScene(b)
	b.ReportAllocs()
	for b.Loop() {
		s.must(s.proof.Verify(s.book, lineage))
	}
	b.ReportMetric(float64(len(s.proof.Encode())), "bytes/proof")
}
