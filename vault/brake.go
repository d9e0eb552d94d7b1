package vault

import (
	"context"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// places remembers where in the log the commands stand that took rights away, as this
// region applied them.
type places struct {
	mu    sync.Mutex
	at    map[uint64]command.Meta
	order []uint64 // oldest first
}

func (p *places) applied(r *fsm.Result) {
	for i := range r.Leaves {
		if l := &r.Leaves[i]; l.Code == errs.OK && l.Command.Type.Restricts() {
			p.note(r.Meta)
			return
		}
	}
}

func (p *places) note(m command.Meta) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[uint64]command.Meta{}
	}
	if len(p.order) >= maxPlaces {
		delete(p.at, p.order[0])
		p.order = p.order[1:]
	}
	p.at[m.Index] = m
	p.order = append(p.order, m.Index)
}

func (p *places) find(index uint64) (command.Meta, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.at[index]
	return m, ok
}

// Acknowledge waits until this region's own replica carried out a command, and gives the
// region's word on it. The asker's word on anything is not needed: place and content
// are this region's own.
func (v *Vault) Acknowledge(ctx context.Context, author identity.Fingerprint, id command.ID, nonce [16]byte) ([]byte, error) {
	view, d, err := v.decided(ctx, author, id)
	if err != nil {
		return nil, err
	}
	if d.Code != errs.OK {
		return nil, errs.New(errs.BadState, "region %d applied command %s as refused: %s", v.cfg.Region, id, d.Code)
	}
	meta, ok := v.places.find(d.Index)
	if !ok {
		return nil, errs.New(errs.NotFound, "region %d no longer knows where command %s stands, or it takes no rights away", v.cfg.Region, id)
	}
	a := &command.FreezeAck{Lineage: view.Lineage(), Meta: meta, Command: d.Hash, Nonce: nonce, Applied: view.Meta().Index,
		Skew: view.Settings().MaxSkew, Region: v.cfg.Region, At: v.cfg.Clock.Now().Truncate(time.Millisecond)}
	if err := a.Sign(ctx, view.Cluster(), v.cfg.Session); err != nil {
		return nil, err
	}
	return a.Encode(), nil
}

func (v *Vault) decided(ctx context.Context, author identity.Fingerprint, id command.ID) (fsm.View, fsm.Decision, error) {
	for {
		view := v.cfg.Replica.View()
		if d, ok := view.Decided(author, id); ok {
			return view, d, nil
		}
		if err := v.cfg.Replica.WaitApplied(ctx, view.Meta().Index+1); err != nil {
			return view, fsm.Decision{}, errs.Wrap(errs.NotReady, err, "region %d has not applied command %s", v.cfg.Region, id)
		}
	}
}

// Brake freezes a key, or with the zero key the vault, as this region's own command,
// which comes back signed with its outcome.
func (v *Vault) Brake(ctx context.Context, key command.KeyID, reason string) (*command.Command, fsm.Outcome, error) {
	a := v.keeper.author
	c, err := a.statement(ctx, v.cfg.Session, &command.RegionFreeze{Key: key, Reason: reason})
	if err != nil {
		return nil, fsm.Outcome{}, err
	}
	o, err := a.propose(ctx, c)
	return c, o, err
}

// ClockWord gives this region's word that the committed clock is wrong. There is none
// while it is not: nobody can keep words for a day on which they would lie.
func (v *Vault) ClockWord(ctx context.Context) ([]byte, error) {
	view, now := v.cfg.Replica.View(), v.cfg.Clock.Now().Truncate(time.Millisecond)
	if ahead := view.Clock().Sub(now); ahead <= view.Settings().MaxSkew {
		return nil, errs.New(errs.BadState, "the committed clock is %s ahead of that of region %d: nothing to repair", ahead, v.cfg.Region)
	}
	w := &command.ClockWord{Lineage: view.Lineage(), Clock: view.Clock(), At: now, By: v.cfg.Region}
	if err := w.Sign(ctx, view.Cluster(), v.cfg.Session); err != nil {
		return nil, err
	}
	return w.Encode(), nil
}

// Idle returns how long ago this region applied something. In order it stays below twice
// Timing.Tick: a leader commits the time when nothing else happens.
func (v *Vault) Idle() time.Duration { return time.Since(time.Unix(0, v.keeper.applied.Load())) }
