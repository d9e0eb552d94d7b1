package cluster

import (
	"errors"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// keepCertified gives up a leadership that brings no certificates: heartbeats alone would
// keep it in office. raft starts again as a follower, and another region is elected.
func (c *Cluster) keepCertified() {
	var term, floor uint64
	since := time.Now()
	for c.ctx.Err() == nil {
		sleep(c.ctx, c.cfg.Timing.Heartbeat/2, nil)
		now, leads := c.leads()
		if leads && c.unprovable() {
			c.log.Warn("leadership given up: its term rests on the vote of a replaced identity", slog.Uint64("term", now))
			if err := c.stepDown(); err != nil && c.ctx.Err() == nil {
				c.log.Warn("leadership not given up", slog.String("error", err.Error()))
			}
			continue
		}
		done := c.book.own.Floor()
		if !leads || now != term || done > floor || c.book.own.Last().Index <= done {
			term, floor, since = now, done, time.Now()
			continue
		}
		if time.Since(since) < 4*c.cfg.Timing.Heartbeat || c.clings() {
			continue
		}
		c.log.Error("leadership given up: nothing is certified any more", slog.Uint64("term", term), slog.Uint64("certified", done))
		if err := c.stepDown(); err != nil && c.ctx.Err() == nil {
			c.log.Warn("leadership not given up", slog.String("error", err.Error()))
		}
		since = time.Now()
	}
}

func (c *Cluster) stepDown() error {
	select {
	case c.gate <- struct{}{}:
	case <-c.ctx.Done():
		return errStopped
	}
	defer c.leave()
	c.transport.fence(true) // raft answers for what it has in hand only when its lease runs out
	defer c.transport.fence(false)
	return c.restart(func() error { return nil })
}

// Repair cuts the own log after index, by order of two administrators: what no rule of its
// own lets go. What is certified stays, and nothing is done where there is nothing to cut.
func (c *Cluster) Repair(index uint64) error {
	select {
	case c.gate <- struct{}{}:
	case <-c.ctx.Done():
		return errStopped
	}
	defer c.leave()
	switch floor := c.book.own.Floor(); {
	case index < floor:
		return errs.New(errs.BadState, "entry %d is certified: the log is kept at least up to it, not only to %d", floor, index)
	case c.lastStored() <= index:
		return nil
	}
	c.log.Error("the end of the log is cut by order of two administrators", slog.Uint64("after", index))
	if err := c.book.cutting(); err != nil {
		return err
	}
	if err := c.cut(index + 1); errs.CodeOf(err) != errs.Unavailable {
		return err
	}
	return nil
}

// Cover proves that the entry at index is certified, for auditors and clients.
// errs.NotReady: not yet; errs.NotFound: its certificate is no longer at hand.
func (c *Cluster) Cover(index uint64) (*chain.Cover, error) {
	if index == 0 || !c.book.covers(index) {
		return nil, errs.New(errs.NotReady, "entry %d is not certified yet", index)
	}
	cert, err := c.certificateFrom(index)
	if err != nil {
		return nil, err
	}
	out := &chain.Cover{Certificate: *cert}
	prev, err := c.chain.mustAt(index)
	if err != nil {
		return nil, errs.Wrap(errs.NotFound, err, "entry %d is compacted", index)
	}
	for i := index + 1; i <= cert.Index; i++ {
		var l raft.Log
		if err := c.chain.LogStore.GetLog(i, &l); err != nil {
			return nil, errs.Wrap(errs.NotFound, err, "entry %d is compacted", i)
		}
		out.Path = append(out.Path, chain.Header{Prev: prev.chain, Term: l.Term, Index: l.Index, Type: uint8(l.Type), Data: dataHash(&l)})
		if prev, err = linkOf(&l); err != nil {
			return nil, err
		}
	}
	c.introduce(out)
	return out, nil
}

// certificateFrom finds the first certificate at or after index, in memory or in the log.
func (c *Cluster) certificateFrom(index uint64) (*chain.Certificate, error) {
	const far = 256 // headers that a cover may have
	for i := index; i <= index+far; i++ {
		c.book.mu.Lock()
		cert := c.book.certs[i]
		c.book.mu.Unlock()
		if cert != nil && c.shows(cert) {
			return cert, nil
		}
	}
	for i := index + 1; i <= index+far; i++ {
		var l raft.Log
		if err := c.chain.LogStore.GetLog(i, &l); errors.Is(err, raft.ErrLogNotFound) {
			break
		} else if err != nil {
			return nil, err
		}
		x, err := DecodeExtension(l.Extensions)
		if err != nil {
			return nil, err
		}
		if x.Certificate != nil && x.Certificate.Index >= index && c.shows(x.Certificate) {
			return x.Certificate, nil
		}
	}
	return nil, errs.New(errs.NotFound, "no certificate of entry %d is at hand", index)
}

func (c *Cluster) shows(cert *chain.Certificate) bool {
	return cert.Verify(c.book.roster, c.cfg.Lineage) == nil
}

// introduce adds the sessions that the state machine has not registered.
func (c *Cluster) introduce(cover *chain.Cover) {
	var fresh []*identity.SessionCert
	for i := range cover.Certificate.Witnesses {
		s := cover.Certificate.Witnesses[i].Session
		if c.cfg.Registered == nil || c.cfg.Registered(s) == nil {
			fresh = append(fresh, c.book.roster.of([]identity.Fingerprint{s})...)
		}
	}
	cover.Introduce(fresh)
}

// Session returns a session certificate that this region knows, nil if it does not.
func (c *Cluster) Session(fp identity.Fingerprint) *identity.SessionCert {
	if certs := c.book.roster.named(fp); len(certs) > 0 {
		return certs[0]
	}
	if c.cfg.Registered != nil {
		return c.cfg.Registered(fp)
	}
	return nil
}
