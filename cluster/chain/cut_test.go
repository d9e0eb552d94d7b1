package chain_test

import (
	"github.com/tetrad-vault/tetrad/cluster/chain"
)

// resolve lets v act on the reports of all honest regions in its term.
func (h *history) resolve(v *node) bool {
	if h.mutant == "never cuts" {
		return false
	}
	var bs []chain.Branch
	top := uint64(0)
	for _, n := range h.nodes {
		for _, r := range n.reports {
			if r.Term == v.term {
				bs = append(bs, chain.Branch{Report: r, Path: h.path(r.Last)})
				top = max(top, r.Last.Term)
				break
			}
		}
	}
	if len(bs) != 3 || v.leads {
		return false
	}
	to, ok, err := chain.ResolveEquivocation(h, lineage, chain.Conviction{Region: liar, Term: top}, v.id, v.log, bs)
	h.must(err)
	if !ok {
		return false
	}
	h.cuts++
	if h.mutant != "" {
		return h.cutTo(v, to)
	}
	if c := h.convict(bs, top); c != (chain.Conviction{Region: liar, Term: top}) {
		h.fail("region %d cuts, but the reports of term %d convict nobody: %+v", v.id, top, c)
	}
	return h.cutTo(v, to)
}

func (h *history) cutTo(v *node, to chain.Link) bool {
	v.log.cut(to.Index + 1)
	v.cut = true
	return true
}

// convict makes evidence of what the reports show and has it judged offline: a cut
// never rests on anything but what the liar signed itself.
func (h *history) convict(bs []chain.Branch, term uint64) (c chain.Conviction) {
	for i := range bs {
		for j := range i {
			kind, a, b := h.rivals(&bs[i], &bs[j], term)
			if kind == 0 {
				continue
			}
			f, err := chain.Convict(h.court(), h.accuse(kind, liar, a, b))
			h.must(err)
			c, _ = f.Conviction()
		}
	}
	return c
}

// rivals returns what of two reports of one last term cannot both be honest: two bases
// of the term, or two entries at one place.
func (h *history) rivals(a, b *chain.Branch, term uint64) (chain.Kind, []byte, []byte) {
	if a.Report.Last.Term != term || b.Report.Last.Term != term {
		return 0, nil, nil
	}
	p, q := h.proofOf(a, term), h.proofOf(b, term)
	if p.Base != q.Base {
		v, u := ballot(p), ballot(q)
		return chain.RivalVotes, v.Encode(), u.Encode()
	}
	for i := range min(len(a.Path), len(b.Path)) {
		if x, y := a.Path[i].Hash(), b.Path[i].Hash(); x != y {
			return chain.RivalEntries, h.signed(x), h.signed(y)
		}
	}
	return 0, nil, nil
}

func (h *history) proofOf(b *chain.Branch, term uint64) *chain.LeaderProof {
	for i := range b.Path {
		if b.Path[i].Term == term {
			return h.known[b.Path[i].Hash()].Proof
		}
	}
	return nil
}

func ballot(p *chain.LeaderProof) *chain.Vote {
	for i := range p.Ballots {
		if v := p.Vote(i); v.Region == p.Leader {
			return &v
		}
	}
	return nil
}

func (h *history) signed(hash [32]byte) []byte {
	e := h.known[hash]
	s := chain.EntrySignature{Tuple: tuple(e.Link()), Signature: e.Sig}
	return s.Encode()
}

func (h *history) path(l chain.Link) (out []chain.Header) {
	for hash, i := l.Hash, l.Index; i > 0; i-- {
		e := h.known[hash]
		out = append([]chain.Header{e.Header}, out...)
		hash = e.Prev
	}
	return out
}

// goOn says whether the honest regions alone can elect a leader and certify, however
// the liar left them, in a few rounds.
func (h *history) goOn() bool {
	h.pick = func(n int) int { return n - 1 } // whole logs; no crashes; no help from the liar
	for round := range 9 {
		term := uint64(0)
		for _, n := range h.nodes {
			term = max(term, n.term)
		}
		c := h.nodes[round%len(h.nodes)]
		j := h.justify(c.id, term+1, 1, 2, 3)
		for _, n := range h.nodes {
			h.enter(n, term+1, j)
		}
		c.why = j
		for _, v := range h.nodes {
			h.askAlone(c, v)
		}
		if !c.leads {
			for _, v := range h.nodes {
				h.resolve(v)
			}
			continue
		}
		before := len(h.certs)
		for _, v := range h.nodes {
			h.replicateAll(c, v)
		}
		h.ackAll(c)
		return len(h.certs) > before
	}
	return false
}

func (h *history) askAlone(c, v *node) {
	shown, _ := c.log.At(v.log.Last().Index)
	got := h.report(v, chain.Candidacy{Term: c.term, Candidate: c.id, Last: c.log.Last(), Shown: shown.Hash})
	if got != nil && chain.MayCount(c.log, got) == nil {
		c.votes = append(c.votes, *got)
		h.elect(c, c.votes)
	}
}

func (h *history) replicateAll(c, v *node) {
	if c == v {
		return
	}
	at := uint64(0)
	for at < min(c.log.Last().Index, v.log.Last().Index) && c.log.links[at] == v.log.links[at] {
		at++
	}
	if h.receive(v, c.term, c.proof, c.log.entries[at:]) {
		c.follower = c.log.Last().Index
	}
}
