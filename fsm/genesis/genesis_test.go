package genesis_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

const root = "../.."

func TestVectors(t *testing.T) {
	g := fsmtest.New().Genesis
	h := g.Document.Hash()
	fsmtest.Golden(t, root, "genesis", []fsmtest.Vector{
		fsmtest.NewVector("document", g.Document.Encode(), "hash", h[:], "signed", g.Document.SignedBytes()),
		fsmtest.NewVector("genesis", g.Encode())})
	b := fsmtest.Vectors(t, root, "genesis")["genesis"]
	got, err := genesis.Decode(b)
	if err != nil || got.Verify() != nil || !bytes.Equal(got.Encode(), b) {
		t.Fatalf("the stored genesis is not itself again: %v", err)
	}
}

func TestSurvives(t *testing.T) {
	g := fsmtest.New().Genesis
	got, err := genesis.Decode(g.Encode())
	if err != nil || !reflect.DeepEqual(got, g) {
		t.Fatalf("%+v became %+v (%v)", g, got, err)
	}
	file, err := g.MarshalFile()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := genesis.ParseFile(file); err != nil || !reflect.DeepEqual(got, g) {
		t.Fatalf("genesis.json: %v", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, file); err != nil {
		t.Fatal(err)
	}
	if got, err := genesis.ParseFile(compact.Bytes()); err != nil || got.Verify() != nil {
		t.Fatalf("reformatted genesis.json: %v", err)
	}
	for _, name := range []string{"alpha", "delta", "alice", "bob", "testvault", "p256", "10m0s"} {
		if !strings.Contains(string(file), name) {
			t.Errorf("genesis.json does not show %q", name)
		}
	}
}

// TestFileSaysWhatRuns: a readable part that differs from the canonical bytes is refused.
func TestFileSaysWhatRuns(t *testing.T) {
	file, err := fsmtest.New().Genesis.MarshalFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, swap := range [][2]string{{"alpha", "alphq"}, {"alice", "mallory"}, {`"threshold": 3`, `"threshold": 2`},
		{`"max_open": 4096`, `"max_open": 4095`}, {`"hash": "`, `"hash": "0`}, {"region beta", "region gamma"}} {
		edited := strings.Replace(string(file), swap[0], swap[1], 1)
		if edited == string(file) {
			t.Fatalf("%q is not in the file", swap[0])
		}
		if _, err := genesis.ParseFile([]byte(edited)); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%q for %q: %v", swap[1], swap[0], err)
		}
	}
	for _, bad := range []string{"", "{", "[]", `{"canonical":"!"}`, `{"canonical":"AAAA"}`, string(file) + "x",
		strings.Replace(string(file), `"hash"`, `"more": 1, "hash"`, 1)} {
		if _, err := genesis.ParseFile([]byte(bad)); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestSignatures(t *testing.T) {
	k := fsmtest.New()
	g := k.Genesis
	if len(g.Signatures) != 6 {
		t.Fatalf("%d signatures", len(g.Signatures))
	}
	for i := range g.Signatures {
		less := *g
		less.Signatures = append(append([]command.Signature{}, g.Signatures[:i]...), g.Signatures[i+1:]...)
		if err := less.Verify(); errs.CodeOf(err) != errs.Unverified {
			t.Fatalf("without founder %d: %v", i, err)
		}
		// Added again, in its place, by whoever holds it.
		if err := less.AddSignature(g.Signatures[i]); err != nil || !reflect.DeepEqual(less.Signatures, g.Signatures) {
			t.Fatalf("founder %d: %v", i, err)
		}
	}
	swapped := *g
	swapped.Signatures = append([]command.Signature{}, g.Signatures...)
	swapped.Signatures[0], swapped.Signatures[1] = swapped.Signatures[1], swapped.Signatures[0]
	if err := swapped.Verify(); errs.CodeOf(err) != errs.Unverified {
		t.Fatal("signatures in another order", err)
	}
	bad := command.Signature{Principal: g.Signatures[0].Principal, Sig: g.Signatures[1].Sig}
	if err := g.AddSignature(bad); errs.CodeOf(err) != errs.Unverified || g.Verify() != nil {
		t.Fatal("a signature that does not verify was added", err)
	}
	if err := g.Sign(t.Context(), k.Signer("stranger")); errs.CodeOf(err) != errs.Unauthenticated {
		t.Fatal("a stranger signed", err)
	}
	changed := *g
	changed.Document.Name = "another"
	if err := changed.Verify(); errs.CodeOf(err) != errs.Unverified {
		t.Fatal("the document changed after its signatures", err)
	}
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(*genesis.Document){
		"no cluster":          func(d *genesis.Document) { d.Cluster = [16]byte{} },
		"bad name":            func(d *genesis.Document) { d.Name = "Vault" },
		"three regions":       func(d *genesis.Document) { d.Regions = d.Regions[:3] },
		"regions swapped":     func(d *genesis.Document) { d.Regions[0], d.Regions[1] = d.Regions[1], d.Regions[0] },
		"region name twice":   func(d *genesis.Document) { d.Regions[1].Name, d.Regions[1].ServerID = "alpha", "alpha-00000000" },
		"server id":           func(d *genesis.Document) { d.Regions[1].ServerID = "beta" },
		"identity twice":      func(d *genesis.Document) { d.Regions[1].Identity = d.Regions[0].Identity },
		"wrapping twice":      func(d *genesis.Document) { d.Regions[1].Wrapping = d.Regions[0].Wrapping },
		"address":             func(d *genesis.Document) { d.Regions[1].APIAddr = "nowhere" },
		"address twice":       func(d *genesis.Document) { d.Regions[1].RaftAddr = d.Regions[0].RaftAddr },
		"curves":              func(d *genesis.Document) { d.Regions[1].Curves = []command.Curve{2, 1} },
		"hsm":                 func(d *genesis.Document) { d.Regions[1].HSM = "\x1b" },
		"one admin":           func(d *genesis.Document) { d.Administrators = d.Administrators[:1] },
		"admin without role":  func(d *genesis.Document) { d.Administrators[0].Roles = command.RoleOperator },
		"admin who signs":     func(d *genesis.Document) { d.Administrators[0].Roles |= command.RoleSigner },
		"admin twice":         func(d *genesis.Document) { d.Administrators[1].Key = d.Administrators[0].Key },
		"admin is a region":   func(d *genesis.Document) { d.Administrators[1].Key = d.Regions[0].Identity },
		"admin name twice":    func(d *genesis.Document) { d.Administrators[1].Name = "alice" },
		"officers":            func(d *genesis.Document) { d.Officers.Threshold = 2 },
		"no officer needed":   func(d *genesis.Document) { d.Officers.Threshold = 0 },
		"officer twice":       func(d *genesis.Document) { d.Officers.Recipients = []string{"a", "a"} },
		"settings":            func(d *genesis.Document) { d.Settings.MaxOpen = 0 },
		"beacon threshold":    func(d *genesis.Document) { d.Beacon.Threshold = 2 },
		"beacon share":        func(d *genesis.Document) { d.Beacon.Shares[1] = d.Beacon.Shares[0] },
		"contributions":       func(d *genesis.Document) { d.Contributions = d.Contributions[:3] },
		"contribution copied": func(d *genesis.Document) { d.Contributions[1] = d.Contributions[0] },
	} {
		g := fsmtest.New().Genesis
		change(&g.Document)
		if err := g.Document.Check(); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := genesis.DecodeDocument(g.Document.Encode()); err == nil {
			t.Errorf("%s: decodes", name)
		}
	}
}

// TestHashCoversEverything: every byte of the document is in its hash.
func TestHashCoversEverything(t *testing.T) {
	d := fsmtest.New().Genesis.Document
	want, b := d.Hash(), d.Encode()
	for i := range b {
		e := bytes.Clone(b)
		e[i] ^= 1
		if got, err := genesis.DecodeDocument(e); err == nil && got.Hash() == want {
			t.Fatalf("byte %d is not covered", i)
		}
		if _, err := genesis.DecodeDocument(b[:i]); err == nil {
			t.Fatalf("%d of %d bytes decode", i, len(b))
		}
	}
	later := fsmtest.New(fsmtest.At(d.Created.Add(time.Millisecond))).Genesis.Document
	if later.Hash() == want {
		t.Fatal("the time is not covered")
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range fsmtest.Vectors(f, root, "genesis") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := genesis.Decode(b); err == nil && !bytes.Equal(g.Encode(), b) {
			t.Fatal("two encodings of one genesis")
		}
		if d, err := genesis.DecodeDocument(b); err == nil && !bytes.Equal(d.Encode(), b) {
			t.Fatal("two encodings of one document")
		}
	})
}

func FuzzParseFile(f *testing.F) {
	file, err := fsmtest.New().Genesis.MarshalFile()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte(`{"hash":"","document":null,"signatures":null,"canonical":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := genesis.ParseFile(b)
		if err != nil {
			return
		}
		again, err := g.MarshalFile()
		if err != nil {
			t.Fatal(err)
		}
		if h, err := genesis.ParseFile(again); err != nil || !reflect.DeepEqual(g, h) {
			t.Fatalf("what was read is not read again: %v", err)
		}
	})
}
