package cluster

import (
	"context"
	"io"
	"slices"

	"github.com/hashicorp/raft"

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
	c.book.roster.meet(q.Items)
	if term, _, leads := spokenFor(q); leads && c.book.fenced(from.region, term) {
		return c.fail(errs.New(errs.Denied, "region %d is not heard in term %d", from.region, term))
	}
	switch q.Kind {
	case kindAppend:
		return c.serveAppend(ctx, in, from, q)
	case kindVote:
		return c.serveVote(ctx, in, from, q)
	case kindPreVote:
		return c.servePreVote(ctx, in, from, q)
	case kindSnapshot:
		return c.serveSnapshot(ctx, in, from, q, body)
	case kindTimeout:
		return c.serveTimeoutNow(ctx, in, from, q)
	case kindNudge:
		c.serveNudge(ctx, in, from, q)
		return nil
	case kindRead:
		return c.serveRead(ctx, from)
	case kindEvidence:
		c.serveEvidence(ctx, from, q)
		return nil
	case kindReports:
		c.serveReports(from, q)
		return nil
	case kindHeaders:
		return c.serveHeaders(q)
	case kindShow:
		c.serveShow(from, q)
		return nil
	case kindFetch, kindPiece:
		return c.serveFetch(from, q)
	case kindAttest:
		return c.serveAttest(ctx, from, q)
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

// memberless reports an empty raft configuration, with which raft grants every vote.
func memberless(in *instance) bool {
	return len(in.raft.GetConfiguration().Configuration().Servers) == 0
}

// pass delivers a message that needs no check of ours.
func (c *Cluster) pass(ctx context.Context, in *instance, cmd any) (any, error) {
	if err := c.enter(ctx, in); err != nil {
		return nil, err
	}
	defer c.leave()
	return c.deliver(ctx, in, cmd, nil)
}

func (c *Cluster) isMember(from remote) bool {
	return slices.ContainsFunc(c.Members(), func(m Member) bool { return m.ServerID == string(from.server) })
}

// serveRead tells a member what is stored here, for its barrier. Who is no member, as in
// quarantine, gets none: it must answer no read as current.
func (c *Cluster) serveRead(ctx context.Context, from remote) *reply {
	if !c.isMember(from) {
		return c.fail(errs.New(errs.Denied, "server %s is no member", from.server))
	}
	index, err := c.newestStored(ctx)
	if err != nil {
		return c.fail(err)
	}
	p := &reply{Header: c.transport.header(), Code: errs.OK, LastLog: index, Yes: true}
	if claim, err := c.book.claim(); err == nil {
		p.Items = append(p.Items, item{itemClaim, claim.Encode()})
	}
	return p
}
