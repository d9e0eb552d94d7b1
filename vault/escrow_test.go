package vault_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/escrow"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const escrowDelay = 10 * time.Minute

// officers are three people with age keys.
type officers struct {
	ids        []age.Identity
	recipients []string
}

func newOfficers(t testing.TB) (o officers) {
	for range 3 {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		o.ids, o.recipients = append(o.ids, id), append(o.recipients, id.Recipient().String())
	}
	return o
}

// escrow is what this region does with its share when an escrow is due.
func (n *node) escrow(view fsm.View, k *fsm.Key, e *fsm.Escrow, epoch uint32, share []byte) ([]byte, error) {
	return escrow.Seal(escrow.TermsOf(view.Cluster(), k.ID, e, epoch), n.id, view.Regions(), share)
}

// allowEscrow has the vault allow escrow after a delay; 0 forbids it.
func (w *world) allowEscrow(least time.Duration) {
	s := w.leading().View().Settings()
	s.EscrowDelay = least
	w.must(w.dual(&command.Configure{Settings: s}))
}

func (w *world) escrowKey(id command.KeyID, o officers) {
	w.must(w.dual(&command.EscrowKey{Key: id, Officers: o.recipients, M: 2, Delay: escrowDelay, Disaster: true, Reason: "test"}))
}

// filedShares counts what left the regions, whatever became of it.
func (w *world) filedShares() int { return w.commands(command.TypeEscrowShare) }

func (w *world) restored(k *fsm.Key, e *fsm.Escrow, o officers) {
	w.t.Helper()
	b := &escrow.Bundle{Terms: escrow.TermsOf(w.kit.Cluster(), k.ID, e, e.Epoch), Name: k.Name, Public: e.Public, Chain: k.Chain, Boxes: e.Boxes}
	secret, skipped, err := escrow.Recover(b, nil, o.ids[1:])
	w.ok(err)
	msg := []byte("signed by officers")
	sig, err := secret.Sign(rand.Reader, msg)
	w.ok(err)
	if !ed25519.Verify(k.Point, msg, sig) || len(skipped) != 0 {
		w.t.Errorf("the restored key is not the vault's; left out %v", skipped)
	}
}

// TestEscrow: nothing leaves before its time; then every holder files, the officers restore
// the key, and what it signs is the old public key's. A refresh changes nothing of that.
func TestEscrow(t *testing.T) {
	o := newOfficers(t)
	simulate(t, func(t *testing.T, w *world) {
		k := w.threshold(ed25519Curve, 3)
		w.allowEscrow(escrowDelay)
		w.escrowKey(k.ID, o)
		w.passes(escrowDelay - time.Second)
		if n := w.filedShares(); n != 0 {
			t.Fatalf("%d shares left early", n)
		}
		w.eventually("escrowed", func() bool { e := w.keyRow(k.ID).Escrows[0]; return e.Live() && len(e.Boxes) == 4 })
		if n := w.filedShares(); n != 4 {
			t.Errorf("%d shares filed, want one a region", n)
		}
		w.restored(k, w.keyRow(k.ID).Escrows[0], o)
		w.refresh(k.ID)
		k = w.live(k.ID, 2)
		w.passes(2 * fsm.RetireTime)
		w.restored(k, w.keyRow(k.ID).Escrows[0], o) // healed by nothing
		if n := w.filedShares(); n != 4 {
			t.Errorf("%d shares filed after the refresh", n)
		}
	})
}

// TestEscrowByBothClocks: a leader whose stamps run ahead moves the committed clock past
// the hour, and no region gives anything before its own clock is there.
func TestEscrowByBothClocks(t *testing.T) {
	o := newOfficers(t)
	simulate(t, func(t *testing.T, w *world) {
		k := w.threshold(ed25519Curve, 2)
		w.allowEscrow(escrowDelay)
		w.escrowKey(k.ID, o)
		due := w.keyRow(k.ID).Escrows[0].NotBefore
		w.set(func() { w.ahead = escrowDelay + time.Minute })
		w.leading().Propose(t.Context(), w.command(&command.Tick{}, time.Hour, w.leading().session)) //nolint:errcheck // seen below
		if c := w.leading().View().Clock(); c.Before(due) {
			t.Fatalf("the committed clock is at %s, not past %s", c, due)
		}
		time.Sleep(time.Until(due) - time.Second)
		if n := w.filedShares(); n != 0 {
			t.Fatalf("%d shares left on the word of a stamp", n)
		}
		w.set(func() { w.ahead = 0 })
		time.Sleep(time.Minute)
		w.eventually("escrowed", func() bool { return w.keyRow(k.ID).Escrows[0].Live() })
	})
}

// TestEscrowIsHeldBack: cancelled, frozen or forbidden, nothing leaves at the hour; a
// region that is stopped or has no lease gives nothing either.
func TestEscrowIsHeldBack(t *testing.T) {
	o := newOfficers(t)
	for name, c := range map[string]struct {
		stop, goOn func(w *world, k *fsm.Key)
	}{
		"cancelled": {func(w *world, k *fsm.Key) {
			w.must(w.command(&command.CancelEscrow{Key: k.ID, Reason: "no"}, time.Minute, w.admin[1]))
		}, nil},
		"key frozen": {func(w *world, k *fsm.Key) { w.must(w.command(&command.FreezeKey{Key: k.ID}, time.Minute, w.admin[0])) },
			func(w *world, k *fsm.Key) { w.must(w.dual(&command.UnfreezeKey{Key: k.ID})) }},
		"child frozen": {func(w *world, k *fsm.Key) {
			w.must(w.command(&command.FreezePath{Key: k.ID, Path: []uint32{3}}, time.Minute, w.admin[0]))
		},
			func(w *world, k *fsm.Key) { w.must(w.dual(&command.UnfreezePath{Key: k.ID, Path: []uint32{3}})) }},
		"vault frozen": {func(w *world, _ *fsm.Key) { w.must(w.command(&command.FreezeVault{}, time.Minute, w.admin[0])) },
			func(w *world, _ *fsm.Key) { w.must(w.dual(&command.UnfreezeVault{})) }},
		"forbidden": {func(w *world, _ *fsm.Key) { w.allowEscrow(0) }, func(w *world, _ *fsm.Key) { w.allowEscrow(escrowDelay) }},
		"stopped": {func(w *world, _ *fsm.Key) {
			for _, n := range w.all() {
				_, err := n.vault.StopHere(context.Background(), w.admin[0].Public().Fingerprint(), "drill")
				w.ok(err)
			}
		}, nil},
		"no lease": {func(w *world, _ *fsm.Key) { w.leases(func() error { return errs.New(errs.NotReady, "none") }) },
			func(w *world, _ *fsm.Key) { w.leases(nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				k := w.threshold(ed25519Curve, 2)
				w.allowEscrow(escrowDelay)
				w.escrowKey(k.ID, o)
				c.stop(w, k)
				w.passes(2 * escrowDelay)
				if n := w.filedShares(); n != 0 {
					t.Fatalf("%d shares left", n)
				}
				if c.goOn != nil {
					c.goOn(w, k)
					w.eventually("escrowed", func() bool { return w.keyRow(k.ID).Escrows[0].Live() })
					w.restored(k, w.keyRow(k.ID).Escrows[0], o)
				}
			})
		})
	}
}

func (w *world) leases(lease func() error) {
	for _, n := range w.all() {
		n.set(func() { n.lease = lease })
	}
}

// TestEscrowWithADeadRegion: enough holders are enough; one that comes back files too.
func TestEscrowWithADeadRegion(t *testing.T) {
	o := newOfficers(t)
	simulate(t, func(t *testing.T, w *world) {
		k := w.threshold(ed25519Curve, 2)
		w.allowEscrow(escrowDelay)
		w.escrowKey(k.ID, o)
		w.nodes[4].kill()
		w.passes(escrowDelay)
		w.eventually("escrowed", func() bool { e := w.keyRow(k.ID).Escrows[0]; return e.Live() && len(e.Boxes) == 3 })
		w.restored(k, w.keyRow(k.ID).Escrows[0], o)
		w.nodes[4].restart()
		w.eventually("filed", func() bool { return w.keyRow(k.ID).Escrows[0].Box(identity.RegionID(4)) != nil })
	})
}
