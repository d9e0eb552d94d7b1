package vault

import (
	"context"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// coordinator is the leader side. It decides nothing: it carries partials, questions
// and answers between regions. The committed state is its only memory; what it drops,
// for want of room or by losing leadership, a sweep over the open requests finds again.
type coordinator struct {
	cfg     *Config
	author  *author
	beacon  *beacon
	signer  *cosigner
	witness *witness
	waiting *waiting
	stats   *counters
	keys    *keyring
	nonces  *nonces
	sums    *sums
	wake    bell // capacity 1: queue or sweep changed

	mu        sync.Mutex
	term      context.Context // of this leadership; nil while another region leads
	endTerm   context.CancelFunc
	queue     []*round
	running   map[command.RequestID]bool // in the queue or worked on
	active    int                        // rounds in the queue or worked on
	sweepAt   time.Time                  // zero: no sweep wanted
	pause     time.Duration              // before the next sweep; doubles while nothing gets done
	reporting map[identity.RegionID]bool // health reports under way
}

// lead begins or ends a leadership. A new leader asks the same regions again: the draw
// depends on the log, not on who leads.
func (c *coordinator) lead(leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if leads == (c.term != nil) {
		return
	}
	if leads {
		c.term, c.endTerm = context.WithCancel(context.Background())
		c.pause = c.cfg.Timing.Retry
		c.sweepAt = time.Now()
		c.signal()
		return
	}
	c.endTerm()
	c.term, c.endTerm, c.sweepAt = nil, nil, time.Time{}
	for _, r := range c.queue {
		c.leaveOut(r)
	}
	c.queue = nil
	c.waiting.abandon()
}

// leading returns the context of the present leadership.
func (c *coordinator) leading() (context.Context, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.term, c.term != nil
}

func (c *coordinator) signal() {
	c.wake.ring()
}

// opened queues the draws of an applied entry.
func (c *coordinator) opened(meta command.Meta, ids []command.RequestID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.term == nil {
		return
	}
	c.enqueue(meta, ids)
	c.signal()
}

// enqueue adds what is not yet worked on; what finds no room is left to a sweep.
func (c *coordinator) enqueue(meta command.Meta, ids []command.RequestID) {
	if c.active >= maxRounds {
		c.sweepIn(c.cfg.Timing.Retry)
		return
	}
	r := &round{coordinator: c, meta: meta}
	for _, id := range ids {
		if !c.running[id] {
			c.running[id] = true
			r.requests = append(r.requests, id)
		}
	}
	if len(r.requests) > 0 {
		c.active++
		c.queue = append(c.queue, r)
	}
}

func (c *coordinator) sweepIn(d time.Duration) {
	if at := time.Now().Add(d); c.sweepAt.IsZero() || at.Before(c.sweepAt) {
		c.sweepAt = at
	}
}

// attend makes sure that a request somebody waits for is not left lying.
func (c *coordinator) attend(id command.RequestID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.term != nil && !c.running[id] {
		c.sweepIn(c.cfg.Timing.Retry)
		c.signal()
	}
}

// run starts rounds and sweeps until ctx ends, and waits for them.
func (c *coordinator) run(ctx context.Context) {
	var rounds sync.WaitGroup
	defer rounds.Wait()
	defer c.lead(false)
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		if c.sweepDue() {
			c.sweep()
		}
		term, queue, next := c.take()
		for _, r := range queue {
			rounds.Go(func() {
				r.run(term)
				c.finished(r)
			})
		}
		alarm.Reset(next)
		select {
		case <-c.wake:
		case <-alarm.C:
		case <-ctx.Done():
			return
		}
	}
}

// take empties the queue and says when to look again at the latest.
func (c *coordinator) take() (context.Context, []*round, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue := c.queue
	c.queue = nil
	if c.sweepAt.IsZero() {
		return c.term, queue, time.Hour
	}
	return c.term, queue, time.Until(c.sweepAt)
}

func (c *coordinator) sweepDue() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.term == nil || c.sweepAt.IsZero() || time.Now().Before(c.sweepAt) {
		return false
	}
	c.sweepAt = time.Time{}
	return true
}

// sweep looks for open requests nobody works on and queues them, one round an entry.
func (c *coordinator) sweep() {
	view, now := c.cfg.Replica.View(), c.cfg.Clock.Now()
	var order []command.Meta
	found := map[command.Meta][]command.RequestID{}
	for _, req := range view.OpenRequests() {
		a := req.Open()
		if a == nil {
			continue
		}
		if _, err := permit(view, Item{req.ID, a.Number}, a.Meta, now); err != nil {
			c.waiting.fail(req.ID, err)
			continue
		}
		if found[a.Meta] == nil {
			order = append(order, a.Meta)
		}
		found[a.Meta] = append(found[a.Meta], req.ID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.term == nil {
		return // office was lost meanwhile
	}
	for _, meta := range order {
		c.enqueue(meta, found[meta])
	}
}

// finished frees a round's place. What it left open is swept up later, ever more slowly
// while nothing gets done; a newer attempt at once, since it came while the round still
// held the request.
func (c *coordinator) finished(r *round) {
	left, newer := false, false
	if r.left.Load() {
		left, newer = c.leftOpen(r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveOut(r)
	if !left {
		c.pause = c.cfg.Timing.Retry
	}
	if c.term == nil || !left && !newer {
		return
	}
	if newer {
		c.sweepIn(0)
	} else {
		c.sweepIn(c.pause)
	}
	if left {
		c.pause = min(2*c.pause, c.cfg.Timing.RetryMost)
	}
	c.signal()
}

func (c *coordinator) leaveOut(r *round) {
	c.active--
	for _, id := range r.requests {
		delete(c.running, id)
	}
}

// leftOpen reports whether requests of the round still have the attempt they had, or have
// a newer one.
func (c *coordinator) leftOpen(r *round) (left, newer bool) {
	view := c.cfg.Replica.View()
	for _, id := range r.requests {
		if req, ok := view.Request(id); ok && req.Open() != nil {
			same := req.Open().Meta == r.meta
			left, newer = left || same, newer || !same
		}
	}
	return left, newer
}

// reportOn marks a health report under way, or over; false if one was already.
func (c *coordinator) reportOn(region identity.RegionID, begins bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if begins && c.reporting[region] {
		return false
	}
	c.reporting[region] = begins
	return true
}

// activeRegions returns those that could take part in anything.
func activeRegions(view fsm.View) (out []*fsm.Region) {
	for _, r := range view.Regions() {
		if r.Status == fsm.RegionActive {
			out = append(out, r)
		}
	}
	return out
}
