package client

import (
	"context"
	"io"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/tetrad-vault/tetrad/api/coded"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// elsewhere reports whether another node, or the same one later, may do better.
func elsewhere(code errs.Code) bool {
	switch code {
	case errs.NotLeader, errs.NoLeader, errs.Unavailable, errs.NotReady, errs.Sealed, errs.Stale,
		errs.OutcomeUnknown, errs.Throttled, errs.DiskFull, errs.DeadlineExceeded, errs.Canceled:
		return true
	}
	return false
}

// silent reports whether an answer says nothing of what an earlier attempt did: the
// command expired only now, its author was removed meanwhile, or the node broke.
func silent(code errs.Code) bool {
	return code == errs.Expired || code == errs.Unauthenticated || code == errs.Internal
}

// answered tells a node's own word from a connection that failed: the more useful
// error of the two.
func answered(code errs.Code) bool {
	return code != errs.Unavailable && code != errs.DeadlineExceeded && code != errs.Canceled
}

// bounded gives a context without deadline the default one.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.cfg.Timeout)
}

// call makes one unary call, asking node after node until one decides or the context
// ends. If any attempt may have been carried out and none brought the answer, the
// error is OutcomeUnknown.
func (c *Client) call(ctx context.Context, method string, req, reply any, changes bool) error {
	_, err := c.attempts(ctx, method, req, reply, changes, func(context.Context) error { return nil })
	return err
}

// attempts is call; unknown is not nil when an earlier attempt than the one that brought
// the answer may have been carried out. An answer that proven does not accept is none.
func (c *Client) attempts(ctx context.Context, method string, req, reply any, changes bool, proven func(context.Context) error) (unknown, err error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var last error
	pause := pauses{}
	for i := 0; ; i++ {
		n := c.pick(0) // avoid moves on
		err := c.ask(ctx, n, method, req, reply, changes)
		if err == nil {
			err = proven(ctx)
		}
		code := errs.CodeOf(err)
		switch {
		case err == nil:
			return unknown, nil
		case code == errs.OutcomeUnknown:
			if unknown == nil || ctx.Err() == nil { // the last one only says that time is up
				unknown = err
			}
		case unknown != nil && silent(code):
			return unknown, unknown
		}
		if !elsewhere(code) {
			return unknown, err
		}
		c.reconsider(ctx)
		if last == nil || answered(code) || !answered(errs.CodeOf(last)) {
			last = err
		}
		c.avoid(n)
		if !pause.wait(ctx, i+1, len(c.nodes)) {
			if unknown != nil {
				return unknown, unknown
			}
			return nil, last
		}
	}
}

// ask makes one attempt at one node and learns from it who leads.
func (c *Client) ask(ctx context.Context, n *node, method string, req, reply any, changes bool) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Attempt)
	defer cancel()
	var from peer.Peer
	var header metadata.MD
	err := coded.Invoke(ctx, n.cc.Load(), method, req, reply, changes, grpc.Peer(&from), grpc.Header(&header))
	c.learn(n, &from, header)
	return err
}

// learn remembers the node's region and, when it forwarded, who leads.
func (c *Client) learn(n *node, from *peer.Peer, header metadata.MD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if info, ok := from.AuthInfo.(credentials.TLSInfo); ok && n.region == 0 {
		if p, err := identity.PeerOf(info.State); err == nil {
			n.region = p.Region()
		}
	}
	hint := header.Get("tetrad-leader")
	if len(hint) != 1 {
		return
	}
	leader, err := strconv.ParseUint(hint[0], 10, 8)
	if err != nil {
		return
	}
	for i, m := range c.nodes {
		if m.region == RegionID(leader) {
			c.first = i
			return
		}
	}
	// The leader's address is not known by region yet: look at the next one.
	for i, m := range c.nodes {
		if m.region == 0 {
			c.first = i
			return
		}
	}
}

// pick returns the node for an attempt, beginning with the one that answered best.
func (c *Client) pick(attempt int) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[(c.first+attempt)%len(c.nodes)]
}

// avoid asks another node first from now on.
func (c *Client) avoid(n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes[c.first] == n {
		c.first = (c.first + 1) % len(c.nodes)
	}
}

// pauses between attempts: none within the first round over all nodes, then growing.
type pauses struct{ next time.Duration }

// wait returns false when the context ended.
func (p *pauses) wait(ctx context.Context, attempts, nodes int) bool {
	if attempts < nodes {
		return ctx.Err() == nil
	}
	p.next = min(max(2*p.next, retryPauseMin), retryPauseMax)
	t := time.NewTimer(p.next)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// stream opens a server stream at the first node that gives one, and calls yield for
// each message until it returns false. Streams are not resumed here: only the caller
// knows from where.
func stream[T any](ctx context.Context, c *Client, method string, req any, yield func(*T) bool) error {
	var last error
	for i := range c.nodes {
		n := c.pick(i)
		c.reconsider(ctx)
		started, err := streamFrom(ctx, n, method, req, yield)
		if err == nil || started || !elsewhere(errs.CodeOf(err)) || ctx.Err() != nil {
			return err
		}
		last = err
	}
	return last
}

func streamFrom[T any](ctx context.Context, n *node, method string, req any, yield func(*T) bool) (started bool, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream however we leave
	defer cancel()
	s, err := n.cc.Load().NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return false, coded.FromError(err)
	}
	_ = s.SendMsg(req) // its error comes from the receive
	_ = s.CloseSend()
	for {
		m := new(T)
		if err := s.RecvMsg(m); err == io.EOF {
			return true, nil
		} else if err != nil {
			return started, coded.FromError(err)
		}
		started = true
		if !yield(m) {
			return true, nil
		}
	}
}
