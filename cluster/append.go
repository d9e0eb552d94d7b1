package cluster

import (
	"context"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

func (c *Cluster) serveAppend(ctx context.Context, in *instance, from remote, q *request) *reply {
	a := q.Append
	arrived, bad := c.inspect(from, q)
	if err := c.enter(ctx, in); err != nil {
		return c.fail(err)
	}
	p, err := c.admit(ctx, in, from, a, arrived, bad)
	if err == nil {
		c.acknowledge(a, arrived, p)
	}
	c.leave()
	if err != nil {
		return c.fail(err)
	}
	if !p.Yes && p.NoWait && len(a.Entries) > 0 {
		time.Sleep(refusalDelay)
	}
	if p.Yes {
		p.Items = append(p.Items, collect(arrived.draws)...)
	}
	if len(a.Entries) == 0 {
		p.Items = append(p.Items, clockItem(c.cfg.Now()))
	}
	return p
}

// admit judges an append and hands what is good of it to raft. Nothing of a term is
// believed without its leader proof. Of a proven leader heartbeats always pass, since
// raft steps down over a refused one.
func (c *Cluster) admit(ctx context.Context, in *instance, from remote, a *raft.AppendEntriesRequest, v *arrival, bad error) (*reply, error) {
	if rec := c.book.record(); a.Term < rec.Term {
		return c.justify(&reply{Header: c.transport.header(), Code: errs.OK, Term: rec.Term}, a.Term), nil
	}
	if err := c.proven(from, a.Term, v.proof); err != nil {
		return nil, err
	}
	if c.shuns(from, a.Term) {
		return nil, errs.New(errs.Denied, "appends of region %d in this term were refused too often", from.region)
	}
	c.heard.Store(time.Now().UnixNano())
	if v.cert != nil {
		c.book.certify(v.cert)
	}
	attached := false
	if bad == nil && len(a.Entries) > 0 {
		attached, bad = c.follows(from, a, v)
	}
	if bad != nil {
		c.refuse(from, a, bad)
	}
	if bad != nil || !attached && len(a.Entries) > 0 {
		return c.deliverBare(ctx, in, a, bad)
	}
	if v.admitted.Rival {
		return nil, c.cut(v.admitted.Cut)
	}
	if good, bad := c.judge(in, a, v); bad != nil {
		c.refuse(from, a, bad)
		c.accuseEntry(from, a, v, good, bad)
		return c.deliverPart(ctx, in, a, v, good)
	}
	c.keep(a, v)
	a.LeaderCommitIndex = c.book.allow(c.capCommit(a, v))
	r, err := c.deliver(ctx, in, a, nil)
	if err != nil {
		return nil, err
	}
	return c.appendReply(r.(*raft.AppendEntriesResponse), a.Term), nil
}

// proven wants the sender to have proved, now or before, that it leads the term.
func (c *Cluster) proven(from remote, term uint64, p *chain.LeaderProof) error {
	if p != nil && p.Term == term {
		if err := c.believeLeader(from, p); err != nil {
			return err
		}
	}
	rec := c.book.record()
	if rec.Term != term || rec.Proof == nil {
		return errs.New(errs.Unverified, "region %d did not prove that it leads term %d", from.region, term)
	}
	if rec.Proof.Leader != from.region {
		return errs.New(errs.Denied, "region %d leads term %d, not region %d", rec.Proof.Leader, term, from.region)
	}
	return nil
}

// believeLeader takes a proof. A second base for one term convicts its leader, whose own
// ballot reports it.
func (c *Cluster) believeLeader(from remote, p *chain.LeaderProof) error {
	rec := c.book.record()
	if rec.Term == p.Term && rec.Proof != nil && rec.Proof.Base == p.Base && rec.Proof.Leader == p.Leader {
		return nil
	}
	if err := p.Verify(c.book.roster, c.cfg.Lineage); err != nil {
		return err
	}
	if rec.Term == p.Term && rec.Proof != nil {
		c.accuseBases(rec.Proof, p)
		return errs.New(errs.Unverified, "region %d proves two bases for term %d", from.region, p.Term)
	}
	return c.book.follow(p)
}

// capCommit is how far raft may commit: no further than certificates reach.
func (c *Cluster) capCommit(a *raft.AppendEntriesRequest, v *arrival) uint64 {
	if !liar.Defends(liar.CommitCap) {
		return a.LeaderCommitIndex
	}
	return min(a.LeaderCommitIndex, c.reach(v))
}

// reach is how far certificates reach on the own log with what an append brings.
func (c *Cluster) reach(v *arrival) uint64 {
	tuples := c.book.certifiedTuples()
	if v.cert != nil {
		tuples = append(tuples, v.cert.Tuple)
	}
	l := v.admitted.Log
	if l == nil {
		l = c.book.own
	}
	return chain.CapCommit(^uint64(0), tuples, l)
}

func (c *Cluster) appendReply(r *raft.AppendEntriesResponse, asked uint64) *reply {
	return c.justify(&reply{Header: r.RPCHeader, Code: errs.OK, Term: r.Term, LastLog: r.LastLog, Yes: r.Success, NoWait: r.NoRetryBackoff}, asked)
}

// deliverBare lets raft learn term and leader from an append whose entries it must
// not see, and answers that they were not stored. Where the own log parts from the
// leader's before them, the leader has to go further back.
func (c *Cluster) deliverBare(ctx context.Context, in *instance, a *raft.AppendEntriesRequest, bad error) (*reply, error) {
	bare := &raft.AppendEntriesRequest{RPCHeader: a.RPCHeader, Term: a.Term, PrevLogEntry: a.PrevLogEntry, PrevLogTerm: a.PrevLogTerm}
	r, err := c.deliver(ctx, in, bare, nil)
	if err != nil {
		return nil, err
	}
	p := c.appendReply(r.(*raft.AppendEntriesResponse), a.Term)
	if p.Yes && bad == nil && a.PrevLogEntry > 0 {
		p.LastLog = a.PrevLogEntry - 1
	}
	p.Yes, p.NoWait = false, true
	return p, nil
}

// judge checks what only the own clock and state can: stamps and memberships.
func (c *Cluster) judge(in *instance, a *raft.AppendEntriesRequest, v *arrival) (good int, err error) {
	certified := c.reach(v)
	stamps, err := c.judgeStamps(a, v, certified)
	if members, bad := c.judgeMembers(in, a, certified); bad != nil && members <= stamps {
		return members, bad
	}
	return stamps, err
}

// deliverPart hands raft the entries before a bad one, and the commit news about them:
// what they decide may be what makes the next one good. The answer is that not all were
// stored; the leader sends the rest again.
func (c *Cluster) deliverPart(ctx context.Context, in *instance, a *raft.AppendEntriesRequest, v *arrival, good int) (*reply, error) {
	part := *a
	part.Entries = a.Entries[:good]
	part.LeaderCommitIndex = c.book.allow(min(c.capCommit(a, v), a.PrevLogEntry+uint64(good)))
	c.keep(&part, v)
	r, err := c.deliver(ctx, in, &part, nil)
	if err != nil {
		return nil, err
	}
	p := c.appendReply(r.(*raft.AppendEntriesResponse), a.Term)
	p.Yes, p.NoWait = false, true
	return p, nil
}

// follows judges the entries as a continuation of the own chain. attached is false when
// this region does not hold the entry they follow: the leader has to go further back.
func (c *Cluster) follows(from remote, a *raft.AppendEntriesRequest, v *arrival) (attached bool, err error) {
	prev, ok := c.chain.at(a.PrevLogEntry)
	if !ok || prev.term != a.PrevLogTerm {
		return false, nil
	}
	for i := range v.chained {
		e := &v.chained[i]
		e.Prev = prev.chain
		if e.Hash() != v.entries[i].chain {
			if i == 0 && prev.index > c.book.own.Floor() {
				return false, nil // it follows a rival of an entry here
			}
			return true, errs.New(errs.Unverified, "entry %d does not continue this region's chain", e.Index)
		}
		prev = link{e.Index, e.Term, v.entries[i].chain}
	}
	best, err := c.highestCarried(a, v, prev.index)
	if err != nil {
		return true, err
	}
	rec := c.book.record()
	s := chain.AppendState{Roster: c.book.roster, Signers: signers{c.book.roster}, Lineage: c.cfg.Lineage, Term: rec.Term, Proof: rec.Proof, Own: c.book.own, Founding: c.book.founding,
		Leaders: c.leaders, Certified: append(c.book.certifiedTuples(), best...), Acked: c.book.highestAcked()}
	s.Covered = covered(v, s.Certified)
	v.admitted, err = chain.CheckAppend(s, v.chained)
	if v.admitted.Rival && !liar.Defends(liar.Truncation) {
		err = nil
	} else if v.admitted.Rival {
		c.accuseRival(v, v.admitted.Cut)
	}
	if err == nil && v.admitted.Alarm && v.admitted.Cut > 0 {
		c.alarms.Add(1)
		c.note(slog.LevelError, from.region, "an acked entry is truncated: a region lies, or a disk does", slog.Uint64("index", v.admitted.Cut))
	}
	if err == nil {
		err = c.checkCarried(v)
	}
	return true, err
}

// leaders returns the proof of a term as it stands in the own log: in the term's first
// entry.
func (c *Cluster) leaders(term uint64) *chain.LeaderProof {
	if rec := c.book.record(); rec.Proof != nil && rec.Proof.Term == term {
		return rec.Proof
	}
	return c.chain.proofOf(term)
}

// acknowledge signs what was stored, and on what is not news the time of now. The caller
// holds the gate: nothing is being stored meanwhile.
func (c *Cluster) acknowledge(a *raft.AppendEntriesRequest, v *arrival, p *reply) {
	c.book.grown()
	if v.cert != nil {
		c.book.certify(v.cert)
	}
	c.hearAll(v.acks)
	var acks []chain.Ack
	switch n := len(a.Entries); {
	case p.Yes && n > 0:
		acks = c.book.ack(a.Entries[0].Index, a.Entries[n-1].Index)
	case n == 0:
		if own := c.book.renew(); own != nil {
			acks = append(acks, *own)
		}
	}
	if len(acks) > 0 {
		p.Items = append(p.Items, acksItem(acks))
	}
}

// hearAll notes acks that somebody passed on, for leases.
func (c *Cluster) hearAll(acks []chain.Ack) {
	for i := range acks {
		ack := &acks[i]
		if !c.book.needless(ack) && chain.Fresh(c.book.roster, &ack.Signature) == nil && ack.Lineage == c.cfg.Lineage && ack.Verify(c.book.roster) == nil {
			c.book.hear(*ack)
		}
	}
}

func (c *Cluster) refuse(from remote, a *raft.AppendEntriesRequest, why error) {
	c.refused.Add(1)
	c.resent(from, a.Term)
	c.note(slog.LevelError, from.region, "append refused", slog.String("server", string(from.server)),
		slog.Uint64("term", a.Term), slog.Uint64("after", a.PrevLogEntry), slog.Int("entries", len(a.Entries)), slog.String("error", why.Error()))
}

// serveNudge learns of a certificate: an empty append of the leader's, made here. What
// raft then commits is what the certificate names.
func (c *Cluster) serveNudge(ctx context.Context, in *instance, from remote, q *request) {
	n := q.Nudge
	_, leader := in.raft.LeaderWithID()
	if leader != from.server || in.raft.CurrentTerm() != n.Term || in.raft.CommitIndex() >= n.Index || c.enter(ctx, in) != nil {
		return
	}
	defer c.leave()
	cert, err := chain.DecodeCertificate(find(q.Items, itemCertificate))
	if err == nil {
		err = cert.Verify(c.book.roster, c.cfg.Lineage)
	}
	own, ok := c.chain.at(n.Index)
	if err != nil || !ok || own.place() != cert.Link {
		return
	}
	c.book.certify(cert)
	_, _ = c.deliver(ctx, in, &raft.AppendEntriesRequest{RPCHeader: q.Header, Term: n.Term,
		PrevLogEntry: n.Index, PrevLogTerm: own.term, LeaderCommitIndex: n.Index}, nil)
}
