package fsm_test

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// FuzzApply applies whatever decodes as an entry, all signatures taken for good, on a
// state with everything in it: no panic, one outcome and leaf a command, never Internal.
func FuzzApply(f *testing.F) {
	trust := func(identity.PublicKey, []byte, []byte) bool { return true }
	base := variedThreshold(f)
	snapshot := written(f, base.Machine)
	for i := range base.Inputs {
		f.Add(base.Inputs[i].Entry.Encode())
	}
	l := variedThreshold(f)
	l.Now = l.Now.Add(1)
	for _, b := range []command.Body{&command.Complete{Answers: [][]byte{{1}}}, &command.OpenAttempt{Words: [][]byte{{}}},
		&command.ReportHealth{Region: 2}, &command.ConfirmKey{}, &command.AttestKey{}, &command.RegisterSession{},
		&command.AccuseDealer{Against: 2}, &command.DropWrap{Epoch: 1}, &command.FinishShare{}, &command.HashDealing{Seed: []byte{1}},
		&command.OfferNonces{Curve: command.Ed25519, Commitments: l.Commitments(l.Region(1), command.Ed25519, 99, 2)},
		&command.EscrowShare{Number: 1, Epoch: 1, Box: []byte{1}}} {
		f.Add(l.Input(l.By(l.Region(1).Session, b)).Entry.Encode())
	}
	away(l, 2)
	enrolment, _ := l.Enrol(l.Region(2))
	for _, b := range []command.Body{enrolment, &command.ReplaceMember{Region: 1}, &command.RetireKey{}, &command.UnfreezeVault{}, &command.Configure{},
		&command.QuarantineRegion{Region: 2, Quarantined: true}, &command.MuteRegion{Region: 2, Muted: true}, &command.LiftStop{Region: 2},
		&command.RefreshKey{Holders: []identity.RegionID{1, 2, 3}}, &command.RepairRegion{Region: 2, Keep: 3}, &command.RepairClock{Words: [][]byte{{1}}},
		&command.EscrowKey{Officers: []string{"age1a", "age1b"}, M: 2, Delay: time.Hour}, &command.CancelEscrow{},
		&command.NextAddresses{Count: 1}, &command.IssueAddresses{Paths: [][]byte{{0, 0, 0, 1}}, Again: true}, &command.CreateKey{Scheme: 2, Curve: 1, Signers: 2, Asset: 1},
		l.Import("acme", "fuzzed", command.Ed25519, 2), &command.Configure{Settings: command.Settings{MaxSkew: time.Second, RequestMaxAge: time.Hour, MaxOpen: 9, RefreshEvery: time.Hour, Import: true}}} {
		f.Add(l.Input(l.Dual(b)).Entry.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := command.DecodeEntry(b)
		if err != nil {
			return
		}
		m, err := fsm.New(base.Genesis, fsm.Options{Verify: trust})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Restore(bytes.NewReader(snapshot)); err != nil {
			t.Fatal(err)
		}
		meta := m.View().Meta()
		meta.Index++
		r := m.Apply([]fsm.Input{{Meta: meta, Entry: e}})[0]
		if len(r.Outcomes) != len(e.Commands) || len(r.Leaves) != len(e.Commands) {
			t.Fatalf("%d outcomes and %d leaves for %d commands", len(r.Outcomes), len(r.Leaves), len(e.Commands))
		}
		for _, o := range r.Outcomes {
			if o.Code == errs.Internal || !o.Code.Known() {
				t.Fatalf("outcome %s: %s", o.Code, o.Text)
			}
		}
		n, err := fsm.New(base.Genesis, fsm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Restore(bytes.NewReader(written(t, m))); err != nil || n.View().Digest() != m.View().Digest() {
			t.Fatalf("the state after it does not restore: %v", err)
		}
	})
}

// FuzzRestore reads arbitrary records under the right header and checksum: what is
// accepted is written again byte for byte.
func FuzzRestore(f *testing.F) {
	l, anew := variedThreshold(f), variedReenrol(f)
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		f.Fatal(err)
	}
	const header, end = 42, 37
	fresh, good := written(f, m), written(f, l.Machine)
	f.Add(fresh[header : len(fresh)-end])
	f.Add(good[header : len(good)-end])
	other := written(f, anew.Machine)
	f.Add(other[header : len(other)-end])
	f.Fuzz(func(t *testing.T, records []byte) {
		b := append(bytes.Clone(good[:header]), records...)
		sum := sha256.Sum256(b)
		b = append(append(b, 255, 0, 0, 0, 32), sum[:]...)
		if m.Restore(bytes.NewReader(b)) == nil && !bytes.Equal(written(t, m), b) {
			t.Fatal("a snapshot was read that is not written so")
		}
	})
}
