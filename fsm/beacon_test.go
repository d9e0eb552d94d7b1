package fsm_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func beaconOf(l *fsmtest.Log) *fsm.Key { return l.Machine.View().BeaconKey() }

// refreshBeacon has the beacon refreshed to its end, by and for every region or holders.
func refreshBeacon(t *testing.T, l *fsmtest.Log, holders ...identity.RegionID) {
	t.Helper()
	l.Must(l.Dual(&command.RefreshKey{Key: command.BeaconKey, Holders: holders, Reason: "drill"}))
	l.Hold(command.BeaconKey)
}

// TestBeaconIsRefreshed: from what the genesis dealt to a sharing of the state and to the
// next one; the key stays, and what an entry is evaluated under follows from the log.
func TestBeaconIsRefreshed(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	before := written(t, l.Machine)
	k := beaconOf(l)
	if !k.Sharing.Founded() || k.Signers != 3 || !slices.Equal(k.Sharing.Holders(), ids(1, 2, 3, 4)) || !k.Holds(4) || k.Holds(5) || k.SharingAt(1) != k.Sharing {
		t.Fatalf("of the genesis: %+v", k)
	}
	if !bytes.Equal(before, written(t, l.Machine)) {
		t.Fatal("a vault whose beacon was never refreshed has a row for it")
	}
	point := k.Point
	l.Must(l.Dual(&command.RefreshKey{Key: command.BeaconKey, Reason: "drill"}))
	if k = beaconOf(l); k.Ceremony.ID.Epoch != 1 || k.Ceremony.Wrap != 1 || k.Ceremony.Threshold != 3 || k.Sharing.Epoch != 0 || len(l.Machine.View().Ceremonies()) != 1 {
		t.Fatalf("begun: %+v", k.Ceremony)
	}
	finishing(t, l, command.BeaconKey)
	var res fsm.Result
	for _, r := range l.Regions {
		res = l.Apply(l.By(r.Session, l.Said(r, command.BeaconKey)))
	}
	k = beaconOf(l)
	if k.Sharing.Epoch != 1 || k.Retiring == nil || !k.Retiring.Founded() || k.Since != res.Meta.Index || !bytes.Equal(k.Point, point) || k.State != fsm.KeyActive || k.Version != 1 {
		t.Fatalf("live: %+v", k)
	}
	if k.SharingAt(k.Since) != k.Retiring || k.SharingAt(k.Since+1) != k.Sharing || k.SharingOf(0) != k.Retiring {
		t.Fatal("the entry that makes a sharing live is the last under the one before")
	}
	e, err := audit.DecodeEffect(res.Leaves[0].Effect)
	if err != nil || len(e.Keys) != 1 || e.Keys[0].Key != command.BeaconKey || e.Keys[0].Attestations != fsm.SharingHash(k) {
		t.Fatalf("the audit does not name the sharing: %+v, %v", e, err)
	}
	want(t, l, errs.Throttled, l.Dual(&command.RefreshKey{Key: command.BeaconKey}))
	canonical(t, l)
	later(l, fsm.RetireTime)
	if k = beaconOf(l); k.Retiring != nil || k.SharingAt(k.Since) != nil || wrapOf(t, l, 1).Live != 1 {
		t.Fatalf("retired: %+v", k)
	}
	refreshBeacon(t, l)
	later(l, fsm.RetireTime)
	if k = beaconOf(l); k.Sharing.Epoch != 2 || k.Sharing.Wrap != 2 || wrapOf(t, l, 1).Doomed == 0 {
		t.Fatalf("refreshed again: %+v", k)
	}
	canonical(t, l)
	if n := len(l.Machine.View().Keys("")); n != 1 || len(l.Machine.View().ThresholdKeys()) != 0 {
		t.Errorf("%d keys are listed, one was made", n)
	}
}

// TestBeaconStaysWhileDrawn: the sharing before the live one goes when no attempt opened
// under it is open any more, and not before.
func TestBeaconStaysWhileDrawn(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	open := l.Must(l.By(signer, fsmtest.Digest(key, [32]byte{1}))).Request
	refreshBeacon(t, l)
	for range 3 {
		later(l, fsm.RetireTime)
		k := beaconOf(l)
		q, _ := l.Machine.View().Request(open)
		if k.Retiring == nil || q.Open() == nil || k.SharingAt(q.Open().Meta.Index) != k.Retiring {
			t.Fatalf("an open attempt lost its sharing: %+v", k)
		}
		want(t, l, errs.Throttled, l.Dual(&command.RefreshKey{Key: command.BeaconKey}))
	}
	// Drawn anew, it is the present one's; the old one goes when it is looked at next.
	l.Must(next(l, 1, open, 2, refusal(l, 2, open, 1)))
	q, _ := l.Machine.View().Request(open)
	if k := beaconOf(l); k.SharingAt(q.Open().Meta.Index) != k.Sharing {
		t.Fatalf("drawn anew: %+v", k)
	}
	later(l, fsm.RetireTime)
	if k := beaconOf(l); k.Retiring != nil {
		t.Fatal("nothing is drawn under it any more")
	}
}

// TestEntryThatSwitches: whatever stands in the entry that makes a sharing live, before or
// after, is drawn under the one before.
func TestEntryThatSwitches(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	l.Must(l.Dual(&command.RefreshKey{Key: command.BeaconKey}))
	finishing(t, l, command.BeaconKey)
	for _, r := range l.Regions[:3] {
		l.Must(l.By(r.Session, l.Said(r, command.BeaconKey)))
	}
	last := l.Region(4)
	res := l.Apply(l.By(signer, fsmtest.Digest(key, [32]byte{1})), l.By(last.Session, l.Said(last, command.BeaconKey)), l.By(signer, fsmtest.Digest(key, [32]byte{2})))
	after := l.Apply(l.By(signer, fsmtest.Digest(key, [32]byte{3})))
	k := beaconOf(l)
	if len(res.Opened) != 2 || len(after.Opened) != 1 || k.Sharing.Epoch != 1 {
		t.Fatalf("%+v", res.Outcomes)
	}
	for i, id := range append(res.Opened, after.Opened...) {
		q, _ := l.Machine.View().Request(id)
		if got := k.SharingAt(q.Open().Meta.Index).Epoch; got != uint32(i/2) {
			t.Errorf("request %d is drawn under epoch %d", i, got)
		}
	}
}

// TestBeaconReshare: a region that is gone is left out by the three others, which is the
// least there may be; back, it holds a share again, dealt by the three.
func TestBeaconReshare(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	l.Must(l.By(l.Region(4).Session, &command.ReportHealth{Region: 4}))
	refreshBeacon(t, l, 1, 2, 3)
	k := beaconOf(l)
	if !slices.Equal(k.Regions, ids(1, 2, 3)) || k.Holds(4) {
		t.Fatalf("%+v", k)
	}
	later(l, fsm.RetireTime)
	r := l.Apply(l.By(signer, fsmtest.Digest(key, [32]byte{1})))
	if q, _ := l.Machine.View().Request(r.Opened[0]); !slices.Equal(q.Open().Eligible, ids(1, 2, 3)) {
		t.Fatalf("%+v", q.Open())
	}
	l.Must(l.By(l.Region(4).Session, &command.ReportHealth{Region: 4, Healthy: true}))
	l.Must(l.Dual(&command.RefreshKey{Key: command.BeaconKey, Holders: ids(1, 2, 3, 4)}))
	if c := beaconOf(l).Ceremony; !slices.Equal(c.Dealers, ids(1, 2, 3)) || !slices.Equal(c.Holders, ids(1, 2, 3, 4)) {
		t.Fatalf("%+v", c)
	}
	l.Hold(command.BeaconKey)
	if k = beaconOf(l); !k.Holds(4) || k.Sharing.Epoch != 2 {
		t.Fatalf("%+v", k)
	}
}

func TestBeaconRefused(t *testing.T) {
	l, signer, _ := fsmtest.New().Ready(fsm.Options{})
	refuse := func() {
		t.Helper()
		for _, tc := range []struct {
			name string
			code errs.Code
			cmd  *command.Command
		}{
			{"one administrator", errs.NeedsSecondAdmin, l.By(l.Admins[0], &command.RefreshKey{Key: command.BeaconKey})},
			{"a signer", errs.Denied, l.By(signer, &command.RefreshKey{Key: command.BeaconKey})},
			{"two holders", errs.NoEligiblePair, l.Dual(&command.RefreshKey{Key: command.BeaconKey, Holders: ids(1, 2)})},
			{"a stranger", errs.Invalid, l.Dual(&command.RefreshKey{Key: command.BeaconKey, Holders: ids(1, 2, 5)})},
			{"a steering reason", errs.Invalid, l.Dual(&command.RefreshKey{Key: command.BeaconKey, Reason: "a\x1b[2J"})},
			{"another of its kind", errs.Invalid, l.By(l.Admins[0], &command.CreateKey{Name: "b", Tenant: "acme", Scheme: command.SchemeBeacon, Curve: command.Ristretto255, Signers: 3})},
			{"a key on its curve", errs.Invalid, l.By(l.Admins[0], &command.CreateKey{Name: "b", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ristretto255, Signers: 3})},
			{"a signature", errs.NotFound, l.By(signer, fsmtest.Digest(command.BeaconKey, [32]byte{1}))},
		} {
			t.Run(tc.name, func(t *testing.T) { want(t, l, tc.code, tc.cmd) })
		}
	}
	refuse()
	refreshBeacon(t, l)
	later(l, fsm.RetireTime)
	refuse()
	row := beaconOf(l)
	for _, b := range []command.Body{&command.FreezeKey{Key: command.BeaconKey, Reason: "x"}, &command.RetireKey{Key: command.BeaconKey}, &command.UnfreezeKey{Key: command.BeaconKey},
		&command.LimitKey{Key: command.BeaconKey, Requests: 1, Window: time.Minute}} {
		want(t, l, errs.BadState, l.Dual(b))
	}
	want(t, l, errs.BadState, l.By(l.Region(1).Session, &command.RegionFreeze{Key: command.BeaconKey, Reason: "x"}))
	s := l.Machine.View().Settings()
	s.EscrowDelay = command.MinEscrowDelay
	l.Must(l.Dual(&command.Configure{Settings: s}))
	want(t, l, errs.NotFound, l.Dual(&command.EscrowKey{Key: command.BeaconKey}))
	want(t, l, errs.BadState, l.By(l.Admins[0], &command.IssueAddresses{Key: command.BeaconKey, Paths: [][]byte{command.EncodePath([]uint32{1})}}))
	want(t, l, errs.BadState, l.By(l.Region(1).Session, &command.ConfirmKey{Key: command.BeaconKey}))
	if beaconOf(l) != row {
		t.Error("the row changed")
	}
	// A refresh of all keys leaves the beacon alone.
	l.ThresholdKey("acme", "cold", command.Ed25519, 2)
	l.Must(l.Dual(&command.RefreshKey{}))
	if beaconOf(l).Ceremony != nil {
		t.Error("the beacon is refreshed with the keys")
	}
	// Too few that are well: nothing begins.
	l.Must(l.By(l.Region(1).Session, &command.ReportHealth{Region: 1}))
	l.Must(l.By(l.Region(2).Session, &command.ReportHealth{Region: 2}))
	want(t, l, errs.NoEligiblePair, l.Dual(&command.RefreshKey{Key: command.BeaconKey}))
}

// TestBeaconCeremonyFails: what was live stays, try after try, and who spoils it is named.
func TestBeaconCeremonyFails(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	l.Must(l.Dual(&command.RefreshKey{Key: command.BeaconKey}))
	for _, r := range l.Regions {
		l.Must(l.OfferWrap(r, 1))
	}
	for range fsm.MaxTries {
		for _, r := range beaconOf(l).Ceremony.Dealers {
			if r != 4 {
				say(l, r, command.BeaconKey)
			}
		}
		later(l, fsm.StepTime)
		if k := beaconOf(l); k.Ceremony.Running() && slices.Contains(k.Ceremony.Dealers, 4) {
			t.Fatalf("who let the deadline pass deals again: %+v", k.Ceremony)
		}
		if k := beaconOf(l); k.Ceremony.Running() && k.Ceremony.Step != fsm.StepHash {
			t.Fatalf("at %s", k.Ceremony.Step)
		}
		if k := beaconOf(l); !k.Sharing.Founded() || k.Retiring != nil || k.Ceremony.Faults[0].Region != 4 {
			t.Fatalf("%+v", k)
		}
		if beaconOf(l).Ceremony.ID.Try == 2 {
			break
		}
	}
	for step := fsm.StepHash; step <= fsm.StepFinish; step++ {
		c := beaconOf(l).Ceremony
		for _, r := range c.Holders {
			if step == fsm.StepFinish || slices.Contains(c.Dealers, r) {
				say(l, r, command.BeaconKey)
			}
		}
	}
	if k := beaconOf(l); k.Sharing.Epoch != 1 || k.Ceremony != nil {
		t.Fatalf("the second try, without it: %+v", k)
	}
}
