package cluster

import (
	"context"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// The candidate's side of an election: it gathers what makes others believe the term and
// its leadership, and lets raft count only what others will believe.

// standing returns the election of term, begun anew if another was under way. The
// caller holds mu.
func (b *book) standing(term uint64) *election {
	if b.election.term != term {
		h := b.election.handover
		b.election = election{term: term, prevotes: map[identity.RegionID]chain.PreVote{}, votes: map[identity.RegionID]chain.Vote{},
			seen: map[identity.RegionID]chain.Link{}}
		if h != nil && h.Transfer.Term+1 == term {
			b.election.handover = h
		}
	}
	return &b.election
}

// prevote signs that this region would vote in term: raft asks, so it sees no leader.
func (b *book) prevote(term, current uint64, candidate identity.RegionID, leaderSeen bool) (chain.PreVote, error) {
	if err := chain.MayPreVote(current, term, leaderSeen); err != nil {
		return chain.PreVote{}, err
	}
	rec := b.record()
	cause := chain.Silence
	if rec.Proof != nil && b.fenced(rec.Proof.Leader, rec.Term) {
		cause = chain.Fenced
	}
	b.mu.Lock()
	at := b.tick()
	b.mu.Unlock()
	return chain.SignPreVote(b.signer, chain.PreVote{Lineage: b.lineage, Term: term, Candidate: candidate, Cause: cause, At: at})
}

// asking makes the own pre-vote of a candidacy, once.
func (b *book) asking(term uint64) error {
	b.mu.Lock()
	_, have := b.standing(term).prevotes[b.self]
	b.mu.Unlock()
	if have {
		return nil
	}
	p, err := b.prevote(term, term-1, b.self, false)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.standing(term).prevotes[b.self] = p
	return nil
}

// prevoted takes another region's pre-vote.
func (b *book) prevoted(from identity.RegionID, term uint64, p *chain.PreVote, last chain.Link) error {
	if p.Region != from || p.Term != term || p.Candidate != b.self || p.Lineage != b.lineage {
		return errs.New(errs.Unverified, "region %d sent a pre-vote for another election", from)
	}
	if err := chain.Fresh(b.roster, &p.Signature); err != nil {
		return err
	}
	if err := p.Verify(b.roster); err != nil {
		return err
	}
	b.mu.Lock()
	e := b.standing(term)
	e.prevotes[from], e.seen[from] = *p, last
	b.mu.Unlock()
	if why := b.justified(term); why != nil {
		if err := b.prepare(why); err != nil {
			return err
		}
		b.tally.fire()
	}
	return nil
}

// awaited waits until done or the end of ctx. raft may need fewer voters than the rules
// do, while a region's server is being replaced: it counts nobody before there are enough.
func (b *book) awaited(ctx context.Context, done func() bool) bool {
	for {
		news := b.tally.wait()
		if done() {
			return true
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false
		}
	}
}

// justified returns why term may be believed of this candidate; nil: not yet.
func (b *book) justified(term uint64) *chain.Justification {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.standing(term)
	if e.handover != nil {
		return &chain.Justification{Handover: e.handover}
	}
	if len(e.prevotes) < chain.Quorum(b.roster.Regions()) {
		return nil
	}
	j := &chain.Justification{}
	for r := identity.RegionID(1); r != 0; r++ {
		if p, ok := e.prevotes[r]; ok {
			j.PreVotes = append(j.PreVotes, p)
		}
	}
	return j
}

// handed notes that the leader asked this region to stand in the next term.
func (b *book) handed(h *chain.Handover) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.standing(h.Transfer.Term + 1).handover = h
}

// stand enters term as its candidate and stores the own vote, once.
func (b *book) stand(term uint64) error {
	b.mu.Lock()
	_, have := b.standing(term).votes[b.self]
	b.mu.Unlock()
	if have {
		return nil
	}
	if b.record().Term < term {
		why := b.justified(term)
		if why == nil {
			return errs.New(errs.BadState, "nothing justifies term %d", term)
		}
		if err := b.enter(term, why); err != nil {
			return err
		}
	}
	q := chain.Candidacy{Term: term, Candidate: b.self, Last: b.own.Last(), Shown: b.own.Last().Hash}
	v, err := b.vote(q, true)
	if err != nil {
		return err
	}
	if !v.Granted {
		return errs.New(errs.BadState, "this region may not vote for itself in term %d", term)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.standing(term).votes[b.self] = *v
	return nil
}

// candidacy is what goes along with a request for a vote: the own last link, and the
// hash at the voter's last index, if the voter told it.
func (b *book) candidacy(term uint64, voter identity.RegionID) (last chain.Link, shown [32]byte) {
	b.mu.Lock()
	theirs := b.standing(term).seen[voter]
	b.mu.Unlock()
	last = b.own.Last()
	if at, ok := b.own.At(theirs.Index); ok {
		shown = at.Hash
	}
	return last, shown
}

// voted takes another region's vote. granted tells whether raft may count it; with the
// deciding one the leader proof is stored. again: it was refused only for want of a hash
// at the index it reports, which this region has.
func (b *book) voted(from identity.RegionID, term uint64, v *chain.Vote) (granted, again bool, err error) {
	if v.Region != from || v.Term != term || v.Candidate != b.self || v.Lineage != b.lineage {
		return false, false, errs.New(errs.Unverified, "region %d sent a vote of another election", from)
	}
	if err := chain.Fresh(b.roster, &v.Signature); err != nil {
		return false, false, err
	}
	if err := v.Verify(b.roster); err != nil {
		return false, false, err
	}
	b.mu.Lock()
	e := b.standing(term)
	told := e.seen[from]
	if old, ok := e.votes[from]; !ok || !old.Granted {
		e.votes[from] = *v
	}
	e.seen[from] = v.Last
	b.mu.Unlock()
	if !v.Granted {
		at, ok := b.own.At(v.Last.Index)
		return false, ok && at == v.Last && told != v.Last, nil
	}
	if err := chain.MayCount(b.own, v); err != nil {
		return false, false, err
	}
	return true, false, b.won(term)
}

// won stores the leader proof once enough votes are in.
func (b *book) won(term uint64) error {
	b.mu.Lock()
	var votes []chain.Vote
	var base chain.Link
	for r, v := range b.standing(term).votes {
		if v.Granted {
			votes = append(votes, v)
		}
		if r == b.self {
			base = v.Last
		}
	}
	b.mu.Unlock()
	// One grant that does not count would spoil the proof for all others.
	votes = slices.DeleteFunc(votes, func(v chain.Vote) bool { return chain.MayCount(b.own, &v) != nil })
	if rec := b.record(); len(votes) < chain.Quorum(b.roster.Regions()) || rec.Term == term && rec.Proof != nil {
		return nil
	}
	p, err := chain.Elect(base, votes)
	if err != nil {
		return err
	}
	if err := p.Verify(b.roster, b.lineage); err != nil {
		return err
	}
	if err := chain.ProofBase(p, b.own); err != nil {
		return err
	}
	b.led()
	if err := b.follow(p); err != nil {
		return err
	}
	b.tally.fire()
	return nil
}

// ballots returns the votes of term gathered so far.
func (b *book) ballots(term uint64) (out []chain.Vote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.standing(term).votes {
		out = append(out, v)
	}
	return out
}

// RequestPreVote implements raft.WithPreVote.
func (e *endpoint) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, a *raft.RequestPreVoteRequest, out *raft.RequestPreVoteResponse) error {
	b := e.book
	if err := b.asking(a.Term); err != nil {
		return err
	}
	q := &request{Kind: kindPreVote, Header: a.RPCHeader, PreVote: a}
	if why := b.record().Why; why != nil {
		q.Items = append(q.Items, item{itemJustification, why.Encode()})
	}
	p, c, err := e.call(id, addr, q, e.timeout, nil)
	if err != nil {
		return err
	}
	if p.Yes {
		v, last, err := readPreVote(p)
		if err == nil {
			err = b.prevoted(c.peer.region, a.Term, v, last)
		}
		if err != nil {
			return err
		}
		e.doubt(v)
		p.Yes = e.gathered(func() bool { return b.justified(a.Term) != nil })
	} else if p.Term > a.Term {
		if err := e.believe(p); err != nil {
			return err
		}
	}
	*out = raft.RequestPreVoteResponse{RPCHeader: p.Header, Term: p.Term, Granted: p.Yes}
	return nil
}

// RequestVote implements raft.Transport.
func (e *endpoint) RequestVote(id raft.ServerID, addr raft.ServerAddress, a *raft.RequestVoteRequest, out *raft.RequestVoteResponse) error {
	b := e.book
	if err := b.stand(a.Term); err != nil {
		return err
	}
	for range 2 {
		p, again, err := e.askVote(id, addr, a)
		if err != nil {
			return err
		}
		if *out = (raft.RequestVoteResponse{RPCHeader: p.Header, Term: p.Term, Granted: p.Yes}); !again {
			break
		}
	}
	if !out.Granted {
		e.lost(a.Term)
	}
	return nil
}

func (e *endpoint) askVote(id raft.ServerID, addr raft.ServerAddress, a *raft.RequestVoteRequest) (p *reply, again bool, err error) {
	b := e.book
	last, shown := b.candidacy(a.Term, e.d.regionOf(id))
	q := &request{Kind: kindVote, Header: a.RPCHeader, Vote: a, Items: []item{candidacyItem(last, shown)}}
	if why := b.record().Why; why != nil && b.record().Term == a.Term {
		q.Items = append(q.Items, item{itemJustification, why.Encode()})
	}
	p, c, err := e.call(id, addr, q, e.timeout, nil)
	if err != nil {
		return nil, false, err
	}
	if p.Term > a.Term {
		return p, false, e.believe(p)
	}
	raw := find(p.Items, itemVote)
	if raw == nil {
		p.Yes = false
		return p, false, nil
	}
	v, err := chain.DecodeVote(raw)
	if err != nil {
		return nil, false, err
	}
	granted, again, err := b.voted(c.peer.region, a.Term, v)
	p.Yes = p.Yes && granted && e.gathered(func() bool { rec := b.record(); return rec.Term > a.Term || rec.Proof != nil })
	return p, again, err
}

// gathered waits for the others' voices, for at most an election.
func (e *endpoint) gathered(done func() bool) bool {
	ctx, cancel := context.WithTimeout(e.ctx, e.beat)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	return e.book.awaited(ctx, done)
}

// believe judges a reply of a higher term: without a justification one region that
// answers "term + 1" would unseat every leader.
func (t *transport) believe(p *reply) error {
	raw := find(p.Items, itemJustification)
	why, err := chain.DecodeJustification(raw)
	if err == nil {
		err = chain.Believe(t.book.roster, t.book.lineage, p.Term, why)
	}
	if err != nil {
		return errs.Wrap(errs.Unverified, err, "an answer of term %d is not believed", p.Term)
	}
	return t.book.enter(p.Term, why)
}

// TimeoutNow implements raft.Transport: the transfer is signed, so that nobody else can
// begin a term in this leader's name.
func (e *endpoint) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, a *raft.TimeoutNowRequest, out *raft.TimeoutNowResponse) error {
	rec := e.book.record()
	if rec.Proof == nil || rec.Proof.Leader != e.book.self {
		return errs.New(errs.BadState, "this region does not lead term %d", rec.Term)
	}
	t, err := chain.SignTransfer(e.book.signer, chain.Transfer{Lineage: e.book.lineage, Term: rec.Term, To: e.d.regionOf(id)})
	if err != nil {
		return err
	}
	h := &chain.Justification{Handover: &chain.Handover{Transfer: t, Proof: *rec.Proof}}
	q := &request{Kind: kindTimeout, Header: a.RPCHeader, Items: []item{{itemJustification, h.Encode()}}}
	p, _, err := e.call(id, addr, q, e.timeout, nil)
	if err == nil {
		out.RPCHeader = p.Header
	}
	return err
}
