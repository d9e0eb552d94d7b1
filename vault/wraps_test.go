package vault_test

import (
	"bytes"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
)

func (w *world) createThreshold(name string) command.KeyID {
	return w.must(w.dual(&command.CreateKey{Name: name, Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2})).Key
}

func (w *world) wrap(epoch uint32) *fsm.Wrap {
	e, _ := w.leading().View().Wrap(epoch)
	return e
}

func (w *world) offered(epoch uint32, regions int) func() bool {
	return func() bool { e := w.wrap(epoch); return e != nil && len(e.Keys) == regions }
}

// has reports whether the region's HSM holds the key of an epoch.
func (n *node) has(epoch uint32) bool {
	return slices.Contains(n.epochs.device.Labels(), seal.EpochLabel(n.kit.Cluster(), epoch))
}

// opens reports whether the region's HSM opens what is committed of an epoch.
func (n *node) opens(epoch uint32) error {
	own := n.wrap(epoch).Key(n.id)
	k, err := n.epochs.OpenWrap(n.t.Context(), epoch, own.Sealed)
	if err == nil && !bytes.Equal(k.Public(), own.Public) {
		return errs.New(errs.Corrupt, "another key")
	}
	return err
}

// doom has epoch 1 given up: a refresh of all opens epoch 2, and the only key retires.
func (w *world) doom(id command.KeyID) {
	w.must(w.dual(&command.RefreshKey{Reason: "monthly"}))
	w.must(w.dual(&command.RetireKey{Key: id}))
}

// TestWrapsAreOffered: the first threshold key makes every region offer its wrapping key,
// and each opens what it offered.
func TestWrapsAreOffered(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.createThreshold("cold")
		w.eventually("all offers", w.offered(1, 4))
		for _, n := range w.all() {
			w.ok(n.opens(1))
			if n.epochs.created[1] != 1 || len(n.token.keys) != 0 {
				t.Errorf("region %d made %d pairs, and %d signing keys", n.id, n.epochs.created[1], len(n.token.keys))
			}
		}
	})
}

// TestOfferSurvivesDeath kills a region after it made the key in the HSM and before its
// offer is committed, and right after: there is one key in the HSM, and what is committed
// opens.
func TestOfferSurvivesDeath(t *testing.T) {
	for name, committed := range map[string]bool{"before the commit": false, "after the commit": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				n := w.nodes[3]
				session := n.session.Public().Fingerprint()
				var seen atomic.Bool
				w.set(func() {
					w.withhold = func(c *command.Command) bool {
						hit := c.Principal == session && c.Type == command.TypeOfferWrap
						if hit {
							seen.Store(true)
						}
						return hit && !committed
					}
				})
				w.createThreshold("cold")
				w.eventually("the offer", seen.Load)
				if committed {
					w.eventually("its commit", func() bool { return w.wrap(1).Key(3) != nil })
				}
				n.kill()
				w.set(func() { w.withhold = nil })
				n.restart()
				w.eventually("all offers", w.offered(1, 4))
				w.ok(n.opens(1))
				if got := slices.DeleteFunc(n.epochs.device.Labels(), func(l string) bool { return l != seal.EpochLabel(w.kit.Cluster(), 1) }); len(got) != 1 {
					t.Errorf("%d keys of epoch 1 in the HSM", len(got))
				}
			})
		})
	}
}

// TestOfferWaitsForTheHSM: a broken HSM holds up its own offer only, and its end is noticed.
func TestOfferWaitsForTheHSM(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.nodes[2].epochs.set(func(e *epochs) { e.fault = errs.New(errs.HSMFailed, "no") })
		w.createThreshold("cold")
		w.eventually("three offers", w.offered(1, 3))
		time.Sleep(time.Minute)
		if e := w.wrap(1); e.Key(2) != nil {
			t.Error("an HSM that fails made a key")
		}
		w.nodes[2].epochs.set(func(e *epochs) { e.fault = nil })
		w.eventually("the fourth", w.offered(1, 4))
	})
}

// TestDoomedEpochIsDestroyed in every HSM, and only that one.
func TestDoomedEpochIsDestroyed(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		id := w.createThreshold("cold")
		w.eventually("all offers", w.offered(1, 4))
		w.doom(id)
		w.eventually("the epoch is gone", func() bool { return w.wrap(1) == nil })
		w.eventually("all offers of the next", w.offered(2, 4))
		for _, n := range w.all() {
			if n.has(1) || !n.has(2) {
				t.Errorf("region %d: epoch 1 in the HSM %v, epoch 2 %v", n.id, n.has(1), n.has(2))
			}
			w.ok(n.opens(2))
		}
	})
}

// TestDestroyingSurvivesDeath: between destroying the key and saying so a region dies.
func TestDestroyingSurvivesDeath(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		n := w.nodes[4]
		id := w.createThreshold("cold")
		w.eventually("all offers", w.offered(1, 4))
		session := n.session.Public().Fingerprint()
		w.set(func() {
			w.withhold = func(c *command.Command) bool { return c.Principal == session && c.Type == command.TypeDropWrap }
		})
		w.doom(id)
		w.eventually("the others said so", func() bool { return len(w.wrap(1).Dropped) == 3 && !n.has(1) })
		n.kill()
		w.set(func() { w.withhold = nil })
		n.restart()
		w.eventually("the epoch is gone", func() bool { return w.wrap(1) == nil })
	})
}

// TestNothingIsDestroyedUnready: a replica that may have been passed by, or an HSM that
// does not obey, says nothing and destroys nothing.
func TestNothingIsDestroyedUnready(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		id := w.createThreshold("cold")
		w.eventually("all offers", w.offered(1, 4))
		unready := func(err error) {
			n := w.nodes[2]
			n.mu.Lock()
			n.unready = err
			n.mu.Unlock()
		}
		unready(errs.New(errs.NotReady, "behind"))
		w.nodes[3].epochs.set(func(e *epochs) { e.fault = errs.New(errs.HSMFailed, "no") })
		w.doom(id)
		w.eventually("two said so", func() bool { return len(w.wrap(1).Dropped) == 2 })
		time.Sleep(time.Minute)
		if !slices.Equal(w.wrap(1).Dropped, []identity.RegionID{1, 4}) || !w.nodes[2].has(1) || !w.nodes[3].has(1) {
			t.Errorf("%v said so; in the HSMs of 2 and 3: %v, %v", w.wrap(1).Dropped, w.nodes[2].has(1), w.nodes[3].has(1))
		}
		unready(nil)
		w.nodes[3].epochs.set(func(e *epochs) { e.fault = nil })
		w.eventually("the epoch is gone", func() bool { return w.wrap(1) == nil })
	})
}
