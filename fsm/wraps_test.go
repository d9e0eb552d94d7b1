package fsm_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func TestWrapOffersRefused(t *testing.T) {
	l, id := beginning(t)
	offer := func(spoil func(*command.OfferWrap)) *command.Command {
		body, err := l.OfferWrap(l.Region(1), 1).Body()
		if err != nil {
			t.Fatal(err)
		}
		b := body.(*command.OfferWrap)
		spoil(b)
		return l.By(l.Region(1).Session, b)
	}
	l.Must(l.OfferWrap(l.Region(2), 1))
	theirs := wrapOf(t, l, 1).Key(2).Public
	for _, tc := range []struct {
		name  string
		code  errs.Code
		spoil func(*command.OfferWrap)
	}{
		{"no such epoch", errs.NotFound, func(b *command.OfferWrap) { b.Epoch = 2 }},
		{"epoch 0", errs.NotFound, func(b *command.OfferWrap) { b.Epoch = 0 }},
		{"empty", errs.Invalid, func(b *command.OfferWrap) { b.Public = nil }},
		{"no seed", errs.Invalid, func(b *command.OfferWrap) { b.Sealed = nil }},
		{"another region's", errs.Invalid, func(b *command.OfferWrap) { b.Public = theirs }},
		{"not signed", errs.Unverified, func(b *command.OfferWrap) { b.Identity = nil }},
		{"signed for another seed", errs.Unverified, func(b *command.OfferWrap) { b.Sealed = bytes.Clone(b.Sealed); b.Sealed[0] ^= 1 }},
		{"signed for other attributes", errs.Unverified, func(b *command.OfferWrap) { b.Attributes = nil }},
	} {
		t.Run(tc.name, func(t *testing.T) { want(t, l, tc.code, offer(tc.spoil)) })
	}
	l.Must(offer(func(*command.OfferWrap) {}))
	if r := l.Apply(l.OfferWrap(l.Region(1), 1)); r.Outcomes[0].Code != errs.OK || r.Wraps {
		t.Fatalf("the same again: %+v", r)
	}
	want(t, l, errs.Replayed, offer(func(b *command.OfferWrap) { b.Attributes = nil }))
	if k := keyOf(t, l, id); k.Ceremony.Step != fsm.StepWrap || !slices.Equal(k.Ceremony.Missing(wrapOf(t, l, 1)), ids(3, 4)) {
		t.Fatalf("%+v", k.Ceremony)
	}
	l.Must(l.OfferWrap(l.Region(3), 1))
	if r := l.Apply(l.OfferWrap(l.Region(4), 1)); !r.Wraps || len(r.Keys) != 1 || keyOf(t, l, id).Ceremony.Step != fsm.StepHash {
		t.Fatalf("the last key: %+v", r)
	}
	l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "warm", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 3}))
	if k, _ := l.Machine.View().KeyByName("acme", "warm"); k.Ceremony.Step != fsm.StepHash || wrapOf(t, l, 1).Live != 2 {
		t.Fatalf("a second key waits for wrapping keys again: %+v", k.Ceremony)
	}
}

// TestWrapsAreDropped: an epoch is given up when nothing lies under it, by whom has a key
// of it, and goes when the last has destroyed that.
func TestWrapsAreDropped(t *testing.T) {
	l, _, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	drop := func(r int, epoch uint32) *command.Command {
		return l.By(l.Regions[r].Session, &command.DropWrap{Epoch: epoch})
	}
	other := l.ThresholdKey("acme", "warm", command.Secp256k1, 2)
	want(t, l, errs.BadState, drop(0, 1))
	want(t, l, errs.NotFound, drop(0, 2))
	want(t, l, errs.NotFound, drop(0, 0))
	l.Must(l.Dual(&command.RefreshKey{Key: id, Holders: ids(1, 2, 3)}))
	for _, r := range l.Regions[:3] {
		l.Must(l.OfferWrap(r, 2))
	}
	for step := fsm.StepHash; step <= fsm.StepFinish; step++ {
		for _, r := range keyOf(t, l, id).Ceremony.Missing(nil) {
			say(l, r, id)
		}
	}
	later(l, fsm.RetireTime)
	if e := wrapOf(t, l, 1); e.Live != 1 || e.Doomed != 0 {
		t.Fatalf("while the other key lies under it: %+v", e)
	}
	l.Must(l.Dual(&command.RefreshKey{Key: other, Holders: ids(1, 2, 3)})) // under epoch 2: no third one
	for step := fsm.StepHash; step <= fsm.StepFinish; step++ {
		for _, r := range keyOf(t, l, other).Ceremony.Missing(nil) {
			say(l, r, other)
		}
	}
	if r := later(l, fsm.RetireTime); !r.Wraps || wrapOf(t, l, 1).Doomed == 0 || len(l.Machine.View().Wraps()) != 2 {
		t.Fatalf("%+v", r)
	}
	want(t, l, errs.Replayed, l.By(l.Region(1).Session, &command.OfferWrap{Epoch: 1}))
	want(t, l, errs.BadState, drop(0, 2))
	for r := range 3 {
		l.Must(drop(r, 1))
		l.Must(drop(r, 1))
	}
	if e := wrapOf(t, l, 1); !slices.Equal(e.Dropped, ids(1, 2, 3)) {
		t.Fatalf("%+v", e)
	}
	l.Must(drop(3, 1))
	if _, ok := l.Machine.View().Wrap(1); ok {
		t.Fatal("the epoch is still there")
	}
	l.Must(drop(3, 1))
	// A region that has no key of an epoch has none to destroy.
	l.Must(l.Dual(&command.RefreshKey{}))
	later(l, 0)
	want(t, l, errs.BadState, drop(3, 2))
	l.Must(l.Dual(&command.RetireKey{Key: id}))
	l.Must(l.Dual(&command.RetireKey{Key: other}))
	want(t, l, errs.Denied, drop(3, 2))
}

// TestWrapsAreBounded: keys in HSMs pile up no higher than the limit.
func TestWrapsAreBounded(t *testing.T) {
	l, _, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	for range fsm.MaxWraps - 1 {
		l.Must(l.Dual(&command.RefreshKey{Key: id}))
		l.Hold(id)
		later(l, fsm.RetireTime)
	}
	want(t, l, errs.BadState, l.Dual(&command.RefreshKey{Key: id}))
	want(t, l, errs.BadState, l.Dual(&command.RefreshKey{}))
	for _, r := range l.Regions {
		l.Must(l.By(r.Session, &command.DropWrap{Epoch: 5}))
	}
	l.Must(l.Dual(&command.RefreshKey{Key: id}))
}

// TestRefreshOfAll: every live key gets a new sharing under one new epoch, some at a time;
// one that is being made meanwhile is waited for, a retired one left alone; it survives a
// restore anywhere.
func TestRefreshOfAll(t *testing.T) {
	l, _, first := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.Life = time.Minute
	made := []command.KeyID{first}
	for i := range 149 {
		made = append(made, l.ThresholdKey("acme", fmt.Sprint("k", i), command.Ed25519, 2))
	}
	retired, frozen, pending := made[3], made[4], l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "p", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2})).Key
	l.Must(l.Dual(&command.RetireKey{Key: retired}))
	l.Must(l.Dual(&command.FreezeKey{Key: frozen}))
	l.Must(l.Dual(&command.RefreshKey{Reason: "yearly"}))
	for _, r := range l.Regions {
		l.Must(l.OfferWrap(r, 2))
	}
	_, going := l.Machine.View().Refreshing()
	if n := len(l.Machine.View().Ceremonies()); n != fsm.MaxRolling || !going {
		t.Fatalf("%d ceremonies began", n)
	}
	most := 0
	for round := 0; len(l.Machine.View().Ceremonies()) > 0; round++ {
		running := l.Machine.View().Ceremonies()
		most = max(most, len(running))
		var commands []*command.Command
		for _, k := range running {
			for _, r := range k.Ceremony.Missing(wrapOf(t, l, k.Ceremony.Wrap)) {
				commands = append(commands, l.By(l.Region(r).Session, l.Said(l.Region(r), k.ID)))
			}
		}
		l.Apply(commands...)
		if round%3 == 0 {
			m, err := fsm.New(l.Genesis, fsm.Options{})
			if err == nil {
				err = m.Restore(bytes.NewReader(written(t, l.Machine)))
			}
			if err != nil {
				t.Fatal(err)
			}
			l.Machine = m
		}
		if round > 100 {
			t.Fatal("the refresh does not end")
		}
	}
	later(l, 0)
	if _, going := l.Machine.View().Refreshing(); going || most > fsm.MaxRolling {
		t.Fatalf("after %d ceremonies at once it still goes on: %v", most, going)
	}
	for _, id := range made {
		k, epoch := keyOf(t, l, id), uint32(2)
		if id == retired {
			epoch = 1
		}
		if k.Sharing.Epoch != epoch || k.Sharing.Wrap != epoch {
			t.Fatalf("key %s has sharing %d under %d", k.Name, k.Sharing.Epoch, k.Sharing.Wrap)
		}
	}
	if k := keyOf(t, l, pending); k.Sharing.Epoch != 2 || k.Sharing.Wrap != 2 {
		t.Fatalf("a key that was made under the old epoch meanwhile stayed there: %+v", k.Sharing)
	}
	later(l, fsm.RetireTime)
	for range 3 { // each entry ends some
		later(l, 0)
	}
	if e := wrapOf(t, l, 1); e.Live != 0 || e.Doomed == 0 {
		t.Fatalf("%+v", e)
	}
}
