package vault

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// escrower files this region's shares of keys whose escrow is due (docs/design/threshold.md,
// section Escrow). What it lets out can never be called back, so it wants everything a
// signature wants: a certified state, a lease, no freeze, no stop of its own, and both
// clocks past the hour. A leader that stamps entries ahead moves only one of them.
type escrower struct {
	cfg    *Config
	author *author
	held   *shares
	wake   bell // capacity 1
}

func (e *escrower) signal() {
	e.wake.ring()
}

func (e *escrower) run(ctx context.Context) {
	if e.cfg.Escrow == nil {
		return
	}
	pause := e.cfg.Timing.Retry
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-e.wake:
		case <-alarm.C: // also in case the state changed by a snapshot, which tells nobody
		case <-ctx.Done():
			return
		}
		next := e.cfg.Timing.Health
		if e.round(ctx) {
			pause = e.cfg.Timing.Retry
		} else {
			next, pause = pause, min(2*pause, e.cfg.Timing.RetryMost)
		}
		alarm.Reset(next)
	}
}

// round files what is due; false if something failed and should be tried again without
// further news.
func (e *escrower) round(ctx context.Context) bool {
	keys := e.cfg.Replica.View().Escrows()
	if len(keys) == 0 {
		return true
	}
	if e.cfg.Replica.Ready() != nil || e.cfg.Replica.Lease() != nil || e.cfg.halted() != nil {
		return false
	}
	view, ok := e.cfg.Replica.View(), true
	for _, k := range view.Escrows() {
		if !e.due(view, k) {
			continue
		}
		if err := e.file(ctx, view, k); err != nil && ctx.Err() == nil {
			e.cfg.Logger.Warn("share for an escrow not filed", slog.String("key", k.ID.String()), slog.Any("error", err))
			ok = false
		}
	}
	return ok
}

// due reports whether this region owes its share now.
func (e *escrower) due(view fsm.View, k *fsm.Key) bool {
	x := k.Escrowing()
	if _, _, frozen := view.Frozen(); frozen || k.State != fsm.KeyActive || len(k.FrozenPaths) > 0 || view.Settings().EscrowDelay == 0 {
		return false
	}
	s := escrowSharing(k, x)
	return s != nil && s.Share(e.cfg.Region) != nil && x.Box(e.cfg.Region) == nil && !e.cfg.Clock.Now().Before(x.NotBefore)
}

// escrowSharing is the sharing an escrow wants shares of.
func escrowSharing(k *fsm.Key, x *fsm.Escrow) *fsm.Sharing {
	if x.Epoch != 0 {
		return k.SharingOf(x.Epoch)
	}
	return k.Sharing
}

// file encrypts and files the share, or moves the committed clock if only that is behind.
func (e *escrower) file(ctx context.Context, view fsm.View, k *fsm.Key) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timing.KeyStep)
	defer cancel()
	x := k.Escrowing()
	if view.Clock().Before(x.NotBefore) {
		return e.propose(ctx, &command.Tick{})
	}
	epoch := escrowSharing(k, x).Epoch
	share, _, err := e.held.get(ctx, k, epoch)
	if err != nil {
		return err
	}
	plain := share.Encode()
	share.Wipe()
	box, err := e.cfg.Escrow(view, k, x, epoch, plain)
	clear(plain)
	if err != nil {
		return err
	}
	e.cfg.Logger.Warn("this region gives its share of a key to the officers of an escrow", slog.String("key", k.ID.String()),
		slog.Int("escrow", int(x.Number)), slog.Uint64("epoch", uint64(epoch)), slog.Bool("disaster", x.Disaster))
	return e.propose(ctx, &command.EscrowShare{Key: k.ID, Number: x.Number, Epoch: epoch, Box: box}, errs.Replayed, errs.Stale)
}

// propose files a statement; outcomes among fine say that it was settled otherwise.
func (e *escrower) propose(ctx context.Context, body command.Body, fine ...errs.Code) error {
	out, err := e.author.file(ctx, e.cfg.Session, body)
	if err != nil || slices.Contains(fine, out.Code) {
		return err
	}
	return out.Err()
}
