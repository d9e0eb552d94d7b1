package ceremony_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/ceremony/ceremonytest"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// unseal opens an installed site as a node would and returns its root and beacon share.
func unseal(t *testing.T, s *ceremonytest.Site) (seal.Root, draw.Share) {
	t.Helper()
	in, err := ceremony.Load(s.FS)
	if err != nil {
		t.Fatal(err)
	}
	st, err := seal.DecodeState(in.Unseal)
	if err != nil {
		t.Fatal(err)
	}
	d := &in.Genesis.Document
	ring, secrets, err := seal.Unseal(context.Background(), ceremonytest.OpenHSM(t, s.Device), st, d.Cluster, d.RootCheck)
	if err != nil {
		t.Fatal(err)
	}
	share, err := draw.DecodeShare(secrets[ceremony.SecretBeacon])
	if err != nil {
		t.Fatal(err)
	}
	root, ok := ring.Root(1)
	if !ok {
		t.Fatal("no root key of version 1")
	}
	return root, share
}

func TestFounding(t *testing.T) {
	l := ceremonytest.New(t, ceremonytest.Options{})
	f := l.Found(t)
	d := &f.Genesis.Document
	if err := f.Genesis.Verify(); err != nil {
		t.Fatal(err)
	}
	beacon, err := draw.NewPublicKey(int(d.Beacon.Threshold), d.Beacon.Public, d.Beacon.Shares)
	if err != nil {
		t.Fatal(err)
	}
	input := draw.Input(d.Hash(), 1, 1, [32]byte{})
	var partials []draw.Partial
	var first seal.Root
	for i, s := range l.Sites {
		root, share := unseal(t, s)
		if i == 0 {
			first = root
		}
		if root != first || seal.RootCheck(d.Cluster, root) != d.RootCheck {
			t.Errorf("region %s holds another root key", s.Region.Name)
		}
		p, err := share.Evaluate(draw.At(input))
		if err != nil || share.Matches(beacon) != nil {
			t.Fatalf("region %s: share does not fit the beacon: %v", s.Region.Name, err)
		}
		partials = append(partials, p)
	}
	a, errA := beacon.CombineChecked(draw.At(input), partials[:3])
	b, errB := beacon.CombineChecked(draw.At(input), partials[1:])
	if errA != nil || errB != nil || a != b {
		t.Errorf("two triples give %x (%v) and %x (%v)", a, errA, b, errB)
	}
}

// TestRepeat runs every step twice: it must change nothing.
func TestRepeat(t *testing.T) {
	ctx := context.Background()
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	for i, e := range l.Enrol(t) {
		if !bytes.Equal(e.Encode(), es[i].Encode()) {
			t.Fatal("a second enrolment differs")
		}
	}
	cs := l.Contribute(t, es)
	for i, c := range l.Contribute(t, es) {
		if !bytes.Equal(c.Encode(), cs[i].Encode()) {
			t.Fatal("a second contribution differs")
		}
	}
	one, err := l.Sites[2].DealOfficers(ctx, es, cs)
	if err != nil {
		t.Fatal(err)
	}
	two, err := l.Sites[2].DealOfficers(ctx, es, cs)
	if err != nil || !bytes.Equal(one[1].Encode(), two[1].Encode()) {
		t.Fatalf("a second dealing to the officers differs: %v", err)
	}
	f := l.Found(t)
	before, _ := l.Sites[0].FS.ReadFile(ceremony.FileUnseal)
	if again, err := l.Sites[0].Install(ctx, f, false); again != nil || err != nil {
		t.Fatalf("second install: %v, %v", again, err)
	}
	if after, _ := l.Sites[0].FS.ReadFile(ceremony.FileUnseal); !bytes.Equal(before, after) {
		t.Error("a second install changed the unseal file")
	}
	if _, err := l.Sites[0].Enrol(ctx); errs.CodeOf(err) != errs.BadState {
		t.Errorf("enrolling a founded region: %v", err)
	}
	if err := l.Sites[0].Restart(); errs.CodeOf(err) != errs.BadState {
		t.Errorf("restarting a founded region: %v", err)
	}
}

// TestFilesRoundTrip sends everything through text and back, in any order, copies included.
func TestFilesRoundTrip(t *testing.T) {
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	cs := l.Contribute(t, es)
	as := l.Sign(t, es, cs)
	proved := l.ProveOfficers(t, es, cs, as[0])
	var fs ceremony.Files
	add := func(b []byte) {
		t.Helper()
		if err := fs.Add("a file", b); err != nil {
			t.Fatal(err)
		}
	}
	for i := len(es) - 1; i >= 0; i-- {
		add(append(es[i].File(), cs[i].File()...))
		add(es[i].File())
	}
	for _, a := range as {
		add(a.File())
	}
	add(proved.File())
	f, err := l.Plan.Finish(&fs)
	if err != nil {
		t.Fatal(err)
	}
	var out ceremony.Files
	text, err := f.Genesis.MarshalFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{text, f.BundleFile()} {
		if err := out.Add("bundle", b); err != nil {
			t.Fatal(err)
		}
	}
	g, err := ceremony.NewFounding(&out)
	if err != nil {
		t.Fatal(err)
	}
	if g.Plan().Hash() != l.Plan.Hash() {
		t.Error("the founding does not lead back to its plan")
	}
}

// TestRejoin loses a region's disk and keeps its HSM.
func TestRejoin(t *testing.T) {
	ctx := context.Background()
	l := ceremonytest.New(t, ceremonytest.Options{})
	f := l.Found(t)
	s := l.Sites[1]
	wantRoot, _ := unseal(t, s)
	s.FS = durabletest.New()
	if _, err := s.Install(ctx, f, false); errs.CodeOf(err) != errs.BadState || !strings.Contains(errs.HintOf(err), "--rejoin") {
		t.Fatalf("install on an empty disk: %v", err)
	}
	e, err := s.Install(ctx, f, true)
	if err != nil {
		t.Fatal(err)
	}
	if e == nil || e.ServerID == f.Enrolments[1].ServerID {
		t.Fatalf("the empty disk came back under its old incarnation: %+v", e)
	}
	if back, err := ceremony.DecodeEnrolment(e.Encode()); err != nil || back.ServerID != e.ServerID {
		t.Errorf("new enrolment does not verify: %v", err)
	}
	if again, err := s.Install(ctx, f, true); err != nil || again == nil || again.ServerID != e.ServerID {
		t.Errorf("repeated rejoin: %v, %v", again, err)
	}
	in, err := ceremony.Load(s.FS)
	if err != nil || in.ServerID != e.ServerID {
		t.Errorf("loaded %+v, %v", in, err)
	}
	if root, _ := unseal(t, s); root != wantRoot {
		t.Error("the rebuilt region holds another root key")
	}
}

// TestCrashes cuts the power after every write of enrol and install, and repeats.
func TestCrashes(t *testing.T) {
	ctx := context.Background()
	l := ceremonytest.New(t, ceremonytest.Options{})
	s := l.Sites[0]
	for n := 1; n <= 4; n++ {
		disk := durabletest.New()
		s.FS = &failing{FS: disk, after: n}
		_, err := s.Enrol(ctx)
		if n <= 2 && err == nil {
			t.Fatalf("write %d failed unnoticed", n)
		}
		s.FS = disk
		if _, err := s.Enrol(ctx); err != nil {
			t.Fatalf("after a crash at write %d: %v", n, err)
		}
	}
	f := l.Found(t)
	enrolment, err := s.FS.ReadFile("ceremony/enrolment")
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 5; n++ {
		disk := durabletest.New()
		if err := disk.WriteFile("ceremony/enrolment", enrolment); err != nil {
			t.Fatal(err)
		}
		s.FS = &failing{FS: disk, after: n}
		if _, err := s.Install(ctx, f, false); n <= 4 && err == nil {
			t.Fatalf("write %d failed unnoticed", n)
		}
		s.FS = disk
		if _, err := s.Install(ctx, f, false); err != nil {
			t.Fatalf("install after a crash at write %d: %v", n, err)
		}
		if _, err := ceremony.Load(disk); err != nil {
			t.Errorf("load after a crash at write %d: %v", n, err)
		}
	}
}

type failing struct {
	durable.FS
	after int
}

func (f *failing) WriteFile(name string, b []byte) error {
	if f.after--; f.after == 0 {
		return errs.New(errs.DiskFull, "no space")
	}
	return f.FS.WriteFile(name, b)
}

// TestNothingReadable looks for the secrets in everything that leaves a site or stays.
func TestNothingReadable(t *testing.T) {
	l := ceremonytest.New(t, ceremonytest.Options{})
	f := l.Found(t)
	blobs := map[string][]byte{"genesis": f.Genesis.Encode()}
	for i, s := range l.Sites {
		blobs["enrolment "+s.Region.Name] = f.Enrolments[i].Encode()
		blobs["contribution "+s.Region.Name] = f.Contributions[i].Encode()
		for _, file := range []string{ceremony.FileRegion, ceremony.FileUnseal, "ceremony/secrets"} {
			b, err := s.FS.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			blobs[file+" "+s.Region.Name] = b
		}
	}
	root, share := unseal(t, l.Sites[0])
	enc := share.Encode()
	part, _, err := f.Contributions[1].Open(l.Sites[0].HSM, 1)
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string][]byte{"root key": root[:], "beacon share": enc[len(enc)-32:], "contribution": part[:]} {
		for name, b := range blobs {
			if bytes.Contains(b, secret) {
				t.Errorf("%s holds the %s in the clear", name, what)
			}
		}
	}
}

func TestOfficersRecover(t *testing.T) {
	ctx := context.Background()
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	cs := l.Contribute(t, es)
	as := l.Sign(t, es, cs)
	shares, err := l.Sites[0].DealOfficers(ctx, es, cs)
	if err != nil {
		t.Fatal(err)
	}
	hash := as[0].Document.Hash()
	var proofs []*ceremony.OfficerProof
	for i, s := range shares {
		p, err := ceremony.ProveShare(s, as[0], hash, l.Officers[i])
		if err != nil {
			t.Fatal(err)
		}
		proofs = append(proofs, p)
	}
	check := func(in ...*ceremony.OfficerProof) error {
		_, err := l.Sites[0].CheckOfficers(ctx, es, cs, in)
		return err
	}
	if err := check(proofs...); err != nil {
		t.Fatal(err)
	}
	if err := check(proofs[:2]...); errs.CodeOf(err) != errs.NotFound || !strings.Contains(err.Error(), "officer 3") {
		t.Errorf("a missing officer: %v", err)
	}
	swapped := *proofs[0]
	swapped.Ciphertext = proofs[1].Ciphertext
	if err := check(&swapped, proofs[1], proofs[2]); errs.CodeOf(err) != errs.Unverified || !strings.Contains(err.Error(), "officer 1") {
		t.Errorf("a swapped share: %v", err)
	}
	if _, err := l.Sites[1].CheckOfficers(ctx, es, cs, proofs); errs.CodeOf(err) != errs.BadState {
		t.Errorf("checking at a region that dealt nothing: %v", err)
	}
	if _, err := ceremony.ProveShare(shares[0], as[0], hash, l.Officers[1]); errs.CodeOf(err) != errs.Denied {
		t.Errorf("another officer's key: %v", err)
	}
	if _, err := ceremony.ProveShare(shares[0], as[0], [32]byte{1}, l.Officers[0]); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("another hash: %v", err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	forged := *shares[0]
	forged.Asking = stranger.Recipient().String()
	if _, err := ceremony.ProveShare(&forged, as[0], hash, l.Officers[0]); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("a stranger asking for a share: %v", err)
	}
}

func TestWrongToken(t *testing.T) {
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	s := l.Sites[0]
	s.HSM = ceremonytest.OpenHSM(t, l.Sites[1].Device)
	if _, err := s.Contribute(context.Background(), es); errs.CodeOf(err) != errs.BadState || !strings.Contains(errs.HintOf(err), "token_label") {
		t.Errorf("another region's token: %v", err)
	}
	s.HSM = ceremonytest.OpenHSM(t, sealtest.New(sealtest.Options{Seed: 99}))
	if _, err := s.Contribute(context.Background(), es); err == nil {
		t.Error("an empty token was accepted")
	}
}

func TestLoadRefuses(t *testing.T) {
	l := ceremonytest.New(t, ceremonytest.Options{})
	if _, err := ceremony.Load(durabletest.New()); errs.CodeOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("an empty directory: %v", err)
	}
	l.Found(t)
	other := ceremonytest.New(t, ceremonytest.Options{})
	other.Found(t)
	theirs, err := other.Sites[0].FS.ReadFile(ceremony.FileGenesis)
	if err != nil {
		t.Fatal(err)
	}
	fs := l.Sites[0].FS
	ours, _ := fs.ReadFile(ceremony.FileGenesis)
	for name, content := range map[string][]byte{"another genesis": theirs, "altered": bytes.Replace(ours, []byte(`"lab"`), []byte(`"lob"`), 1), "empty": nil} {
		if err := fs.WriteFile(ceremony.FileGenesis, content); err != nil {
			t.Fatal(err)
		}
		if _, err := ceremony.Load(fs); errs.CodeOf(err) != errs.Corrupt || !strings.Contains(err.Error(), ceremony.FileGenesis) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
