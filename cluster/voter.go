package cluster

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// vote decides on a candidacy by the rules, signs the vote and stores it. raftAgrees is
// raft's own answer: its refusals stand.
func (b *book) vote(q chain.Candidacy, raftAgrees bool) (*chain.Vote, error) {
	state := b.voteState(q.Term)
	v, ok := chain.Report(b.lineage, state, q)
	if !ok {
		return nil, errs.New(errs.BadState, "term %d has a leader already", q.Term)
	}
	if v.Region == b.self { // as sent before
		return &v, nil
	}
	v.Granted = v.Granted && raftAgrees
	v, err := chain.SignVote(b.signer, v)
	if err != nil {
		return nil, err
	}
	if v.Granted {
		b.mu.Lock()
		b.granted = time.Now()
		b.mu.Unlock()
	}
	return &v, b.report(v)
}

// patient reports whether who was voted for had no time yet to be heard from. A region that
// asked for yet another term meanwhile would help a liar to gather, during each election,
// what unseats the leader that comes of it.
func (b *book) patient(election time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.granted) < election/2
}

func (b *book) voteState(term uint64) chain.VoteState {
	rec := b.record()
	s := chain.VoteState{Term: term, Last: b.own.Last(), Fenced: b.distrusted(term)}
	if rec.Term == term {
		s.Followed, s.Cut, s.Reported = rec.Proof != nil, rec.Cut, rec.Reports
	}
	return s
}

// serveVote answers a candidate. raft must agree to a grant; where the rules refuse, raft
// is shown an empty log instead, so that it refuses without spending its vote.
func (c *Cluster) serveVote(ctx context.Context, in *instance, from remote, q *request) *reply {
	if memberless(in) {
		return &reply{Header: c.transport.header(), Code: errs.OK, Term: in.raft.CurrentTerm()}
	}
	why, cand, err := c.candidacy(from, q)
	if err != nil {
		return c.fail(err)
	}
	if err := c.enter(ctx, in); err != nil {
		return c.fail(err)
	}
	defer c.leave()
	if rec := c.book.record(); q.Vote.Term < rec.Term { // raft may not have heard of it
		return c.justify(&reply{Header: c.transport.header(), Code: errs.OK, Term: rec.Term}, q.Vote.Term)
	}
	if q.Vote.Term > in.raft.CurrentTerm() {
		if err := chain.Believe(c.book.roster, c.cfg.Lineage, q.Vote.Term, why); err != nil {
			return c.fail(err)
		}
	}
	ask := *q.Vote
	if refusal := chain.MayGrant(c.book.voteState(ask.Term), cand); refusal != nil {
		c.note(slog.LevelInfo, from.region, "vote refused", slog.Uint64("term", ask.Term), slog.String("why", refusal.Error()))
		ask.LastLogIndex, ask.LastLogTerm = 0, 0
	}
	ask.LeadershipTransfer = ask.LeadershipTransfer || c.forsaken() // raft may not have noticed that it hears nobody
	r, err := c.deliver(ctx, in, &ask, nil)
	if err != nil {
		return c.fail(err)
	}
	v := r.(*raft.RequestVoteResponse)
	p := &reply{Header: v.RPCHeader, Code: errs.OK, Term: v.Term}
	if in.raft.CurrentTerm() != ask.Term {
		return c.justify(p, ask.Term)
	}
	if err := c.book.enter(ask.Term, why); err != nil {
		return c.fail(err)
	}
	vote, err := c.book.vote(cand, v.Granted)
	if err != nil {
		return p
	}
	p.Yes = vote.Granted
	p.Items = append(p.Items, item{itemVote, vote.Encode()})
	return p
}

// candidacy reads what a candidate shows. A transfer must be the old leader's own word.
func (c *Cluster) candidacy(from remote, q *request) (*chain.Justification, chain.Candidacy, error) {
	cand := chain.Candidacy{Term: q.Vote.Term, Candidate: from.region}
	var why *chain.Justification
	if raw := find(q.Items, itemJustification); raw != nil {
		var err error
		if why, err = chain.DecodeJustification(raw); err != nil {
			return nil, cand, err
		}
	}
	last, shown, err := decodeCandidacy(find(q.Items, itemCandidacy))
	if err == nil && (last.Index != q.Vote.LastLogIndex || last.Term != q.Vote.LastLogTerm) {
		err = errs.New(errs.Malformed, "candidate %d names two logs", from.region)
	}
	if q.Vote.LeadershipTransfer && (why == nil || why.Handover == nil || why.Handover.Transfer.To != from.region) {
		err = errs.New(errs.Denied, "region %d stands for a transfer that no leader signed", from.region)
	}
	cand.Last, cand.Shown = last, shown
	return why, cand, err
}

// justify attaches why the own term is higher than the one asked about.
func (c *Cluster) justify(p *reply, asked uint64) *reply {
	rec := c.book.record()
	switch {
	case p.Term <= asked:
	case rec.Term < p.Term || rec.Why == nil:
		p.Term = asked // nobody would believe it
	default:
		p.Term = rec.Term
		p.Items = append(p.Items, item{itemJustification, rec.Why.Encode()})
	}
	return p
}

func (c *Cluster) servePreVote(ctx context.Context, in *instance, from remote, q *request) *reply {
	if memberless(in) {
		return &reply{Header: c.transport.header(), Code: errs.OK, Term: in.raft.CurrentTerm()}
	}
	for _, r := range c.book.distrusted(q.PreVote.Term) {
		if r == from.region {
			return &reply{Header: c.transport.header(), Code: errs.OK, Term: q.PreVote.Term}
		}
	}
	if c.book.patient(c.cfg.Timing.Election) {
		return &reply{Header: c.transport.header(), Code: errs.OK, Term: q.PreVote.Term}
	}
	if raw := find(q.Items, itemJustification); raw != nil {
		c.learnTerm(in, raw)
	}
	if err := c.enter(ctx, in); err != nil {
		return c.fail(err)
	}
	defer c.leave()
	r, err := c.deliver(ctx, in, q.PreVote, nil)
	if err != nil {
		return c.fail(err)
	}
	v := r.(*raft.RequestPreVoteResponse)
	p := &reply{Header: v.RPCHeader, Code: errs.OK, Term: v.Term}
	if v.Granted || c.forsaken() && c.wouldGrant(from, q.PreVote) {
		// A region behind in terms may speak for the next one only once it believes the last.
		current := max(in.raft.CurrentTerm(), c.book.record().Term)
		pre, err := c.book.prevote(q.PreVote.Term, current, from.region, false)
		if err != nil {
			c.log.Debug("pre-vote refused", slog.String("why", err.Error()))
			p.Term = q.PreVote.Term
			return p
		}
		p.Yes = true
		p.Items = append(p.Items, preVoteItem(&pre, c.book.own.Last()))
	}
	return c.justify(p, q.PreVote.Term)
}

// forsaken reports whether the leader of the term is not heard here. raft believes in it
// until its time-out, and longer while others bring what it did not.
func (c *Cluster) forsaken() bool {
	rec := c.book.record()
	if rec.Proof == nil {
		return false
	}
	lately := func(at int64) bool { return time.Since(time.Unix(0, at)) < 2*c.cfg.Timing.Heartbeat }
	return c.book.fenced(rec.Proof.Leader, rec.Term) || rec.Proof.Leader != c.book.self && lately(c.fed.Load()) && !lately(c.heard.Load())
}

// wouldGrant is raft's answer to a pre-vote without a leader.
func (c *Cluster) wouldGrant(from remote, q *raft.RequestPreVoteRequest) bool {
	last := c.book.own.Last()
	voter := slices.ContainsFunc(c.Members(), func(m Member) bool { return m.ServerID == string(from.server) && m.Voter })
	return voter && q.Term > c.book.record().Term && (q.LastLogTerm > last.Term || q.LastLogTerm == last.Term && q.LastLogIndex >= last.Index)
}

// learnTerm believes a candidate's present term, so that the next one can be spoken for.
func (c *Cluster) learnTerm(in *instance, raw []byte) {
	why, err := chain.DecodeJustification(raw)
	if err != nil || why.Term() <= c.book.record().Term {
		return
	}
	if _, leader := in.raft.LeaderWithID(); leader != "" {
		return // it is not followed there while a leader is seen
	}
	if err = chain.Believe(c.book.roster, c.cfg.Lineage, why.Term(), why); err == nil {
		err = c.book.enter(why.Term(), why)
	}
	if err != nil {
		c.log.Debug("term not believed", slog.String("why", err.Error()))
	}
}

// serveTimeoutNow obeys only the leader this node follows, and only its signed word: raft
// would start an election for anybody.
func (c *Cluster) serveTimeoutNow(ctx context.Context, in *instance, from remote, q *request) *reply {
	_, leader := in.raft.LeaderWithID()
	why, err := chain.DecodeJustification(find(q.Items, itemJustification))
	switch {
	case !liar.Defends(liar.Transfers):
		err = nil
	case leader == "" || leader != from.server:
		err = errs.New(errs.Denied, "server %s does not lead", from.server)
	case err != nil:
	case why.Handover == nil || why.Handover.Transfer.To != c.book.self || why.Handover.Transfer.Region != from.region || why.Handover.Transfer.Term != in.raft.CurrentTerm():
		err = errs.New(errs.Denied, "region %d hands over what is not its own", from.region)
	default:
		err = chain.Believe(c.book.roster, c.cfg.Lineage, why.Term(), why)
	}
	if err != nil {
		c.note(slog.LevelError, from.region, "transfer refused", slog.String("error", err.Error()))
		return c.fail(err)
	}
	c.book.handed(why.Handover)
	if _, err := c.pass(ctx, in, &raft.TimeoutNowRequest{RPCHeader: q.Header}); err != nil {
		return c.fail(err)
	}
	return &reply{Header: c.transport.header(), Code: errs.OK, Yes: true}
}
