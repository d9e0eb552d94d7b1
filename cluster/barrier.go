package cluster

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// shared runs one costly operation for many callers. Who arrives while it runs waits
// for the next run: the running one may have begun before the call.
type shared struct {
	op   func(context.Context) (uint64, error)
	wake chan struct{}

	mu      sync.Mutex
	next    *round
	stopped bool
}

type round struct {
	done  chan struct{}
	index uint64
	err   error
}

func newShared(op func(context.Context) (uint64, error)) *shared {
	return &shared{op: op, wake: make(chan struct{}, 1)}
}

func (s *shared) do(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return 0, errs.New(errs.Unavailable, "this region is shutting down")
	}
	if s.next == nil {
		s.next = &round{done: make(chan struct{})}
		s.wake <- struct{}{} // room for one, and only one round waits
	}
	r := s.next
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.index, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s *shared) take() *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.next
	s.next = nil
	return r
}

func (s *shared) run(ctx context.Context) {
	for {
		select {
		case <-s.wake:
			r := s.take()
			r.index, r.err = s.op(ctx)
			close(r.done)
		case <-ctx.Done():
			s.mu.Lock()
			s.stopped = true
			s.mu.Unlock()
			if r := s.take(); r != nil {
				r.err = errs.New(errs.Unavailable, "this region is shutting down")
				close(r.done)
			}
			return
		}
	}
}

// leaderBarrier commits a barrier as leader and returns how far the machine then is.
func (c *Cluster) leaderBarrier(context.Context) (uint64, error) {
	in := c.instance()
	if in == nil {
		return 0, errs.New(errs.Unavailable, "this region is shutting down")
	}
	if _, err := in.ask(func(r *raft.Raft) raft.Future { return r.Barrier(c.cfg.Timing.HungWrite) }); err != nil {
		// A barrier changes nothing: unknown is the same as failed.
		return 0, errs.Wrap(errs.CodeOf(c.notLeader()), err, "the barrier did not commit")
	}
	return c.replica.at().index, nil
}

// readIndex returns an index at or above everything committed when it was called.
func (c *Cluster) readIndex(ctx context.Context) (uint64, error) {
	in := c.instance()
	if in == nil {
		return 0, errs.New(errs.Unavailable, "this region is shutting down")
	}
	addr, id := in.raft.LeaderWithID()
	switch id {
	case "":
		return 0, errs.New(errs.NoLeader, "no leader is known")
	case c.self():
		return c.barriers.do(ctx)
	}
	p, conn, err := c.transport.callUntil(ctx, id, addr, &request{Kind: kindRead, Header: c.transport.header()}, c.cfg.Timing.HungWrite, nil)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errs.CodeOf(err) == errs.Internal: // the network's own words
		return 0, errs.Wrap(errs.Unavailable, err, "asking the leader %s for a read index", id)
	default:
		return 0, errs.Wrap(errs.CodeOf(err), err, "asking the leader %s for a read index", id)
	}
	c.claimed(conn.peer, p.Items)
	return p.LastLog, nil
}
