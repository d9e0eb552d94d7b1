package vault

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// wraps keeps this region's wrapping keys in step with the committed state: offers the one
// of an epoch that wants it, opens those in use once each, and destroys those of doomed
// epochs. Each step is read off the state and may be repeated. A key in the HSM whose offer
// was never committed is found and used by the next offer; nothing is sealed to it before.
type wraps struct {
	cfg    *Config
	author *author
	wake   bell          // capacity 1
	turn   chan struct{} // capacity 1: one epoch is opened in the HSM at a time

	mu        sync.Mutex
	arena     *arena               // of the secrets of what is open; nil before the first
	keys      map[uint32]*openWrap // of the state's, so fsm.MaxWraps at most
	destroyed map[uint32]bool      // by this process
	closed    bool
}

func newWraps(cfg *Config, a *author) *wraps {
	return &wraps{cfg: cfg, author: a, wake: newBell(), turn: make(chan struct{}, 1),
		keys: map[uint32]*openWrap{}, destroyed: map[uint32]bool{}}
}

func (w *wraps) signal() {
	w.wake.ring()
}

func (w *wraps) run(ctx context.Context) {
	pause := w.cfg.Timing.Retry
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-w.wake:
		case <-alarm.C: // also in case the state changed by a snapshot, which tells nobody
		case <-ctx.Done():
			return
		}
		next := w.cfg.Timing.Health
		if w.round(ctx) {
			pause = w.cfg.Timing.Retry
		} else {
			next, pause = pause, min(2*pause, w.cfg.Timing.RetryMost)
		}
		alarm.Reset(next)
	}
}

// round does what the state asks for now; false if some step failed and should be tried
// again without further news. Nothing is destroyed on the word of a state that another
// may have passed by: Ready says that it is certified and not behind what was seen.
func (w *wraps) round(ctx context.Context) bool {
	view, ok := w.cfg.Replica.View(), true
	epochs := view.Wraps()
	w.forget(epochs)
	if w.cfg.Replica.Ready() != nil {
		return false
	}
	for _, e := range epochs {
		var err error
		switch {
		case e.Doomed != 0:
			err = w.drop(ctx, e)
		case w.wanted(view, e):
			err = w.offer(ctx, view.Cluster(), e.Epoch)
		}
		if err != nil && ctx.Err() == nil {
			w.cfg.Logger.Warn("wrapping key not in step with the state", slog.Uint64("epoch", uint64(e.Epoch)), slog.Bool("doomed", e.Doomed != 0), slog.Any("error", err))
			ok = false
		}
	}
	return ok
}

// wanted reports whether this region lacks a key that something may yet be sealed to: of
// the newest epoch, or of one under which a ceremony runs.
func (w *wraps) wanted(view fsm.View, e *fsm.Wrap) bool {
	row, member := view.Region(w.cfg.Region)
	if !member || row.Status != fsm.RegionActive || e.Key(w.cfg.Region) != nil {
		return false
	}
	if all := view.Wraps(); all[len(all)-1].Epoch == e.Epoch {
		return true
	}
	return slices.ContainsFunc(view.Ceremonies(), func(k *fsm.Key) bool { return k.Ceremony.Wrap == e.Epoch })
}

// offer makes the key and has the identity key vouch for it. Of two offers, say of this
// process and of one that died, the first committed counts.
func (w *wraps) offer(ctx context.Context, cluster identity.ClusterID, epoch uint32) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timing.KeyStep)
	defer cancel()
	public, sealed, attributes, err := w.cfg.Wraps.CreateWrap(ctx, epoch)
	if err != nil {
		return err
	}
	sig, err := w.cfg.Identity.Sign(ctx, command.WrapBytes(cluster, w.cfg.Region, epoch, public, sealed, attributes))
	if err != nil {
		return err
	}
	return w.file(ctx, &command.OfferWrap{Epoch: epoch, Public: public, Sealed: sealed, Attributes: attributes, Identity: sig},
		errs.Replayed, errs.BadState, errs.NotFound)
}

// drop destroys this region's key of a doomed epoch and says so; it says nothing while the
// HSM or this process may still have it. A region that never offered one has nothing to say.
func (w *wraps) drop(ctx context.Context, e *fsm.Wrap) error {
	if slices.Contains(e.Dropped, w.cfg.Region) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timing.KeyStep)
	defer cancel()
	if !w.gone(e.Epoch) {
		if err := w.cfg.Wraps.DropWrap(ctx, e.Epoch); err != nil {
			return err
		}
		w.lost(e.Epoch)
	}
	if e.Key(w.cfg.Region) == nil {
		return nil
	}
	return w.file(ctx, &command.DropWrap{Epoch: e.Epoch})
}

// file proposes one step; outcomes among fine say that it was settled otherwise.
func (w *wraps) file(ctx context.Context, body command.Body, fine ...errs.Code) error {
	out, err := w.author.file(ctx, w.cfg.Session, body)
	if err != nil || slices.Contains(fine, out.Code) {
		return err
	}
	return out.Err()
}

// open opens what was sealed to this region under an epoch.
func (w *wraps) open(ctx context.Context, epoch uint32, sealed, info []byte) (plain []byte, err error) {
	err = w.use(ctx, epoch, func(k *box.Key) (err error) {
		plain, err = k.Open(sealed, info)
		return err
	})
	return plain, err
}

// seal seals plaintext to a region's wrapping key of an epoch.
func (w *wraps) seal(epoch uint32, to identity.RegionID, info, plaintext []byte) ([]byte, error) {
	k, err := w.fit(epoch, to)
	if err != nil {
		return nil, err
	}
	return box.Seal(k.Public, info, plaintext)
}

// sealOwn seals plaintext to this region itself.
func (w *wraps) sealOwn(ctx context.Context, epoch uint32, info, plaintext []byte) (sealed []byte, err error) {
	if _, err := w.fit(epoch, w.cfg.Region); err != nil {
		return nil, err
	}
	err = w.use(ctx, epoch, func(k *box.Key) (err error) {
		sealed, err = k.Seal(info, plaintext)
		return err
	})
	return sealed, err
}

// fit returns a region's wrapping key of an epoch, after judging what the region read back
// of its key in the HSM: whoever holds a share must be able to lose it.
func (w *wraps) fit(epoch uint32, region identity.RegionID) (*fsm.WrapKey, error) {
	e, ok := w.cfg.Replica.View().Wrap(epoch)
	if !ok || e.Key(region) == nil {
		return nil, errs.New(errs.NotReady, "region %d has no wrapping key of epoch %d", region, epoch)
	}
	k := e.Key(region)
	if err := w.cfg.Attributes(k.Attributes); err != nil && liar.Defends(liar.Wrapping) {
		return nil, errs.Wrap(errs.Unverified, err, "wrapping key of region %d, epoch %d", region, epoch)
	}
	return k, nil
}
