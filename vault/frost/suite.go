package frost

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Suite is a group, its hashes and the form of its signatures. There are three: Ed25519
// and BIP340 sign, Ristretto255 has ceremonies only. Compare them by address.
type Suite struct {
	id       uint8
	name     string
	context  string
	group    group
	wideSize int
	founded  bool                                         // there may be a sharing from before the first ceremony, epoch 0
	evenY    bool                                         // signatures and keys carry x only and mean the point with even y
	sum      func(context string, parts ...[]byte) []byte // the suite's hash, after its context
	uniform  func(context string, parts ...[]byte) []byte // wideSize bytes to be reduced
	// challenge takes R and the key as bytes() of the points signed with.
	challenge func(s *Suite, r, key, msg []byte) scalar
	small     func() *smallNumbers
	child     func(s *Suite, key, chain []byte, index uint32) (tweak scalar, next [32]byte, ok bool)
}

// The suites. Their numbers stand in every stored form and never change.
var (
	// Ed25519 is FROST(Ed25519, SHA-512) of RFC 9591 section 6.1. Its signatures are those
	// of RFC 8032, 64 bytes, and verify with crypto/ed25519.
	Ed25519 = &Suite{id: 1, name: "ed25519", context: "FROST-ED25519-SHA512-v1", group: edwards{}, wideSize: 64,
		sum: sum512, uniform: sum512, challenge: challengeEd25519, child: childEd25519, small: smallOf(edwards{})}
	// BIP340 is FROST over secp256k1 whose signatures are those of BIP-340, 64 bytes.
	BIP340 = &Suite{id: 2, name: "bip340", context: "FROST-secp256k1-SHA256-TR-v1", group: koblitz{}, wideSize: 48, evenY: true,
		sum: sum256, uniform: expand, challenge: challengeBIP340, child: childBIP32, small: smallOf(koblitz{})}
	// Ristretto255 is the group of the beacon: keys are made, refreshed and reshared, and
	// evaluated elsewhere (vault/draw).
	Ristretto255 = &Suite{id: 3, name: "ristretto255", context: "FROST-RISTRETTO255-SHA512-v1", group: cosets{}, wideSize: 64, founded: true,
		sum: sum512, uniform: sum512, small: smallOf(cosets{})}
)

// String returns the suite's name.
func (s *Suite) String() string { return s.name }

// ID returns the number by which stored forms name the suite.
func (s *Suite) ID() uint8 { return s.id }

// SuiteOf returns the suite a stored number or a configuration's name stands for.
func SuiteOf(id uint8) (*Suite, error) {
	for _, s := range []*Suite{Ed25519, BIP340, Ristretto255} {
		if s.id == id {
			return s, nil
		}
	}
	return nil, errs.New(errs.Malformed, "threshold suite %d: this version knows 1 to %d", id, Ristretto255.id)
}

func sum512(context string, parts ...[]byte) []byte {
	h := sha512.New()
	h.Write([]byte(context))
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func sum256(context string, parts ...[]byte) []byte {
	h := sha256.New()
	h.Write([]byte(context))
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// expand is expand_message_xmd of RFC 9380 section 5.3.1 with SHA-256, for 48 bytes.
func expand(context string, parts ...[]byte) []byte {
	dst := context + string([]byte{byte(len(context))})
	h := sha256.New()
	h.Write(make([]byte, 64))
	for _, p := range parts {
		h.Write(p)
	}
	h.Write([]byte{0, 48, 0})
	h.Write([]byte(dst))
	b0 := h.Sum(nil)
	h.Reset()
	h.Write(b0)
	h.Write([]byte{1})
	h.Write([]byte(dst))
	b1 := h.Sum(nil)
	for i := range b0 {
		b0[i] ^= b1[i]
	}
	h.Reset()
	h.Write(b0)
	h.Write([]byte{2})
	h.Write([]byte(dst))
	return h.Sum(b1)[:48]
}

// hash is the RFC's H4 and H5, by tag.
func (s *Suite) hash(tag string, parts ...[]byte) []byte { return s.sum(s.context+tag, parts...) }

// hashScalar is the RFC's H1 and H3, by tag.
func (s *Suite) hashScalar(tag string, parts ...[]byte) scalar {
	u := s.uniform(s.context+tag, parts...)
	defer clear(u)
	return s.group.wide(u)
}

// proofScalar hashes for the proofs that are not the RFC's: each part with its length.
func (s *Suite) proofScalar(domain string, parts ...[]byte) scalar {
	w := wire.NewWriter(512)
	for _, p := range parts {
		w.Blob(p)
	}
	defer clear(w.Bytes())
	return s.hashScalar(domain, w.Bytes())
}

func challengeEd25519(s *Suite, r, key, msg []byte) scalar {
	h := sha512.New()
	h.Write(r)
	h.Write(key)
	h.Write(msg)
	return s.group.wide(h.Sum(nil))
}

// challengeBIP340 leaves the parity bytes out and reduces 32 bytes, as BIP-340 does.
func challengeBIP340(_ *Suite, r, key, msg []byte) scalar {
	sum := taggedHash("BIP0340/challenge", r[1:], key[1:], msg)
	c := new(secpScalar)
	c.SetBytes(&sum)
	return c
}

// taggedHash is BIP-340's.
func taggedHash(tag string, parts ...[]byte) [32]byte {
	t := sha256.Sum256([]byte(tag))
	h := sha256.New()
	h.Write(t[:])
	h.Write(t[:])
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

// signature joins R, as bytes() of the point, and z in the form the suite's world expects.
func (s *Suite) signature(r, z []byte) []byte {
	if s.evenY {
		r = r[1:]
	}
	return append(append(make([]byte, 0, 64), r...), z...)
}

// verify judges a finished signature under the point with bytes key. Ed25519 asks the
// standard library, which shares no protocol code with this package.
func (s *Suite) verify(key point, msg, sig []byte) bool {
	if s == Ed25519 {
		return ed25519.Verify(key.bytes(), msg, sig)
	}
	if len(sig) != 64 {
		return false
	}
	z, ok := s.group.decodeScalar(sig[32:])
	if !ok {
		return false
	}
	r := append([]byte{2}, sig[:32]...)
	key = s.normal(key)
	c := s.challenge(s, r, key.bytes(), msg)
	got := s.group.combineBase(z, []scalar{s.group.negate(c)}, []point{key})
	return string(got.bytes()) == string(r)
}

// normal returns the point the suite signs under: in BIP-340 the one with even y.
func (s *Suite) normal(p point) point {
	if s.evenY && s.group.oddY(p) {
		return s.group.negatePoint(p)
	}
	return p
}

// Format prints the name, whatever the verb.
func (s *Suite) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.name) }
