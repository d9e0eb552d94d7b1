package cluster

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// hearing is what one region's acks say to leases: the newest time beside an entry that
// is applied here, and times beside entries that are not yet.
type hearing struct {
	best    time.Time
	waiting []chain.Ack
	last    chain.Ack // newest of all, to be passed on
}

// hear takes a verified ack of another region.
func (b *book) hear(a chain.Ack) {
	if a.Region == b.self {
		return
	}
	at, ok := b.own.At(a.Index)
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.heard[a.Region]
	if h == nil {
		h = &hearing{}
		b.heard[a.Region] = h
	}
	if a.At.After(h.last.At) {
		h.last = a
	}
	switch {
	case a.Index <= b.applied && ok && at == a.Link:
		h.best = later(h.best, a.At)
	case a.Index <= b.applied: // of another log, or long compacted
	case a.Index > b.applied && a.At.After(h.best):
		if h.waiting = append(h.waiting, a); len(h.waiting) > maxHeard {
			h.waiting = h.waiting[1:]
		}
	}
}

// advanced notes how far the machine is.
func (b *book) advanced(index uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.applied = max(b.applied, index)
	b.settle()
}

// settle looks what follows from a higher certificate or a machine that moved on. The
// caller holds mu.
func (b *book) settle() {
	for b.applied < b.floor.Index && b.quiet != nil && b.quiet(b.applied+1) {
		b.applied++
	}
	b.moved.fire()
	done := 0
	for done < len(b.unapplied) && b.unapplied[done].index <= b.applied {
		done++
	}
	b.unapplied = b.unapplied[done:]
	for _, h := range b.heard {
		h.waiting = slices.DeleteFunc(h.waiting, func(a chain.Ack) bool {
			if a.Index > b.applied {
				return false
			}
			if at, ok := b.own.At(a.Index); ok && at == a.Link {
				h.best = later(h.best, a.At)
			}
			return true
		})
	}
}

// lease returns nil while nothing can have been certified a lease's length ago or
// earlier that this region has not applied. docs/design/certificates.md proves it.
func (b *book) lease() error {
	if !liar.Defends(liar.Leases) {
		return nil
	}
	now := b.now()
	since := now.Add(-leaseLength)
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh := 0
	for _, h := range b.heard {
		if h.best.After(since) {
			fresh++
		}
	}
	if need := chain.Quorum(b.roster.Regions()) - 1; fresh < need {
		return errs.New(errs.NotReady, "no lease: %d other regions confirmed the own state within %s, %d are needed", fresh, leaseLength, need).
			WithHint("three regions must reach each other, with clocks that agree")
	}
	if len(b.unapplied) > 0 && !b.unapplied[0].at.After(since) {
		return errs.New(errs.NotReady, "no lease: entry %d was acked here %s ago and is not applied", b.unapplied[0].index, now.Sub(b.unapplied[0].at))
	}
	return nil
}

// wordless reports whether fewer regions were heard of lately than it takes to know what is
// certified, or they speak of entries beyond the own log.
func (b *book) wordless() bool {
	since, last := b.now().Add(-leaseLength), b.own.Last()
	b.mu.Lock()
	defer b.mu.Unlock()
	level := 0
	for _, h := range b.heard {
		if h.last.At.After(since) && h.last.Index <= last.Index {
			level++
		}
	}
	return level < chain.Quorum(b.roster.Regions())-1
}

// words are the newest acks of all, for a region that the leader keeps them from. None is
// signed for it.
func (b *book) words() []chain.Ack {
	acks := b.relayed()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.latest.Region != 0 {
		acks = append(acks, b.latest)
	}
	return acks
}

// relayed returns the newest ack of every other region, to be passed on.
func (b *book) relayed() (out []chain.Ack) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.heard {
		if h.last.Region != 0 {
			out = append(out, h.last)
		}
	}
	return out
}

// Lease returns nil while this region may let a signature leave: nothing certified a
// second ago or earlier can have passed it by. errs.NotReady otherwise.
func (c *Cluster) Lease() error {
	if err := c.Ready(); err != nil {
		return err
	}
	return c.book.lease()
}
