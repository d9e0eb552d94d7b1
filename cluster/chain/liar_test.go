package chain_test

import (
	"fmt"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func (h *history) liarCampaign() {
	term := h.some().term + uint64(h.pick(2))
	for _, v := range h.nodes {
		if h.pick(4) > 0 {
			h.askForLiar(v, term)
		}
	}
}

// equivocate: the liar leads a new term and shows each region what it likes.
func (h *history) equivocate() {
	h.liarCampaign()
	for range 6 {
		h.forge()
	}
	for _, v := range h.nodes {
		h.sendForged(v)
		h.sendForged(v)
	}
}

// askForLiar: the liar asks v for its vote, with whatever claims get it.
func (h *history) askForLiar(v *node, term uint64) {
	if term == 0 || term > maxTerm {
		return
	}
	j := h.justify(liar, term, sorted(v.id, h.nodes[int(v.id)%3].id, liar)...)
	if !h.enter(v, term, j) {
		return
	}
	claim := chain.Link{Term: term - 1, Index: 99}
	if own := v.log.Last(); own.Term == claim.Term {
		claim = own // or its hash would have to be known
	}
	got := h.report(v, chain.Candidacy{Term: term, Candidate: liar, Last: claim, Shown: v.log.Last().Hash})
	if got != nil && got.Granted && got.Candidate == liar {
		h.grants[term] = append(h.grants[term], *got)
	}
}

func (h *history) someLink() chain.Link {
	i := h.pick(len(h.hashes) + 1)
	if i == len(h.hashes) {
		return chain.Genesis(lineage)
	}
	e := h.known[h.hashes[i]]
	return e.Link()
}

// liarProof returns a leader proof of the liar over base, if its votes allow one.
func (h *history) liarProof(term uint64, base chain.Link) *chain.LeaderProof {
	got := map[identity.RegionID]chain.Vote{}
	for _, v := range h.grants[term] {
		got[v.Region] = v
	}
	if h.mutant == "believes its leader" && base.Term < term {
		return &chain.LeaderProof{Lineage: lineage, Term: term, Leader: liar, Base: base}
	}
	if len(got) < 2 || base.Term >= term {
		return nil
	}
	votes := []chain.Vote{h.vote(liar, liar, term, base, true)}
	for _, v := range got {
		votes = append(votes, v)
	}
	p, err := chain.Elect(base, votes)
	if err != nil || p.Verify(h, lineage) != nil {
		return nil
	}
	h.leads(term, liar)
	return p
}

// leads records who is proven to lead a term.
func (h *history) leads(term uint64, r identity.RegionID) {
	if was, ok := h.leaders[term]; ok && was != r {
		h.fail("regions %d and %d are both proven to lead term %d", was, r, term)
	}
	h.leaders[term] = r
}

// forge makes a new entry of the liar, in a term it can prove, at any time after.
func (h *history) forge() {
	prev := h.someLink()
	if len(h.hashes) > 60 || prev.Index >= 12 {
		return
	}
	term := prev.Term
	var p *chain.LeaderProof
	if h.pick(2) == 0 {
		term = uint64(1 + h.pick(maxTerm))
		if p = h.liarProof(term, prev); p == nil {
			return
		}
	} else if e, ok := h.known[prev.Hash]; !ok || e.Sig.Region != liar {
		return
	}
	h.entries++
	h.make(h.next(liar, prev, term, fmt.Sprint("forged", h.entries), p))
}

// sendForged: the liar leads some term and sends v part of any chain there is.
func (h *history) sendForged(v *node) {
	term := v.term + uint64(h.pick(2))
	p := h.anyProof(term)
	if p == nil {
		return
	}
	var path []chain.Entry
	for tip := h.someLink(); tip.Index > 0; {
		e := h.known[tip.Hash]
		if own, ok := v.log.At(tip.Index); ok && own == tip {
			break
		}
		path = append([]chain.Entry{e}, path...)
		if tip = chain.Genesis(lineage); e.Index > 1 {
			prev := h.known[e.Prev]
			tip = prev.Link()
		}
	}
	if h.pick(3) == 0 {
		path = path[:h.pick(len(path)+1)]
	}
	h.receive(v, term, p, path)
}

// anyProof returns a proof of the liar for term over some base.
func (h *history) anyProof(term uint64) *chain.LeaderProof {
	for range 4 {
		if p := h.liarProof(term, h.someLink()); p != nil {
			return p
		}
	}
	return nil
}
