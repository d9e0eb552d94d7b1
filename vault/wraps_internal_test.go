package vault

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

// secretOf is the locked memory of an opened wrapping key; nil if it is not open.
func (h *holding) secretOf(epoch uint32) []byte {
	w := h.shares.wraps
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.keys[epoch] == nil {
		return nil
	}
	return w.arena.at(w.keys[epoch].slot)
}

// TestUnusedWrapGoes as shares do: nobody needs it for as long as they are kept, and the HSM
// is asked again.
func TestUnusedWrapGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHolding(t, Keeping{Keep: 8 * time.Minute, Most: 1})
		a, b := h.key(command.Ed25519), h.key(command.Ed25519)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { h.shares.wraps.expire(ctx); close(ended) }()
		before := h.device.Count(sealtest.OpDecrypt)
		for range 3 { // with room for one share each get takes the box
			h.get(a, 1)
			h.get(b, 1)
			time.Sleep(7 * time.Minute)
		}
		memory := h.secretOf(1)
		if n := h.device.Count(sealtest.OpDecrypt) - before; n != 1 || memory == nil {
			t.Fatalf("%d calls of the HSM for a key in use", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if h.secretOf(1) != nil || !zero(memory) {
			t.Errorf("unused for 9 minutes: there %v, wiped %v", h.secretOf(1) != nil, zero(memory))
		}
		h.get(a, 1)
		if n := h.device.Count(sealtest.OpDecrypt) - before; n != 2 || h.secretOf(1) == nil {
			t.Errorf("%d calls of the HSM, one more expected", n)
		}
		cancel()
		<-ended
	})
}

// TestWrapInUse: who wipes waits for who opens a box.
func TestWrapInUse(t *testing.T) {
	h := newHolding(t, Keeping{Keep: time.Minute, Most: 4})
	h.key(command.Ed25519)
	w := h.shares.wraps
	sealed, err := w.sealOwn(t.Context(), 1, nil, []byte("plain"))
	h.ok(err)
	memory, wiped := h.secretOf(1), make(chan struct{})
	h.ok(w.use(t.Context(), 1, func(k *box.Key) error {
		go func() { w.lost(1); close(wiped) }()
		for waits := false; !waits; { // until it holds the lock, or is done
			select {
			case <-wiped:
				waits = true
			default:
				if waits = !w.mu.TryLock(); !waits {
					w.mu.Unlock()
				}
			}
		}
		plain, err := k.Open(sealed, nil)
		if string(plain) != "plain" {
			t.Errorf("opened %q", plain)
		}
		return err
	}))
	<-wiped
	if !zero(memory) {
		t.Error("the key is still in memory")
	}
}

// busyHSM does something while it opens a wrapping key.
type busyHSM struct {
	Wraps
	during func()
}

func (b *busyHSM) OpenWrap(ctx context.Context, epoch uint32, sealed []byte) (*box.Key, error) {
	k, err := b.Wraps.OpenWrap(ctx, epoch, sealed)
	b.during()
	return k, err
}

// TestWrapGivenUpWhileOpened: what the HSM answers after its key was destroyed, or at the end,
// is kept nowhere.
func TestWrapGivenUpWhileOpened(t *testing.T) {
	for name, c := range map[string]struct {
		during func(*wraps)
		code   errs.Code
	}{
		"destroyed": {func(w *wraps) { w.lost(1) }, errs.Stale},
		"closed":    {func(w *wraps) { w.close() }, errs.BadState},
	} {
		h := newHolding(t, Keeping{Keep: time.Minute, Most: 4})
		id := h.key(command.Ed25519)
		w := h.shares.wraps
		w.cfg.Wraps = &busyHSM{w.cfg.Wraps, func() { c.during(w) }}
		if _, _, err := h.shares.get(t.Context(), h.row(id), 1); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if h.secretOf(1) != nil || w.arena != nil && !zero(w.arena.mem) {
			t.Errorf("%s: the key is kept", name)
		}
	}
}

// TestWrapsUnderLoad: keys that expire at once fail nobody.
func TestWrapsUnderLoad(t *testing.T) {
	h := newHolding(t, Keeping{Keep: 1, Most: 4})
	h.key(command.Ed25519)
	w := h.shares.wraps
	sealed, err := w.sealOwn(t.Context(), 1, nil, []byte("plain"))
	h.ok(err)
	ctx, cancel := context.WithCancel(t.Context())
	var users, wiper sync.WaitGroup
	wiper.Go(func() {
		for ctx.Err() == nil {
			w.forget(h.View().Wraps())
		}
	})
	for range 4 {
		users.Go(func() {
			for range 20 {
				if plain, err := w.open(t.Context(), 1, sealed, nil); err != nil || !bytes.Equal(plain, []byte("plain")) {
					t.Errorf("%q, %v", plain, err)
				}
			}
		})
	}
	users.Wait()
	cancel()
	wiper.Wait()
	w.forget(nil)
	if !zero(w.arena.mem) {
		t.Error("something is left")
	}
}
