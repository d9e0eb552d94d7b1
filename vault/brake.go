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

// Inquiry asks for a region's word on a command.
type Inquiry struct {
	Author  identity.Fingerprint
	Command command.ID
	Nonce   [16]byte // repeated in the word
	Final   bool     // about a request: as it ended
}

// OutcomeWord waits until this region's own replica decided a command, and gives the
// region's word on that. The asker's word on anything is not needed: outcome, place and
// content are this region's own. It depends on nothing but the committed state, so that a
// restart takes no word away.
func (v *Vault) OutcomeWord(ctx context.Context, q Inquiry) ([]byte, error) {
	view, d, err := v.decided(ctx, q)
	if err != nil {
		return nil, err
	}
	w := &command.OutcomeWord{Lineage: view.Lineage(), Command: d.Hash, Nonce: q.Nonce, Code: d.Code, Meta: d.Meta, Key: d.Key, Next: d.Next,
		Applied: view.Meta().Index, Skew: view.Settings().MaxSkew, Region: v.cfg.Region, At: v.cfg.Clock.Now().Truncate(time.Millisecond)}
	if r := d.Request; r != nil {
		standing := r.Standing()
		w.Request, w.Standing = r.ID, standing.Hash()
	} else if m, ok := v.places.find(d.Meta.Index); ok {
		w.Meta = m
	}
	if err := w.Sign(ctx, view.Cluster(), v.cfg.Session); err != nil {
		return nil, err
	}
	return w.Encode(), nil
}

func (v *Vault) decided(ctx context.Context, q Inquiry) (fsm.View, fsm.Decision, error) {
	// Entries that are raft's own move nothing in the view: what was waited for once is behind.
	for next := uint64(0); ; {
		view := v.cfg.Replica.View()
		d, ok := view.Decided(q.Author, q.Command)
		if ok && !(q.Final && d.Request != nil && d.Request.State == fsm.RequestOpen) {
			return view, d, nil
		}
		next = max(next, view.Meta().Index) + 1
		if err := v.cfg.Replica.WaitApplied(ctx, next); err != nil {
			if ok {
				return view, d, errs.Wrap(errs.NotReady, err, "region %d has not applied the end of request %s", v.cfg.Region, d.Request.ID)
			}
			return view, d, errs.Wrap(errs.NotReady, err, "region %d has not applied command %s", v.cfg.Region, q.Command)
		}
	}
}

// Brake freezes a key, a child of it, or with the zero key the vault, as this region's own
// command, which comes back signed with its outcome.
func (v *Vault) Brake(ctx context.Context, key command.KeyID, reason string, path ...uint32) (*command.Command, fsm.Outcome, error) {
	a := v.keeper.author
	var body command.Body = &command.RegionFreeze{Key: key, Reason: reason}
	if len(path) > 0 {
		body = &command.RegionFreezePath{Key: key, Path: path, Reason: reason}
	}
	c, err := a.statement(ctx, v.cfg.Session, body)
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
