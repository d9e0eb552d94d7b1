package vault

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Stop is a local stop: by order of one operator this region co-signs nothing and gives
// neither partials nor words, whatever the log says. No other region knows of it.
type Stop struct {
	ID     command.StopID
	By     identity.Fingerprint
	Reason string
	At     time.Time
}

const (
	stopFile    = "local-stop" // sealed; missing: not stopped
	stopContext = "tetrad/local-stop/v1"
	stopVersion = 1
)

func (s *Stop) encode() []byte {
	w := wire.NewWriter(128)
	w.U8(stopVersion)
	w.Fixed(s.ID[:])
	w.Fixed(s.By[:])
	w.String(s.Reason)
	w.Time(s.At)
	return w.Bytes()
}

func decodeStop(b []byte) (*Stop, error) {
	r, s := wire.NewReader(b), &Stop{}
	if v := r.U8(); v != stopVersion {
		r.Fail("local stop version %d", v)
	}
	r.Fixed(s.ID[:])
	r.Fixed(s.By[:])
	s.Reason = r.String(command.MaxNote)
	s.At = r.Time()
	return s, r.Done()
}

// overlay is the local stop that stands, in memory and on disk.
type overlay struct {
	cfg  *Config
	turn chan struct{} // held while writing
	now  atomic.Pointer[Stop]
}

// openOverlay reads back a stop of an earlier boot. A file that does not open is an
// error: whether the region was stopped would be unknown.
func openOverlay(cfg *Config) (*overlay, error) {
	o := &overlay{cfg: cfg, turn: make(chan struct{}, 1)}
	sealed, err := cfg.FS.ReadFile(stopFile)
	if errs.CodeOf(err) == errs.NotFound {
		return o, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := cfg.Sealer.Open(sealed, []byte(stopContext))
	var s *Stop
	if err == nil {
		s, err = decodeStop(plain)
	}
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "the file %s of region %d", stopFile, cfg.Region).
			WithHint("this region was stopped locally and its note of it is damaged; find out why before removing the file")
	}
	cfg.Logger.Warn("stopped here only", slog.String("reason", s.Reason), slog.Time("since", s.At))
	o.now.Store(s)
	return o, nil
}

// halted returns why the region does nothing for signatures now, or nil.
func (c *Config) halted() error {
	if c.stop == nil {
		return nil
	}
	s := c.stop.now.Load()
	if s == nil {
		return nil
	}
	return errs.New(errs.Frozen, "region %d was stopped locally at %s", c.Region, s.At.Format(time.RFC3339)).
		WithHint("two administrators lift it: vaultctl region lift-stop")
}

// halt stops at once and then makes it last. An error means that the stop holds, but
// would not survive the process. A region that is stopped stays so under the same id.
func (o *overlay) halt(ctx context.Context, by identity.Fingerprint, reason string) (*Stop, error) {
	if err := command.CheckText("reason", reason, command.MaxNote); err != nil {
		return nil, err
	}
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s := o.now.Load()
	if s == nil {
		s = &Stop{By: by, Reason: reason, At: o.cfg.Clock.Now().Truncate(time.Millisecond).UTC()}
		if _, err := io.ReadFull(o.cfg.Random, s.ID[:]); err != nil {
			return nil, errs.Wrap(errs.Internal, err, "drawing the id of a stop")
		}
		o.now.Store(s)
	}
	sealed, err := o.cfg.Sealer.Seal(s.encode(), []byte(stopContext))
	if err == nil {
		err = o.cfg.FS.WriteFile(stopFile, sealed)
	}
	if err != nil {
		return s, errs.Wrap(errs.CodeOf(err), err, "region %d is stopped, but only until its process ends", o.cfg.Region)
	}
	o.cfg.Logger.Warn("stopped here only", slog.String("reason", s.Reason), slog.String("by", by.Short()))
	return s, nil
}

// obey ends the stop if the committed state lifts it. Should the file outlive it, the
// state says so again after the next start.
func (o *overlay) obey(view fsm.View) {
	s := o.now.Load()
	if s == nil || !view.Lifted(o.cfg.Region, s.ID) || !o.now.CompareAndSwap(s, nil) {
		return
	}
	if err := o.cfg.FS.Remove(stopFile); err != nil {
		o.cfg.Logger.Error("the note of a lifted stop stays on disk", slog.Any("error", err))
	}
	o.cfg.Logger.Warn("the local stop was lifted by two administrators")
}

// StopHere stops this region by order of a principal, quorum or not.
func (v *Vault) StopHere(ctx context.Context, by identity.Fingerprint, reason string) (*Stop, error) {
	s, err := v.cfg.stop.halt(ctx, by, reason)
	v.keeper.signal() // says in the log, if it can, that it signs no more
	return s, err
}

// Stopped returns the local stop that stands, or nil.
func (v *Vault) Stopped() *Stop { return v.cfg.stop.now.Load() }
