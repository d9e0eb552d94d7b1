package vault_test

import (
	"context"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// paying spends one output of each child in one transaction.
func (w *world) paying(k *fsm.Key, paths ...[]uint32) *command.Command {
	w.t.Helper()
	wallet, err := k.Info().Taproot()
	w.ok(err)
	var outs []*intent.TaprootOutput
	var amounts []int64
	for _, p := range paths {
		o, err := wallet.Output(p...)
		w.ok(err)
		outs, amounts = append(outs, o), append(amounts, 10_000)
	}
	psbt := intenttest.TaprootPSBT(2, wallet, intenttest.FundTaproot(1, outs, amounts...), outs, intenttest.To(1, 5_000))
	return w.command(&command.RequestSignature{Key: k.ID, Kind: command.KindPSBT, Payload: psbt}, time.Minute, w.client)
}

// TestFrozenChild: of a payment every region asked refuses all if one input is under the
// frozen child; others are signed, and what was open when the freeze ended has failed.
func TestFrozenChild(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Secp256k1, 2)
		mixed := w.abandoned(w.paying(k, []uint32{0, 1}, []uint32{1, 7}))
		q, drawn := w.question(mixed)
		w.apply(w.command(&command.FreezePath{Key: k.ID, Path: []uint32{1}, Reason: "stolen"}, time.Minute, w.admin[0]))
		for _, r := range drawn {
			if a, err := w.nodes[r].ask(q); err != nil || a.Items[0].Code != errs.Frozen || len(a.Items[0].Signatures) != 0 {
				t.Errorf("region %d: answer %+v, %v", r, a, err)
			}
		}
		w.lead(1)
		if _, err := w.leading().vault.Sign(context.Background(), w.paying(k, []uint32{0, 2}, []uint32{1})); errs.CodeOf(err) != errs.Frozen {
			t.Errorf("a payment from the frozen child: %v", err)
		}
		clean := w.paying(k, []uint32{0, 1}, []uint32{0, 2}, nil)
		w.proven(k, clean, w.sign(clean))
		w.must(w.dual(&command.UnfreezePath{Key: k.ID, Path: []uint32{1}}))
		w.eventually("the request of before has failed", func() bool {
			q, ok := w.nodes[1].View().Request(mixed.ID)
			return ok && q.State == fsm.RequestFailed
		})
		after := w.paying(k, []uint32{1, 7})
		w.proven(k, after, w.sign(after))
		w.oneNonceOneMessage()
	})
}

// TestFrozenChildWhileWaiting: who waits for a signature when its child is frozen is told
// so, and a new leader signs nothing either.
func TestFrozenChildWhileWaiting(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		w.set(func() {
			w.tamper = func(_, _ identity.RegionID, m *message) { m.err = errs.New(errs.Unavailable, "cut") }
		})
		c := w.joint(k, "in vain", 0, 5, 1)
		told := make(chan error, 1)
		go func() {
			_, err := w.leading().vault.Sign(context.Background(), c)
			told <- err
		}()
		id := command.RequestIDOf(c.Principal, c.ID)
		w.eventually("it is open", func() bool { _, ok := w.nodes[1].View().Request(id); return ok })
		w.must(w.command(&command.FreezePath{Key: k.ID, Path: []uint32{0, 5}, Reason: "stolen"}, time.Minute, w.admin[0]))
		w.set(func() { w.tamper = nil })
		if err := <-told; errs.CodeOf(err) != errs.Frozen {
			t.Errorf("who waited was told %v", err)
		}
		w.lead(2)
		if req, err := w.leading().vault.Sign(context.Background(), c); errs.CodeOf(err) != errs.Frozen {
			t.Errorf("asked again of another leader: %+v, %v", req, err)
		}
		w.oneNonceOneMessage()
	})
}

// TestBrakeOfAChild: a region freezes a child by itself, and others acknowledge it.
func TestBrakeOfAChild(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		c, o, err := w.nodes[3].vault.Brake(context.Background(), k.ID, "intruder", 4, 2)
		w.ok(err)
		w.ok(o.Err())
		for _, n := range w.all() {
			a, err := n.ack(c, 1, time.Second)
			w.ok(err)
			if cm := c.Commitment(); a.Code != errs.OK || !a.Placed() || a.Command != cm.Hash(w.kit.Cluster()) {
				t.Errorf("region %d: %+v", n.id, a)
			}
		}
		if _, err := w.leading().vault.Sign(context.Background(), w.joint(k, "no", 4, 2, 0)); errs.CodeOf(err) != errs.Frozen {
			t.Errorf("signing under a region's freeze: %v", err)
		}
		ok := w.joint(k, "yes", 4)
		w.proven(k, ok, w.sign(ok))
		w.must(w.dual(&command.MuteRegion{Region: 3, Muted: true}))
		if _, o, err := w.nodes[3].vault.Brake(context.Background(), k.ID, "again", 4); err != nil || o.Code != errs.Denied {
			t.Errorf("a muted region froze: %s, %v", o.Code, err)
		}
	})
}
