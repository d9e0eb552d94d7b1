package auditor_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// loss is what enrols a region with another HSM, in one entry; after it the region is next.
func (w *world) loss(id identity.RegionID) (cs []*command.Command, next *fsmtest.Region) {
	b, next := w.Enrol(w.Region(id))
	return []*command.Command{w.By(w.Region(id).Session, &command.ReportHealth{Region: id}), w.Dual(b)}, next
}

// replaced has region 3 enrolled with another HSM, after some signatures, and start with it.
func replaced(t testing.TB) (w *world, hot command.KeyID, old *fsmtest.Region) {
	w = newWorld(t)
	hot = w.key("hot", command.P256, 2, nil)
	w.complete(w.ask(hot, "one", "two"), 1)
	late := w.ask(hot, "answered while it happens")
	if _, drawn := late.answers[3]; drawn {
		late = nil
	}
	old = w.Region(3)
	cs, next := w.loss(3)
	w.ok(cs...)
	w.Regions[2] = next
	if late != nil {
		w.complete(late, 2)
	}
	w.ok(w.Register(next))
	w.complete(w.ask(hot, "three"), 3)
	return w, hot, old
}

// TestReenrolledHistory: signatures, sessions and certificates of before are verified under
// the old identity, those of after under the new one.
func TestReenrolledHistory(t *testing.T) {
	w, _, _ := replaced(t)
	fresh := w.key("fresh", command.P256, 3, nil)
	w.complete(w.ask(fresh, "four", "five"), 3)
	r := w.clean()
	if len(r.Enrolled) != 1 || r.Enrolled[0].Region != 3 || r.Enrolled[0].Identity != w.Region(3).Identity.Public().Fingerprint().String() || len(r.SignedBy) != 3 {
		t.Fatalf("%+v, signed by %v", r.Enrolled, r.SignedBy)
	}
}

// TestReenrolledWithinAnEntry: what stands before it in one entry is judged by who the region
// was then, though the state after the entry knows the other one only.
func TestReenrolledWithinAnEntry(t *testing.T) {
	w := newWorld(t)
	hot, cold := w.key("hot", command.P256, 2, nil), w.threshold("cold", command.Ed25519, nil)
	pending := w.ok(w.Dual(&command.CreateKey{Name: "pending", Tenant: "acme", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2})).Outcomes[0].Key
	k := newSigningKey(command.P256, "pending")
	proof := sha256.Sum256(command.PossessionBytes(w.Cluster(), pending, 3))
	region, was := w.Region(3), w.Region(3).Session
	attest := w.AttestWith(region, pending, k.public(3), k.sign(3, proof[:]), []byte("attributes"))
	ask := message("in the same entry")
	ask.Key = hot
	w.NewSession(region, w.Now.Add(time.Millisecond))
	gone, next := w.loss(3)
	w.closing = append([]*command.Command{attest, w.By(w.signer, ask), w.Register(region)}, gone...)
	region.Session = was // says what it says in the ceremony
	w.refresh(cold)
	w.Regions[2] = next
	w.ok(w.Register(next))
	r := w.clean()
	if len(r.Enrolled) != 1 || r.Open != 1 {
		t.Fatalf("%+v", r)
	}
	if key, _ := w.Machine.View().Key(cold.id); key.Holds(3) || key.Sharing.Epoch != 2 {
		t.Fatalf("%+v", key.Sharing)
	}
}

// TestGhostOfAnHSM: what an HSM that was replaced signs afterwards is found, wherever it turns up.
func TestGhostOfAnHSM(t *testing.T) {
	by := func(w *world, old *fsmtest.Region) func(m command.Meta) []byte {
		return func(m command.Meta) []byte {
			now := w.Region(3)
			w.Regions[2] = old
			defer func() { w.Regions[2] = now }()
			return w.certify(place(m), 1, 2, 3).Encode()
		}
	}
	t.Run("certificate", func(t *testing.T) {
		w, hot, old := replaced(t)
		w.cover = by(w, old)
		w.complete(w.ask(hot, "under way when it was replaced"), 1)
		w.clean()
		for range 300 {
			w.ok(w.By(w.Region(1).Session, &command.Tick{}))
		}
		w.complete(w.ask(hot, "long after"), 1)
		r, err := w.verify()
		wantFinding(t, r, err, auditor.KindCertified)
	})
	t.Run("session in a certificate", func(t *testing.T) {
		w, hot, old := replaced(t)
		w.NewSession(old, w.Now)
		w.cover = func(m command.Meta) []byte {
			now := w.Region(3)
			w.Regions[2] = old
			defer func() { w.Regions[2] = now }()
			c := w.certify(place(m), 1, 2, 3)
			c.Introduce([]*identity.SessionCert{old.Session.Cert})
			return c.Encode()
		}
		w.complete(w.ask(hot, "right after"), 1) // nobody had registered it before
		r, err := w.verify()
		wantFinding(t, r, err, auditor.KindCertified)
	})
	t.Run("checkpoint", func(t *testing.T) {
		w, _, old := replaced(t)
		w.Regions[2] = old
		r, err := w.verify()
		wantFinding(t, r, err, auditor.KindCheckpoint)
	})
	t.Run("session", func(t *testing.T) {
		w, _, old := replaced(t)
		w.NewSession(old, w.Now.Add(time.Second))
		if res := w.do(w.Register(old)); res.Outcomes[0].Code != errs.Unauthenticated {
			t.Fatalf("%+v", res.Outcomes)
		}
		w.clean() // refused, and so recorded
		w.leaves[len(w.leaves)-1].Code = errs.OK
		r, err := w.verify()
		wantFinding(t, r, err, auditor.KindSignature)
		if !slices.ContainsFunc(r.Findings, func(f auditor.Finding) bool { return f.Kind == auditor.KindAnswer }) {
			t.Errorf("the books believe the old identity: %v", r.Findings)
		}
	})
}

// TestPlantedEnrolment: one administrator, or a proof of another key, enrols nobody.
func TestPlantedEnrolment(t *testing.T) {
	for name, plant := range map[string]func(w *world) *command.Command{
		"one administrator": func(w *world) *command.Command { b, _ := w.Enrol(w.Region(3)); return w.By(w.Admins[0], b) },
		"no proof": func(w *world) *command.Command {
			b, _ := w.Enrol(w.Region(3))
			b.Proof = bytes.Clone(b.Proof)
			b.Proof[0] ^= 1
			return w.Dual(b)
		},
	} {
		w := newWorld(t)
		w.ok(w.By(w.Region(3).Session, &command.ReportHealth{Region: 3}))
		if res := w.do(plant(w)); res.Outcomes[0].Code == errs.OK {
			t.Fatalf("%s: carried out", name)
		}
		w.leaves[len(w.leaves)-1].Code = errs.OK
		if r, err := w.verify(); errs.CodeOf(err) != errs.Unverified || len(r.Findings) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
