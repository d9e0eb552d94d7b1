package ceremony_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/ceremony/ceremonytest"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

// lost is a founded cluster whose east lost HSM and disk, and re-enrolled with another HSM.
type lost struct {
	*ceremonytest.Lab
	found *ceremony.Founding
	doc   *genesis.Document
	root  seal.Root
	east  *ceremonytest.Site
	fresh *ceremony.Reenrolment
	pins  roll.Pins // what the vault says after the re-enrolment

	stolen identity.Signer // the identity key in the HSM of before
}

const east = identity.RegionID(2)

func newLost(t *testing.T) *lost {
	t.Helper()
	l := &lost{Lab: ceremonytest.New(t, ceremonytest.Options{})}
	l.found = l.Found(t)
	l.doc = &l.found.Genesis.Document
	l.root, _ = opens(t, l.Sites[1])
	l.east = l.Sites[1]
	l.stolen = l.east.HSM.Identity()
	l.east.Device = sealtest.New(sealtest.Options{Seed: 77, Hashes: []seal.Hash{seal.SHA256}})
	l.east.HSM, l.east.FS = ceremonytest.OpenHSM(t, l.east.Device), durabletest.New()
	var err error
	if l.fresh, err = l.east.Reenrol(t.Context(), l.doc); err != nil {
		t.Fatal(err)
	}
	l.pins = founders(l.doc)
	l.pins[east] = l.fresh.Identity
	return l
}

// opens is what an installed site holds, and its root key.
func opens(t *testing.T, s *ceremonytest.Site) (seal.Root, seal.Contents) {
	t.Helper()
	in, err := ceremony.Load(s.FS)
	if err != nil {
		t.Fatal(err)
	}
	state, err := seal.DecodeState(in.Unseal)
	if err != nil {
		t.Fatal(err)
	}
	d := &in.Genesis.Document
	c, err := seal.OpenState(t.Context(), ceremonytest.OpenHSM(t, s.Device), state, d.Cluster, d.RootCheck)
	if err != nil {
		t.Fatal(err)
	}
	return c.Roots[1], c
}

func founders(d *genesis.Document) roll.Pins {
	pins := roll.Pins{}
	for _, r := range d.Regions {
		pins[r.ID] = r.Identity
	}
	return pins
}

// words is a region's, with what a liar may bend.
type words struct {
	region  identity.RegionID
	by      identity.Signer // nil: the region's HSM
	pins    roll.Pins
	roots   map[uint32]seal.Root
	to      []byte // wrapping key; nil: the guest's
	from    identity.RegionID
	lineage [32]byte
}

func (l *lost) says(t *testing.T, w words) *ceremony.Welcome {
	t.Helper()
	ctx := context.Background()
	if w.by == nil {
		w.by = l.Sites[w.region-1].HSM.Identity()
	}
	if w.to == nil {
		w.to = l.fresh.Wrapping
	}
	if w.from == 0 {
		w.from = w.region
	}
	if w.lineage == ([32]byte{}) {
		w.lineage = l.doc.Hash()
	}
	ring, err := seal.NewKeyring(l.doc.Cluster, w.roots, seal.Root{9})
	if err != nil {
		t.Fatal(err)
	}
	o := &roll.Roll{Lineage: w.lineage, Applied: 9, Guest: east, At: time.Now()}
	if o.Sealed, err = ring.WrapRoots(w.to, l.fresh.OAEPHash, roll.Label(w.lineage, w.from, east)); err != nil {
		t.Fatal(err)
	}
	for _, r := range slices.Sorted(maps.Keys(w.pins)) {
		o.Identities = append(o.Identities, w.pins[r])
	}
	key := identity.GenerateEd25519()
	cert, err := identity.IssueSession(ctx, w.by, key, identity.SessionCert{Cluster: l.doc.Cluster, Region: w.region, ServerID: "some-00000001", Issued: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Sign(ctx, &identity.Session{KeySigner: key, Cert: cert}); err != nil {
		t.Fatal(err)
	}
	f := &ceremony.Files{}
	if err := f.Add("welcome", (&ceremony.Welcome{Roll: o}).File()); err != nil {
		t.Fatal(err)
	}
	return f.Welcomes[0]
}

func (l *lost) roots() map[uint32]seal.Root { return map[uint32]seal.Root{1: l.root} }

// true is what an honest region says.
func (l *lost) true(t *testing.T, region identity.RegionID) *ceremony.Welcome {
	return l.says(t, words{region: region, pins: l.pins, roots: l.roots()})
}

func (l *lost) arrive(t *testing.T, trust ceremony.Trust, ws ...*ceremony.Welcome) (*ceremony.Installed, error) {
	t.Helper()
	l.east.FS = keeping(t, l.east)
	h, err := ceremony.Hear(l.doc, ws, trust)
	if err != nil {
		return nil, err
	}
	if _, err := l.east.Arrive(t.Context(), &ceremony.Arrival{Genesis: l.found.Genesis, Heard: h}); err != nil {
		return nil, err
	}
	return ceremony.Load(l.east.FS)
}

// keeping is a disk with nothing but the region's re-enrolment.
func keeping(t *testing.T, s *ceremonytest.Site) durable.FS {
	t.Helper()
	b, err := s.FS.ReadFile("ceremony/reenrolment")
	if err != nil {
		t.Fatal(err)
	}
	disk := durabletest.New()
	if err := disk.WriteFile("ceremony/reenrolment", b); err != nil {
		t.Fatal(err)
	}
	return disk
}

func TestReenrol(t *testing.T) {
	ctx := t.Context()
	l := newLost(t)
	if again, err := l.east.Reenrol(ctx, l.doc); err != nil || !bytes.Equal(again.File(), l.fresh.File()) {
		t.Fatalf("re-enrolled twice: %v", err)
	}
	f := &ceremony.Files{}
	if err := f.Add("f", l.fresh.File()); err != nil || f.Reenrolments[0].Check(l.doc) != nil {
		t.Fatalf("its own file: %v", err)
	}
	in, err := l.arrive(t, nil, l.true(t, 1), l.true(t, 4))
	if err != nil {
		t.Fatal(err)
	}
	if in.ServerID != l.fresh.ServerID || len(in.Pins) != 1 || !in.Pins[east].Equal(l.fresh.Identity) {
		t.Errorf("installed %+v", in)
	}
	root, c := opens(t, l.east)
	if root != l.root {
		t.Error("the region opens another root key")
	}
	if len(c.Secrets) != 0 {
		t.Error("it has a share of the beacon key")
	}
}

// TestFoundingHSM: who still has the founding's HSM needs no other one.
func TestFoundingHSM(t *testing.T) {
	l := ceremonytest.New(t, ceremonytest.Options{})
	d := &l.Found(t).Genesis.Document
	s := l.Sites[1]
	if _, err := s.Reenrol(t.Context(), d); errs.CodeOf(err) != errs.BadState {
		t.Errorf("on a founded disk: %v", err)
	}
	s.FS = durabletest.New()
	if _, err := s.Reenrol(t.Context(), d); errs.CodeOf(err) != errs.Invalid || !strings.Contains(errs.HintOf(err), "--rejoin") {
		t.Errorf("with the founding's HSM: %v", err)
	}
}

// TestLyingWelcomes: one region that lies changes nothing but which region's root key is
// taken. What it must never reach is a wrong key installed.
func TestLyingWelcomes(t *testing.T) {
	l := newLost(t)
	forged := identity.GenerateEd25519()
	with := func(region identity.RegionID, k identity.PublicKey) roll.Pins {
		pins := maps.Clone(l.pins)
		pins[region] = k
		return pins
	}
	liar := func(w words) *ceremony.Welcome {
		w.region = 1
		if w.pins == nil {
			w.pins = l.pins
		}
		if w.roots == nil {
			w.roots = l.roots()
		}
		return l.says(t, w)
	}
	other, err := sealtest.New(sealtest.Options{Seed: 5}).OpenHSM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	if _, err := other.GenerateWrapping(t.Context(), "w"); err != nil {
		t.Fatal(err)
	}
	foreign, _ := other.Wrapping()
	for name, w := range map[string]*ceremony.Welcome{
		"a false root key":         liar(words{roots: map[uint32]seal.Root{1: {6, 6}}}),
		"a later root key":         liar(words{roots: map[uint32]seal.Root{1: l.root, 2: {6, 6}}}),
		"sealed for another HSM":   liar(words{to: foreign}),
		"sealed as another region": liar(words{from: 3}),
		"a false identity":         liar(words{pins: with(3, forged.Public())}),
		"all identities false":     liar(words{pins: roll.Pins{1: forged.Public(), 2: forged.Public(), 3: forged.Public(), 4: forged.Public()}}),
		"another vault":            liar(words{lineage: [32]byte{1}}),
		"signed by nobody":         liar(words{by: forged}),
	} {
		t.Run(name, func(t *testing.T) {
			in, err := l.arrive(t, nil, w, l.true(t, 3), l.true(t, 4))
			if err != nil {
				t.Fatal(err)
			}
			if root, _ := opens(t, l.east); root != l.root || len(in.Pins) != 1 || !in.Pins[east].Equal(l.fresh.Identity) {
				t.Errorf("installed %+v", in)
			}
			// The liar and one other are not enough where it denies what the other says, and never
			// bring anything false.
			in, err = l.arrive(t, nil, w, l.true(t, 3))
			if err == nil {
				if root, _ := opens(t, l.east); root != l.root || len(in.Pins) != 1 || !in.Pins[east].Equal(l.fresh.Identity) {
					t.Errorf("with one honest region: installed %+v", in)
				}
			}
			if in, err := l.arrive(t, nil, w); err == nil {
				t.Errorf("the liar alone: installed %+v", in)
			}
		})
	}
}

// TestTrust: what people compared counts without two regions, and against them.
func TestTrust(t *testing.T) {
	l := newLost(t)
	if _, err := l.arrive(t, nil, l.true(t, 3)); errs.CodeOf(err) != errs.BadState || !strings.Contains(errs.HintOf(err), "--trust-identity") {
		t.Errorf("one region: %v", err)
	}
	trust, err := ceremony.ParseTrust(l.doc, []string{"east=" + l.fresh.Identity.Fingerprint().String()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.arrive(t, trust, l.true(t, 3)); err != nil {
		t.Errorf("one region, compared by people: %v", err)
	}
	if _, err := l.arrive(t, ceremony.Trust{east: {1}}, l.true(t, 3), l.true(t, 4)); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("compared with something else: %v", err)
	}
	if _, err := l.arrive(t, ceremony.Trust{east: l.doc.Regions[1].Identity.Fingerprint()}, l.true(t, 3), l.true(t, 4)); errs.CodeOf(err) != errs.BadState {
		t.Errorf("the founding's identity trusted: %v", err)
	}
	for _, bad := range []string{"", "east", "east=", "nowhere=" + strings.Repeat("ab", 32), "east=abc"} {
		if _, err := ceremony.ParseTrust(l.doc, []string{bad}); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestLaterRoots: root keys after the genesis' need two regions that have the same.
func TestLaterRoots(t *testing.T) {
	l := newLost(t)
	both := map[uint32]seal.Root{1: l.root, 2: {7}}
	later := func(region identity.RegionID) *ceremony.Welcome {
		return l.says(t, words{region: region, pins: l.pins, roots: both})
	}
	if _, err := l.arrive(t, nil, later(1), later(3)); err != nil {
		t.Fatal(err)
	}
	if _, c := opens(t, l.east); !maps.Equal(c.Roots, both) {
		t.Errorf("%v", c.Roots)
	}
}

// TestRejoinAfterReenrolment: the region that re-enrolled loses its disk again, and another
// region its own.
func TestRejoinAfterReenrolment(t *testing.T) {
	ctx := t.Context()
	l := newLost(t)
	heard, err := ceremony.Hear(l.doc, []*ceremony.Welcome{l.true(t, 1), l.true(t, 3)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.east.FS = durabletest.New()
	way := &ceremony.Arrival{Genesis: l.found.Genesis, Heard: heard}
	if _, err := l.east.Arrive(ctx, way); errs.CodeOf(err) != errs.BadState || !strings.Contains(errs.HintOf(err), "--rejoin") {
		t.Errorf("an empty disk without --rejoin: %v", err)
	}
	way.Rejoin, way.Found = true, l.found
	e, err := l.east.Arrive(ctx, way)
	if err != nil || e == nil || e.ServerID == l.fresh.ServerID || !e.Identity.Equal(l.fresh.Identity) {
		t.Fatalf("%+v, %v", e, err)
	}
	if again, err := l.east.Arrive(ctx, way); err != nil || !bytes.Equal(again.Encode(), e.Encode()) {
		t.Errorf("repeated: %v, %v", again, err)
	}
	if root, _ := opens(t, l.east); root != l.root {
		t.Error("the region opens another root key")
	}

	south := l.Sites[2]
	south.FS = durabletest.New()
	e, err = south.Arrive(ctx, way)
	if err != nil || e == nil || e.ServerID == l.found.Enrolments[2].ServerID {
		t.Fatalf("%+v, %v", e, err)
	}
	in, err := ceremony.Load(south.FS)
	if err != nil || !in.Pins[east].Equal(l.fresh.Identity) || in.ServerID != e.ServerID {
		t.Errorf("%+v, %v", in, err)
	}
	if root, c := opens(t, south); root != l.root || len(c.Secrets[ceremony.SecretBeacon]) == 0 {
		t.Error("south lost its root key, or its share of the beacon key")
	}
}

// TestLateRegion: one that was away only learns who the others are.
func TestLateRegion(t *testing.T) {
	l := newLost(t)
	west := l.Sites[3]
	before, err := ceremony.Load(west.FS)
	if err != nil {
		t.Fatal(err)
	}
	heard, err := ceremony.Hear(l.doc, []*ceremony.Welcome{l.true(t, 1), l.true(t, 3)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := west.Arrive(t.Context(), &ceremony.Arrival{Genesis: l.found.Genesis, Heard: heard}); err != nil || again != nil {
		t.Fatalf("%v, %v", again, err)
	}
	after, err := ceremony.Load(west.FS)
	if err != nil || after.ServerID != before.ServerID || !bytes.Equal(after.Unseal, before.Unseal) || !after.Pins[east].Equal(l.fresh.Identity) {
		t.Errorf("%+v, %v", after, err)
	}
	// A welcome of before the re-enrolment, handed over once more, forgets nothing.
	old := []*ceremony.Welcome{l.says(t, words{region: 1, pins: founders(l.doc), roots: l.roots()}), l.says(t, words{region: 3, pins: founders(l.doc), roots: l.roots()})}
	if heard, err = ceremony.Hear(l.doc, old, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := west.Arrive(t.Context(), &ceremony.Arrival{Genesis: l.found.Genesis, Heard: heard}); err != nil {
		t.Fatal(err)
	}
	if after, err = ceremony.Load(west.FS); err != nil || !after.Pins[east].Equal(l.fresh.Identity) {
		t.Errorf("an older welcome: %+v, %v", after, err)
	}
}

// TestCampsOfWelcomes: a liar and the thief of the old HSM against two honest regions: nothing
// is installed, or noted, before people compared.
func TestCampsOfWelcomes(t *testing.T) {
	l := newLost(t)
	lies := founders(l.doc)
	lies[4] = identity.GenerateEd25519().Public()
	said := []*ceremony.Welcome{l.true(t, 3), l.true(t, 4), l.says(t, words{region: 1, pins: lies, roots: l.roots()}),
		l.says(t, words{region: east, by: l.stolen, pins: lies, roots: l.roots()})}
	if _, err := l.arrive(t, nil, said...); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("installed on what two camps say: %v", err)
	}
	west := l.Sites[3]
	heard, err := ceremony.Hear(l.doc, said, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := west.Arrive(t.Context(), &ceremony.Arrival{Genesis: l.found.Genesis, Heard: heard}); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("noted what two camps say: %v", err)
	}
	if in, err := l.arrive(t, ceremony.Trust{east: l.fresh.Identity.Fingerprint()}, said...); err != nil || !in.Pins[east].Equal(l.fresh.Identity) {
		t.Errorf("compared: %+v, %v", in, err)
	}
}

// TestDamagedPins: a node does not start on pins that it cannot read.
func TestDamagedPins(t *testing.T) {
	l := newLost(t)
	if _, err := l.arrive(t, nil, l.true(t, 1), l.true(t, 3)); err != nil {
		t.Fatal(err)
	}
	b, err := l.east.FS.ReadFile(ceremony.FilePins)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{3, 20, len(b) - 40, len(b) - 1} {
		bad := bytes.Clone(b)
		bad[at] ^= 0x41
		if at == len(b)-1 {
			bad = bad[:at]
		}
		if err := l.east.FS.WriteFile(ceremony.FilePins, bad); err != nil {
			t.Fatal(err)
		}
		if _, err := ceremony.Load(l.east.FS); at != len(b)-40 && errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}
