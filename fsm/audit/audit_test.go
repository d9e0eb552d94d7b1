package audit_test

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var ctx = context.Background()

// sample is a leaf of a real command: a request that opened a draw.
func sample() audit.Leaf {
	c := command.Command{Format: command.Format, Type: command.TypeRequestSignature, ID: command.ID{1, 2, 3},
		Principal: identity.Fingerprint{4, 5, 6}, Expiry: time.UnixMilli(1_800_000_300_000).UTC(),
		Fields: []command.Field{
			{Salt: [16]byte{1}, Value: bytes.Repeat([]byte{7}, 16)}, {Salt: [16]byte{2}, Value: []byte{byte(command.KindMessage)}},
			{Salt: [16]byte{3}, Value: []byte{byte(command.HashSHA256)}}, {Salt: [16]byte{4}, Value: []byte("pay Bob")}, {Salt: [16]byte{5}}},
		Signatures: []command.Signature{{Principal: identity.Fingerprint{4, 5, 6}, Sig: bytes.Repeat([]byte{9}, 64)}}}
	e := audit.Effect{Opened: []audit.OpenedAttempt{{Request: command.RequestIDOf(c.Principal, c.ID), Number: 1,
		Key: command.KeyID{7}, KeyVersion: 1, Signers: 2, Eligible: []identity.RegionID{1, 2, 4}}}}
	return audit.Leaf{Seq: 5, Meta: command.Meta{Index: 9, Term: 2, Chain: [32]byte{8}}, Stamp: time.UnixMilli(1_800_000_000_123).UTC(),
		Position: 3, Command: c.Commitment(), Code: errs.OK, Effect: e.Encode(), Fields: c.Fields}
}

func everything() audit.Effect {
	return audit.Effect{Repeated: true,
		Opened:    []audit.OpenedAttempt{{Request: command.RequestID{1}, Number: 2, Key: command.KeyID{2}, KeyVersion: 3, Signers: 2, Eligible: []identity.RegionID{1, 3, 4}}},
		Completed: []command.RequestID{{4}, {5}}, Failed: []command.RequestID{{6}}, Expired: []command.RequestID{{7}},
		Keys:       []audit.KeyChange{{Key: command.KeyID{8}, State: 2, Version: 1, Attestations: [32]byte{9}}},
		Regions:    []audit.RegionChange{{Region: 2, Status: 1, Healthy: true, Session: identity.Fingerprint{10}}},
		Principals: []audit.PrincipalChange{{Principal: identity.Fingerprint{11}, Roles: command.RoleSigner, Removed: true}},
		Vault:      &audit.VaultChange{Frozen: true}}
}

// threshold is an effect of format 2.
func threshold() audit.Effect {
	return audit.Effect{Opened: []audit.OpenedAttempt{{Request: command.RequestID{1}, Number: 1, Key: command.KeyID{2}, KeyVersion: 1, Signers: 2,
		Eligible: []identity.RegionID{1, 2, 4}, Epoch: 3, Nonces: [][]byte{{1, 2}, {3, 4}, {5, 6}}}}}
}

// scheduled is an effect of format 3, with what format 2 has.
func scheduled() audit.Effect {
	e := threshold()
	e.Schedule = &audit.ScheduledRefresh{Wrap: 7, Retry: 2}
	return e
}

// given is an effect of format 3: which addresses were chosen.
func given() audit.Effect {
	return audit.Effect{Given: &audit.GivenAddresses{Key: command.KeyID{1, 2}, Branch: []uint32{0, 5}, First: 7, Count: 256}}
}

// TestGivenAddresses: an effect names a row of addresses that there can be, or is none.
func TestGivenAddresses(t *testing.T) {
	e := given()
	for _, branch := range [][]uint32{{0, 5}, nil, {1, 2, 3, 4, 5, 6, 7}} {
		e.Given.Branch = branch
		if got, err := audit.DecodeEffect(e.Encode()); err != nil || !reflect.DeepEqual(*got, e) {
			t.Errorf("%+v came back as %+v, %v", e.Given, got, err)
		}
	}
	key := command.KeyID{1}
	for name, g := range map[string]audit.GivenAddresses{
		"none":      {Key: key, First: 1},
		"many":      {Key: key, Count: command.MaxAddresses + 1},
		"hardened":  {Key: key, First: 1<<31 - 1, Count: 2},
		"too deep":  {Key: key, Branch: make([]uint32, command.MaxDepth), Count: 1},
		"no branch": {Key: key, Branch: []uint32{1 << 31}, Count: 1},
	} {
		if _, err := audit.DecodeEffect((&audit.Effect{Given: &g}).Encode()); errs.CodeOf(err) != errs.Malformed && errs.CodeOf(err) != errs.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEffectExtras: format 3 is for what has extras, each once, in order, known and whole.
func TestEffectExtras(t *testing.T) {
	full := scheduled()
	for _, e := range []audit.Effect{full, {Schedule: full.Schedule}} {
		got, err := audit.DecodeEffect(e.Encode())
		if err != nil || !reflect.DeepEqual(*got, e) || e.Encode()[0] != 3 {
			t.Errorf("%+v came back as %+v, %v", e, got, err)
		}
	}
	b := full.Encode()
	extra := b[len(b)-10:]
	for name, bad := range map[string][]byte{
		"twice": slices.Concat(b, extra), "unknown": slices.Concat(b, []byte{9, 0, 0, 0, 0}), "zero": slices.Concat(b[:len(b)-10], []byte{0, 0, 0, 0, 0}),
		"longer": slices.Concat(b[:len(b)-10], []byte{1, 0, 0, 0, 6}, extra[5:], []byte{0}), "shorter": slices.Concat(b[:len(b)-10], []byte{1, 0, 0, 0, 4}, extra[5:9]),
		"none": b[:len(b)-10], "cut": b[:len(b)-1], "format 2": slices.Concat([]byte{2}, b[1:]),
	} {
		if e, err := audit.DecodeEffect(bad); err == nil {
			t.Errorf("%s: decoded as %+v", name, e)
		}
	}
}

// TestEffectFormats: format 2 is for what names nonces, and for nothing else.
func TestEffectFormats(t *testing.T) {
	a, b := everything(), threshold()
	if a.Encode()[0] != 1 || b.Encode()[0] != 2 {
		t.Fatal("formats", a.Encode()[0], b.Encode()[0])
	}
	got, err := audit.DecodeEffect(b.Encode())
	if err != nil || !reflect.DeepEqual(*got, b) {
		t.Fatalf("%+v: %v", got, err)
	}
	b.Opened[0].Epoch, b.Opened[0].Nonces = 0, nil
	raw := b.Encode()
	raw[0] = 2
	at := 1 + 1 + 4 + 16 + 1 + 16 + 4 + 1 + 1 + 3 // after the attempt
	raw = slices.Insert(raw, at, make([]byte, 5)...)
	if _, err := audit.DecodeEffect(raw); errs.CodeOf(err) != errs.Malformed {
		t.Fatalf("an effect without nonces in the format that has them: %v", err)
	}
}

func TestLeafRoundTrip(t *testing.T) {
	l := sample()
	for name, in := range map[string]audit.Leaf{
		"whole": l, "redacted": l.Redact(func(i int) bool { return i != 3 }), "withheld": l.Redact(func(int) bool { return false }),
		"genesis": audit.GenesisLeaf([]byte("genesis"), [32]byte{1}, l.Stamp)} {
		t.Run(name, func(t *testing.T) {
			b, hash := in.EncodeAndHash()
			out, err := audit.DecodeLeaf(b)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Encode(), b) || out.Hash() != hash || hash != in.Hash() {
				t.Error("another leaf came back")
			}
			if err := out.CheckFields(); err != nil {
				t.Error(err)
			}
			bare, err := audit.DecodeCanonical(in.Canonical())
			if err != nil || bare.Hash() != hash {
				t.Errorf("canonical bytes alone: %v", err)
			}
			for n := range b {
				if _, err := audit.DecodeLeaf(b[:n]); err == nil {
					t.Fatalf("decoded %d of %d bytes", n, len(b))
				}
			}
		})
	}
}

func TestHashIsRFC6962(t *testing.T) {
	l := sample()
	if l.Hash() != tlog.RecordHash(l.Canonical()) {
		t.Error("the leaf hash is not RFC 6962's")
	}
}

// Every part of a leaf but the fields' values is under its hash.
func TestHashCoversEverything(t *testing.T) {
	changes := map[string]func(*audit.Leaf){
		"seq": func(l *audit.Leaf) { l.Seq++ }, "index": func(l *audit.Leaf) { l.Meta.Index++ }, "term": func(l *audit.Leaf) { l.Meta.Term++ },
		"chain": func(l *audit.Leaf) { l.Meta.Chain[0]++ }, "stamp": func(l *audit.Leaf) { l.Stamp = l.Stamp.Add(time.Millisecond) },
		"position": func(l *audit.Leaf) { l.Position++ }, "code": func(l *audit.Leaf) { l.Code++ }, "text": func(l *audit.Leaf) { l.Text = "x" },
		"effect": func(l *audit.Leaf) { l.Effect = nil }, "type": func(l *audit.Leaf) { l.Command.Type++ }, "id": func(l *audit.Leaf) { l.Command.ID[0]++ },
		"principal": func(l *audit.Leaf) { l.Command.Principal[0]++ }, "expiry": func(l *audit.Leaf) { l.Command.Expiry = l.Stamp },
		"root": func(l *audit.Leaf) { l.Command.Root[0]++ }, "signature": func(l *audit.Leaf) { l.Command.Signatures[0].Sig[0]++ },
		"signer": func(l *audit.Leaf) { l.Command.Signatures[0].Principal[0]++ }}
	base := sample()
	for name, change := range changes {
		l := sample()
		if change(&l); l.Hash() == base.Hash() {
			t.Errorf("the hash does not cover the %s", name)
		}
	}
}

func TestRedaction(t *testing.T) {
	l := sample()
	r := l.Redact(func(i int) bool { return i == 0 })
	if bytes.Contains(r.Encode(), []byte("pay Bob")) {
		t.Fatal("the withheld value is still there")
	}
	if r.Hash() != l.Hash() || r.CheckFields() != nil || r.Shown() || len(r.Withheld) != 4 {
		t.Errorf("redacted leaf: %d withheld, %v", len(r.Withheld), r.CheckFields())
	}
	if again := r.Redact(func(int) bool { return true }); !bytes.Equal(again.Encode(), r.Encode()) {
		t.Error("redaction was undone")
	}
	if _, err := r.Body(); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("body of a redacted leaf: %v", err)
	}
	body, err := l.Body()
	if req, ok := body.(*command.RequestSignature); err != nil || !ok || string(req.Payload) != "pay Bob" {
		t.Errorf("body %#v, %v", body, err)
	}
	for i := range l.Fields { // neither value, salt nor withheld hash can be exchanged
		forged := sample()
		forged.Fields[i].Salt[15]++
		if forged.CheckFields() == nil {
			t.Errorf("field %d: another salt passed", i)
		}
		forged = r
		forged.Withheld = map[uint8]audit.FieldHash{}
		for j, h := range r.Withheld {
			forged.Withheld[j] = h
		}
		if h, ok := forged.Withheld[uint8(i)]; ok {
			h[0]++
			forged.Withheld[uint8(i)] = h
			if errs.CodeOf(forged.CheckFields()) != errs.Unverified {
				t.Errorf("field %d: another hash passed", i)
			}
		}
	}
}

func TestEffectRoundTrip(t *testing.T) {
	full := everything()
	all := []audit.Effect{{}, full, {Repeated: true}, {Vault: &audit.VaultChange{}}, {Expired: full.Expired}}
	for _, e := range all {
		out, err := audit.DecodeEffect(e.Encode())
		if err != nil || !reflect.DeepEqual(*out, e) {
			t.Errorf("%+v came back as %+v, %v", e, out, err)
		}
	}
	if len((&audit.Effect{}).Encode()) != 0 {
		t.Error("the empty effect takes bytes")
	}
	b := full.Encode()
	for n := 1; n < len(b); n++ {
		if _, err := audit.DecodeEffect(b[:n]); err == nil {
			t.Fatalf("decoded %d of %d bytes", n, len(b))
		}
	}
	empty := make([]byte, 2+7*4+1)
	empty[0] = audit.EffectFormat
	if _, err := audit.DecodeEffect(empty); err == nil {
		t.Error("the empty effect has two encodings")
	}
}

func TestCheckpoint(t *testing.T) {
	c := audit.Checkpoint{Cluster: identity.ClusterID{1}, Size: 42, Root: [32]byte{2}}
	at := time.UnixMilli(1_800_000_000_000)
	keys := map[identity.RegionID]*identity.KeySigner{3: identity.GenerateEd25519(), 1: identity.GenerateEd25519()}
	for region, key := range keys {
		for range 2 { // the second replaces the first
			if err := c.Sign(ctx, region, key, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := audit.DecodeCheckpoint(c.Encode())
	if err != nil || !bytes.Equal(out.Encode(), c.Encode()) || len(out.Signatures) != 2 || out.Signatures[0].Region != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	for _, s := range out.Signatures {
		pub := keys[s.Region].Public()
		if !pub.Verify(out.SignedBytes(s.Region, s.At), s.Sig) || s.Session != pub.Fingerprint() {
			t.Errorf("signature of region %d", s.Region)
		}
		if pub.Verify(out.SignedBytes(s.Region+1, s.At), s.Sig) {
			t.Errorf("region %d's signature passes as another's", s.Region)
		}
	}
	if want := "tetrad/01000000000000000000000000000000\n42\nAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"; c.Text() != want {
		t.Errorf("text %q", c.Text())
	}
	c.Signatures[0], c.Signatures[1] = c.Signatures[1], c.Signatures[0]
	if _, err := audit.DecodeCheckpoint(c.Encode()); errs.CodeOf(err) != errs.Malformed {
		t.Errorf("signatures out of order: %v", err)
	}
}

// stored is a tree as tlog stores it: the judge.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = s[x]
	}
	return out, nil
}

func grow(t interface{ Fatal(...any) }, n int) (stored, []audit.Frontier) {
	var s stored
	edges := []audit.Frontier{{}}
	var f audit.Frontier
	for i := range n {
		leaf := tlog.RecordHash([]byte{byte(i), byte(i >> 8)})
		more, err := tlog.StoredHashesForRecordHash(int64(i), leaf, s)
		if err != nil {
			t.Fatal(err)
		}
		var flat []byte
		for _, h := range more {
			flat = append(flat, h[:]...)
		}
		if got := f.AppendStored([]byte{}, leaf); !bytes.Equal(got, flat) {
			t.Fatal("stored hashes differ from tlog's at leaf", i)
		}
		s = append(s, more...)
		edges = append(edges, f.Clone())
	}
	return s, edges
}

func TestFrontierAgainstTLog(t *testing.T) {
	s, edges := grow(t, 600)
	for n := 1; n < len(edges); n++ {
		want, err := tlog.TreeHash(int64(n), s)
		if err != nil {
			t.Fatal(err)
		}
		if edges[n].Root() != [32]byte(want) || edges[n].Size() != uint64(n) {
			t.Fatalf("root of %d leaves", n)
		}
		again, err := audit.FrontierAt(s, uint64(n))
		if err != nil || !again.Equal(&edges[n]) {
			t.Fatalf("frontier of %d leaves read back: %v", n, err)
		}
		decoded, err := audit.DecodeFrontier(edges[n].Encode())
		if err != nil || !decoded.Equal(&edges[n]) {
			t.Fatalf("frontier of %d leaves decoded: %v", n, err)
		}
		for _, p := range edges[n].Prefixes() {
			if !p.Equal(&edges[p.Size()]) {
				t.Fatalf("prefix %d of %d leaves", p.Size(), n)
			}
		}
	}
	if p := edges[7].Prefixes(); len(p) != 3 || p[0].Size() != 4 || p[1].Size() != 6 || p[2].Size() != 7 {
		t.Errorf("prefixes of 7 leaves: %d", len(p))
	}
}

func TestProofs(t *testing.T) {
	s, edges := grow(t, 300)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Uint64Range(1, 300).Draw(rt, "size")
		seq := rapid.Uint64Range(0, size-1).Draw(rt, "seq")
		older := rapid.Uint64Range(0, size).Draw(rt, "older")
		root, leaf := edges[size].Root(), s[tlog.StoredHashIndex(0, int64(seq))]
		p, err := audit.ProveInclusion(s, size, seq)
		if err != nil || audit.CheckInclusion(p, size, root, seq, leaf) != nil {
			rt.Fatalf("leaf %d of %d: %v", seq, size, err)
		}
		c, err := audit.ProveConsistency(s, size, older)
		if err != nil || audit.CheckConsistency(c, size, root, older, edges[older].Root()) != nil {
			rt.Fatalf("%d of %d: %v", older, size, err)
		}
		// one bit anywhere, and nothing verifies
		bent := func(h [32]byte) [32]byte { h[rapid.IntRange(0, 31).Draw(rt, "byte")] ^= 1; return h }
		if audit.CheckInclusion(p, size, bent(root), seq, leaf) == nil || audit.CheckInclusion(p, size, root, seq, bent(leaf)) == nil ||
			audit.CheckConsistency(c, size, root, older, bent(edges[older].Root())) == nil ||
			older > 0 && audit.CheckConsistency(c, size, bent(root), older, edges[older].Root()) == nil {
			rt.Fatal("a bent hash verified")
		}
		if i := rapid.IntRange(0, 20).Draw(rt, "at"); i < len(p) {
			p[i] = bent(p[i])
			if audit.CheckInclusion(p, size, root, seq, leaf) == nil {
				rt.Fatal("a bent proof verified")
			}
		}
	})
	if _, err := audit.ProveInclusion(s, 10, 10); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("proof beyond the tree: %v", err)
	}
	if _, err := audit.ProveConsistency(s, 10, 11); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("proof of a longer prefix: %v", err)
	}
}

func TestFrontierCloneIsIndependent(t *testing.T) {
	_, edges := grow(t, 7)
	c := edges[7].Clone()
	before := edges[7].Root()
	c.Append([32]byte{1})
	if edges[7].Root() != before || edges[7].Size() != 7 {
		t.Error("appending to a clone changed its origin")
	}
}

func TestFrontierRejects(t *testing.T) {
	_, edges := grow(t, 7)
	good := edges[7].Encode()
	huge := append([]byte{1}, bytes.Repeat([]byte{0xff}, 8)...)
	for _, b := range [][]byte{nil, good[:len(good)-1], append(good, 0), {2}, append(huge, make([]byte, 64*32)...)} {
		if _, err := audit.DecodeFrontier(b); err == nil {
			t.Errorf("decoded %x", b)
		}
	}
}
