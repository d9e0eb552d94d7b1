package cluster

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// serve answers one request of another region. Everything raft hears from outside
// passes here first; raft itself believes what it is sent.
func (c *Cluster) serve(ctx context.Context, from remote, q *request, body io.Reader) *reply {
	p := c.answer(ctx, from, q, body)
	if p != nil && c.dead() { // what it says may not be on the disk
		return c.fail(errs.New(errs.Unavailable, "this region is stopped"))
	}
	return p
}

func (c *Cluster) answer(ctx context.Context, from remote, q *request, body io.Reader) *reply {
	in := c.instance()
	if in == nil || c.dead() {
		return c.fail(errs.New(errs.Unavailable, "this region is stopped"))
	}
	switch q.Kind {
	case kindAppend:
		return c.serveAppend(ctx, in, from, q.Append)
	case kindVote:
		return c.serveVote(ctx, in, q)
	case kindPreVote:
		return c.servePreVote(ctx, in, q)
	case kindSnapshot:
		return c.serveSnapshot(ctx, in, from, q.Snapshot, body)
	case kindTimeout:
		return c.serveTimeoutNow(ctx, in, from, q.Header)
	case kindNudge:
		c.serveNudge(ctx, in, from, q)
		return nil
	case kindRead:
		return c.serveRead(ctx)
	}
	return c.fail(errs.New(errs.Malformed, "message kind %d", q.Kind))
}

func (c *Cluster) fail(err error) *reply {
	text := err.Error()
	return &reply{Header: c.transport.header(), Code: errs.CodeOf(err), Text: text[:min(len(text), 512)]}
}

// enter takes the gate through which raft hears one message at a time, so that what
// was checked against the log still holds when raft acts on it. A channel, because
// raft may wait for its disk meanwhile.
func (c *Cluster) enter(ctx context.Context, in *instance) error {
	select {
	case c.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-in.end.stop:
		return errStopped
	}
}

func (c *Cluster) leave() { <-c.gate }

// deliver hands a message to raft and waits for its answer, for as long as the disk
// takes: the watchdog bounds that.
func (c *Cluster) deliver(ctx context.Context, in *instance, cmd any, body io.Reader) (any, error) {
	answer := make(chan raft.RPCResponse, 1)
	select {
	case in.end.rpc <- raft.RPC{Command: cmd, Reader: body, RespChan: answer}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-in.end.stop:
		return nil, errStopped
	}
	select {
	case r := <-answer:
		return r.Response, r.Error
	case <-in.end.stop:
		return nil, errStopped
	}
}

// arrival is an append on its way in: what each command entry opened to, and hashes.
type arrival struct {
	entries []opened
	draws   []evaluation
}

// evaluation is a beacon partial being computed while its entry is stored.
type evaluation struct {
	at     link
	result chan []byte
}

func (c *Cluster) serveAppend(ctx context.Context, in *instance, from remote, a *raft.AppendEntriesRequest) *reply {
	arrived, bad := c.inspect(a)
	if err := c.enter(ctx, in); err != nil {
		return c.fail(err)
	}
	p, err := c.admit(ctx, in, from, a, arrived, bad)
	c.leave()
	if err != nil {
		return c.fail(err)
	}
	if !p.Yes && p.NoWait && len(a.Entries) > 0 {
		time.Sleep(refusalDelay)
	}
	if p.Yes {
		p.Items = collect(arrived.draws)
	}
	if len(a.Entries) == 0 {
		p.Items = append(p.Items, clockItem(c.cfg.Now()))
	}
	return p
}

// inspect is what can be judged without looking at the own log: shape, decoding,
// signatures. It runs outside the gate.
func (c *Cluster) inspect(a *raft.AppendEntriesRequest) (*arrival, error) {
	v := &arrival{entries: make([]opened, len(a.Entries))}
	if err := checkShape(a.PrevLogEntry, a.PrevLogTerm, a.Term, a.Entries); err != nil {
		return v, err
	}
	for i, e := range a.Entries {
		at, err := linkOf(e)
		if err != nil {
			return v, err
		}
		v.entries[i].data = sha256.Sum256(e.Data)
		if known, ok := c.chain.links.get(e.Index); e.Type != raft.LogCommand || ok && known == at {
			continue // sent again
		}
		if v.entries[i].entry, err = c.open(e); err != nil {
			return v, errs.Wrap(errs.CodeOf(err), err, "entry %d", e.Index)
		}
	}
	return v, nil
}

func (c *Cluster) open(e *raft.Log) (*command.Entry, error) {
	entry, err := openEntry(c.cfg.EntrySealer, c.cfg.Lineage, e.Data)
	if err != nil || c.cfg.Admit == nil {
		return entry, err
	}
	return entry, c.cfg.Admit(entry)
}

// admit checks an append against the own chain and hands it to raft. A bad one is
// not stored; heartbeats always pass, since raft steps down over a refused one.
func (c *Cluster) admit(ctx context.Context, in *instance, from remote, a *raft.AppendEntriesRequest, v *arrival, bad error) (*reply, error) {
	attached := false
	if c.shuns(from, a.Term) {
		return nil, errs.New(errs.Denied, "appends of region %d in this term were refused too often", from.region)
	}
	if bad == nil && len(a.Entries) > 0 {
		attached, bad = c.follows(a, v)
	}
	if bad != nil {
		c.refuse(from, a, bad)
	}
	if bad != nil || !attached && len(a.Entries) > 0 {
		return c.deliverBare(ctx, in, a)
	}
	if good, bad := c.judge(in, a, v); bad != nil {
		c.refuse(from, a, bad)
		return c.deliverPart(ctx, in, a, v, good)
	}
	c.keep(a, v)
	r, err := c.deliver(ctx, in, a, nil)
	if err != nil {
		return nil, err
	}
	return c.appendReply(r.(*raft.AppendEntriesResponse)), nil
}

func (c *Cluster) appendReply(r *raft.AppendEntriesResponse) *reply {
	return &reply{Header: r.RPCHeader, Code: errs.OK, Term: r.Term, LastLog: r.LastLog, Yes: r.Success, NoWait: r.NoRetryBackoff}
}

// deliverBare lets raft learn term and leader from an append whose entries it must
// not see, and answers that they were not stored.
func (c *Cluster) deliverBare(ctx context.Context, in *instance, a *raft.AppendEntriesRequest) (*reply, error) {
	bare := &raft.AppendEntriesRequest{RPCHeader: a.RPCHeader, Term: a.Term, PrevLogEntry: a.PrevLogEntry, PrevLogTerm: a.PrevLogTerm}
	r, err := c.deliver(ctx, in, bare, nil)
	if err != nil {
		return nil, err
	}
	p := c.appendReply(r.(*raft.AppendEntriesResponse))
	p.Yes, p.NoWait = false, true
	return p, nil
}

// judge checks what only the own clock and state can: stamps and memberships.
func (c *Cluster) judge(in *instance, a *raft.AppendEntriesRequest, v *arrival) (good int, err error) {
	stamps, err := c.judgeStamps(a, v)
	if members, bad := c.judgeMembers(in, a); bad != nil && members <= stamps {
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
	part.LeaderCommitIndex = min(a.LeaderCommitIndex, a.PrevLogEntry+uint64(good))
	c.keep(&part, v)
	r, err := c.deliver(ctx, in, &part, nil)
	if err != nil {
		return nil, err
	}
	p := c.appendReply(r.(*raft.AppendEntriesResponse))
	p.Yes, p.NoWait = false, true
	return p, nil
}

// follows checks the entries' chain from the own entry before them. attached is
// false when this node does not hold that entry: raft will ask for earlier ones.
func (c *Cluster) follows(a *raft.AppendEntriesRequest, v *arrival) (attached bool, err error) {
	prev, ok := c.chain.at(a.PrevLogEntry)
	if !ok || prev.term != a.PrevLogTerm {
		return false, nil
	}
	for i, e := range a.Entries {
		at, err := linkOf(e)
		if err != nil {
			return true, err
		}
		if ChainHash(prev.chain, e.Term, e.Index, e.Type, v.entries[i].data) != at.chain {
			return true, errs.New(errs.Unverified, "entry %d does not continue this region's chain", e.Index)
		}
		if own, ok := c.chain.at(e.Index); ok && own.term == e.Term && own.chain != at.chain {
			return true, errs.New(errs.Unverified, "two entries exist at index %d, term %d", e.Index, e.Term)
		}
		prev = at
	}
	return true, nil
}

// keep caches opened entries for Apply and starts the partials of those that open
// draws, so that they are ready when the disk is.
func (c *Cluster) keep(a *raft.AppendEntriesRequest, v *arrival) {
	for i, e := range a.Entries {
		if v.entries[i].entry == nil {
			continue
		}
		at, _ := linkOf(e) // checked by follows
		c.decoded.put(at.chain, v.entries[i].entry)
		if e.Term == a.Term && len(a.Entries)-i <= maxDraws && opensDraws(v.entries[i].entry) && c.cfg.Beacon != nil {
			v.draws = append(v.draws, c.evaluate(at))
		}
	}
}

func (c *Cluster) evaluate(at link) evaluation {
	e := evaluation{at, make(chan []byte, 1)}
	c.work.Go(func() {
		partial, err := c.cfg.Beacon.Evaluate(command.Meta{Index: at.index, Term: at.term, Chain: at.chain})
		if err != nil {
			c.log.Warn("no beacon partial", slog.Uint64("index", at.index), slog.String("error", err.Error()))
		}
		e.result <- partial
	})
	return e
}

func collect(draws []evaluation) (items []item) {
	for _, d := range draws {
		if partial := <-d.result; len(partial) > 0 {
			items = append(items, partialItem(d.at, partial))
		}
	}
	return items
}

func (c *Cluster) refuse(from remote, a *raft.AppendEntriesRequest, why error) {
	c.refused.Add(1)
	c.resent(from, a.Term)
	more, ok := c.sparse.allow("append " + string(from.server))
	if !ok {
		return
	}
	c.log.LogAttrs(c.ctx, slog.LevelError, "append refused", append(more, slog.Int("region", int(from.region)), slog.String("server", string(from.server)),
		slog.Uint64("term", a.Term), slog.Uint64("after", a.PrevLogEntry), slog.Int("entries", len(a.Entries)), slog.String("error", why.Error()))...)
}

// memberless reports an empty raft configuration, with which raft grants every vote.
func memberless(in *instance) bool {
	return len(in.raft.GetConfiguration().Configuration().Servers) == 0
}

func (c *Cluster) serveVote(ctx context.Context, in *instance, q *request) *reply {
	if memberless(in) {
		return &reply{Header: c.transport.header(), Code: errs.OK, Term: in.raft.CurrentTerm()}
	}
	r, err := c.pass(ctx, in, q.Vote)
	if err != nil {
		return c.fail(err)
	}
	v := r.(*raft.RequestVoteResponse)
	return &reply{Header: v.RPCHeader, Code: errs.OK, Term: v.Term, Yes: v.Granted}
}

func (c *Cluster) servePreVote(ctx context.Context, in *instance, q *request) *reply {
	if memberless(in) {
		return &reply{Header: c.transport.header(), Code: errs.OK, Term: in.raft.CurrentTerm()}
	}
	r, err := c.pass(ctx, in, q.PreVote)
	if err != nil {
		return c.fail(err)
	}
	v := r.(*raft.RequestPreVoteResponse)
	return &reply{Header: v.RPCHeader, Code: errs.OK, Term: v.Term, Yes: v.Granted}
}

// pass delivers a message that needs no check of ours.
func (c *Cluster) pass(ctx context.Context, in *instance, cmd any) (any, error) {
	if err := c.enter(ctx, in); err != nil {
		return nil, err
	}
	defer c.leave()
	return c.deliver(ctx, in, cmd, nil)
}

// serveTimeoutNow obeys only the leader this node follows: raft would start an
// election for anybody.
func (c *Cluster) serveTimeoutNow(ctx context.Context, in *instance, from remote, h raft.RPCHeader) *reply {
	if _, leader := in.raft.LeaderWithID(); leader == "" || leader != from.server {
		c.log.Error("election asked for by a server that does not lead", slog.String("server", string(from.server)))
		return c.fail(errs.New(errs.Denied, "server %s does not lead", from.server))
	}
	if _, err := c.pass(ctx, in, &raft.TimeoutNowRequest{RPCHeader: h}); err != nil {
		return c.fail(err)
	}
	return &reply{Header: c.transport.header(), Code: errs.OK, Yes: true}
}

// serveNudge learns of a commit: an empty append of the leader's, made here. The
// chain hash makes sure that what raft then commits is what the leader committed.
func (c *Cluster) serveNudge(ctx context.Context, in *instance, from remote, q *request) {
	n := q.Nudge
	_, leader := in.raft.LeaderWithID()
	if leader != from.server || in.raft.CurrentTerm() != n.Term || in.raft.CommitIndex() >= n.Index || c.enter(ctx, in) != nil {
		return
	}
	defer c.leave()
	own, ok := c.chain.at(n.Index)
	if !ok || own.term != n.At || own.chain != n.Chain {
		return
	}
	_, _ = c.deliver(ctx, in, &raft.AppendEntriesRequest{RPCHeader: q.Header, Term: n.Term,
		PrevLogEntry: n.Index, PrevLogTerm: n.At, LeaderCommitIndex: n.Index}, nil)
}

func (c *Cluster) serveRead(ctx context.Context) *reply {
	if !c.IsLeader() {
		return c.fail(c.notLeader())
	}
	index, err := c.barriers.do(ctx)
	if err != nil {
		return c.fail(err)
	}
	return &reply{Header: c.transport.header(), Code: errs.OK, LastLog: index, Yes: true}
}

// serveSnapshot installs a snapshot unless the log shows that it would take state
// back or is not needed. A log that conflicts with it is cut first, with raft
// stopped: raft keeps the conflict and would ask for the same snapshot for ever.
func (c *Cluster) serveSnapshot(ctx context.Context, in *instance, from remote, s *raft.InstallSnapshotRequest, body io.Reader) *reply {
	if _, err := decodeConfiguration(s.Configuration); err != nil || s.SnapshotVersion != 1 {
		return c.fail(errs.New(errs.Malformed, "snapshot announcement of server %s", from.server))
	}
	if p := c.unwanted(in, s); p != nil {
		return p
	}
	received, err := c.spooled(from, s.Size, body)
	if err != nil {
		return c.fail(err)
	}
	defer received.Close()
	if err := c.enter(ctx, in); err != nil {
		return c.fail(err)
	}
	defer c.leave()
	if p := c.unwanted(in, s); p != nil { // again: things moved meanwhile
		return p
	}
	if last := c.lastStored(); last >= s.LastLogIndex {
		c.log.Warn("log conflicts with a snapshot and is cut", slog.Uint64("index", s.LastLogIndex), slog.Uint64("last", last))
		return c.fail(c.cut(s.LastLogIndex))
	}
	if err := c.markStarted(); err != nil {
		return c.fail(err)
	}
	r, err := c.deliver(ctx, in, s, received)
	if err != nil {
		return c.fail(err)
	}
	v := r.(*raft.InstallSnapshotResponse)
	if v.Success {
		if base, ok := c.chain.links.base(s.LastLogIndex); ok {
			err = c.chain.shed(base)
		}
	}
	if err != nil {
		return c.fail(err)
	}
	return &reply{Header: c.transport.header(), Code: errs.OK, Term: v.Term, Yes: v.Success}
}

// unwanted answers for a snapshot that is not installed, nil for one that is.
func (c *Cluster) unwanted(in *instance, s *raft.InstallSnapshotRequest) *reply {
	own, held := c.chain.at(s.LastLogIndex)
	switch {
	case s.Term < in.raft.CurrentTerm():
		return &reply{Header: c.transport.header(), Code: errs.OK, Term: in.raft.CurrentTerm()}
	case held && own.term == s.LastLogTerm:
		// Its last entry is in the log, and so is everything before it.
		return &reply{Header: c.transport.header(), Code: errs.OK, Term: s.Term, Yes: true}
	case s.LastLogIndex <= c.replica.at().index:
		return c.fail(errs.New(errs.Unverified, "snapshot at %d would take back state applied at %d", s.LastLogIndex, c.replica.at().index))
	}
	return nil
}
