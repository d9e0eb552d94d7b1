package command_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func TestEveryTypeHasASample(t *testing.T) {
	seen := map[command.Type]bool{}
	for _, c := range append(samples(fsmtest.New()), outside(fsmtest.New())...) {
		seen[c.Type] = true
	}
	for ty := command.Type(0); ty < 500; ty++ {
		if ty.Known() != seen[ty] || ty.Known() != (ty.String() != "unknown") {
			t.Errorf("type %d: known %v, sampled %v, named %s", ty, ty.Known(), seen[ty], ty)
		}
		if ty.Known() && ty.ByRegion() != (ty >= 100) {
			t.Errorf("type %d by region: %v", ty, ty.ByRegion())
		}
	}
}

func TestBodiesSurvive(t *testing.T) {
	k := fsmtest.New()
	for _, c := range append(samples(k), outside(k)...) {
		first, err := c.Body()
		if err != nil {
			t.Fatal(err)
		}
		d, err := command.Decode(c.Encode())
		if err != nil {
			t.Fatal(err)
		}
		second, err := d.Body()
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%s: %+v became %+v (%v)", c.Type, first, second, err)
		}
		again, err := command.New(first, c.Principal, c.ID, c.Expiry, strings.NewReader(strings.Repeat("x", 4096)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Fields {
			if !bytes.Equal(again.Fields[i].Value, c.Fields[i].Value) {
				t.Errorf("%s: field %d does not encode as it was", c.Type, i)
			}
		}
	}
}

// TestRootIsRFC6962 checks the field tree against an independent implementation, for
// every number of fields.
func TestRootIsRFC6962(t *testing.T) {
	for n := 1; n <= command.MaxFields; n++ {
		c := &command.Command{Fields: make([]command.Field, n)}
		var stored []tlog.Hash
		read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
			out := make([]tlog.Hash, len(at))
			for i, x := range at {
				out[i] = stored[x]
			}
			return out, nil
		})
		for i := range c.Fields {
			c.Fields[i].Value = []byte{byte(i)}
			h, err := tlog.StoredHashesForRecordHash(int64(i), tlog.Hash(command.HashField(i, c.Fields[i])), read)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, h...)
		}
		want, err := tlog.TreeHash(int64(n), read)
		if err != nil || [32]byte(want) != c.Root() {
			t.Fatalf("%d fields: %x, want %x (%v)", n, c.Root(), want, err)
		}
	}
	if (&command.Command{}).Root() != sha256.Sum256(nil) {
		t.Fatal("no fields")
	}
}

// TestSignedBytesCoverEverything: whatever part of a command changes, its hash does.
func TestSignedBytesCoverEverything(t *testing.T) {
	k := fsmtest.New()
	base := func() *command.Command { return samples(fsmtest.New())[3] }
	hash := func(c *command.Command) [32]byte { cm := c.Commitment(); return cm.Hash(k.Cluster()) }
	want := hash(base())
	for name, change := range map[string]func(*command.Command){
		"type":      func(c *command.Command) { c.Type++ },
		"id":        func(c *command.Command) { c.ID[0] ^= 1 },
		"principal": func(c *command.Command) { c.Principal[0] ^= 1 },
		"expiry":    func(c *command.Command) { c.Expiry = c.Expiry.Add(time.Millisecond) },
		"value":     func(c *command.Command) { c.Fields[0].Value[0] ^= 1 },
		"salt":      func(c *command.Command) { c.Fields[7].Salt[0] ^= 1 },
		"order":     func(c *command.Command) { c.Fields[0], c.Fields[1] = c.Fields[1], c.Fields[0] },
		"fewer":     func(c *command.Command) { c.Fields = c.Fields[:7] },
		"more":      func(c *command.Command) { c.Fields = append(c.Fields, command.Field{}) },
	} {
		c := base()
		change(c)
		if hash(c) == want {
			t.Errorf("%s is not covered", name)
		}
	}
	cm := base().Commitment()
	if cm.Hash(identity.ClusterID{}) == want {
		t.Error("the cluster is not covered")
	}
}

func TestSignOrder(t *testing.T) {
	k := fsmtest.New()
	ctx := context.Background()
	c := k.Command(&command.Tick{}, k.Start, k.Admins[0])
	if err := c.Sign(ctx, k.Cluster(), k.Admins[0]); errs.CodeOf(err) != errs.Invalid {
		t.Fatal("signed twice by one", err)
	}
	c.Signatures = nil
	if err := c.Sign(ctx, k.Cluster(), k.Admins[1]); errs.CodeOf(err) != errs.Invalid {
		t.Fatal("the author does not sign first", err)
	}
	for i := range command.MaxSignatures {
		s := k.Admins[0]
		if i > 0 {
			s = k.Signer(string(rune('a' + i)))
		}
		if err := c.Sign(ctx, k.Cluster(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Sign(ctx, k.Cluster(), k.Signer("one more")); errs.CodeOf(err) != errs.TooLarge {
		t.Fatal(err)
	}
	if _, err := command.New(&command.CreateTenant{}, identity.Fingerprint{}, command.ID{}, k.Start, strings.NewReader("")); err == nil {
		t.Fatal("a command without salts")
	}
}

// TestStrict: a prefix, a suffix or a longer field is refused, coded.
func TestStrict(t *testing.T) {
	k := fsmtest.New()
	for _, c := range append(samples(k), outside(k)...) {
		b := c.Encode()
		for i := range b {
			if _, err := command.Decode(b[:i]); err == nil {
				t.Fatalf("%s: %d of %d bytes decode", c.Type, i, len(b))
			}
		}
		if _, err := command.Decode(append(bytes.Clone(b), 0)); errs.CodeOf(err) != errs.Malformed {
			t.Fatalf("%s: trailing byte: %v", c.Type, err)
		}
	}
	long := k.Command(&command.RequestSignature{Payload: make([]byte, command.MaxPayload+1)}, k.Start, k.Admins[0])
	if _, err := command.Decode(long.Encode()); errs.CodeOf(err) != errs.TooLarge {
		t.Fatal(err)
	}
	if _, err := command.Decode(make([]byte, command.MaxCommand+1)); errs.CodeOf(err) != errs.TooLarge {
		t.Fatal(err)
	}
	if _, err := command.DecodeEntry(make([]byte, command.MaxEntry+1)); errs.CodeOf(err) != errs.TooLarge {
		t.Fatal(err)
	}
	unknown := k.Command(&command.Tick{}, k.Start, k.Admins[0])
	unknown.Type = 4242
	if _, err := command.Decode(unknown.Encode()); errs.CodeOf(err) != errs.Malformed {
		t.Fatal(err)
	}
	for _, regions := range [][]identity.RegionID{{2, 1}, {1, 1}, {0}} {
		c := k.Command(&command.CreateKey{Regions: regions}, k.Start, k.Admins[0])
		if _, err := command.Decode(c.Encode()); errs.CodeOf(err) != errs.Malformed {
			t.Fatal(regions, err)
		}
	}
	flag := k.Command(&command.CreateKey{}, k.Start, k.Admins[0])
	flag.Fields[5].Value = []byte{2}
	if _, err := command.Decode(flag.Encode()); errs.CodeOf(err) != errs.Malformed {
		t.Fatal(err)
	}
}

func TestNames(t *testing.T) {
	for _, ok := range []string{"a", "acme", "a.b-c_d9", "0", strings.Repeat("x", 64)} {
		if err := command.CheckName("thing", ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", ".", "..", ".a", "-a", "_a", "A", "a b", "a/b", "a\x00", "é", "аcme", strings.Repeat("x", 65)} {
		if err := command.CheckName("thing", bad); errs.CodeOf(err) != errs.Invalid || strings.Contains(err.Error(), "\x00") {
			t.Errorf("%q is a name: %v", bad, err)
		}
	}
	for _, bad := range []string{"\x1b[2J", "a\nb", "\u202eabc", "\u200b", "\xff", "\u0085"} {
		if err := command.CheckText("note", bad, 100); err == nil {
			t.Errorf("%q is a text", bad)
		}
	}
	if err := command.CheckText("note", "payment to Zoë, 100 €", 100); err != nil {
		t.Error(err)
	}
	if err := command.CheckText("note", "long", 3); errs.CodeOf(err) != errs.TooLarge {
		t.Error(err)
	}
	for _, ok := range []string{"host:1", "10.0.0.1:7001", "[::1]:80"} {
		if err := command.CheckAddress("address", ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "host", ":1", "host:", "host:x", "ho st:1", "host:1\n"} {
		if err := command.CheckAddress("address", bad); err == nil {
			t.Errorf("%q is an address", bad)
		}
	}
}

func TestParsing(t *testing.T) {
	for c := command.Secp256k1; c <= command.Ed25519; c++ {
		if got, err := command.ParseCurve(c.String()); err != nil || got != c || c.PublicKeyLen() == 0 {
			t.Errorf("curve %d: %v %v", c, got, err)
		}
	}
	for k := command.KindPSBT; k <= command.KindDigest; k++ {
		if got, err := command.ParseKind(k.String()); err != nil || got != k {
			t.Errorf("kind %d: %v %v", k, got, err)
		}
	}
	for h := command.HashNone; h <= command.HashSHA512256; h++ {
		if got, err := command.ParseHash(h.String()); err != nil || got != h {
			t.Errorf("hash %d: %v %v", h, got, err)
		}
	}
	for s := command.SchemeMultisig; s <= command.SchemeThreshold; s++ {
		if got, err := command.ParseScheme(s.String()); err != nil || got != s {
			t.Errorf("scheme %d: %v %v", s, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		r := command.Role(rapid.IntRange(1, int(command.RoleAll)).Draw(t, "roles"))
		if got, err := command.ParseRoles(r.String()); err != nil || got != r {
			t.Fatalf("%s: %v %v", r, got, err)
		}
	})
	if _, err := command.ParseCurve(""); err == nil {
		t.Error("the empty curve")
	}
	if _, err := command.ParseKind("invalid"); err == nil {
		t.Error("the invalid kind")
	}
	if _, err := command.ParseRoles("admin,root"); err == nil {
		t.Error("an unknown role")
	}
	if command.Curve(200).String() != "invalid" || command.Kind(0).String() != "invalid" || command.Scheme(9).String() != "invalid" ||
		command.Hash(9).String() != "invalid" || command.WordKind(9).String() != "invalid" || command.Curve(0).PublicKeyLen() != 0 {
		t.Error("an unknown number has a name")
	}
}

func TestSettings(t *testing.T) {
	good := command.Settings{MaxSkew: time.Second, RequestMaxAge: time.Minute, MaxOpen: 1}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*command.Settings){
		func(s *command.Settings) { s.MaxSkew = 0 }, func(s *command.Settings) { s.MaxSkew = time.Hour },
		func(s *command.Settings) { s.MaxSkew += time.Nanosecond }, func(s *command.Settings) { s.RequestMaxAge = 0 },
		func(s *command.Settings) { s.RequestMaxAge = 25 * time.Hour }, func(s *command.Settings) { s.MaxOpen = 0 },
		func(s *command.Settings) { s.MaxOpen = command.MaxOpen + 1 },
	} {
		s := good
		change(&s)
		if err := s.Check(); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// TestPaths: a path has one form, four bytes an index, and nothing in it is hardened.
func TestPaths(t *testing.T) {
	path := []uint32{0, 1, 1<<31 - 1}
	b := command.EncodePath(path)
	if got, err := command.DecodePath(b); err != nil || !reflect.DeepEqual(got, path) {
		t.Fatal(got, err)
	}
	for what, b := range map[string][]byte{"cut": b[:7], "long": make([]byte, 4*command.MaxDepth+4), "hardened": {0x80, 0, 0, 0}} {
		if _, err := command.DecodePath(b); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: %v", what, err)
		}
	}
	c := certified(fsmtest.New())[2]
	c.Fields[5].Value = []byte{0x80, 0, 0, 1}
	if _, err := c.Body(); errs.CodeOf(err) != errs.Malformed {
		t.Errorf("a request for a hardened child: %v", err)
	}
}
