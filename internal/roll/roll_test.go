package roll_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
)

var update = flag.Bool("update", false, "rewrite the golden vectors")

var (
	cluster = identity.ClusterID{1, 2}
	lineage = [32]byte{3}
	start   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// hsm is the identity key of a region, or of its next HSM.
func hsm(region identity.RegionID, next byte) *identity.KeySigner {
	s, err := identity.NewKeySigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(region), next}, 16)))
	if err != nil {
		panic(err)
	}
	return s
}

func founders() roll.Pins {
	pins := roll.Pins{}
	for r := identity.RegionID(1); r <= 4; r++ {
		pins[r] = hsm(r, 0).Public()
	}
	return pins
}

// says is a roll by a session of a region under an identity.
func says(tb testing.TB, region identity.RegionID, by *identity.KeySigner, pins roll.Pins) *roll.Roll {
	tb.Helper()
	key, err := identity.NewKeySigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(region), 9}, 16)))
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := identity.IssueSession(context.Background(), by, key, identity.SessionCert{Cluster: cluster, Region: region, ServerID: "r-00000001", Boot: identity.Boot{4}, Issued: start})
	if err != nil {
		tb.Fatal(err)
	}
	o := &roll.Roll{Lineage: lineage, Nonce: [16]byte{5}, Applied: 6, At: start}
	for r := identity.RegionID(1); int(r) <= len(pins); r++ {
		o.Identities = append(o.Identities, pins[r])
	}
	if err := o.Sign(context.Background(), &identity.Session{KeySigner: key, Cert: cert}); err != nil {
		tb.Fatal(err)
	}
	return o
}

// with is the founders, but one.
func with(changes ...any) roll.Pins {
	pins := founders()
	for i := 0; i < len(changes); i += 2 {
		pins[identity.RegionID(changes[i].(int))] = changes[i+1].(*identity.KeySigner).Public()
	}
	return pins
}

func judge() *roll.Judge { return &roll.Judge{Cluster: cluster, Lineage: lineage, Start: founders()} }

func TestBelieve(t *testing.T) {
	fresh, other, forged := hsm(3, 1), hsm(4, 1), hsm(3, 7)
	truth := with(3, fresh)
	for name, c := range map[string]struct {
		rolls []*roll.Roll
		want  roll.Pins
		fixed []identity.RegionID
	}{
		"nobody":                             {nil, founders(), nil},
		"one":                                {[]*roll.Roll{says(t, 1, hsm(1, 0), truth)}, founders(), nil},
		"one, twice":                         {[]*roll.Roll{says(t, 1, hsm(1, 0), truth), says(t, 1, hsm(1, 0), truth)}, founders(), nil},
		"one and itself":                     {[]*roll.Roll{says(t, 1, hsm(1, 0), truth), says(t, 3, hsm(3, 0), truth)}, founders(), nil},
		"one and its new self":               {[]*roll.Roll{says(t, 1, hsm(1, 0), truth), says(t, 3, fresh, truth)}, founders(), nil},
		"two":                                {[]*roll.Roll{says(t, 1, hsm(1, 0), truth), says(t, 2, hsm(2, 0), truth)}, truth, nil},
		"two, a liar between":                {[]*roll.Roll{says(t, 4, hsm(4, 0), with(3, forged, 1, hsm(1, 7), 2, hsm(2, 7))), says(t, 1, hsm(1, 0), truth), says(t, 2, hsm(2, 0), truth)}, truth, nil},
		"two that differ":                    {[]*roll.Roll{says(t, 1, hsm(1, 0), truth), says(t, 2, hsm(2, 0), with(3, forged))}, founders(), nil},
		"two against two":                    {[]*roll.Roll{says(t, 1, hsm(1, 0), with(4, other)), says(t, 2, hsm(2, 0), with(4, other)), says(t, 3, hsm(3, 0), founders())}, with(4, other), nil},
		"the thief of an old HSM and a liar": {[]*roll.Roll{says(t, 3, hsm(3, 0), with(4, forged)), says(t, 1, hsm(1, 0), with(4, forged, 3, fresh)), says(t, 2, hsm(2, 0), truth), says(t, 4, hsm(4, 0), truth)}, truth, nil},
		"two camps":                          {[]*roll.Roll{says(t, 3, hsm(3, 0), with(4, forged)), says(t, 1, hsm(1, 0), with(4, forged)), says(t, 2, hsm(2, 0), truth), says(t, 4, hsm(4, 0), truth)}, founders(), nil},
		"a second one, by the first": {[]*roll.Roll{says(t, 1, hsm(1, 0), with(3, fresh, 4, other)), says(t, 2, hsm(2, 0), with(3, fresh)), says(t, 3, fresh, with(3, fresh, 4, other)),
			says(t, 4, hsm(4, 0), with(3, fresh))}, with(3, fresh, 4, other), nil},
		"signed by a stranger": {[]*roll.Roll{says(t, 1, hsm(1, 7), truth), says(t, 2, hsm(2, 0), truth)}, founders(), nil},
		"compared by people":   {[]*roll.Roll{says(t, 1, hsm(1, 0), truth), says(t, 2, hsm(2, 0), truth)}, founders(), []identity.RegionID{3}},
	} {
		j := judge()
		j.Fixed = map[identity.RegionID]struct{}{}
		for _, r := range c.fixed {
			j.Fixed[r] = struct{}{}
		}
		if got, _ := j.Believe(c.rolls); !maps.EqualFunc(got, c.want, roll.Key.Equal) {
			t.Errorf("%s: believes %v, want %v", name, got, c.want)
		}
	}
}

// TestContested: a liar and the thief of an old HSM call an honest region replaced, so that
// the thief may go on: neither is believed alone then. One liar brings that about for nobody.
func TestContested(t *testing.T) {
	fresh, forged := hsm(3, 1), hsm(4, 7)
	truth, lies := with(3, fresh), with(4, forged)
	two, four := says(t, 2, hsm(2, 0), truth), says(t, 4, hsm(4, 0), truth)
	liar := says(t, 1, hsm(1, 0), lies)
	for name, c := range map[string]struct {
		rolls []*roll.Roll
		want  []identity.RegionID
	}{
		"two camps":         {[]*roll.Roll{liar, two, says(t, 3, hsm(3, 0), lies), four}, []identity.RegionID{3, 4}},
		"a liar alone":      {[]*roll.Roll{liar, two, four}, nil},
		"the region itself": {[]*roll.Roll{liar, two, says(t, 3, fresh, truth), four}, nil},
	} {
		j := judge()
		if got := j.Contested(j.Believe(c.rolls)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v are contested, want %v", name, got, c.want)
		}
	}
}

// TestNeverBack: a key that was replaced stays replaced, whatever two regions say.
func TestNeverBack(t *testing.T) {
	fresh := hsm(3, 1)
	j := judge()
	j.Start = with(3, fresh)
	j.Former = func(r identity.RegionID, k roll.Key) bool { return r == 3 && k.Equal(hsm(3, 0).Public()) }
	got, heard := j.Believe([]*roll.Roll{says(t, 1, hsm(1, 0), founders()), says(t, 2, hsm(2, 0), founders())})
	if !got[3].Equal(fresh.Public()) || len(heard) != 2 {
		t.Errorf("believes %v after %d rolls", got, len(heard))
	}
	if d := roll.Disputed(got, heard); len(d) != 1 || d[0] != 3 {
		t.Errorf("disputed: %v", d)
	}
}

// TestForeignRolls: of another vault, of another number of regions, or changed on the way.
func TestForeignRolls(t *testing.T) {
	truth := with(3, hsm(3, 1))
	for name, change := range map[string]func(*roll.Roll){
		"lineage": func(o *roll.Roll) { o.Lineage[0]++ }, "nonce": func(o *roll.Roll) { o.Nonce[0]++ }, "applied": func(o *roll.Roll) { o.Applied++ },
		"identity": func(o *roll.Roll) { o.Identities[2] = hsm(3, 7).Public() }, "regions": func(o *roll.Roll) { o.Identities = o.Identities[:3] },
		"sealed": func(o *roll.Roll) { o.Guest, o.Sealed = 3, []byte{1} }, "author": func(o *roll.Roll) { o.Region = 4 },
		"time": func(o *roll.Roll) { o.At = o.At.Add(time.Second) }, "signature": func(o *roll.Roll) { o.Sig[0]++ }, "certificate": func(o *roll.Roll) { o.Cert[40]++ },
	} {
		o := says(t, 1, hsm(1, 0), truth)
		change(o)
		if got, _ := judge().Believe([]*roll.Roll{o, says(t, 2, hsm(2, 0), truth)}); !got[3].Equal(hsm(3, 0).Public()) {
			t.Errorf("%s changed, and believed", name)
		}
	}
}

func TestGolden(t *testing.T) {
	o := says(t, 2, hsm(2, 0), with(3, hsm(3, 1)))
	guest := *o
	guest.Guest, guest.Sealed = 3, []byte{7, 8}
	got := map[string]string{"roll": hex.EncodeToString(o.Encode()), "signed": hex.EncodeToString(o.SignedBytes(cluster)),
		"roll for a guest": hex.EncodeToString(guest.Encode()), "label": hex.EncodeToString([]byte(roll.Label(lineage, 1, 3)))}
	file := filepath.Join("..", "..", "docs", "spec", "vectors", "roll.json")
	if *update {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := vectors(t)
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	b, _ := hex.DecodeString(want["roll"])
	if back, err := roll.Decode(b); err != nil || !bytes.Equal(back.Encode(), b) || back.Verify(cluster, hsm(2, 0).Public()) != nil {
		t.Errorf("the stored roll: %v", err)
	}
}

func vectors(tb testing.TB) (want map[string]string) {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "vectors", "roll.json"))
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(b, &want); err != nil {
		tb.Fatal(err)
	}
	return want
}

func TestMalformed(t *testing.T) {
	for name, bend := range map[string]func(*roll.Roll){
		"no regions": func(o *roll.Roll) { o.Identities = nil }, "by nobody": func(o *roll.Roll) { o.Region = 0 }, "by a fifth": func(o *roll.Roll) { o.Region = 5 },
		"for a fifth": func(o *roll.Roll) { o.Guest, o.Sealed = 5, []byte{1} }, "for nobody": func(o *roll.Roll) { o.Sealed = []byte{1} },
		"nothing for one": func(o *roll.Roll) { o.Guest = 3 }, "no key": func(o *roll.Roll) { o.Identities[1] = identity.PublicKey{Alg: identity.Ed25519, Key: make([]byte, 32)} },
	} {
		o := says(t, 1, hsm(1, 0), founders())
		bend(o)
		if _, err := roll.Decode(o.Encode()); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range vectors(f) {
		b, _ := hex.DecodeString(v)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := roll.Decode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(o.Encode(), b) {
			t.Fatal("two encodings of one roll")
		}
		judge().Believe([]*roll.Roll{o, o})
	})
}
