package vault

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// beacon remembers the partials of recent entries and makes values of them. A value
// belongs to one place in one log: {term, index, chain hash}.
type beacon struct {
	cfg  *Config
	held *shares
	wake bell

	mu     sync.Mutex
	evals  map[command.Meta]*evaluation
	order  map[identity.RegionID][]command.Meta // oldest first; 0 for what this region knows itself
	stands map[uint32]*stand                    // by epoch: the live one, and the one before while it is in use
	arena  *arena                               // secrets of opened shares; nil once closed
	first  *int                                 // slot of the share that the genesis dealt, while it may be of use
}

// evaluation is what is known of one entry's value.
type evaluation struct {
	meta command.Meta
	by   identity.RegionID  // who spoke of it before this region knew it; 0 once it does
	at   func() *draw.Place // computed once

	mu      sync.Mutex
	own     map[uint32]func() (draw.Partial, error) // by epoch; computed once
	opened  bool                                    // the own replica applied a draw opened here
	seen    map[uint8]bool                          // regions whose partial arrived: the first one counts
	arrived []draw.Partial                          // of other regions, not yet verified
	good    []draw.Partial                          // of other regions, verified
	drawn   *drawn                                  // set once the value is known
	news    chan struct{}                           // capacity 1: a partial arrived
}

// drawn is a value with the partials that prove it.
type drawn struct {
	value    [32]byte
	partials []draw.Partial
}

func (d *drawn) encoded() [][]byte {
	out := make([][]byte, len(d.partials))
	for i, p := range d.partials {
		out[i] = p.Encode()
	}
	return out
}

// newBeacon takes the genesis's share out of the configuration into locked memory.
func newBeacon(cfg *Config, held *shares) (*beacon, error) {
	b := &beacon{cfg: cfg, held: held, wake: newBell(), evals: map[command.Meta]*evaluation{},
		order: map[identity.RegionID][]command.Meta{}, stands: map[uint32]*stand{}}
	held.genesis = b.genesis
	var err error
	if b.arena, err = newArena(maxStands, beaconSecret); err != nil {
		return nil, err
	}
	if b.arena.locked != nil {
		cfg.Logger.Warn("memory of beacon shares could reach the swap space", slog.Any("error", b.arena.locked))
	}
	if cfg.Share.Region != 0 {
		b.first = b.store(&cfg.Share)
		cfg.Share.Wipe()
	}
	return b, nil
}

// at returns the evaluation of an entry this region knows.
func (b *beacon) at(m command.Meta) *evaluation { return b.hold(m, 0) }

// hold returns the evaluation of an entry, making room by forgetting the oldest. What
// another region alone speaks of has little room of its own: it may be made up.
func (b *beacon) hold(m command.Meta, by identity.RegionID) *evaluation {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.evals[m]
	switch {
	case ok && (by != 0 || e.by == 0):
		return e
	case ok: // known from now on
		b.order[e.by] = slices.DeleteFunc(b.order[e.by], func(o command.Meta) bool { return o == m })
		e.by = 0
	default:
		e = &evaluation{meta: m, by: by, seen: map[uint8]bool{}, news: make(chan struct{}, 1)}
		e.at = sync.OnceValue(func() *draw.Place {
			return draw.At(draw.Input(b.cfg.Replica.View().Lineage(), m.Term, m.Index, m.Chain))
		})
		b.evals[m] = e
	}
	room := maxMetas
	if by != 0 {
		room = maxStrays
	}
	if len(b.order[by]) >= room {
		delete(b.evals, b.order[by][0])
		b.order[by] = b.order[by][1:]
	}
	b.order[by] = append(b.order[by], m)
	return e
}

// applied marks an entry whose draws stand in the own replica.
func (b *beacon) applied(m command.Meta) {
	e := b.at(m)
	e.mu.Lock()
	e.opened = true
	e.mu.Unlock()
}

// evaluate makes the partial that goes with an ack, under the sharing that is live as far as
// this replica knows: it has not applied what stands just before the entry. If that changes
// the sharing, the partial is of no use and whoever needs one asks again. It waits for no HSM.
func (b *beacon) evaluate(m command.Meta) ([]byte, error) {
	if err := b.cfg.halted(); err != nil {
		return nil, err
	}
	st, err := b.under(m.Index)
	if err != nil {
		return nil, err
	}
	if !st.holds {
		return nil, st.none(b.cfg.Region)
	}
	share, err := b.recall(st)
	if err != nil {
		return nil, err
	}
	if share == nil {
		b.wake.ring()
		return nil, errs.New(errs.NotReady, "the share of the beacon key, epoch %d, is not opened yet", st.key.Epoch)
	}
	defer share.Wipe()
	p, err := b.partial(b.at(m), st, share)
	if err != nil {
		return nil, err
	}
	return p.Encode(), nil
}

// deliver keeps another region's partial for value to judge. The first one counts.
func (b *beacon) deliver(from identity.RegionID, m command.Meta, raw []byte) {
	if from == b.cfg.Region {
		return // made at will from the own share
	}
	p, err := draw.DecodePartial(bytes.Clone(raw))
	if err != nil || p.Region != uint8(from) {
		b.cfg.Logger.Warn("beacon partial refused", slog.Int("region", int(from)), slog.Uint64("index", m.Index))
		return
	}
	e := b.hold(m, from)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen[p.Region] {
		return
	}
	e.seen[p.Region] = true
	e.arrived = append(e.arrived, p)
	select {
	case e.news <- struct{}{}:
	default:
	}
}

func holds(ps []draw.Partial, region uint8) bool {
	return slices.ContainsFunc(ps, func(p draw.Partial) bool { return p.Region == region })
}

// value gathers partials until they give the entry's value: those that came with the
// append replies, and after a short wait those that other regions are asked for.
func (b *beacon) value(ctx context.Context, m command.Meta, regions []*fsm.Region) (*drawn, error) {
	if err := b.cfg.halted(); err != nil {
		return nil, err // its own partial would go into every question
	}
	e := b.at(m)
	wait, cancel := context.WithTimeout(ctx, b.cfg.Timing.Partial)
	d, err := b.gather(wait, e)
	cancel()
	if d != nil || err != nil {
		return d, err
	}
	sharing := b.cfg.Replica.View().BeaconKey().SharingAt(m.Index)
	ctx, cancel = context.WithTimeout(ctx, b.cfg.Timing.Question)
	defer cancel()
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel() // runs first: whoever has not answered yet is no longer needed
	for _, r := range regions {
		if r.ID == b.cfg.Region || !sharing.Holds(r.ID) {
			continue
		}
		asking.Go(func() {
			if raw, err := b.cfg.Peers.Partial(ctx, r.ID, m); err == nil {
				b.deliver(r.ID, m, raw)
			}
		})
	}
	d, err = b.gather(ctx, e)
	if d == nil && err == nil {
		err = errs.New(errs.Unavailable, "beacon value of entry %d: too few regions gave a valid partial", m.Index).
			WithHint("three regions must be reachable; it is tried again")
	}
	return d, err
}

// gather combines the value as soon as enough valid partials are here; nil at ctx's end.
func (b *beacon) gather(ctx context.Context, e *evaluation) (*drawn, error) {
	st, err := b.under(e.meta.Index)
	if err != nil {
		return nil, err
	}
	own := b.mine(ctx, e, st)
	need := st.key.Threshold - len(own)
	for {
		batch, good, d := e.take(need)
		switch {
		case d != nil:
			return d, nil
		case len(good) >= need:
			return b.combine(st, e, append(own, good...))
		case len(batch) > 0:
			b.check(st, e, batch)
			continue
		}
		select {
		case <-e.news:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// take returns what is known, and for verification as many partials as are still
// missing to n: three proofs an entry cost more than all else, so none is checked in vain.
func (e *evaluation) take(n int) (batch, good []draw.Partial, d *drawn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := min(max(n-len(e.good), 0), len(e.arrived))
	batch, e.arrived = e.arrived[:k:k], e.arrived[k:]
	return batch, e.good, e.drawn
}

func (e *evaluation) known() *drawn {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.drawn
}

// check verifies partials in parallel and names the region of a bad one: that is
// evidence, since nobody else can speak on its connection. One of another epoch is none: it
// was made for an ack before the entry's epoch was known there, and may come again.
func (b *beacon) check(st *stand, e *evaluation, batch []draw.Partial) {
	faults, at := make([]error, len(batch)), e.at()
	parallel(len(batch), func(i int) { faults[i] = st.key.Check(at, batch[i]) })
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, p := range batch {
		switch {
		case errs.CodeOf(faults[i]) == errs.Stale:
			delete(e.seen, p.Region)
			b.cfg.Logger.Info("beacon partial of another epoch", slog.Int("region", int(p.Region)), slog.Uint64("index", e.meta.Index), slog.Any("error", faults[i]))
		case faults[i] == nil || !liar.Defends(liar.PartialProofs):
			e.good = append(e.good[:len(e.good):len(e.good)], p)
		default:
			b.cfg.Logger.Error("beacon partial does not verify", slog.Int("region", int(p.Region)), slog.Uint64("index", e.meta.Index))
		}
	}
}

func (b *beacon) combine(st *stand, e *evaluation, good []draw.Partial) (*drawn, error) {
	good = good[:st.key.Threshold]
	value, err := st.key.Combine(e.at(), good)
	if err != nil {
		return nil, err
	}
	d := &drawn{value, good}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drawn = d
	return d, nil
}

// verify is the co-signer's side: from its own partial and others' it computes the
// value itself and compares it with the leader's.
func (b *beacon) verify(ctx context.Context, q *Question) error {
	e := b.at(q.Meta)
	d := e.known()
	if d == nil {
		var err error
		if d, err = b.recompute(ctx, e, q); err != nil {
			return err
		}
	}
	if d.value != q.Value {
		return errs.New(errs.Unverified, "co-sign question on entry %d: the beacon value is not the entry's", q.Meta.Index)
	}
	return nil
}

func (b *beacon) recompute(ctx context.Context, e *evaluation, q *Question) (*drawn, error) {
	st, err := b.under(q.Meta.Index)
	if err != nil {
		return nil, err
	}
	ps := b.mine(ctx, e, st)
	own, need := len(ps), st.key.Threshold
	for _, raw := range q.Partials {
		p, err := draw.DecodePartial(raw)
		if err != nil {
			return nil, err
		}
		if len(ps) < need && !holds(ps, p.Region) {
			ps = append(ps, p)
		}
	}
	if len(ps) < need {
		return nil, errs.New(errs.Unverified, "co-sign question on entry %d: partials of %d regions, %d needed", q.Meta.Index, len(ps), need)
	}
	faults, at := make([]error, len(ps)-own), e.at()
	parallel(len(faults), func(i int) { faults[i] = st.key.Check(at, ps[own+i]) })
	for _, err := range faults {
		if err != nil {
			return nil, err
		}
	}
	return b.combine(st, e, ps)
}

// handlePartial gives the own partial on an entry, only once the own replica has
// applied it and found a draw there: a value nobody may know early is never computed
// for a log that might not be.
func (b *beacon) handlePartial(ctx context.Context, m command.Meta) ([]byte, error) {
	if err := b.cfg.halted(); err != nil {
		return nil, err
	}
	if !liar.Defends(liar.Partials) {
		return b.evaluate(m)
	}
	wait, cancel := context.WithTimeout(ctx, b.cfg.Timing.Question)
	defer cancel()
	if err := b.cfg.Replica.WaitApplied(wait, m.Index); err != nil {
		return nil, err
	}
	if !b.opens(m) {
		return nil, errs.New(errs.Denied, "no open draw stands at entry %d of this region's log", m.Index)
	}
	return b.give(wait, m)
}

func (b *beacon) opens(m command.Meta) bool {
	b.mu.Lock()
	e := b.evals[m]
	b.mu.Unlock()
	if e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.opened {
			return true
		}
	}
	for _, r := range b.cfg.Replica.View().OpenRequests() {
		if a := r.Open(); a != nil && a.Meta == m {
			return true
		}
	}
	return false
}
