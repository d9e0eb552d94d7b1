package vault

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// openWrap is an opened wrapping key, its secret in the arena.
type openWrap struct {
	key   *box.Key
	slot  int
	used  time.Time
	using sync.RWMutex // held for reading by users, taken under wraps.mu: wiping waits for them
}

// use lets f have this region's wrapping key of an epoch: opened by one call of the HSM, and
// from then on at hand until the epoch is doomed or nobody used the key for as long as
// shares are kept. f only computes, and asks for no other wrapping key: who wipes waits for it.
func (w *wraps) use(ctx context.Context, epoch uint32, f func(*box.Key) error) error {
	for {
		if row := w.opened(epoch); row != nil {
			defer row.using.RUnlock()
			return f(row.key)
		}
		if err := w.unseal(ctx, epoch); err != nil {
			return err
		}
	}
}

// opened returns an opened key, held for reading; nil if there is none.
func (w *wraps) opened(epoch uint32) *openWrap {
	w.mu.Lock()
	defer w.mu.Unlock()
	row := w.keys[epoch]
	if row != nil {
		row.used = time.Now()
		row.using.RLock()
	}
	return row
}

func (w *wraps) has(epoch uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.keys[epoch] != nil
}

// unseal has the HSM open an epoch's key, unless another caller just did.
func (w *wraps) unseal(ctx context.Context, epoch uint32) error {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return errs.Wrap(errs.Canceled, ctx.Err(), "waiting for the wrapping key of epoch %d", epoch)
	}
	if w.has(epoch) {
		return nil
	}
	e, ok := w.cfg.Replica.View().Wrap(epoch)
	if !ok || e.Doomed != 0 {
		return errs.New(errs.Stale, "wrapping epoch %d is over: nothing that is in use lies under it", epoch)
	}
	own := e.Key(w.cfg.Region)
	if own == nil {
		return errs.New(errs.NotReady, "region %d has no wrapping key of epoch %d yet", w.cfg.Region, epoch)
	}
	k, err := w.cfg.Wraps.OpenWrap(ctx, epoch, own.Sealed)
	if err != nil {
		return err
	}
	if string(k.Public()) != string(own.Public) {
		k.Wipe()
		return errs.New(errs.Corrupt, "wrapping key of epoch %d is not the one region %d announced", epoch, w.cfg.Region)
	}
	if err := w.keep(epoch, k); err != nil {
		k.Wipe()
		return err
	}
	return nil
}

// keep moves an opened key's secret into locked memory, unless its epoch was given up while
// the HSM was at work.
func (w *wraps) keep(epoch uint32, k *box.Key) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.cfg.Replica.View().Wrap(epoch)
	switch {
	case w.closed:
		return errs.New(errs.BadState, "region %d is closing: no wrapping key is opened any more", w.cfg.Region)
	case !ok || e.Doomed != 0 || w.destroyed[epoch]:
		return errs.New(errs.Stale, "wrapping epoch %d was given up while its key was opened", epoch)
	}
	if err := w.room(); err != nil {
		return err
	}
	slot, ok := w.arena.take()
	if !ok {
		return errs.New(errs.Internal, "no room for the wrapping key of epoch %d among %d", epoch, len(w.keys))
	}
	if err := k.Move(w.arena.at(slot)); err != nil {
		w.arena.drop(slot)
		return err
	}
	w.keys[epoch] = &openWrap{key: k, slot: slot, used: time.Now()}
	return nil
}

// room maps the memory, once; mu is held.
func (w *wraps) room() (err error) {
	if w.arena != nil {
		return nil
	}
	if w.arena, err = newArena(fsm.MaxWraps, box.SecretSize); err == nil && w.arena.locked != nil {
		w.cfg.Logger.Warn("memory of wrapping keys could reach the swap space", slog.Any("error", w.arena.locked))
	}
	return err
}

// wipe overwrites an opened key once its users are done; mu is held.
func (w *wraps) wipe(epoch uint32) {
	row := w.keys[epoch]
	delete(w.keys, epoch)
	row.using.Lock()
	row.key.Wipe()
	row.using.Unlock()
	w.arena.drop(row.slot)
}

// forget wipes what belongs to epochs that are doomed or over, and what was not used for
// long.
func (w *wraps) forget(epochs []*fsm.Wrap) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, used := map[uint32]bool{}, map[uint32]bool{}
	for _, e := range epochs {
		known[e.Epoch], used[e.Epoch] = true, e.Doomed == 0
	}
	for epoch, row := range w.keys {
		if !used[epoch] || time.Since(row.used) >= w.cfg.Shares.Keep {
			w.wipe(epoch)
		}
	}
	for epoch := range w.destroyed {
		if !known[epoch] {
			delete(w.destroyed, epoch)
		}
	}
}

// expire wipes what nobody uses until ctx ends.
func (w *wraps) expire(ctx context.Context) {
	for sleep(ctx, min(w.cfg.Shares.Keep/4, w.cfg.Timing.Tick)) {
		w.forget(w.cfg.Replica.View().Wraps())
	}
}

// lost notes that the HSM's key of an epoch is destroyed: what was opened goes, and nobody who
// asked the HSM before keeps what it answered.
func (w *wraps) lost(epoch uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.destroyed[epoch] = true
	if w.keys[epoch] != nil {
		w.wipe(epoch)
	}
}

func (w *wraps) gone(epoch uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.destroyed[epoch]
}

// close wipes everything; nothing is opened afterwards.
func (w *wraps) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for epoch := range w.keys {
		w.wipe(epoch)
	}
	if w.arena == nil {
		return
	}
	if err := w.arena.close(); err != nil {
		w.cfg.Logger.Warn("memory of wrapping keys not given back", slog.Any("error", err))
	}
	w.arena = nil
}
