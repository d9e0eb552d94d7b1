package vault_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

const (
	ed25519Curve = command.Ed25519
	taproot      = command.Secp256k1
)

var everyone = []identity.RegionID{1, 2, 3, 4}

// newThreshold asks for a threshold key.
func (w *world) newThreshold(curve command.Curve, signers uint8) command.KeyID {
	w.t.Helper()
	w.keys++
	return w.must(w.dual(&command.CreateKey{Name: fmt.Sprintf("shared-%d", w.keys), Tenant: "acme",
		Scheme: command.SchemeThreshold, Curve: curve, Signers: signers, AllowBlind: true})).Key
}

// threshold makes a threshold key and waits until it is live.
func (w *world) threshold(curve command.Curve, signers uint8) *fsm.Key {
	w.t.Helper()
	return w.live(w.newThreshold(curve, signers), 1)
}

// live waits until a key's sharing of an epoch is live everywhere and checks it.
func (w *world) live(id command.KeyID, epoch uint32) *fsm.Key {
	w.t.Helper()
	w.eventually(fmt.Sprintf("sharing %d live", epoch), func() bool {
		return !slices.ContainsFunc(w.all(), func(n *node) bool {
			k, ok := n.View().Key(id)
			return !n.isDown() && (!ok || k.State != fsm.KeyActive || k.Sharing == nil || k.Sharing.Epoch < epoch)
		})
	})
	k := w.keyRow(id)
	w.soundSharing(k, k.Sharing)
	if k.Sharing.Epoch != epoch {
		w.t.Fatalf("sharing %d is live, want %d", k.Sharing.Epoch, epoch)
	}
	return k
}

// keyRow is a key as the first living region that applied most sees it.
func (w *world) keyRow(id command.KeyID) (key *fsm.Key) {
	index := uint64(0)
	for _, n := range w.all() {
		if v := n.View(); !n.isDown() && v.Meta().Index > index {
			key, _ = v.Key(id)
			index = v.Meta().Index
		}
	}
	return key
}

// soundSharing opens every share of a sharing with its holder's wrapping key and checks it
// against the public side, which must be of the key.
func (w *world) soundSharing(k *fsm.Key, s *fsm.Sharing) {
	w.t.Helper()
	pub, err := frost.DecodePublicKey(s.Public)
	w.ok(err)
	if !bytes.Equal(pub.Compressed(), k.Point) || pub.Epoch() != s.Epoch || pub.Threshold() != int(k.Signers) || len(pub.Holders()) != len(s.Shares) {
		w.t.Errorf("sharing %d is %d of %v in epoch %d of key %x; the key is %x", s.Epoch, pub.Threshold(), pub.Holders(), pub.Epoch(), pub.Compressed(), k.Point)
	}
	for _, sealed := range s.Shares {
		plain, err := w.nodes[sealed.Region].unwrap(s.Wrap, sealed.Box, vault.ShareInfo(w.kit.Cluster(), k.ID, s.Epoch, sealed.Region))
		w.ok(err)
		share, err := frost.DecodeShare(plain)
		w.ok(err)
		w.ok(share.Matches(pub))
	}
}

// refresh asks for a new sharing; no holders: the same as before.
func (w *world) refresh(id command.KeyID, holders ...identity.RegionID) {
	w.t.Helper()
	w.must(w.dual(&command.RefreshKey{Key: id, Holders: holders, Reason: "test"}))
}

func TestThresholdKeyIsMade(t *testing.T) {
	i := 0
	for _, curve := range []command.Curve{ed25519Curve, taproot} {
		for signers := uint8(2); signers <= 4; signers++ {
			t.Run(fmt.Sprintf("%s/%d", curve, signers), func(t *testing.T) {
				sample(t, &i, 4)
				simulate(t, func(t *testing.T, w *world) {
					began := time.Now()
					k := w.threshold(curve, signers)
					if took := time.Since(began); took > time.Second {
						t.Errorf("took %s", took)
					}
					pub, err := frost.DecodePublicKey(k.Sharing.Public)
					w.ok(err)
					if want := frost.ChainCode(k.Sharing.Transcript); k.Chain != want || k.Ceremony != nil {
						t.Errorf("chain code %x, want %x; ceremony %v", k.Chain, want, k.Ceremony)
					}
					if n := map[command.Curve]int{ed25519Curve: 32, taproot: 33}[curve]; len(k.Point) != n || len(pub.Holders()) != 4 {
						t.Errorf("a point of %d bytes, held by %v", len(k.Point), pub.Holders())
					}
					for _, n := range w.all() {
						if len(n.token.keys) != 0 {
							t.Errorf("region %d made a private key for it", n.id)
						}
					}
					if n := w.neverMixed(); n != 16 {
						t.Errorf("%d messages, want one a step of each region", n)
					}
					if n := w.commands(command.TypeHashDealing, command.TypeDeal, command.TypeDealShares, command.TypeFinishShare); n != 16 {
						t.Errorf("%d messages were filed, want one a step of each region", n)
					}
				})
			})
		}
	}
}

// commands counts what is in the log of some types, whatever became of it.
func (w *world) commands(types ...command.Type) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, in := range w.log {
		for _, c := range in.Entry.Commands {
			if slices.Contains(types, c.Type) {
				n++
			}
		}
	}
	return n
}

// TestLaggingReplica: a region hears of its message's commit before its own replica shows
// it, and says nothing twice.
func TestLaggingReplica(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.nodes[3].set(func() { w.nodes[3].lag = 2 })
		id := w.newThreshold(ed25519Curve, 2)
		for range 100 {
			w.passes(100 * time.Millisecond)
		}
		w.nodes[3].set(func() { w.nodes[3].lag = 0 })
		w.passes(time.Second)
		w.live(id, 1)
		w.untroubled(id)
		if n := w.commands(command.TypeHashDealing, command.TypeDeal, command.TypeDealShares, command.TypeFinishShare); n != 16 {
			t.Errorf("%d messages were filed, want one a step of each region", n)
		}
	})
}

// TestKeyAcrossOceans: a new key between regions 200 ms apart there and back.
func TestKeyAcrossOceans(t *testing.T) {
	i := 0
	for _, curve := range []command.Curve{ed25519Curve, taproot} {
		t.Run(curve.String(), func(t *testing.T) {
			sample(t, &i, 2)
			simulate(t, func(t *testing.T, w *world) {
				w.set(func() { w.way = 100 * time.Millisecond })
				for _, first := range []bool{true, false} {
					began := time.Now()
					w.threshold(curve, 2)
					took := time.Since(began)
					t.Logf("took %s; first key of the vault: %v", took.Round(time.Millisecond), first)
					if took > 3*time.Second {
						t.Errorf("took %s", took)
					}
				}
			})
		})
	}
}

// TestRefresh: the key stays, the shares are new, and the old ones stand until they retire.
func TestRefresh(t *testing.T) {
	i := 0
	for _, curve := range []command.Curve{ed25519Curve, taproot} {
		t.Run(curve.String(), func(t *testing.T) {
			sample(t, &i, 2)
			simulate(t, func(t *testing.T, w *world) {
				first := w.threshold(curve, 2)
				for epoch := uint32(2); epoch <= 3; epoch++ {
					old := w.keyRow(first.ID)
					w.refresh(first.ID)
					k := w.live(first.ID, epoch)
					if !bytes.Equal(k.Point, first.Point) || k.Chain != first.Chain {
						t.Fatal("the key changed")
					}
					if k.Retiring == nil || k.Retiring.Epoch != old.Sharing.Epoch {
						t.Fatalf("retiring %v, want sharing %d", k.Retiring, old.Sharing.Epoch)
					}
					w.soundSharing(k, k.Retiring)
					for i := range k.Sharing.Shares {
						if bytes.Equal(w.share(k, k.Sharing, i), w.share(k, k.Retiring, i)) {
							t.Errorf("share %d is the old one", i)
						}
					}
					w.passes(2 * time.Minute)
					if k := w.keyRow(first.ID); k.Retiring != nil {
						t.Error("the old sharing never retires")
					}
				}
				w.neverMixed()
			})
		})
	}
}

// share is one region's share, opened.
func (w *world) share(k *fsm.Key, s *fsm.Sharing, i int) []byte {
	sealed := s.Shares[i]
	plain, err := w.nodes[sealed.Region].unwrap(s.Wrap, sealed.Box, vault.ShareInfo(w.kit.Cluster(), k.ID, s.Epoch, sealed.Region))
	w.ok(err)
	return plain
}

// passes lets time pass, on the committed clock too.
func (w *world) passes(d time.Duration) {
	w.t.Helper()
	for range 4 {
		time.Sleep(d / 4)
		if _, err := w.leading().Propose(w.t.Context(), w.command(&command.Tick{}, time.Minute, w.leading().session)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestReshare: three living regions take a dead one's part over, and bring its replacement
// in again, with an HSM that never saw the key.
func TestReshare(t *testing.T) {
	i := 0
	for _, curve := range []command.Curve{ed25519Curve, taproot} {
		t.Run(curve.String(), func(t *testing.T) {
			sample(t, &i, 2)
			simulate(t, func(t *testing.T, w *world) {
				first := w.threshold(curve, 2)
				w.nodes[4].kill()
				w.refresh(first.ID, 1, 2, 3)
				k := w.live(first.ID, 2)
				if len(k.Sharing.Shares) != 3 || !bytes.Equal(k.Point, first.Point) {
					t.Fatalf("%d holders of key %x", len(k.Sharing.Shares), k.Point)
				}
				w.passes(2 * time.Minute)
				w.nodes[4].replaceHSM()
				w.nodes[4].restart()
				w.refresh(first.ID, everyone...)
				k = w.live(first.ID, 3)
				if len(k.Sharing.Shares) != 4 || !bytes.Equal(k.Point, first.Point) || k.Chain != first.Chain {
					t.Fatalf("%d holders of key %x", len(k.Sharing.Shares), k.Point)
				}
				w.neverMixed()
			})
		})
	}
}

// TestLeavingDealer: a region that deals its share to others and keeps none, and dies in
// between.
func TestLeavingDealer(t *testing.T) {
	i := 0
	for _, step := range []command.Type{command.TypeHashDealing, command.TypeDeal, command.TypeDealShares} {
		t.Run(step.String(), func(t *testing.T) {
			sample(t, &i, 3)
			simulate(t, func(t *testing.T, w *world) {
				first := w.threshold(taproot, 3)
				g := w.gate(4, step)
				w.refresh(first.ID, 1, 2, 3)
				w.eventually("the step is reached", g.seen.Load)
				w.nodes[4].kill()
				w.set(func() { w.rewrite = nil })
				w.nodes[4].restart()
				k := w.live(first.ID, 2)
				if !slices.Equal(k.Regions, []identity.RegionID{1, 2, 3}) || !bytes.Equal(k.Point, first.Point) {
					t.Errorf("key %x held by %v", k.Point, k.Regions)
				}
				if dealt := filed[*command.DealShares](w); len(dealt[4]) != 1 {
					t.Errorf("region 4 dealt %d times since it died", len(dealt[4]))
				}
				w.untroubled(first.ID)
				w.neverMixed()
			})
		})
	}
}

// TestLeavingDealerWithoutANewWrappingKey: what it deals from lies under the old one.
func TestLeavingDealerWithoutANewWrappingKey(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		id := w.threshold(ed25519Curve, 3).ID
		g := w.gate(4, command.TypeOfferWrap)
		w.refresh(id, 1, 2, 3)
		w.eventually("it would offer one", g.seen.Load)
		w.live(id, 2)
		w.untroubled(id)
		if dealt := filed[*command.DealShares](w); len(dealt[4]) != 2 { // one for the new key
			t.Errorf("region 4 dealt %d times", len(dealt[4]))
		}
		w.neverMixed()
	})
}

// unwrap opens what was sealed to a region under a wrapping epoch that is not destroyed, or
// that was opened here before it was.
func (n *node) unwrap(epoch uint32, sealed, info []byte) ([]byte, error) {
	k, err := n.wrapKey(epoch)
	if err != nil {
		return nil, err
	}
	return k.Open(sealed, info)
}

func (n *node) wrapKey(epoch uint32) (*box.Key, error) {
	if k := n.opened[epoch]; k != nil {
		return k, nil
	}
	for _, at := range n.all() {
		e, ok := at.View().Wrap(epoch)
		if !ok || e.Key(n.id) == nil {
			continue
		}
		k, err := n.epochs.OpenWrap(context.Background(), epoch, e.Key(n.id).Sealed)
		if err == nil {
			n.opened[epoch] = k
		}
		return k, err
	}
	return nil, errs.New(errs.NotFound, "nobody knows wrapping epoch %d of region %d", epoch, n.id)
}

// replaceHSM gives the region an HSM that holds nothing yet.
func (n *node) replaceHSM() {
	n.epochs, n.opened = newEpochs(n.kit.Cluster(), n.id+10), map[uint32]*box.Key{}
}
