package ceremony_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/ceremony/ceremonytest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func clone(c *ceremony.Contribution) *ceremony.Contribution {
	d := *c
	d.Envelopes = slices.Clone(c.Envelopes)
	return &d
}

// TestEnrolmentsRefused gives round 2 a set of enrolments with one thing wrong; the
// error must name the culprit.
func TestEnrolmentsRefused(t *testing.T) {
	ctx := context.Background()
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	foreign := ceremonytest.New(t, ceremonytest.Options{}).Enrol(t)
	eastKey := l.Sites[1].HSM.Identity()
	for name, c := range map[string]struct {
		alter func(set []*ceremony.Enrolment) []*ceremony.Enrolment
		code  errs.Code
		text  string
	}{
		"missing": {func(s []*ceremony.Enrolment) []*ceremony.Enrolment { return s[:3] }, errs.NotFound, `"west" is missing`},
		"none":    {func(s []*ceremony.Enrolment) []*ceremony.Enrolment { return nil }, errs.NotFound, `"north" is missing`},
		"foreign": {func(s []*ceremony.Enrolment) []*ceremony.Enrolment { s[1] = foreign[1]; return s }, errs.Invalid, `region "east" was made from another plan`},
		"two rival": {func(s []*ceremony.Enrolment) []*ceremony.Enrolment {
			return append(s, altered(t, s[1], eastKey, func(e *ceremony.Enrolment) { e.HSM = "other" }))
		}, errs.Invalid, `two different ones`},
		"other address": {func(s []*ceremony.Enrolment) []*ceremony.Enrolment {
			s[1] = altered(t, s[1], eastKey, func(e *ceremony.Enrolment) { e.RaftAddr = "elsewhere.test:1" })
			return s
		}, errs.Invalid, `region "east" names other addresses`},
		"other number": {func(s []*ceremony.Enrolment) []*ceremony.Enrolment {
			s[1] = altered(t, s[1], eastKey, func(e *ceremony.Enrolment) { e.Region = 3 })
			return s
		}, errs.Invalid, `region "east" names other addresses or another number`},
		"server id": {func(s []*ceremony.Enrolment) []*ceremony.Enrolment {
			s[1] = altered(t, s[1], eastKey, func(e *ceremony.Enrolment) { e.ServerID = "north-00000000" })
			return s
		}, errs.Invalid, `region "east"`},
		"borrowed wrapping key": {func(s []*ceremony.Enrolment) []*ceremony.Enrolment {
			s[1] = altered(t, s[1], eastKey, func(e *ceremony.Enrolment) { e.Wrapping = s[2].Wrapping })
			return s
		}, errs.Invalid, `share a key`},
		"not what this region made": {func(s []*ceremony.Enrolment) []*ceremony.Enrolment {
			s[0] = altered(t, s[0], l.Sites[0].HSM.Identity(), func(e *ceremony.Enrolment) { e.HSM = "other" })
			return s
		}, errs.Invalid, `region "north" is not the one this region made`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := l.Sites[0].Contribute(ctx, c.alter(slices.Clone(es)))
			if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v (%s), want %s with %q", err, errs.CodeOf(err), c.code, c.text)
			}
		})
	}
	if _, err := l.Sites[0].Contribute(ctx, es); err != nil {
		t.Errorf("the right set: %v", err)
	}
}

func altered(t *testing.T, e *ceremony.Enrolment, by identity.Signer, f func(*ceremony.Enrolment)) *ceremony.Enrolment {
	t.Helper()
	d := *e
	f(&d)
	if err := d.Resign(by); err != nil {
		t.Fatal(err)
	}
	return &d
}

// TestContributesOnce: the secrets go out for one set of enrolments only.
func TestContributesOnce(t *testing.T) {
	ctx := context.Background()
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	if _, err := l.Sites[0].Contribute(ctx, es); err != nil {
		t.Fatal(err)
	}
	if err := l.Sites[3].Restart(); err != nil {
		t.Fatal(err)
	}
	again := l.Enrol(t)
	if _, err := l.Sites[0].Contribute(ctx, again); errs.CodeOf(err) != errs.BadState || !strings.Contains(errs.HintOf(err), "--restart") {
		t.Errorf("contributing to other enrolments: %v", err)
	}
	for _, s := range l.Sites {
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	l.Found(t)
}

// TestContributionsRefused gives round 3 contributions of a region that lies in one
// way each; the error must name it.
func TestContributionsRefused(t *testing.T) {
	ctx := context.Background()
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	cs := l.Contribute(t, es)
	const liar, victim = 1, 0 // east lies to north
	key := l.Sites[liar].HSM.Identity()
	root, share, err := cs[liar].Open(l.Sites[victim].HSM, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, otherShare, err := cs[liar].Open(l.Sites[2].HSM, 3)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(c *ceremony.Contribution, root, share [32]byte) {
		if err := c.Seal(es[victim], root, share); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		lie  func(c *ceremony.Contribution)
		sign bool
		code errs.Code
		text string
	}{
		"unsigned change":     {func(c *ceremony.Contribution) { c.RootHash[0] ^= 1 }, false, errs.Unverified, `is not signed by region "east"`},
		"another commitment":  {func(c *ceremony.Contribution) { c.RootHash[0] ^= 1 }, true, errs.Unverified, `not what region "east" committed to`},
		"another dealing":     {func(c *ceremony.Contribution) { c.Dealing = cs[2].Dealing }, true, errs.Unverified, `not what region "east" committed to`},
		"another set":         {func(c *ceremony.Contribution) { c.Enrolments[0] ^= 1 }, true, errs.Invalid, `other enrolments`},
		"another plan":        {func(c *ceremony.Contribution) { c.Plan[0] ^= 1 }, true, errs.Invalid, `another plan`},
		"as another region":   {func(c *ceremony.Contribution) { c.Region = 3 }, true, errs.Unverified, `not signed by region "south"`},
		"wrong root":          {func(c *ceremony.Contribution) { r := root; r[0] ^= 1; seal(c, r, share) }, true, errs.Unverified, `region 2: the root contribution it sent to this region`},
		"lying dealer":        {func(c *ceremony.Contribution) { seal(c, root, otherShare) }, true, errs.Unverified, `region 2: the beacon share it dealt to this region is wrong`},
		"share zero":          {func(c *ceremony.Contribution) { seal(c, root, [32]byte{}) }, true, errs.Unverified, `region 2: the beacon share it dealt`},
		"garbage envelope":    {func(c *ceremony.Contribution) { c.Envelopes[victim] = []byte("garbage") }, true, errs.Unverified, `region 2: its envelope for this region does not open`},
		"another's envelope":  {func(c *ceremony.Contribution) { c.Envelopes[victim] = cs[2].Envelopes[victim] }, true, errs.Unverified, `region 2: its envelope for this region does not open`},
		"envelope of a third": {func(c *ceremony.Contribution) { c.Envelopes[victim] = c.Envelopes[3] }, true, errs.Unverified, `region 2: its envelope for this region does not open`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := clone(cs[liar])
			c.lie(bad)
			if c.sign {
				if err := bad.Resign(key); err != nil {
					t.Fatal(err)
				}
			}
			set := slices.Clone(cs)
			set[liar] = bad
			_, err := l.Sites[victim].Sign(ctx, es, set)
			if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v (%s), want %s with %q", err, errs.CodeOf(err), c.code, c.text)
			}
		})
	}
	if _, err := l.Sites[victim].Sign(ctx, es, cs[:3]); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("a missing contribution: %v", err)
	}
	// Our own HSM's trouble is not the sender's fault.
	l.Sites[victim].Device.Vanish()
	if _, err := l.Sites[victim].Sign(ctx, es, cs); err == nil || errs.CodeOf(err) == errs.Unverified {
		t.Errorf("a vanished HSM: %v", err)
	}
}

// TestFinishRefuses leaves out or exchanges one thing each.
func TestFinishRefuses(t *testing.T) {
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	cs := l.Contribute(t, es)
	as := l.Sign(t, es, cs)
	proved := l.ProveOfficers(t, es, cs, as[0])
	other := ceremonytest.New(t, ceremonytest.Options{})
	oes := other.Enrol(t)
	ocs := other.Contribute(t, oes)
	oas := other.Sign(t, oes, ocs)
	oproved := other.ProveOfficers(t, oes, ocs, oas[0])
	for name, c := range map[string]struct {
		alter func(f *ceremony.Files)
		code  errs.Code
		text  string
	}{
		"no signatures":    {func(f *ceremony.Files) { f.Approvals = nil }, errs.NotFound, "no genesis signatures"},
		"a region missing": {func(f *ceremony.Files) { f.Approvals = f.Approvals[1:] }, errs.NotFound, `signature of region "north" is missing`},
		"an administrator": {func(f *ceremony.Files) { f.Approvals = f.Approvals[:5] }, errs.NotFound, `administrator "admin-2" is missing`},
		"another genesis":  {func(f *ceremony.Files) { f.Approvals[2] = oas[2] }, errs.Unverified, "region south has hash"},
		"officers":         {func(f *ceremony.Files) { f.Officers = nil }, errs.NotFound, "officers have not proved"},
		"others' officers": {func(f *ceremony.Files) { f.Officers = []*ceremony.OfficersProved{oproved} }, errs.Invalid, "about another genesis"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &ceremony.Files{Enrolments: es, Contributions: cs, Approvals: slices.Clone(as), Officers: []*ceremony.OfficersProved{proved}}
			c.alter(f)
			_, err := l.Plan.Finish(f)
			if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v (%s), want %s with %q", err, errs.CodeOf(err), c.code, c.text)
			}
		})
	}
}

func TestApproveRefuses(t *testing.T) {
	ctx := context.Background()
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	as := l.Sign(t, es, l.Contribute(t, es))
	hash := as[0].Document.Hash()
	if _, err := l.Plan.Approve(ctx, as[:1], [32]byte{}, l.Admins[0]); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("a wrong hash: %v", err)
	}
	if _, err := l.Plan.Approve(ctx, as[:1], hash, identity.GenerateEd25519()); errs.CodeOf(err) != errs.Denied {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := l.Plan.Approve(ctx, nil, hash, l.Admins[0]); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("no document: %v", err)
	}
	changed, err := ceremony.ParsePlan("plan.hcl", []byte(strings.Replace(l.PlanText, "threshold = 2", "threshold = 3", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := changed.Approve(ctx, as[:1], hash, l.Admins[0]); errs.CodeOf(err) != errs.Unverified || !strings.Contains(err.Error(), "does not say what the plan says") {
		t.Errorf("another plan: %v", err)
	}
}

// TestAlteredFiles flips bytes all over each kind of file: none may be taken for good.
func TestAlteredFiles(t *testing.T) {
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	as := l.Sign(t, es, l.Contribute(t, es))
	for name, file := range map[string][]byte{"enrolment": es[0].File(), "signature": as[4].File()} {
		block, _ := pem.Decode(file)
		for i := 0; i < len(block.Bytes); i += 3 {
			b := bytes.Clone(block.Bytes)
			b[i] ^= 0x41
			err := (&ceremony.Files{}).Add("altered.pem", pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: b}))
			if err == nil {
				t.Errorf("%s with byte %d altered was accepted", name, i)
			} else if !strings.Contains(err.Error(), "altered.pem") {
				t.Errorf("error does not name the file: %v", err)
			}
		}
	}
}

func TestFilesRefused(t *testing.T) {
	l := ceremonytest.New(t, ceremonytest.Options{})
	es := l.Enrol(t)
	good := es[0].File()
	for name, c := range map[string]struct {
		data []byte
		code errs.Code
	}{
		"empty":            {nil, errs.Malformed},
		"text":             {[]byte("hello"), errs.Malformed},
		"truncated":        {good[:len(good)/2], errs.Malformed},
		"two, one cut":     {append(bytes.Clone(good), good[:100]...), errs.Malformed},
		"text before":      {append([]byte("note\n"), good...), errs.Malformed},
		"another kind":     {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), errs.Malformed},
		"headers":          {pem.EncodeToMemory(&pem.Block{Type: "TETRAD ENROLMENT", Headers: map[string]string{"Region": "north"}, Bytes: es[0].Encode()}), errs.Malformed},
		"too many":         {bytes.Repeat(good, 70), errs.TooLarge},
		"not genesis.json": {[]byte("{}"), errs.Malformed},
	} {
		if err := (&ceremony.Files{}).Add("x.pem", c.data); errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), "x.pem") {
			t.Errorf("%s: %v (%s)", name, err, errs.CodeOf(err))
		}
	}
	if _, err := ceremony.ReadFiles("no-such-file"); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("missing file: %v", err)
	}
}

// FuzzDecode: no decoder panics, and what decodes encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	for name := range ceremony.Decoders {
		f.Add(name, []byte{1})
		f.Add(name, bytes.Repeat([]byte{1, 0, 0, 0, 2}, 60))
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		if decode, ok := ceremony.Decoders[kind]; ok {
			if v, err := decode(b); err == nil && !bytes.Equal(v.Encode(), b) {
				t.Errorf("%s: %x encodes to %x", kind, b, v.Encode())
			}
		}
		if again, err := ceremony.RegionFile(b); err == nil && !bytes.Equal(again, b) {
			t.Errorf("region file: %x encodes to %x", b, again)
		}
		_ = (&ceremony.Files{}).Add("f", b)
	})
}
