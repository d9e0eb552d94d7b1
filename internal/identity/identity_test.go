package identity

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// seeded returns an Ed25519 signer that is the same in every run.
func seeded(t testing.TB, b byte) *KeySigner {
	t.Helper()
	priv, err := NewKeySigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return priv
}

func TestSignAndVerify(t *testing.T) {
	for name, s := range map[string]*KeySigner{"ed25519": GenerateEd25519(), "p256": newP256(t)} {
		t.Run(name, func(t *testing.T) {
			if s.Public().Check() != nil || s.Public().Alg.String() != name {
				t.Fatalf("public key %+v", s.Public())
			}
			msg := []byte("message")
			sig, err := s.Sign(context.Background(), msg)
			if err != nil || len(sig) != 64 {
				t.Fatal(sig, err)
			}
			if !s.Public().Verify(msg, sig) {
				t.Error("own signature does not verify")
			}
			for i := range sig {
				bad := bytes.Clone(sig)
				bad[i] ^= 1
				if s.Public().Verify(msg, bad) {
					t.Errorf("signature with byte %d changed verifies", i)
				}
			}
			if s.Public().Verify([]byte("massage"), sig) || s.Public().Verify(msg, sig[:63]) || s.Public().Verify(msg, nil) {
				t.Error("another message or a short signature verifies")
			}
		})
	}
}

// TestSignerNeverPrints tries what a careless log line would do.
func TestSignerNeverPrints(t *testing.T) {
	s := seeded(t, 0x5a)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{s, &Session{KeySigner: s, Cert: &SessionCert{}}} {
			if text := strings.ToLower(fmt.Sprintf(verb, v)); strings.Contains(text, "90 90 90") || strings.Contains(text, "5a5a5a") ||
				strings.Contains(text, "0x5a, 0x5a") || strings.Contains(text, "zzz") {
				t.Errorf("%s of %T prints the private key: %s", verb, v, text)
			}
		}
	}
}

// TestWeakKeys: keys for which a signature proves nothing.
func TestWeakKeys(t *testing.T) {
	order8, _ := hex.DecodeString("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
	identityPoint := append([]byte{1}, make([]byte, 31)...)
	notCanonical := append(bytes.Repeat([]byte{0xff}, 31), 0x7f)
	noPoint := append([]byte{2}, make([]byte, 31)...)
	for name, key := range map[string][]byte{"identity": identityPoint, "order 8": order8, "zero": make([]byte, 32),
		"not canonical": notCanonical, "no point": noPoint} {
		if (PublicKey{Ed25519, key}).Check() == nil {
			t.Errorf("%s passes as a public key", name)
		}
	}
}

func TestRSAPSS(t *testing.T) {
	priv, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := FromCrypto(&priv.PublicKey)
	if err != nil || pub.Check() != nil {
		t.Fatal(err, pub.Check())
	}
	msg := []byte("m")
	h := sha256.Sum256(msg)
	sig, err := rsa.SignPSS(rand.Reader, priv, crypto.SHA256, h[:], pssOptions)
	if err != nil || !pub.Verify(msg, sig) || pub.Verify([]byte("n"), sig) {
		t.Error("RSA-PSS", err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if pub, err := FromCrypto(&small.PublicKey); err != nil || pub.Check() == nil {
		t.Error("a 2048-bit RSA key passes")
	}
}

func TestUnusableKeys(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FromCrypto(p384.Public()); err == nil {
		t.Error("P-384 is accepted")
	}
	offCurve := append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)
	for _, k := range []PublicKey{{}, {Ed25519, make([]byte, 31)}, {P256, make([]byte, 33)}, {P256, offCurve}, {RSAPSS, []byte("x")}, {99, make([]byte, 32)}} {
		if k.Check() == nil {
			t.Errorf("%v passes", k)
		}
		if k.Verify([]byte("m"), make([]byte, 64)) {
			t.Errorf("%v verifies something", k)
		}
	}
}

// Stored formats and names derived from them: these bytes never change.
const (
	goldenKey         = "01000000208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
	goldenFingerprint = "62146fded22304d82dc0197d24ad1b982791fd38203bc70f8ef3ede9102170eb"
	goldenCert        = "0201020000000000000000000000000000030000000d656173742d30303030303032610400000000000000000000000000000001" +
		"000000208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b3940000019b7ca98c8eb785306d5352420cdfe8e9e5b78673941a89f972e104" +
		"1a7fb50bab46e8302fb21c89ab47b7ba04b82160a6c1b5183ce7fc4472f8d90e5cae6b187d50bb6700000000004008a9d9e3bbfb2d1eaa51a20119f2a4be82415b03db94bcd070393dc4dc219f41a2e8d03d6b63e88d70d2fba36400c849ac65aeb317580650e60cc3e331d2490c"
)

func goldenSessionCert(t testing.TB) *SessionCert {
	id := seeded(t, 1)
	c, err := IssueSession(context.Background(), id, seeded(t, 2), SessionCert{
		Cluster: ClusterID{1, 2}, Region: 3, ServerID: "east-0000002a", Boot: Boot{4},
		Issued: time.Date(2026, 1, 2, 3, 4, 5, 6789012, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGolden(t *testing.T) {
	if got := hex.EncodeToString(seeded(t, 1).Public().Encode()); got != goldenKey {
		t.Errorf("public key %s", got)
	}
	if got := seeded(t, 1).Public().Fingerprint().String(); got != goldenFingerprint {
		t.Errorf("fingerprint %s", got)
	}
	if got := hex.EncodeToString(goldenSessionCert(t).Encode()); got != goldenCert {
		t.Errorf("session certificate %s", got)
	}
}

func TestSessionCert(t *testing.T) {
	c := goldenSessionCert(t)
	id := seeded(t, 1).Public()
	if err := c.Verify(c.Cluster, id); err != nil {
		t.Fatal(err)
	}
	back, err := DecodeSessionCert(c.Encode())
	if err != nil || !bytes.Equal(back.Encode(), c.Encode()) || !back.Issued.Equal(c.Issued) {
		t.Fatalf("decoded %+v, %v", back, err)
	}
	if c.Verify(ClusterID{9}, id) == nil || c.Verify(c.Cluster, seeded(t, 2).Public()) == nil {
		t.Error("verifies for another cluster or key")
	}
	for name, change := range map[string]func(*SessionCert){
		"region": func(c *SessionCert) { c.Region++ }, "server": func(c *SessionCert) { c.ServerID += "0" },
		"boot": func(c *SessionCert) { c.Boot[15]++ }, "session": func(c *SessionCert) { c.Session = seeded(t, 3).Public() },
		"issued": func(c *SessionCert) { c.Issued = c.Issued.Add(time.Millisecond) }, "possession": func(c *SessionCert) { c.Possession[63] ^= 1 },
	} {
		changed := *c
		change(&changed)
		if changed.Verify(c.Cluster, id) == nil {
			t.Errorf("%s is not covered by the signature", name)
		}
	}
	old := c.Encode()
	old[0] = 1
	if _, err := DecodeSessionCert(old); err == nil {
		t.Error("a certificate of version 1 decodes")
	}
	notEd := *c
	notEd.Session = PublicKey{P256, newP256(t).Public().Key}
	if _, err := DecodeSessionCert(notEd.Encode()); err == nil {
		t.Error("a session key that is not Ed25519 decodes")
	}
}

// onlySeen is a key somebody only saw: they show it and sign with their own.
type onlySeen struct {
	Signer
	public PublicKey
}

func (o onlySeen) Public() PublicKey { return o.public }

// TestSessionKeyAgrees: the region's HSM signs anything its region wants, so its word
// alone makes nobody the holder of a session key.
func TestSessionKeyAgrees(t *testing.T) {
	thief, owner := seeded(t, 1), seeded(t, 2)
	c := goldenSessionCert(t)
	stolen, err := IssueSession(t.Context(), thief, onlySeen{thief, owner.Public()}, *c)
	if err != nil || !stolen.Session.Equal(owner.Public()) {
		t.Fatal(err)
	}
	if stolen.Verify(c.Cluster, thief.Public()) == nil {
		t.Error("a certificate verifies whose session key did not sign it")
	}
	for name, other := range map[string]func(*SessionCert){
		"region": func(c *SessionCert) { c.Region++ }, "cluster": func(c *SessionCert) { c.Cluster[0]++ }, "server": func(c *SessionCert) { c.ServerID = "west-0000002a" },
	} {
		moved := *c
		other(&moved)
		if moved.Sig, err = thief.Sign(t.Context(), moved.SignedBytes()); err != nil {
			t.Fatal(err)
		}
		if moved.Verify(moved.Cluster, thief.Public()) == nil {
			t.Errorf("what a session key signed for one %s holds for another", name)
		}
	}
	if _, err := IssueSession(t.Context(), thief, onlySeen{shortSigner{}, owner.Public()}, *c); err == nil {
		t.Error("a signature of one byte is taken for the session key's")
	}
}

type shortSigner struct{ Signer }

func (shortSigner) Sign(context.Context, []byte) ([]byte, error) { return []byte{1}, nil }

func TestPublicKeyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := func(name string) PublicKey {
			seed := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, name)
			return PublicKey{Ed25519, ed25519.NewKeyFromSeed(seed)[32:]}
		}
		k := key("key")
		back, err := DecodePublicKey(k.Encode())
		if err != nil || !back.Equal(k) || back.Fingerprint() != k.Fingerprint() {
			t.Fatalf("%v, %v", back, err)
		}
		other := key("other")
		if (k.Fingerprint() == other.Fingerprint()) != k.Equal(other) {
			t.Fatal("fingerprints do not tell keys apart")
		}
	})
}

func FuzzDecodePublicKey(f *testing.F) {
	f.Add(seeded(f, 1).Public().Encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := DecodePublicKey(b)
		if err == nil && !bytes.Equal(k.Encode(), b) {
			t.Errorf("%x decodes and encodes to %x", b, k.Encode())
		}
	})
}

func FuzzDecodeSessionCert(f *testing.F) {
	f.Add(goldenSessionCert(f).Encode())
	f.Add([]byte{1})
	f.Add([]byte{certVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeSessionCert(b)
		if err == nil && !bytes.Equal(c.Encode(), b) {
			t.Errorf("%x decodes and encodes to %x", b, c.Encode())
		}
	})
}
