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
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// lose takes a region's disk and HSM away for good. The others say so when it is drawn next.
func (w *world) lose(id identity.RegionID, k *fsm.Key) {
	w.t.Helper()
	w.nodes[id].kill()
	for i := 0; ; i++ {
		if r, _ := w.leading().View().Region(id); !r.Healthy {
			return
		}
		w.through(k, fmt.Sprintf("region %d is away: %d", id, i))
	}
}

// quarantine takes a region out or lets it back in.
func (w *world) quarantine(id identity.RegionID, on bool) {
	w.t.Helper()
	w.must(w.dual(&command.QuarantineRegion{Region: id, Quarantined: on, Reason: "its HSM is lost"}))
}

// reenrol has two administrators enrol a lost region with another HSM and starts it there:
// nothing of the old one is left, and its replica begins from nothing.
func (w *world) reenrol(id identity.RegionID) {
	w.t.Helper()
	b, next := w.kit.Enrol(w.kit.Region(id), time.Now())
	w.must(w.dual(b))
	w.kit.Regions[id-1] = next
	n := w.nodes[id]
	machine, err := fsm.New(w.kit.Genesis, fsm.Options{Verify: fsm.NewVerifier(1 << 12).Verify})
	w.ok(err)
	n.mu.Lock()
	n.token, n.epochs, n.opened = newToken(), newEpochs(w.kit.Cluster(), id+100), map[uint32]*box.Key{}
	n.machine, n.disk, n.session, n.shareless = machine, durabletest.New(), next.Session, true
	n.mu.Unlock()
	if r, _ := w.leading().View().Region(id); r.Status == fsm.RegionQuarantined {
		w.quarantine(id, false)
	}
	n.start()
	n.catchUp()
	w.eventually("back", func() bool {
		r, _ := w.leading().View().Region(id)
		return r.Healthy && len(r.Sessions) == 1 && r.Sessions[0].Session.Equal(next.Session.Public())
	})
}

// TestReenrolled: a region loses disk and HSM and comes back with another one. Meanwhile and
// before it has new shares the others sign; afterwards it is drawn again, by every scheme.
func TestReenrolled(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		multi, joint := w.key(p256, 2), w.ready(ed25519Curve, 2)
		w.through(multi, "before")
		w.lose(3, multi)
		w.reenrol(3)
		w.drawsWithout(3, multi, joint, 6)

		w.stocked(ed25519Curve)
		w.refresh(joint.ID, 1, 2, 3, 4)
		w.live(joint.ID, 2)
		w.refreshBeacon(1, 1, 2, 3, 4)
		w.passes(2 * time.Minute)
		fresh := w.keyNamed("fresh", p256, 2)
		drawn := 0
		for i := range 12 {
			c := w.joint(joint, fmt.Sprint("after ", i))
			req := w.sign(c)
			w.proven(joint, c, req)
			drawn += signs(req, 3)
			w.through(fresh, fmt.Sprint("fresh ", i))
		}
		if drawn == 0 {
			t.Error("in twelve draws the region was never among the signers")
		}
		w.lose(2, fresh)
		w.through(fresh, "with the partial of the new share") // three are left, it is one of them
		w.drawsProven()
		w.oneNonceOneMessage()
	})
}

// drawsWithout signs with both keys and sees that the region has no part in it.
func (w *world) drawsWithout(id identity.RegionID, multi, joint *fsm.Key, times int) {
	w.t.Helper()
	for i := range times {
		w.through(multi, fmt.Sprint("without ", i))
		c := w.joint(joint, fmt.Sprint("without ", i))
		req := w.sign(c)
		w.proven(joint, c, req)
		if last := req.Attempts[len(req.Attempts)-1]; slices.Contains(last.Eligible, id) || signs(req, id) > 0 {
			w.t.Fatalf("drawn among %v", last.Eligible)
		}
	}
	k := w.keyRow(multi.ID)
	if !k.Attested(id).Lost {
		w.t.Fatalf("%+v", k.Attestations)
	}
}

func signs(req *fsm.Request, id identity.RegionID) int {
	if slices.ContainsFunc(req.Results, func(s fsm.SignatureSet) bool { return s.Region == id }) {
		return 1
	}
	return 0
}

// keyNamed makes another multisig key.
func (w *world) keyNamed(name string, curve command.Curve, signers uint8) *fsm.Key {
	w.t.Helper()
	id := w.must(w.dual(&command.CreateKey{Name: name, Tenant: "acme", Scheme: command.SchemeMultisig, Curve: curve, Signers: signers, AllowBlind: true})).Key
	w.eventually("key active", func() bool { k := w.keyRow(id); return k != nil && k.State == fsm.KeyActive })
	return w.keyRow(id)
}

// TestReenrolledMeanwhile: what is being made while a region is lost comes through once it is
// back: a ceremony that it holds in, and a key that waits for its attestation.
func TestReenrolledMeanwhile(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		joint := w.ready(ed25519Curve, 2)
		w.nodes[3].token.fail(errs.New(errs.HSMFailed, "broken"))
		id := w.must(w.dual(&command.CreateKey{Name: "waits", Tenant: "acme", Scheme: command.SchemeMultisig, Curve: p256, Signers: 2, AllowBlind: true})).Key
		w.nodes[3].kill()
		w.refresh(joint.ID)
		w.quarantine(3, true)
		w.reenrol(3)
		w.live(joint.ID, 2)
		w.eventually("key active", func() bool { return w.keyRow(id).State == fsm.KeyActive })
		w.through(w.keyRow(id), "all four attested it")
		if k := w.keyRow(id); len(k.Attestations) != 4 || len(k.Lost()) != 0 {
			t.Errorf("%+v", k.Attestations)
		}
	})
}

// TestStolenHSM: a region whose HSM was taken while it ran, and which is enrolled with another
// one. Its old process, told of it, gives no partial and signs nothing any more.
func TestStolenHSM(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k, joint := w.key(p256, 2), w.ready(ed25519Curve, 2)
		_, stolen := w.cloned(3)
		w.passes(time.Second)
		w.through(k, "before")
		if _, err := stolen.vault.Evaluate(w.lastDraw()); err != nil {
			t.Errorf("no partial while it is the region: %v", err)
		}
		w.nodes[3].kill()
		w.quarantine(3, true)
		w.reenrol(3)
		if _, err := stolen.vault.Evaluate(w.lastDraw()); errs.CodeOf(err) != errs.Denied {
			t.Errorf("the old process gives a partial: %v", err)
		}
		w.drawsWithout(3, k, joint, 3)
	})
}

// TestReenrolledUnderALiar: who leads keeps the enrolment back until the region came with yet
// another HSM, and as a dealer gives it boxes that do not open. The old command is of no use,
// and the region gets its share from the others.
func TestReenrolledUnderALiar(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(ed25519Curve, 2)
		w.nodes[3].kill()
		w.quarantine(3, true)
		b, _ := w.kit.Enrol(w.kit.Region(3), time.Now())
		kept := w.dual(b)
		w.set(func() { w.withhold = func(c *command.Command) bool { return c == kept } })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := w.leading().vault.Submit(ctx, kept); err == nil {
			t.Fatal("it was not kept back")
		}
		w.set(func() {
			w.withhold = nil
			w.rewrite = func(from identity.RegionID, body command.Body) command.Body {
				d, ok := body.(*command.DealShares)
				if !ok || from != 1 {
					return body
				}
				spoilt := *d
				spoilt.Sealed = slices.Clone(d.Sealed)
				spoilt.Sealed[2] = bytes.Repeat([]byte{7}, len(d.Sealed[2]))
				return &spoilt
			}
		})
		w.reenrol(3)
		reply := make(chan fsm.Outcome, 1)
		w.queue <- proposal{kept, reply}
		if o := <-reply; o.Code != errs.Stale {
			t.Errorf("the command that was kept back: %s (%s)", o.Code, o.Text)
		}
		w.refresh(k.ID, 1, 2, 3, 4)
		w.eventually("it is named", func() bool { return len(w.faults(k.ID)) > 0 })
		w.passes(3 * time.Minute)
		if k = w.live(k.ID, 2); !k.Holds(3) {
			t.Errorf("%+v", k.Sharing)
		}
	})
}

// lastDraw is the place of the last entry that opened a draw.
func (w *world) lastDraw() command.Meta {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, in := range slices.Backward(w.log) {
		if opensDraws(in.Entry) {
			return in.Meta
		}
	}
	w.t.Fatal("nothing was drawn")
	return command.Meta{}
}
