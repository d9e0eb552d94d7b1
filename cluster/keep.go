package cluster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// epoch is one leader's reign as this node sees it. Losing sight of the leader ends it,
// even if the same leader of the same term comes back: what was committed meanwhile this
// node has not seen.
type epoch struct {
	leader raft.ServerID
	term   uint64
	losses uint64
}

func (c *Cluster) epoch() (epoch, bool) {
	in := c.instance()
	if in == nil {
		return epoch{}, false
	}
	losses := c.losses.Load()
	_, id := in.raft.LeaderWithID()
	return epoch{id, in.raft.CurrentTerm(), losses}, id != ""
}

// Ready returns nil when this node applied everything up to its durable mark and
// passed a barrier of the current leader; errs.NotReady otherwise.
func (c *Cluster) Ready() error {
	if err := c.failed.Load(); err != nil {
		return errs.Wrap(errs.NotReady, *err, "this region is stopping")
	}
	now, ok := c.epoch()
	if !ok {
		return errs.New(errs.NotReady, "no leader is known")
	}
	if applied := c.Applied(); applied < c.startMark {
		return errs.New(errs.NotReady, "catching up: applied %d, durable mark %d", applied, c.startMark)
	}
	if passed := c.ready.Load(); passed == nil || *passed != now {
		return errs.New(errs.NotReady, "no barrier of leader %s passed yet", now.leader)
	}
	return nil
}

// WaitReady waits for Ready.
func (c *Cluster) WaitReady(ctx context.Context) error {
	for {
		news := c.news.wait()
		err := c.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return errs.Wrap(errs.NotReady, err, "not ready in time")
		case <-c.ctx.Done():
			return err
		}
	}
}

// keepReady passes a barrier of every new leader.
func (c *Cluster) keepReady() {
	for c.ctx.Err() == nil {
		news := c.news.wait()
		now, ok := c.epoch()
		switch passed := c.ready.Load(); {
		case !ok, passed != nil && *passed == now:
			select {
			case <-news:
			case <-c.ctx.Done():
			}
		case c.passBarrier(now):
			c.ready.Store(&now)
			c.news.fire()
		default:
			sleep(c.ctx, 100*time.Millisecond, news)
		}
	}
}

func (c *Cluster) passBarrier(now epoch) bool {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.Timing.HungWrite)
	defer cancel()
	c.wg.Go(func() { c.untilEpochEnds(ctx, now); cancel() })
	if err := c.Barrier(ctx); err != nil {
		c.log.Debug("barrier", slog.String("error", err.Error()))
		return false
	}
	if c.replica.wait(ctx, c.startMark) != nil {
		return false
	}
	after, ok := c.epoch()
	return ok && after == now
}

// untilEpochEnds returns when another leader is seen than now, so that nobody waits for
// the answer of one that is gone.
func (c *Cluster) untilEpochEnds(ctx context.Context, now epoch) {
	for ctx.Err() == nil {
		news := c.news.wait()
		if after, ok := c.epoch(); !ok || after != now {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
		}
	}
}

// keepMark writes the high-water mark when it moved.
func (c *Cluster) keepMark() {
	for c.ctx.Err() == nil {
		sleep(c.ctx, c.cfg.Timing.Mark, nil)
		if err := c.writeMark(); err != nil {
			if more, ok := c.sparse.allow("mark"); ok {
				c.log.LogAttrs(c.ctx, slog.LevelError, "high-water mark not written", append(more, slog.String("error", err.Error()))...)
			}
			if errs.CodeOf(err) != errs.DiskFull {
				c.die(err)
			}
		}
	}
}

func (c *Cluster) writeMark() error {
	at := c.replica.at()
	if at.index <= c.mark.Load() {
		return nil
	}
	if err := writeMark(c.cfg.FS, c.cfg.Lineage, at); err != nil {
		return err
	}
	c.mark.Store(at.index)
	return nil
}

const spaceInterval = 10 * time.Second

// watchSpace stops proposals and hands over leadership before the disk is full: raft
// panics when it cannot write its term.
func (c *Cluster) watchSpace() {
	for c.ctx.Err() == nil {
		free, err := c.cfg.FS.Free()
		low := err == nil && free < c.cfg.MinFree
		if c.lowSpace.Swap(low) != low {
			c.log.Error("disk space", slog.Bool("low", low), slog.Uint64("free", free), slog.Uint64("wanted", c.cfg.MinFree))
		}
		if low && c.IsLeader() {
			ctx, cancel := context.WithTimeout(c.ctx, 2*c.cfg.Timing.Election)
			if err := c.TransferLeadership(ctx); err != nil {
				c.log.Warn("leadership not handed over", slog.String("error", err.Error()))
			}
			cancel()
		}
		sleep(c.ctx, spaceInterval, nil)
	}
}

// leads tells in which proven term this region leads.
func (c *Cluster) leads() (term uint64, ok bool) {
	rec := c.book.record()
	return rec.Term, rec.Proof != nil && rec.Proof.Leader == c.book.self && c.IsLeader()
}

// advanced runs after the machine applied: leases rest on how far it is.
func (c *Cluster) advanced(at link) {
	c.repin()
	c.book.advanced(at.index)
	c.transport.nudgeAll()
}

// onReply judges an answer to an append before raft sees it. What raft counts as stored
// is what the peer signed: so a certificate exists before raft commits.
func (c *Cluster) onReply(peer remote, a *raft.AppendEntriesRequest, p *reply) error {
	if p.Term > a.Term {
		return c.transport.believe(p)
	}
	acks, err := decodeAcks(find(p.Items, itemAcks))
	var covered []chain.Link
	if err == nil {
		covered, err = c.book.collect(peer.region, acks)
	}
	if err != nil {
		c.badAck(peer, err)
	}
	c.transport.nudgeAll()
	if !p.Yes {
		return nil
	}
	if n := len(a.Entries); n > 0 {
		last := a.Entries[n-1]
		if last.Term == a.Term && (!c.stored(last, covered) || !c.enough(last.Index)) {
			p.Yes, p.NoWait = false, true
			return nil
		}
		c.ackMu.Lock()
		c.acks[peer.server] = last.Index
		c.ackMu.Unlock()
	}
	c.deliverPartials(peer, p)
	return nil
}

// stored reports whether an entry of the own term is acked by the peer, or certified.
func (c *Cluster) stored(e *raft.Log, covered []chain.Link) bool {
	at, err := linkOf(e)
	return err == nil && (slices.Contains(covered, at.place()) || c.book.covers(at.index))
}

// enough holds an answer back until its entry is certified. raft may count fewer regions
// than the rules: while a server is being replaced, and for a moment before anybody can
// see that it is.
func (c *Cluster) enough(index uint64) bool {
	ctx, cancel := context.WithTimeout(c.transport.ctx, c.transport.beat)
	defer cancel()
	for {
		news := c.book.news.wait()
		if c.book.covers(index) {
			return true
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false
		}
	}
}

func (c *Cluster) badAck(peer remote, err error) {
	var rival *chain.RivalAcks
	if errors.As(err, &rival) {
		c.accuseAcks(rival)
	}
	c.note(slog.LevelError, peer.region, "ack refused", slog.String("error", err.Error()))
}

// deliverPartials passes on the beacon partials that ride on an answer.
func (c *Cluster) deliverPartials(peer remote, p *reply) {
	if c.cfg.Beacon == nil {
		return
	}
	for _, it := range p.Items {
		if it.Kind != itemPartial {
			continue
		}
		at, partial, err := decodePartialItem(it.Data)
		if err != nil {
			c.note(slog.LevelWarn, peer.region, "partial does not decode")
			continue
		}
		c.cfg.Beacon.Deliver(peer.region, command.Meta{Index: at.index, Term: at.term, Chain: at.chain}, partial)
	}
}

// placeProposals runs in raft's leader loop when own entries got their place and are
// about to be stored: opened entries move to the place Apply will look for them, and
// the own partials are begun, to be ready when the disk is.
func (c *Cluster) placeProposals(own []*raft.Log) {
	for _, l := range own {
		if l.Type != raft.LogCommand {
			continue
		}
		entry := c.decoded.proposal(dataHash(l))
		if entry == nil {
			continue
		}
		at, err := linkOf(l)
		if err != nil {
			continue
		}
		c.decoded.put(at.chain, entry)
		if c.cfg.Beacon != nil && opensDraws(entry) {
			c.ownDraws = append(c.ownDraws, c.evaluate(at))
		}
	}
}

// shareDraws runs after the entries are durable.
func (c *Cluster) shareDraws([]*raft.Log) {
	draws := c.ownDraws
	c.ownDraws = nil
	for _, d := range draws {
		c.work.Go(func() {
			if partial := <-d.result; len(partial) > 0 {
				c.cfg.Beacon.Deliver(c.cfg.Session.Cert.Region, command.Meta{Index: d.at.index, Term: d.at.term, Chain: d.at.chain}, partial)
			}
		})
	}
}
