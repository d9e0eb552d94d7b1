package fsm_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// beginning is a vault with a new key whose ceremony waits for wrapping keys.
func beginning(t *testing.T, regions ...identity.RegionID) (*fsmtest.Log, command.KeyID) {
	t.Helper()
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	id := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "cold", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Signers: 2, Regions: regions})).Key
	return l, id
}

// at brings a new key's ceremony to a step.
func at(t *testing.T, step fsm.CeremonyStep, regions ...identity.RegionID) (*fsmtest.Log, command.KeyID) {
	t.Helper()
	l, id := beginning(t, regions...)
	for s := fsm.StepWrap; s < step; s++ {
		everybody(t, l, id, s)
	}
	if k := keyOf(t, l, id); k.Ceremony.Step != step {
		t.Fatalf("the ceremony is at %s, not %s", k.Ceremony.Step, step)
	}
	return l, id
}

// everybody says what a step wants, the regions left out excepted.
func everybody(t *testing.T, l *fsmtest.Log, id command.KeyID, step fsm.CeremonyStep, but ...identity.RegionID) {
	t.Helper()
	c := keyOf(t, l, id).Ceremony
	if c.Step != step {
		t.Fatalf("the ceremony is at %s, not %s", c.Step, step)
	}
	for _, r := range c.Holders { // of a new key the dealers too
		if slices.Contains(but, r) {
			continue
		}
		if step == fsm.StepWrap {
			l.Must(l.OfferWrap(l.Region(r), c.Wrap))
		} else if o := say(l, r, id); o.Code != errs.OK {
			t.Fatalf("region %d at %s: %s", r, step, o.Text)
		}
	}
}

func TestThresholdKeysRefused(t *testing.T) {
	l, signer, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	hot, _ := l.Machine.View().KeyByName("acme", "hot")
	create := func(b command.CreateKey) *command.Command {
		if b.Name == "" {
			b.Name = "new"
		}
		b.Tenant, b.Scheme, b.Curve, b.Signers = "acme", max(b.Scheme, command.SchemeThreshold), max(b.Curve, command.Secp256k1), max(b.Signers, 2)
		return l.By(l.Admins[0], &b)
	}
	ask := func(b command.RequestSignature) *command.Command { return l.By(signer, &b) }
	issue := func(author identity.Signer, key command.KeyID, paths ...[]byte) *command.Command {
		return l.By(author, &command.IssueAddresses{Key: key, Paths: paths})
	}
	one := command.EncodePath([]uint32{1})
	auditor := l.Principal("acme", "auditor", command.RoleAuditor)
	l.Must(l.Dual(&command.CreateTenant{Name: "other"}))
	foreign := l.Principal("other", "service", command.RoleSigner)
	for _, tc := range []struct {
		name string
		code errs.Code
		cmd  *command.Command
	}{
		{"on p256", errs.Invalid, create(command.CreateKey{Curve: command.P256})},
		{"five signers", errs.Invalid, create(command.CreateKey{Signers: 5})},
		{"scheme", errs.Invalid, create(command.CreateKey{Scheme: 3})},
		{"two regions", errs.NoEligiblePair, create(command.CreateKey{Regions: ids(1, 2)})},
		{"four sign of three", errs.NoEligiblePair, create(command.CreateKey{Signers: 4, Regions: ids(1, 2, 3)})},
		{"unknown region", errs.Invalid, create(command.CreateKey{Regions: ids(1, 2, 5)})},
		{"name taken", errs.Exists, create(command.CreateKey{Name: "cold"})},
		{"attested", errs.BadState, l.Attest(l.Region(1), key, command.Ed25519)},
		{"refresh, one administrator", errs.NeedsSecondAdmin, l.By(l.Admins[0], &command.RefreshKey{Key: key})},
		{"refresh, a signer", errs.Denied, l.By(signer, &command.RefreshKey{Key: key})},
		{"refresh of a multisig key", errs.NotFound, l.Dual(&command.RefreshKey{Key: hot.ID})},
		{"refresh of no key", errs.NotFound, l.Dual(&command.RefreshKey{Key: command.KeyID{9}})},
		{"refresh to two", errs.NoEligiblePair, l.Dual(&command.RefreshKey{Key: key, Holders: ids(1, 2)})},
		{"refresh to a stranger", errs.Invalid, l.Dual(&command.RefreshKey{Key: key, Holders: ids(1, 2, 5)})},
		{"refresh of all to a stranger", errs.Invalid, l.Dual(&command.RefreshKey{Holders: ids(1, 2, 5)})},
		{"refresh, steering reason", errs.Invalid, l.Dual(&command.RefreshKey{Key: key, Reason: "a\x1b[2J"})},
		{"a path of a multisig key", errs.Invalid, ask(command.RequestSignature{Key: hot.ID, Kind: command.KindMessage, Hash: command.HashSHA256, Payload: []byte("m"), Path: []uint32{1}})},
		{"solana of a multisig key", errs.PayloadRejected, ask(command.RequestSignature{Key: hot.ID, Kind: command.KindSolana, Payload: []byte("m")})},
		{"solana with a hash", errs.PayloadRejected, ask(command.RequestSignature{Key: key, Kind: command.KindSolana, Hash: command.HashSHA256, Payload: []byte("m")})},
		{"psbt on ed25519", errs.PayloadRejected, ask(command.RequestSignature{Key: key, Kind: command.KindPSBT, Payload: []byte("m")})},
		{"message with a hash on ed25519", errs.PayloadRejected, ask(command.RequestSignature{Key: key, Kind: command.KindMessage, Hash: command.HashSHA256, Payload: []byte("m")})},
		{"blind", errs.BlindDenied, ask(command.RequestSignature{Key: key, Kind: command.KindDigest, Payload: make([]byte, 32)})},
		{"addresses of a multisig key", errs.BadState, issue(signer, hot.ID, one)},
		{"addresses of no key", errs.NotFound, issue(signer, command.KeyID{9}, one)},
		{"addresses by another tenant", errs.NotFound, issue(foreign, key, one)},
		{"addresses by an auditor", errs.Denied, issue(auditor, key, one)},
		{"no addresses", errs.Invalid, issue(signer, key)},
		{"an address twice", errs.Invalid, issue(signer, key, one, one)},
		{"a hardened address", errs.Malformed, issue(signer, key, []byte{0x80, 0, 0, 0})},
	} {
		t.Run(tc.name, func(t *testing.T) { want(t, l, tc.code, tc.cmd) })
	}
	l.Must(issue(signer, key, one, command.EncodePath([]uint32{2})))
	want(t, l, errs.Exists, issue(l.Admins[0], key, one))
	l.Must(l.By(l.Admins[0], &command.IssueAddresses{Key: key, Paths: [][]byte{one}, Again: true}))
	if k := keyOf(t, l, key); k.Issued != 3 {
		t.Fatalf("%d addresses issued", k.Issued)
	}
}

// TestStepsRefuse: out of step, for another try, by whom it does not wait for, another
// thing than before, with a size that cannot be. The same again changes nothing.
func TestStepsRefuse(t *testing.T) {
	for step := fsm.StepHash; step <= fsm.StepFinish; step++ {
		l, id := at(t, step, 1, 2, 3)
		c := keyOf(t, l, id).Ceremony.ID
		by := func(r identity.RegionID, b command.Body) *command.Command { return l.By(l.Region(r).Session, b) }
		bodies := func(c command.CeremonyID, b byte) map[fsm.CeremonyStep]command.Body {
			return map[fsm.CeremonyStep]command.Body{
				fsm.StepHash:   &command.HashDealing{Ceremony: c, Hash: [32]byte{b}, Seed: []byte{b}},
				fsm.StepDeal:   &command.Deal{Ceremony: c, Dealing: []byte{b}},
				fsm.StepShares: &command.DealShares{Ceremony: c, Sealed: [][]byte{{1}, {b}, {3}}},
				fsm.StepFinish: &command.FinishShare{Ceremony: c, Public: []byte{b}, Point: append([]byte{2}, make([]byte, 32)...), Share: []byte{b}},
			}
		}
		for s, b := range bodies(c, 1) {
			if s > step {
				want(t, l, errs.BadState, by(1, b))
			} else if s < step {
				want(t, l, errs.Replayed, by(1, b)) // another than the step had
			}
		}
		for what, other := range map[string]command.CeremonyID{"try": {Key: id, Epoch: 1, Try: 2}, "epoch": {Key: id, Epoch: 2, Try: 1}} {
			if o := l.Do(by(1, bodies(other, 1)[step])); o.Code != errs.BadState {
				t.Fatalf("%s: another %s: %s", step, what, o.Code)
			}
		}
		want(t, l, errs.NotFound, by(1, bodies(command.CeremonyID{Key: command.KeyID{9}, Epoch: 1, Try: 1}, 1)[step]))
		want(t, l, errs.Denied, by(4, bodies(c, 1)[step]))
		for what, bad := range map[string]command.Body{"empty": emptied(step, c), "sized": sized(step, c)} {
			if o := l.Do(by(1, bad)); o.Code != errs.Invalid {
				t.Fatalf("%s: %s: %s", step, what, o.Code)
			}
		}
		l.Must(by(1, bodies(c, 1)[step]))
		before := l.Machine.View().Ceremonies()[0]
		want(t, l, errs.Replayed, by(1, bodies(c, 2)[step]))
		if r := l.Apply(by(1, bodies(c, 1)[step])); r.Outcomes[0].Code != errs.OK || len(r.Keys) != 0 || l.Machine.View().Ceremonies()[0] != before {
			t.Fatalf("%s: the same again: %+v", step, r.Outcomes)
		}
		l.Must(l.Dual(&command.QuarantineRegion{Region: 2, Quarantined: true}))
		want(t, l, errs.Denied, by(2, bodies(c, 1)[step]))
	}
}

func emptied(s fsm.CeremonyStep, c command.CeremonyID) command.Body {
	return map[fsm.CeremonyStep]command.Body{fsm.StepHash: &command.HashDealing{Ceremony: c}, fsm.StepDeal: &command.Deal{Ceremony: c},
		fsm.StepShares: &command.DealShares{Ceremony: c, Sealed: [][]byte{{1}, {}, {3}}}, fsm.StepFinish: &command.FinishShare{Ceremony: c, Point: make([]byte, 33)}}[s]
}

func sized(s fsm.CeremonyStep, c command.CeremonyID) command.Body {
	if s == fsm.StepShares {
		return &command.DealShares{Ceremony: c, Sealed: [][]byte{{1}, {2}, {3}, {4}}}
	}
	if s == fsm.StepFinish {
		return &command.FinishShare{Ceremony: c, Public: []byte{1}, Share: []byte{1}, Point: append([]byte{4}, make([]byte, 32)...)}
	}
	return emptied(s, c)
}

// TestDeadlines: each step has its 30 s; who owes it then is to blame; after four tries it
// is over, and the key can be started again with tries of other numbers, or retired.
func TestDeadlines(t *testing.T) {
	l, id := beginning(t)
	for try := uint8(1); try <= fsm.MaxTries; try++ {
		if try == 2 {
			everybody(t, l, id, fsm.StepWrap)
			everybody(t, l, id, fsm.StepHash, 3)
		}
		c := keyOf(t, l, id).Ceremony
		later(l, fsm.StepTime-time.Millisecond)
		if now := keyOf(t, l, id).Ceremony; now.ID.Try != try || now.Step != c.Step {
			t.Fatalf("try %d ended before its time: %+v", try, now)
		}
		if r := later(l, time.Millisecond); len(r.Keys) != 1 || r.Keys[0] != id {
			t.Fatalf("the deadline told of keys %v", r.Keys)
		}
	}
	k := keyOf(t, l, id)
	if k.State != fsm.KeyPending || k.Ceremony.Running() || len(k.Ceremony.Parts) != 0 || len(l.Machine.View().Ceremonies()) != 0 {
		t.Fatalf("after the last try: %+v", k.Ceremony)
	}
	var blamed []identity.RegionID
	for _, f := range k.Ceremony.Faults {
		if f.Try == 2 && (f.Step != fsm.StepHash || f.Region != 3 || len(f.By) != 0) || f.Try == 1 && f.Step != fsm.StepWrap {
			t.Fatalf("fault %+v", f)
		}
		blamed = append(blamed, f.Region)
	}
	if len(blamed) != 4+1+4+4 {
		t.Fatalf("blamed: %v", blamed)
	}
	if e := wrapOf(t, l, 1); e.Live != 0 || e.Doomed != 0 {
		t.Fatalf("the newest epoch: %+v", e)
	}
	l.Must(l.Dual(&command.RefreshKey{Key: id, Holders: ids(1, 2, 3)}))
	if k = keyOf(t, l, id); k.Ceremony.ID.Try != 5 || k.Ceremony.ID.Epoch != 1 || k.Ceremony.Step != fsm.StepHash || len(k.Regions) != 3 || len(k.Ceremony.Faults) != 0 {
		t.Fatalf("started again: %+v", k.Ceremony)
	}
	l.Hold(id)
	if k = keyOf(t, l, id); k.State != fsm.KeyActive || len(k.Sharing.Shares) != 3 {
		t.Fatalf("made after all: %+v", k)
	}
}

// TestTriesBeginAnew: after 255 tries at one sharing the next has another epoch, and no two
// ceremonies ever the same id. A new key has but one first sharing.
func TestTriesBeginAnew(t *testing.T) {
	l, _, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	young := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "young", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2})).Key
	seen := map[command.CeremonyID]bool{}
	fail := func(key command.KeyID) {
		t.Helper()
		for try := uint8(0); try < 255; {
			if k := keyOf(t, l, key); !k.Ceremony.Running() {
				l.Must(l.Dual(&command.RefreshKey{Key: key}))
			}
			c := keyOf(t, l, key).Ceremony
			if try = c.ID.Try; seen[c.ID] {
				t.Fatalf("%+v again", c.ID)
			}
			seen[c.ID] = true
			later(l, fsm.StepTime)
		}
		if k := keyOf(t, l, key); k.Ceremony.Running() {
			t.Fatalf("after the last number: %+v", k.Ceremony)
		}
	}
	for _, key := range []command.KeyID{id, command.BeaconKey} {
		before := keyOf(t, l, key).Sharing.Epoch
		fail(key)
		l.Must(l.Dual(&command.RefreshKey{Key: key}))
		if c := keyOf(t, l, key).Ceremony; c.ID.Epoch != before+2 || c.ID.Try != 1 || c.Last != fsm.MaxTries {
			t.Fatalf("begun anew: %+v", c)
		}
		fail(key)
		l.Must(l.Dual(&command.RefreshKey{Key: key}))
		l.Hold(key)
		if k := keyOf(t, l, key); k.Sharing.Epoch != before+3 || k.Retiring.Epoch != before {
			t.Fatalf("sharing %d after %d", k.Sharing.Epoch, k.Retiring.Epoch)
		}
		later(l, fsm.RetireTime)
		l.Must(l.Dual(&command.RefreshKey{Key: key}))
		if c := keyOf(t, l, key).Ceremony; c.ID.Epoch != before+4 || c.ID.Try != 1 {
			t.Fatalf("the one after: %+v", c)
		}
		l.Hold(key)
		later(l, fsm.RetireTime)
	}
	fail(young)
	want(t, l, errs.BadState, l.Dual(&command.RefreshKey{Key: young}))
	l.Must(l.Dual(&command.RetireKey{Key: young}))
}

// TestAccusations: one region's word ends nothing, two others' does.
func TestAccusations(t *testing.T) {
	l, id := at(t, fsm.StepShares)
	c := keyOf(t, l, id).Ceremony.ID
	accuse := func(by, against identity.RegionID, note string) *command.Command {
		return l.By(l.Region(by).Session, &command.AccuseDealer{Ceremony: c, Against: against, Complaint: []byte{1}, Note: note})
	}
	want(t, l, errs.Denied, accuse(1, 1, ""))
	want(t, l, errs.Denied, accuse(1, 9, ""))
	want(t, l, errs.Invalid, accuse(1, 2, "a\x1b[2J"))
	l.Must(accuse(1, 3, "its box"))
	l.Must(accuse(3, 1, "revenge"))
	l.Must(accuse(1, 3, "its box"))
	want(t, l, errs.Replayed, accuse(1, 3, "something else"))
	if k := keyOf(t, l, id); k.Ceremony.ID.Try != 1 || len(k.Ceremony.Part(1).Accuses) != 1 {
		t.Fatalf("%+v", k.Ceremony)
	}
	l.Must(accuse(4, 3, "seen"))
	k := keyOf(t, l, id)
	if f := k.Ceremony.Faults; k.Ceremony.ID.Try != 2 || k.Ceremony.Step != fsm.StepHash || len(k.Ceremony.Parts) != 0 || len(f) != 1 ||
		f[0].Region != 3 || !slices.Equal(f[0].By, ids(1, 4)) || f[0].Step != fsm.StepShares || f[0].Try != 1 || len(k.Ceremony.Dealers) != 4 {
		t.Fatalf("%+v", k.Ceremony)
	}
	want(t, l, errs.BadState, accuse(2, 3, "late")) // of the try before
	c = k.Ceremony.ID
	want(t, l, errs.BadState, accuse(2, 3, "early"))

	three, id3 := at(t, fsm.StepShares, 1, 2, 3)
	stranger := &command.AccuseDealer{Ceremony: keyOf(t, three, id3).Ceremony.ID, Against: 3}
	want(t, three, errs.Denied, three.By(three.Region(4).Session, stranger))
}

// TestFinishesDiffer: the minority is to blame; without one nobody is.
func TestFinishesDiffer(t *testing.T) {
	for _, tc := range []struct {
		name string
		says []byte // by region, what its transcript begins with
		want []identity.RegionID
	}{{"one", []byte{1, 1, 2, 1}, ids(3)}, {"two, each something else", []byte{1, 2, 3, 1}, ids(2, 3)}, {"two and two", []byte{1, 2, 1, 2}, ids(0)}} {
		t.Run(tc.name, func(t *testing.T) {
			l, id := at(t, fsm.StepFinish)
			for i, b := range tc.says {
				f := l.Finish(l.Regions[i], keyOf(t, l, id))
				f.Transcript[0] = b
				l.Must(l.By(l.Regions[i].Session, f))
			}
			k := keyOf(t, l, id)
			var got []identity.RegionID
			for _, f := range k.Ceremony.Faults {
				got = append(got, f.Region)
			}
			if k.State != fsm.KeyPending || k.Ceremony.ID.Try != 2 || !slices.Equal(got, tc.want) {
				t.Fatalf("blamed %v: %+v", got, k.Ceremony)
			}
		})
	}
}

// TestRefreshRules: a refresh makes the same key; who is to blame deals no more while
// enough are left; what failed leaves the live sharing as it was.
func TestRefreshRules(t *testing.T) {
	l, _, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.Must(l.By(l.Region(4).Session, &command.ReportHealth{Region: 4}))
	l.Must(l.Dual(&command.RefreshKey{Key: id}))
	want(t, l, errs.BadState, l.Dual(&command.RefreshKey{Key: id}))
	c := keyOf(t, l, id).Ceremony
	if !slices.Equal(c.Dealers, ids(1, 2, 3)) || !slices.Equal(c.Holders, ids(1, 2, 3, 4)) {
		t.Fatalf("%+v", c)
	}
	for _, r := range l.Regions {
		l.Must(l.OfferWrap(r, c.Wrap))
	}
	want(t, l, errs.Denied, l.By(l.Region(4).Session, l.Said(l.Region(4), id)))
	say(l, 1, id)
	say(l, 2, id)
	later(l, fsm.StepTime)
	if c = keyOf(t, l, id).Ceremony; c.ID.Try != 2 || !slices.Equal(c.Dealers, ids(1, 2)) {
		t.Fatalf("second try: %+v", c)
	}
	say(l, 1, id)
	later(l, fsm.StepTime)
	if c = keyOf(t, l, id).Ceremony; c.ID.Try != 3 || !slices.Equal(c.Dealers, ids(1, 3)) {
		t.Fatalf("third try, when two of three are to blame: %+v", c)
	}
	for step := fsm.StepHash; step < fsm.StepFinish; step++ {
		for _, r := range c.Dealers {
			say(l, r, id)
		}
	}
	f := l.Finish(l.Region(1), keyOf(t, l, id))
	for what, spoil := range map[string]func(*command.FinishShare){"point": func(f *command.FinishShare) { f.Point = make([]byte, 32) }, "chain": func(f *command.FinishShare) { f.Chain[0] ^= 1 }} {
		bad := *f
		spoil(&bad)
		if o := l.Do(l.By(l.Region(1).Session, &bad)); o.Code != errs.Unverified {
			t.Fatalf("another %s: %s", what, o.Code)
		}
	}
	l.Must(l.Dual(&command.FreezeKey{Key: id})) // a ceremony releases nothing: it goes on
	l.Must(l.By(l.Admins[0], &command.FreezeVault{}))
	for _, r := range c.Holders {
		say(l, r, id)
	}
	k := keyOf(t, l, id)
	if k.State != fsm.KeyFrozen || k.Sharing.Epoch != 2 || k.Version != 1 || k.SharingOf(1) != k.Retiring || k.SharingOf(2) != k.Sharing || k.SharingOf(3) != nil {
		t.Fatalf("%+v", k)
	}
	again := l.Dual(&command.RefreshKey{Key: id})
	want(t, l, errs.Throttled, again)
	later(l, fsm.RetireTime)
	l.Must(again) // not remembered as refused
}

// TestReshareLeavesARegionOut: a region that is gone cannot take part; the key moves to the
// others, dealt by those that are well, and the region's share is of no use any more.
func TestReshareLeavesARegionOut(t *testing.T) {
	l, signer, id := fsmtest.New().ReadyThreshold(fsm.Options{})
	l.Must(l.Dual(&command.QuarantineRegion{Region: 2, Quarantined: true}))
	want(t, l, errs.Invalid, l.Dual(&command.RefreshKey{Key: id})) // region 2 would have to finish
	l.Must(l.Dual(&command.RefreshKey{Key: id, Holders: ids(1, 3, 4)}))
	l.Must(l.OfferWrap(l.Region(1), 2))
	l.Must(l.OfferWrap(l.Region(3), 2))
	l.Must(l.OfferWrap(l.Region(4), 2))
	for step := fsm.StepHash; step <= fsm.StepFinish; step++ {
		for _, r := range ids(1, 3, 4) {
			if o := say(l, r, id); o.Code != errs.OK {
				t.Fatal(step, r, o)
			}
		}
	}
	k := keyOf(t, l, id)
	if !slices.Equal(k.Regions, ids(1, 3, 4)) || k.Holds(2) || k.Sharing.Share(3) == nil {
		t.Fatalf("%+v", k)
	}
	l.Must(l.Dual(&command.QuarantineRegion{Region: 2}))
	r := l.Apply(l.By(signer, fsmtest.Message(id, "pay")))
	q, _ := l.Machine.View().Request(r.Opened[0])
	if !slices.Equal(q.Open().Eligible, ids(1, 3, 4)) || q.Open().Epoch != 2 {
		t.Fatalf("%+v", q.Open())
	}
	// Too few that are well: nothing begins.
	later(l, fsm.RetireTime)
	l.Must(l.By(l.Region(1).Session, &command.ReportHealth{Region: 1}))
	l.Must(l.By(l.Region(3).Session, &command.ReportHealth{Region: 3}))
	want(t, l, errs.NoEligiblePair, l.Dual(&command.RefreshKey{Key: id}))
}

// TestRetiringEndsCeremonies, and frees the name of a key that never was.
func TestRetiringEndsCeremonies(t *testing.T) {
	l, id := at(t, fsm.StepDeal)
	again := func() *command.Command {
		return l.By(l.Admins[0], &command.CreateKey{Name: "cold", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2})
	}
	want(t, l, errs.Exists, again())
	// Both in one batch, as Apply may get them.
	retire, create := l.Dual(&command.RetireKey{Key: id}), again()
	r := l.Machine.Apply([]fsm.Input{l.Input(retire), l.Input(create)})
	if r[0].Outcomes[0].Code != errs.OK || r[1].Outcomes[0].Code != errs.OK {
		t.Fatal(r[0].Outcomes, r[1].Outcomes)
	}
	next := r[1].Outcomes[0].Key
	if k, ok := l.Machine.View().KeyByName("acme", "cold"); !ok || k.ID != next || len(l.Machine.View().Keys("acme")) != 3 {
		t.Fatal("the name is not the new key's, or the old key is not listed")
	}
	if k := keyOf(t, l, id); k.State != fsm.KeyRetired || k.Ceremony != nil {
		t.Fatalf("%+v", k)
	}
	want(t, l, errs.BadState, l.Dual(&command.RefreshKey{Key: id}))
	l.Hold(next)
	l.Must(l.Dual(&command.RefreshKey{Key: next}))
	l.Must(l.Dual(&command.RetireKey{Key: next}))
	if e := wrapOf(t, l, 1); e.Live != 0 || e.Doomed == 0 || len(l.Machine.View().Ceremonies()) != 0 {
		t.Fatalf("a retired key keeps a wrapping key: %+v", e)
	}
	want(t, l, errs.Exists, again()) // it was live once
}
