package fsm_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func allowImport(l *fsmtest.Log, on bool) {
	s := l.Machine.View().Settings()
	s.Import = on
	l.Must(l.Dual(&command.Configure{Settings: s}))
}

// importing is a vault without threshold keys that takes keys from outside.
func importing(t *testing.T) (*fsmtest.Log, *identity.KeySigner) {
	t.Helper()
	l, signer, _ := fsmtest.New().Ready(fsm.Options{})
	allowImport(l, true)
	for _, r := range l.Regions {
		l.Must(l.OfferWrap(r, 1))
	}
	return l, signer
}

// TestImportIsOff: no vault begins with imports, and one that allows them has wrapping keys
// to seal to, whether it has threshold keys or not.
func TestImportIsOff(t *testing.T) {
	l, _, _ := fsmtest.New().ReadyThreshold(fsm.Options{})
	want(t, l, errs.Denied, l.Dual(l.Import("acme", "old", command.Ed25519, 2)))
	g := *l.Genesis
	g.Document.Settings.Import = true
	if err := g.Verify(); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("a genesis that allows imports: %v", err)
	}
	s := l.Machine.View().Settings()
	s.Import = true
	want(t, l, errs.NeedsSecondAdmin, l.By(l.Admins[0], &command.Configure{Settings: s}))
	allowImport(l, true)
	if n := len(l.Machine.View().Wraps()); n != 1 {
		t.Errorf("%d wrapping epochs, there was one", n)
	}
	want(t, l, errs.OK, l.Dual(l.Import("acme", "old", command.Ed25519, 2)))
	l, _, _ = fsmtest.New().Ready(fsm.Options{})
	allowImport(l, true)
	allowImport(l, true)
	if w := l.Machine.View().Wraps(); len(w) != 1 || w[0].Epoch != 1 {
		t.Errorf("%+v", w)
	}
}

func TestImportRefuses(t *testing.T) {
	l, signer := importing(t)
	change := func(f func(*command.ImportKey)) *command.Command {
		b := l.Import("acme", "old", command.Secp256k1, 2)
		f(b)
		return l.Dual(b)
	}
	for name, c := range map[string]struct {
		code errs.Code
		c    *command.Command
	}{
		"one administrator": {errs.NeedsSecondAdmin, l.By(l.Admins[0], l.Import("acme", "old", command.Ed25519, 2))},
		"a signer":          {errs.Denied, l.By(signer, l.Import("acme", "old", command.Ed25519, 2))},
		"a region":          {errs.Unauthenticated, l.By(l.Region(1).Session, l.Import("acme", "old", command.Ed25519, 2))},
		"no such tenant":    {errs.NotFound, change(func(b *command.ImportKey) { b.Tenant = "nobody" })},
		"a name taken":      {errs.Exists, change(func(b *command.ImportKey) { b.Name = "hot" })},
		"no threshold keys": {errs.Invalid, change(func(b *command.ImportKey) { b.Curve = command.P256 })},
		"one signer":        {errs.Invalid, change(func(b *command.ImportKey) { b.Signers = 1 })},
		"nobody named":      {errs.Invalid, change(func(b *command.ImportKey) { b.Regions = nil })},
		"two regions":       {errs.NoEligiblePair, change(func(b *command.ImportKey) { b.Regions, b.Boxes = b.Regions[:2], b.Boxes[:2] })},
		"a box missing":     {errs.Invalid, change(func(b *command.ImportKey) { b.Boxes = b.Boxes[:3] })},
		"a box too many":    {errs.Invalid, change(func(b *command.ImportKey) { b.Regions = b.Regions[:3] })},
		"an empty box":      {errs.Invalid, change(func(b *command.ImportKey) { b.Boxes[2] = nil })},
		"no split":          {errs.Invalid, change(func(b *command.ImportKey) { b.Split = nil })},
		"a short point":     {errs.Invalid, change(func(b *command.ImportKey) { b.Point = b.Point[1:] })},
		"no parity":         {errs.Invalid, change(func(b *command.ImportKey) { b.Point = append([]byte{4}, b.Point[1:]...) })},
		"another epoch":     {errs.Stale, change(func(b *command.ImportKey) { b.Wrap = 2 })},
		"epoch 0":           {errs.Stale, change(func(b *command.ImportKey) { b.Wrap = 0 })},
		"a fallback of one": {errs.Invalid, change(func(b *command.ImportKey) { b.Fallback = outsiders(1, 3) })},
	} {
		t.Run(name, func(t *testing.T) { want(t, l, c.code, c.c) })
	}
	l.Must(l.Dual(&command.QuarantineRegion{Region: 3, Quarantined: true}))
	want(t, l, errs.Invalid, change(func(*command.ImportKey) {}))
	if n := len(l.Machine.View().ThresholdKeys()); n != 0 {
		t.Errorf("%d keys came of what was refused", n)
	}
}

// TestImportNeedsWrappingKeys: nothing is dealt to who cannot open it.
func TestImportNeedsWrappingKeys(t *testing.T) {
	l, _, _ := fsmtest.New().Ready(fsm.Options{})
	allowImport(l, true)
	want(t, l, errs.NotReady, l.Dual(l.Import("acme", "old", command.Ed25519, 2)))
	for _, r := range l.Regions[:3] {
		l.Must(l.OfferWrap(r, 1))
	}
	want(t, l, errs.NotReady, l.Dual(l.Import("acme", "old", command.Ed25519, 2)))
	three := l.Import("acme", "old", command.Ed25519, 2)
	three.Regions, three.Boxes = three.Regions[:3], three.Boxes[:3]
	want(t, l, errs.OK, l.Dual(three))
}

// TestImportPath: dealt, taken by every holder, live, signing, refreshed, retired; known
// outside all the way.
func TestImportPath(t *testing.T) {
	l, signer := importing(t)
	b := l.Import("acme", "old", command.Ed25519, 2)
	id := l.Must(l.Dual(b)).Key
	k := keyOf(t, l, id)
	if k.State != fsm.KeyPending || !k.Outside || k.Import == nil || k.Ceremony.Step != fsm.StepFinish || len(k.Ceremony.Missing(wrapOf(t, l, 1))) != 4 ||
		!bytes.Equal(k.Import.Box(3), b.Boxes[2]) || k.Import.Box(5) != nil || wrapOf(t, l, 1).Live != 1 {
		t.Fatalf("begun: %+v", k)
	}
	for i, r := range l.Regions {
		f := l.Finish(r, keyOf(t, l, id))
		wrong := *f
		wrong.Chain[0] ^= 1
		want(t, l, errs.Unverified, l.By(r.Session, &wrong))
		wrong = *f
		wrong.Point = fsmtest.Point(command.Ed25519, id)
		want(t, l, errs.Unverified, l.By(r.Session, &wrong))
		res := want(t, l, errs.OK, l.By(r.Session, f))
		if live := keyOf(t, l, id).State == fsm.KeyActive; live != (i == 3) {
			t.Fatalf("after %d of 4: live %v", i+1, live)
		}
		if i == 3 {
			e, err := audit.DecodeEffect(res.Leaves[0].Effect)
			if err != nil || len(e.Keys) != 1 || e.Keys[0].Attestations != fsm.SharingHash(keyOf(t, l, id)) {
				t.Errorf("the leaf says %+v, %v", e, err)
			}
		}
	}
	k = keyOf(t, l, id)
	if k.Import != nil || k.Ceremony != nil || !k.Outside || !bytes.Equal(k.Point, b.Point) || k.Chain != b.Chain || k.Sharing.Epoch != 1 || k.Sharing.Wrap != 1 || !k.Info().Outside {
		t.Fatalf("live: %+v", k)
	}
	other := *k
	if other.Outside = false; fsm.SharingHash(&other) == fsm.SharingHash(k) || fsm.AttestationsHash(&other) == fsm.AttestationsHash(k) {
		t.Error("the hash in the audit does not bind the mark")
	}
	l.FillPools(command.Ed25519, 8)
	l.Must(l.Dual(&command.LimitKey{Key: id, Requests: 5, Window: time.Hour}))
	l.Must(l.By(signer, fsmtest.Message(id, "pay")))
	l.Must(l.Dual(&command.RefreshKey{Key: id}))
	l.Hold(id)
	if k = keyOf(t, l, id); k.Sharing.Epoch != 2 || !k.Outside || !bytes.Equal(k.Point, b.Point) || k.Chain != b.Chain {
		t.Fatalf("refreshed: %+v", k)
	}
	later(l, fsm.RetireTime)
	l.Must(l.Dual(&command.RefreshKey{Key: id, Holders: ids(1, 2, 4)}))
	l.Hold(id)
	later(l, fsm.RetireTime)
	l.Must(l.Dual(&command.RetireKey{Key: id}))
	if k = keyOf(t, l, id); !k.Outside || k.Sharing.Epoch != 3 {
		t.Fatalf("retired: %+v", k)
	}
	canonical(t, l)
}

// notImported checks that an import was given up whole.
func notImported(t *testing.T, l *fsmtest.Log, id command.KeyID, why ...string) {
	t.Helper()
	k := keyOf(t, l, id)
	if k.State != fsm.KeyRetired || k.Import != nil || k.Ceremony != nil || k.Sharing != nil || k.Point != nil || len(l.Machine.View().Ceremonies()) != 0 {
		t.Fatalf("%+v", k)
	}
	for _, text := range why {
		if !strings.Contains(k.Reason, text) {
			t.Errorf("the reason is %q, want %q in it", k.Reason, text)
		}
	}
	if v := l.Machine.View(); v.Wraps()[0].Live != 0 {
		t.Error("the wrapping epoch is still counted as used")
	}
	canonical(t, l)
	again := l.Must(l.Dual(l.Import("acme", k.Name, k.Curve, k.Signers))).Key
	l.Hold(again)
	if k := keyOf(t, l, again); k.State != fsm.KeyActive {
		t.Errorf("imported again: %s", k.State)
	}
}

// TestImportComplaint: one holder whose share is wrong says so, and there is no key.
func TestImportComplaint(t *testing.T) {
	l, _ := importing(t)
	id := l.Must(l.Dual(l.Import("acme", "old", command.Secp256k1, 2))).Key
	for _, r := range l.Regions[:3] {
		l.Must(l.By(r.Session, l.Said(r, id)))
	}
	c := keyOf(t, l, id).Ceremony.ID
	accuse := func(by identity.RegionID, against identity.RegionID) *command.Command {
		return l.By(l.Region(by).Session, &command.AccuseDealer{Ceremony: c, Against: against, Note: "its share does not fit"})
	}
	want(t, l, errs.Denied, accuse(4, 4))
	want(t, l, errs.OK, accuse(1, 2)) // of an unfit wrapping key, say: one word against a region is not enough
	if k := keyOf(t, l, id); k.State != fsm.KeyPending {
		t.Fatal("one word against another region ended it")
	}
	res := want(t, l, errs.OK, accuse(4, 0))
	if e, err := audit.DecodeEffect(res.Leaves[0].Effect); err != nil || len(e.Keys) != 1 || e.Keys[0].State != uint8(fsm.KeyRetired) {
		t.Errorf("the leaf says %+v, %v", e, err)
	}
	notImported(t, l, id, "the importer", "[4]", "its share does not fit")
}

// TestNobodyImportedADealtKey: in other ceremonies there is no importer to accuse.
func TestNobodyImportedADealtKey(t *testing.T) {
	l, id := beginning(t)
	for _, r := range l.Regions {
		l.Must(l.OfferWrap(r, 1))
	}
	for range 2 {
		for _, r := range l.Regions {
			l.Must(l.By(r.Session, l.Said(r, id)))
		}
	}
	want(t, l, errs.Denied, l.By(l.Region(1).Session, &command.AccuseDealer{Ceremony: keyOf(t, l, id).Ceremony.ID, Note: "who"}))
}

// TestImportExpires: one that is not taken in time is given up, and says for whom it waited.
func TestImportExpires(t *testing.T) {
	l, _ := importing(t)
	id := l.Must(l.Dual(l.Import("acme", "old", command.Ed25519, 3))).Key
	for _, r := range l.Regions[:2] {
		l.Must(l.By(r.Session, l.Said(r, id)))
	}
	later(l, fsm.ImportTime-time.Millisecond)
	if k := keyOf(t, l, id); k.State != fsm.KeyPending {
		t.Fatalf("given up early: %s", k.Reason)
	}
	later(l, time.Millisecond)
	notImported(t, l, id, "region 3: nothing came", "region 4: nothing came")
}

// TestImportsDiffer: holders that came to different ends make no key, and who differs is named.
func TestImportsDiffer(t *testing.T) {
	l, _ := importing(t)
	id := l.Must(l.Dual(l.Import("acme", "old", command.Ed25519, 2))).Key
	for _, r := range l.Regions {
		f := l.Finish(r, keyOf(t, l, id))
		if r.ID == 3 {
			f.Transcript[0] ^= 1
		}
		l.Must(l.By(r.Session, f))
	}
	notImported(t, l, id, "region 3 by the word of [1 2 4]", "differs")
}

// TestImportForbiddenMeanwhile: what was allowed when it began does not end after that.
func TestImportForbiddenMeanwhile(t *testing.T) {
	l, _ := importing(t)
	id := l.Must(l.Dual(l.Import("acme", "old", command.Ed25519, 2))).Key
	allowImport(l, false)
	want(t, l, errs.Denied, l.By(l.Region(1).Session, l.Said(l.Region(1), id)))
	l.Must(l.Dual(&command.RetireKey{Key: id}))
	allowImport(l, true)
	notImported(t, l, id)
}

// TestImportAndRefreshOfAll: a refresh of all waits for an import and takes it along.
func TestImportAndRefreshOfAll(t *testing.T) {
	l, _ := importing(t)
	first := l.ThresholdKey("acme", "cold", command.Ed25519, 2)
	id := l.Must(l.Dual(l.Import("acme", "old", command.Ed25519, 2))).Key
	l.Must(l.Dual(&command.RefreshKey{}))
	want(t, l, errs.Stale, l.Dual(func() *command.ImportKey { b := l.Import("acme", "older", command.Ed25519, 2); b.Wrap = 1; return b }()))
	want(t, l, errs.BadState, l.Dual(&command.RefreshKey{Key: id}))
	dealAll(t, l, 1, 2, 3, 4)
	for _, id := range []command.KeyID{first, id} {
		if k := keyOf(t, l, id); k.Sharing.Epoch != 2 || k.Sharing.Wrap != 2 {
			t.Errorf("key %s: sharing %d under %d", k.Name, k.Sharing.Epoch, k.Sharing.Wrap)
		}
	}
}

// TestImportAfterClockRepair: it waits no longer than if it had begun then, and no shorter.
func TestImportAfterClockRepair(t *testing.T) {
	l, _ := importing(t)
	now := l.Now
	l.Now = now.Add(48 * time.Hour)
	id := l.Must(l.Dual(l.Import("acme", "old", command.Ed25519, 2))).Key
	clock := l.Machine.View().Clock()
	l.Now = now
	word := func(r identity.RegionID) []byte { return l.ClockWord(r, command.ClockWord{Clock: clock, At: now}) }
	l.Must(l.Command(&command.RepairClock{To: now, Words: [][]byte{word(1), word(2)}}, now.Add(time.Minute), l.Admins[0], l.Admins[1]))
	if c := keyOf(t, l, id).Ceremony; !c.Deadline.Equal(now.Add(fsm.ImportTime)) {
		t.Errorf("it waits until %s, the clock is %s", c.Deadline, now)
	}
}

// variedImport is a log with imported keys in every state.
func variedImport(t testing.TB) *fsmtest.Log {
	l, _, _ := fsmtest.New().ReadyThreshold(fsm.Options{})
	allowImport(l, true)
	live := l.Must(l.Dual(l.Import("acme", "live", command.Secp256k1, 2))).Key
	l.Hold(live)
	l.Must(l.Dual(&command.LimitKey{Key: live, Requests: 3, Window: time.Hour}))
	given := l.Must(l.Dual(l.Import("acme", "given-up", command.Ed25519, 2))).Key
	l.Must(l.By(l.Region(2).Session, &command.AccuseDealer{Ceremony: command.CeremonyID{Key: given, Epoch: 1, Try: 1}, Note: "its share does not fit"}))
	paths := l.Import("acme", "pending", command.Secp256k1, 3)
	paths.Fallback = outsiders(2, 4)
	pending := l.Must(l.Dual(paths)).Key
	say(l, 2, pending)
	refreshed := l.Must(l.Dual(l.Import("acme", "refreshed", command.Ed25519, 2))).Key
	l.Hold(refreshed)
	l.Must(l.Dual(&command.RefreshKey{Key: refreshed}))
	return l
}

func TestImportVector(t *testing.T) {
	l := variedImport(t)
	canonical(t, l)
	snapshotVector(t, "snapshot-import", l)
}

// TestDamagedImport: a row whose import is none is not read.
func TestDamagedImport(t *testing.T) {
	l, _ := importing(t)
	id := l.Must(l.Dual(l.Import("acme", "old", command.Ed25519, 2))).Key
	good := written(t, l.Machine)
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(good, keyOf(t, l, id).Import.Split)
	for name, change := range map[string]func(b []byte){
		"not to be taken": func(b []byte) { b[at-5] = 0 }, "no flag": func(b []byte) { b[at-5] = 2 }, "a longer split": func(b []byte) { b[at-3] = 9 },
		"another extra": func(b []byte) { b[at-10] = 3 }, "of later": func(b []byte) { b[at-10] = 9 },
	} {
		bad := slices.Clone(good)
		change(bad)
		if err := m.Restore(bytes.NewReader(resealed(bad))); errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}
