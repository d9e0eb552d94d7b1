package escrow_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/btcutil/hdkeychain"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/escrow"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
	"github.com/tetrad-vault/tetrad/vault/frost"
	"github.com/tetrad-vault/tetrad/vault/frost/frosttest"
)

// hsms are the regions' HSMs, made once: their RSA keys take their time.
var hsms = sync.OnceValue(func() (out [2]*seal.HSM) {
	for i := range out {
		ctx := context.Background()
		h, err := sealtest.New(sealtest.Options{Seed: uint64(i) + 1}).OpenHSM(ctx)
		if err == nil {
			_, err = h.GenerateWrapping(ctx, "wrapping")
		}
		if err != nil {
			panic(err)
		}
		out[i] = h
	}
	return out
})

// lab is a key, its officers, and the bundle of an escrow 2 of 3.
type lab struct {
	t        *testing.T
	key      *frosttest.Key
	officers []age.Identity
	bundle   *escrow.Bundle
}

func newLab(t *testing.T, suite *frost.Suite, disaster bool) *lab {
	t.Helper()
	l := &lab{t: t, key: frosttest.New(suite, 2, 1, 2, 3, 4)}
	terms := escrow.Terms{Cluster: identity.ClusterID{7}, Key: command.KeyID{9}, Number: 3, Epoch: 1, M: 2, Disaster: disaster}
	for i := range 3 {
		if i == 0 {
			id, err := age.GenerateHybridIdentity()
			l.ok(err)
			l.officers, terms.Officers = append(l.officers, id), append(terms.Officers, id.Recipient().String())
			continue
		}
		id, err := age.GenerateX25519Identity()
		l.ok(err)
		l.officers, terms.Officers = append(l.officers, id), append(terms.Officers, id.Recipient().String())
	}
	l.bundle = &escrow.Bundle{Terms: terms, Name: "cold", Public: l.key.Public.Encode(), Chain: l.key.Chain}
	for r := identity.RegionID(1); r <= 4; r++ {
		l.bundle.Boxes = append(l.bundle.Boxes, fsm.Sealed{Region: r, Box: l.seal(terms, r, l.key.Results[uint8(r)].Share)})
	}
	return l
}

func (l *lab) ok(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) seal(terms escrow.Terms, r identity.RegionID, s *frost.Share) []byte {
	l.t.Helper()
	var regions []*fsm.Region
	if !terms.Disaster {
		for i, h := range hsms() {
			pub, hash := h.Wrapping()
			regions = append(regions, &fsm.Region{ID: identity.RegionID(i + 1), Status: fsm.RegionActive, Wrapping: pub, OAEPHash: hash})
		}
		regions = append(regions, &fsm.Region{ID: 3, Status: fsm.RegionQuarantined, Wrapping: []byte("no key: nobody seals to it")})
	}
	b, err := escrow.Seal(terms, r, regions, s.Encode())
	l.ok(err)
	return b
}

// release is what region r's HSM gives, for officer 2.
func (l *lab) release(r identity.RegionID) *escrow.Release {
	l.t.Helper()
	file, err := escrow.NewRelease(context.Background(), hsms()[r-1], r, l.bundle, l.bundle.Officers[1])
	l.ok(err)
	rel, err := escrow.OpenRelease(file, l.bundle, l.officers[1])
	l.ok(err)
	return rel
}

func (l *lab) recovers(b *escrow.Bundle, rel *escrow.Release, who ...age.Identity) []string {
	l.t.Helper()
	s, skipped, err := escrow.Recover(b, rel, who)
	l.ok(err)
	msg := bytes.Repeat([]byte{5}, 32)
	sig, err := s.Sign(rand.Reader, msg)
	l.ok(err)
	l.ok(l.key.Public.Verify(msg, sig))
	return skipped
}

func (l *lab) refuses(code errs.Code, b *escrow.Bundle, rel *escrow.Release, who ...age.Identity) {
	l.t.Helper()
	if s, _, err := escrow.Recover(b, rel, who); errs.CodeOf(err) != code || s != nil {
		l.t.Errorf("%v, want %s", err, code)
	}
}

func TestRecover(t *testing.T) {
	for _, suite := range []*frost.Suite{frost.Ed25519, frost.BIP340} {
		l := newLab(t, suite, true)
		o := l.officers
		for _, who := range [][]age.Identity{{o[0], o[1]}, {o[2], o[0]}, {o[1], o[2]}, o} {
			if skipped := l.recovers(l.bundle, nil, who...); len(skipped) != 0 {
				t.Errorf("left out: %v", skipped)
			}
		}
		l.refuses(errs.Denied, l.bundle, nil)
		l.refuses(errs.Denied, l.bundle, nil, o[1])
		stranger, err := age.GenerateX25519Identity()
		l.ok(err)
		l.refuses(errs.Denied, l.bundle, nil, o[1], stranger)
		l.refuses(errs.Denied, l.bundle, nil, o[1], o[1])
	}
}

// TestOneRegionTakesPart: unless it is for disasters, what the officers hold is not enough,
// any one region's HSM is, and that alone is nothing.
func TestOneRegionTakesPart(t *testing.T) {
	l := newLab(t, frost.Ed25519, false)
	l.refuses(errs.Denied, l.bundle, nil, l.officers...)
	for r := identity.RegionID(1); r <= 2; r++ {
		rel := l.release(r)
		l.recovers(l.bundle, rel, l.officers[0], l.officers[2])
		l.refuses(errs.Denied, l.bundle, rel, l.officers[1])
		l.refuses(errs.Denied, l.bundle, rel)
	}
	pretend := *l.bundle
	pretend.Disaster = true // the officers say that no region is needed
	l.refuses(errs.Corrupt, &pretend, nil, l.officers...)
	if _, err := escrow.NewRelease(context.Background(), hsms()[0], 4, l.bundle, l.bundle.Officers[1]); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("a region that nothing is wrapped to: %v", err)
	}
	if _, err := escrow.NewRelease(context.Background(), hsms()[1], 1, l.bundle, l.bundle.Officers[1]); err == nil {
		t.Error("another region's HSM opens it")
	}
	file, err := escrow.NewRelease(context.Background(), hsms()[0], 1, l.bundle, l.bundle.Officers[1])
	l.ok(err)
	if _, err := escrow.OpenRelease(file, l.bundle, l.officers[0]); errs.CodeOf(err) != errs.Denied {
		t.Errorf("another officer opens the release: %v", err)
	}
	other := *l.bundle
	other.Number++
	if _, err := escrow.OpenRelease(file, &other, l.officers[1]); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("the release of another escrow: %v", err)
	}
}

// TestAlteredBundle: what is altered, or belongs elsewhere, opens nothing; a bundle with
// enough good shares does without the others.
func TestAlteredBundle(t *testing.T) {
	for _, disaster := range []bool{true, false} {
		l := newLab(t, frost.BIP340, disaster)
		var rel *escrow.Release
		if !disaster {
			rel = l.release(2)
		}
		for i, change := range []func(*escrow.Bundle){
			func(b *escrow.Bundle) { b.Cluster[0]++ }, func(b *escrow.Bundle) { b.Key[0]++ }, func(b *escrow.Bundle) { b.Number++ },
			func(b *escrow.Bundle) { b.Officers[0], b.Officers[1] = b.Officers[1], b.Officers[0] },
			func(b *escrow.Bundle) { b.Public = frosttest.New(frost.BIP340, 2, 1, 2, 3, 4).Public.Encode() },
			func(b *escrow.Bundle) {
				b.Boxes[0].Box, b.Boxes[1].Box = b.Boxes[1].Box, b.Boxes[0].Box
				b.Boxes = b.Boxes[:2]
			},
			func(b *escrow.Bundle) { b.Boxes = b.Boxes[:1] },
		} {
			b := l.copied()
			change(b)
			if s, _, err := escrow.Recover(b, rel, l.officers); errs.CodeOf(err) != errs.Corrupt || s != nil {
				t.Errorf("change %d: %v", i, err)
			}
		}
		b := l.copied()
		for at := 0; at < len(b.Boxes[0].Box); at += 1 + len(b.Boxes[0].Box)/41 { // anywhere in one share
			b := l.copied()
			b.Boxes[0].Box[at] ^= 1
			l.recovers(b, rel, l.officers...)
		}
		b.Boxes[0].Box[len(b.Boxes[0].Box)-1] ^= 1
		b.Boxes[1].Box = l.seal(l.bundle.Terms, 2, l.key.Results[3].Share)
		if skipped := l.recovers(b, l.again(b, disaster), l.officers...); len(skipped) != 2 || !strings.Contains(skipped[0], "region 1") || !strings.Contains(skipped[1], "share of region 3") {
			t.Errorf("left out: %q", skipped)
		}
		b.Boxes[2].Box = []byte{1}
		l.refuses(errs.Corrupt, b, l.again(b, disaster), l.officers...)
	}
}

func (l *lab) copied() *escrow.Bundle {
	b, err := escrow.ParseBundle(l.bundle.File())
	l.ok(err)
	return b
}

// again is a region's release for an altered bundle: what does not open is left out.
func (l *lab) again(b *escrow.Bundle, disaster bool) *escrow.Release {
	if disaster {
		return nil
	}
	file, err := escrow.NewRelease(context.Background(), hsms()[0], 1, b, l.bundle.Officers[1])
	l.ok(err)
	rel, err := escrow.OpenRelease(file, b, l.officers...)
	l.ok(err)
	return rel
}

// TestBoundToItsPlace: a share of another escrow, epoch or region, put into this one's place.
func TestBoundToItsPlace(t *testing.T) {
	l := newLab(t, frost.Ed25519, true)
	for name, change := range map[string]func(*escrow.Terms){
		"cluster": func(t *escrow.Terms) { t.Cluster[1]++ }, "key": func(t *escrow.Terms) { t.Key[1]++ }, "number": func(t *escrow.Terms) { t.Number = 2 },
		"epoch": func(t *escrow.Terms) { t.Epoch = 2 }, "quorum": func(t *escrow.Terms) { t.M = 3 },
		"officers": func(t *escrow.Terms) { t.Officers = slices.Concat(t.Officers[1:], t.Officers[:1]) },
	} {
		b := l.copied()
		for i := range b.Boxes {
			terms := l.bundle.Terms
			change(&terms)
			b.Boxes[i].Box = l.seal(terms, b.Boxes[i].Region, l.key.Results[uint8(b.Boxes[i].Region)].Share)
		}
		if _, _, err := escrow.Recover(b, nil, l.officers); errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeyFile: what is written for other programs is the key, by other libraries' word, and
// what is read back signs.
func TestKeyFile(t *testing.T) {
	msg := bytes.Repeat([]byte{6}, 32)
	l := newLab(t, frost.BIP340, true)
	s, _, err := escrow.Recover(l.bundle, nil, l.officers)
	l.ok(err)
	text := escrow.KeyFile(s, "cold", l.bundle.Chain, intent.Mainnet)
	wif, err := btcutil.DecodeWIF(field(t, text, `WIF \(mainnet\): (\w+)`))
	l.ok(err)
	if !wif.CompressPubKey || !bytes.Equal(wif.PrivKey.PubKey().SerializeCompressed(), l.key.Public.Compressed()) {
		t.Error("the WIF is of another key")
	}
	ext, err := hdkeychain.NewKeyFromString(field(t, text, `extended private key: (\w+)`))
	l.ok(err)
	branch, err := ext.Derive(0)
	l.ok(err)
	leaf, err := branch.Derive(7)
	l.ok(err)
	priv, err := leaf.ECPrivKey()
	l.ok(err)
	child, _, err := l.key.Public.Derive(l.bundle.Chain, 0, 7)
	l.ok(err)
	if !bytes.Equal(priv.PubKey().SerializeCompressed(), child.Compressed()) {
		t.Error("child 0/7 of the extended key is another one than the vault's")
	}
	sig := read(t, text, msg, 0, 7)
	parsed, err := schnorr.ParseSignature(sig)
	l.ok(err)
	pub, err := btcec.ParsePubKey(child.Compressed())
	l.ok(err)
	if !parsed.Verify(msg, pub) {
		t.Error("the child's signature does not verify")
	}
	if d := field(t, text, `descriptor: (tr\(xprv.*)`); !strings.Contains(d, "/0/*)#") {
		t.Errorf("descriptor %q", d)
	}

	l = newLab(t, frost.Ed25519, true)
	s, _, err = escrow.Recover(l.bundle, nil, l.officers)
	l.ok(err)
	text = escrow.KeyFile(s, "cold", l.bundle.Chain, intent.Mainnet)
	if !ed25519.Verify(l.key.Public.Bytes(), msg, read(t, text, msg)) {
		t.Error("the signature does not verify")
	}
	scalar, err := hex.DecodeString(field(t, text, `scalar \(little-endian\): (\w+)`))
	l.ok(err)
	if !bytes.Equal(scalar, s.Bytes()) || !strings.Contains(string(text), "not a seed") {
		t.Errorf("%s", text)
	}
	for _, bad := range [][]byte{nil, []byte("x"), bytes.Replace(text, []byte("RECOVERED"), []byte("REC0VERED"), 2), l.bundle.File()} {
		if _, _, err := escrow.ParseKeyFile(bad); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

func field(t *testing.T, text []byte, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no %s", pattern)
	}
	return string(m[1])
}

func read(t *testing.T, text, msg []byte, path ...uint32) []byte {
	t.Helper()
	s, chain, err := escrow.ParseKeyFile(text)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := escrow.SignAt(s, chain, path, func(s *frost.Secret) ([]byte, error) { return s.Sign(rand.Reader, msg) })
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func TestSealRefuses(t *testing.T) {
	l := newLab(t, frost.Ed25519, true)
	share := l.key.Results[1].Share.Encode()
	for name, change := range map[string]func(*escrow.Terms){
		"no number": func(t *escrow.Terms) { t.Number = 0 }, "no epoch": func(t *escrow.Terms) { t.Epoch = 0 }, "quorum": func(t *escrow.Terms) { t.M = 4 },
		"recipient": func(t *escrow.Terms) { t.Officers = []string{"age1a", "age1b"} }, "no region": func(t *escrow.Terms) { t.Disaster = false },
	} {
		terms := l.bundle.Terms
		change(&terms)
		if b, err := escrow.Seal(terms, 1, nil, share); err == nil || b != nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

// FuzzBundle: what decodes is canonical, and restoring from it neither panics nor gives a
// key.
func FuzzBundle(f *testing.F) {
	k := frosttest.New(frost.Ed25519, 2, 1, 2, 3)
	b := &escrow.Bundle{Terms: escrow.Terms{Number: 1, Epoch: 1, M: 2, Officers: []string{"age1a", "age1b"}, Disaster: true}, Name: "k", Public: k.Public.Encode()}
	for r := identity.RegionID(1); r <= 3; r++ {
		b.Boxes = append(b.Boxes, fsm.Sealed{Region: r, Box: []byte{1, 1, 0, 0, 0, 1, 9, 1, 1, 0, 0, 0, 1, 8, 0, 0, 0, 1, 7}})
	}
	f.Add(b.Encode())
	id, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := escrow.DecodeBundle(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(b.Encode(), raw) {
			t.Fatalf("%x is not canonical", raw)
		}
		if s, _, err := escrow.Recover(b, nil, []age.Identity{id}); err == nil || s != nil {
			t.Fatal("a key out of nothing")
		}
	})
}
