package auditor_test

import (
	"bytes"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/vault/draw"
	"github.com/tetrad-vault/tetrad/vault/frost"
	"github.com/tetrad-vault/tetrad/vault/frost/frosttest"
)

// beaconShares are those of the genesis, as the next ceremony's dealers hold them.
func (w *world) beaconShares() *shared {
	s := &shared{id: command.BeaconKey, curve: command.Ristretto255, results: map[uint8]*frost.Result{}}
	key := must(frost.DecodePublicKey(w.Machine.View().BeaconKey().Sharing.Public))
	for i := range w.shares {
		share := must(frost.FoundedShare(frost.Ristretto255, uint8(i+1), w.shares[i].Encode()[2:]))
		s.results[uint8(i+1)] = &frost.Result{Share: share, Key: key}
	}
	return s
}

// reshareBeacon makes the next sharing live; bend may spoil what all holders file.
func (w *world) reshareBeacon(s *shared, bend func(*command.FinishShare)) {
	w.t.Helper()
	w.ok(w.Dual(&command.RefreshKey{Key: s.id, Reason: "drill"}))
	s.results = frosttest.Run(frost.Refresh(s.results[1].Key, session, "beacon", four), s.results)
	w.hold(s, bend)
	w.public = must(draw.KeyOf(s.results[1].Key))
	for r, res := range s.results {
		w.shares[r-1] = must(draw.NewShare(w.public.Epoch, r, must(res.Share.Scalar())))
	}
}

// TestBeaconHistory: draws of every epoch are verified under the public shares that the audit
// itself holds, also those answered after the next sharing went live.
func TestBeaconHistory(t *testing.T) {
	w := newWorld(t)
	w.shares = append([]draw.Share(nil), w.shares...)
	key, s := w.key("hot", command.Ed25519, 2, nil), w.beaconShares()
	w.complete(w.ask(key, "under the genesis's shares"), 1)
	for epoch := range 2 {
		open := w.ask(key, "opened before the next")
		w.reshareBeacon(s, nil)
		w.complete(open, 2)
		w.complete(w.ask(key, "and after"), 3)
		w.Now = w.Now.Add(2 * 60e9)
		w.ok(w.By(w.Region(1).Session, &command.Tick{}))
		r := w.clean()
		if r.Draws != uint64(2*epoch+3) || len(r.Beacon) != epoch+2 {
			t.Fatalf("%d draws, sharings %+v", r.Draws, r.Beacon)
		}
	}
	r := w.clean()
	for i, b := range r.Beacon {
		if b.Epoch != uint32(i) || len(b.Holders) != 4 || len(b.Public) != 4 || i > 0 && b.Since <= r.Beacon[i-1].Since {
			t.Errorf("%+v", b)
		}
	}
}

// Partials of another epoch than the entry's prove nothing, in either direction.
func TestPlantedBeaconEpochs(t *testing.T) {
	for _, late := range []bool{false, true} {
		w := newWorld(t)
		w.shares = append([]draw.Share(nil), w.shares...)
		key, s, old := w.key("hot", command.Ed25519, 2, nil), w.beaconShares(), w.shares
		open := w.ask(key, "opened before")
		w.shares = append([]draw.Share(nil), w.shares...)
		w.reshareBeacon(s, nil)
		if late {
			open = w.ask(key, "opened after")
			w.spoil(open, old)
		} else {
			w.spoil(open, w.shares)
		}
		w.complete(open, 1)
		r, err := w.verify()
		wantFinding(t, r, err, auditor.KindDraw)
	}
}

// spoil makes the round's partials with other shares.
func (w *world) spoil(r *round, shares []draw.Share) {
	for i := range r.partials {
		r.partials[i] = must(shares[i].Evaluate(draw.At(draw.Input(w.Machine.View().Lineage(), r.meta.Term, r.meta.Index, r.meta.Chain))))
	}
}

// What holders file of a new sharing, the state takes on their word; the audit does not.
func TestPlantedBeaconSharings(t *testing.T) {
	other := frosttest.Run(frost.NewKey(frost.Ristretto255, session, "another", 3, four), nil)
	for name, bend := range map[string]func(*command.FinishShare){
		"not a key":      func(f *command.FinishShare) { f.Public = bytes.Repeat([]byte{1}, 140) },
		"of another key": func(f *command.FinishShare) { f.Public = other[1].Key.Encode() },
	} {
		w := newWorld(t)
		w.shares = append([]draw.Share(nil), w.shares...)
		key, s := w.key("hot", command.Ed25519, 2, nil), w.beaconShares()
		w.reshareBeacon(s, bend)
		t.Log(name)
		r, err := w.verify()
		wantFinding(t, r, err, auditor.KindKey)
		w.complete(w.ask(key, "drawn under it"), 1)
		r, err = w.verify()
		wantFinding(t, r, err, auditor.KindDraw)
	}
}
