package cluster

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
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

// quorumRead returns an index at or above everything certified when it was called, once
// this region has carried that out. No region is believed about it, the leader included:
// what is certified is stored by two honest regions, so it is here, or with one of any
// two others. A region that names too much only keeps its own answer from counting.
func (c *Cluster) quorumRead(ctx context.Context) (uint64, error) {
	if in := c.instance(); in == nil {
		return 0, errs.New(errs.Unavailable, "this region is shutting down")
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timing.HungWrite)
	defer cancel()
	own, err := c.newestStored(ctx)
	if err != nil {
		return 0, err
	}
	return c.awaitRead(ctx, own, c.askNewest(ctx))
}

// newestStored is the last entry on this region's disk: what is being stored is waited for.
func (c *Cluster) newestStored(ctx context.Context) (uint64, error) {
	in := c.instance()
	if in == nil {
		return 0, errStopped
	}
	if err := c.enter(ctx, in); err != nil {
		return 0, err
	}
	defer c.leave()
	return c.lastStored(), nil
}

// askNewest asks all other regions what they have stored.
func (c *Cluster) askNewest(ctx context.Context) <-chan uint64 {
	members := c.Members()
	out := make(chan uint64, len(members))
	for _, m := range members {
		if m.Region == c.book.self {
			continue
		}
		c.wg.Go(func() {
			q := &request{Kind: kindRead, Header: c.transport.header()}
			p, conn, err := c.transport.callUntil(ctx, raft.ServerID(m.ServerID), raft.ServerAddress(m.Addr), q, c.cfg.Timing.HungWrite, nil)
			if err == nil {
				c.claimed(conn.peer, p.Items)
				out <- p.LastLog
			}
		})
	}
	return out
}

func (c *Cluster) awaitRead(ctx context.Context, own uint64, answers <-chan uint64) (uint64, error) {
	need := chain.Quorum(c.book.roster.Regions()) - 1
	var told []uint64
	for {
		moved := c.book.moved.wait()
		applied := c.book.carriedOut()
		reached := 0
		for _, index := range told {
			if index <= applied {
				reached++
			}
		}
		if own <= applied && reached >= need {
			return c.replica.at().index, nil
		}
		select {
		case index := <-answers:
			told = append(told, index)
		case <-moved:
		case <-ctx.Done():
			return 0, errs.Wrap(errs.NoLeader, ctx.Err(), "%d other regions answered, %d are needed", len(told), need).
				WithHint("three regions must reach each other")
		}
	}
}

// carriedOut is how far this region's state is, quiet entries included.
func (b *book) carriedOut() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.applied
}
