package chain_test

import (
	"testing"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestCover: an entry is covered by a certificate of its own or along the chain to a
// later one, and by nothing that leads elsewhere.
func TestCover(t *testing.T) {
	w := newWorld(t)
	base := chain.Link{Term: 1, Index: 1, Hash: [32]byte{1}}
	proof := w.proof(1, 2, base, map[identity.RegionID]chain.Link{2: base, 3: base})
	e2 := w.next(1, base, 2, "x", proof)
	e3 := w.next(1, e2.Link(), 2, "y", nil)
	other := w.next(1, e2.Link(), 2, "z", nil)
	certify := func(l chain.Link, regions ...identity.RegionID) chain.Certificate {
		var acks []chain.Ack
		for _, r := range regions {
			acks = append(acks, w.ack(r, tuple(l)))
		}
		c, err := chain.Certify(acks)
		w.must(err)
		return *c
	}
	whole := certify(e3.Link(), 1, 2, 3)
	for _, x := range []struct {
		name string
		at   chain.Link
		c    chain.Cover
		want errs.Code
	}{
		{"own", e3.Link(), chain.Cover{Certificate: whole}, errs.OK},
		{"later", base, chain.Cover{Certificate: whole, Path: []chain.Header{e2.Header, e3.Header}}, errs.OK},
		{"other entry", other.Link(), chain.Cover{Certificate: whole}, errs.Unverified},
		{"gap", base, chain.Cover{Certificate: whole, Path: []chain.Header{e3.Header}}, errs.Unverified},
		{"other branch", base, chain.Cover{Certificate: whole, Path: []chain.Header{e2.Header, other.Header}}, errs.Unverified},
		{"two acks", e3.Link(), chain.Cover{Certificate: certify(e3.Link(), 1, 2)}, errs.Unverified},
		{"nothing", chain.Link{}, chain.Cover{Certificate: whole}, errs.Invalid},
	} {
		code(t, x.name, x.c.Verify(w.book, lineage, x.at), x.want)
	}
}
