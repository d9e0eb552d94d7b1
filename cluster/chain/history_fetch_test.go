package chain_test

import (
	"slices"
	"testing"

	"github.com/tetrad-vault/tetrad/cluster/chain"
)

// fetchSome has v ask another region than its leader, which may be the liar, for what is
// certified.
func (h *history) fetchSome(v *node) {
	if len(h.certs) == 0 {
		return
	}
	es := h.upTo(h.certs[h.pick(len(h.certs))].Hash)
	if h.pick(3) == 0 { // with the liar's own entries in front of the true certificate
		es[h.pick(len(es))].Data[0] ^= 1
	}
	h.fetch(v, es)
}

// fetch gives v the entries up to a certified one, as cluster does: what of its own log
// conflicts with them goes, be it what the leader of its term sent.
func (h *history) fetch(v *node, es []chain.Entry) {
	if last := es[len(es)-1]; v.proof == nil || v.leads || last.Term > v.term || last.Index <= v.log.floor {
		return
	}
	s := chain.AppendState{Roster: h, Lineage: lineage, Term: v.term, Proof: v.proof, Own: v.log, Leaders: v.log.leaders, Certified: h.tuples, Acked: v.everAck}
	a, err := chain.CheckAppend(s, es)
	switch {
	case a.Cut > 0 && (err != nil || a.Rival):
		h.yield(v, a)
	case err == nil:
		v.followed = true
		h.store(v, a, es)
		h.ackAll(v)
	}
}

func (h *history) yield(v *node, a chain.Admission) {
	t := chain.Truncation{Term: v.term, Proof: v.proof, From: a.Cut, Own: v.log, New: a.Log, Certified: h.tuples, Acked: v.everAck}
	_, err := chain.MayYield(t)
	switch {
	case err == nil:
	case h.mutant == "yields to anything":
	case h.mutant == "yields to its own certificate" && a.Log == chain.Log(v.log) && h.standsOnOwn(v, a.Cut):
	default:
		return
	}
	if v.log.Last().Term == v.term {
		v.cut, v.silent = true, h.mutant != "acks after it yielded"
		h.yields++
	}
	v.log.cut(a.Cut)
}

// standsOnOwn: there is a certificate of the very suffix.
func (h *history) standsOnOwn(v *node, from uint64) bool {
	return from > v.log.floor && slices.ContainsFunc(h.tuples, func(c chain.Tuple) bool {
		own, ok := v.log.At(c.Index)
		return ok && own == c.Link && c.Index >= from
	})
}

// upTo returns the entries from the first up to one.
func (h *history) upTo(hash [32]byte) (es []chain.Entry) {
	for e, ok := h.known[hash]; ok; e, ok = h.known[e.Prev] {
		es = append(es, e)
	}
	slices.Reverse(es)
	return es
}

// TestGivesWay: a liar leads a term and shows a region a branch of its own, while the others
// and it certify another one. The region gives way, acks nothing more, and all goes on.
func TestGivesWay(t *testing.T) {
	for _, mutant := range []string{"", "acks after it yielded"} {
		h := newHistory(newWorld(t), mutant, 3, func(n int) int { return n - 1 })
		a, p, x, y := h.liarLeads()
		h.receive(a, 1, p, x)
		for _, n := range h.nodes[1:] {
			h.receive(n, 1, p, y)
		}
		if len(h.certs) != 1 || a.acked.Index != 2 {
			t.Fatalf("%d certificates, acked %v", len(h.certs), a.acked)
		}
		for range 2 { // it cuts, and asks again
			h.fetch(a, y)
		}
		if h.yields != 1 || a.log.Last() != h.certs[0].Link {
			t.Errorf("mutant %q: %d cuts, the log ends in %v", mutant, h.yields, a.log.Last())
		}
		if (h.bad != "") != (mutant != "") {
			t.Errorf("mutant %q: %s", mutant, h.bad)
		}
		if mutant == "" && (!h.goOn() || h.bad != "") {
			t.Errorf("the honest regions cannot go on: %s", h.bad)
		}
	}
}

// TestGivesWayToNothingElse: the region holds what is certified, does not know that, and is
// given the liar's other branch, or entries nobody signed beside the true certificate. Did it
// give way, two certificates would conflict.
func TestGivesWayToNothingElse(t *testing.T) {
	for _, mutant := range []string{"", "yields to anything", "yields to its own certificate"} {
		for _, forged := range []bool{false, true} {
			h := newHistory(newWorld(t), mutant, 3, func(n int) int { return n - 1 })
			a, p, x, y := h.liarLeads()
			b, f := h.nodes[1], h.nodes[2]
			h.receive(a, 1, p, x)
			h.receive(b, 1, p, x)
			if forged {
				y = slices.Clone(x)
				y[0].Data[0] ^= 1
			}
			h.fetch(a, y)
			h.stand(f)
			h.ask(f, a)
			h.replicate(f, a)
			harm := mutant == "yields to anything" || forged && mutant != ""
			if (h.bad != "") != harm {
				t.Errorf("mutant %q, forged %v: %q", mutant, forged, h.bad)
			}
		}
	}
}

// liarLeads elects the liar in term 1, and returns the first region, the proof and two
// branches of the term.
func (h *history) liarLeads() (a *node, p *chain.LeaderProof, x, y []chain.Entry) {
	genesis := chain.Genesis(lineage)
	for _, n := range h.nodes {
		h.askForLiar(n, 1)
	}
	p = h.liarProof(1, genesis)
	x = []chain.Entry{h.next(liar, genesis, 1, "x", p)}
	x = append(x, h.next(liar, x[0].Link(), 1, "on", nil))
	y = []chain.Entry{h.next(liar, genesis, 1, "y", p)}
	for _, e := range slices.Concat(x, y) {
		h.make(e)
	}
	return h.nodes[0], p, x, y
}
