// Package identity holds who may speak: public keys of principals and regions,
// their fingerprints, the session certificates by which a region's HSM vouches
// for a key in memory, and the TLS configurations that pin all of these.
//
// There is no certificate authority. A peer is its public key; X.509 is only the
// envelope TLS insists on. Verification is pure and the same on every replica.
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
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"

	"filippo.io/edwards25519"

	"github.com/tetrad-vault/tetrad/internal/edtable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Alg names a signature algorithm of a principal or region.
type Alg uint8

// The algorithms. Numbers are part of stored formats.
const (
	Ed25519 Alg = 1 // RFC 8032, 32-byte key, 64-byte signature
	P256    Alg = 2 // ECDSA over SHA-256, 33-byte compressed SEC 1 key, 64-byte r||s
	RSAPSS  Alg = 3 // RSASSA-PSS over SHA-256, salt 32, PKIX key; regions whose HSM has no EC
)

// String returns the name used in configuration and tables.
func (a Alg) String() string {
	switch a {
	case Ed25519:
		return "ed25519"
	case P256:
		return "p256"
	case RSAPSS:
		return "rsa-pss"
	}
	return "unknown"
}

// Fingerprint identifies a credential: SHA-256 over algorithm and key. Identity is
// always a fingerprint, never a name.
type Fingerprint [32]byte

// String returns lower-case hex.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Short returns the first eight hex digits, for tables.
func (f Fingerprint) Short() string { return hex.EncodeToString(f[:4]) }

// IsZero reports whether f is unset.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// PublicKey is a public key with its algorithm.
type PublicKey struct {
	Alg Alg
	Key []byte
}

const maxPublicKey = 1024

// Write appends the canonical form.
func (k PublicKey) Write(w *wire.Writer) { w.U8(uint8(k.Alg)); w.Blob(k.Key) }

// ReadPublicKey reads the canonical form; Check tells whether it is usable.
func ReadPublicKey(r *wire.Reader) PublicKey {
	return PublicKey{Alg: Alg(r.U8()), Key: bytes.Clone(r.Blob(maxPublicKey))}
}

// Encode returns the canonical form.
func (k PublicKey) Encode() []byte {
	w := wire.NewWriter(5 + len(k.Key))
	k.Write(w)
	return w.Bytes()
}

// DecodePublicKey parses and checks the canonical form.
func DecodePublicKey(b []byte) (PublicKey, error) {
	r := wire.NewReader(b)
	k := ReadPublicKey(r)
	if err := r.Done(); err != nil {
		return PublicKey{}, err
	}
	return k, k.Check()
}

// Fingerprint returns the key's identity.
func (k PublicKey) Fingerprint() Fingerprint {
	w := wire.NewWriter(64)
	w.String("tetrad/credential/v1")
	k.Write(w)
	return sha256.Sum256(w.Bytes())
}

// Equal reports whether both are the same key.
func (k PublicKey) Equal(o PublicKey) bool { return k.Alg == o.Alg && bytes.Equal(k.Key, o.Key) }

// Check reports whether the key is well-formed: right length, on its curve, and for
// RSA at least 3072 bits. An Ed25519 key of small order is refused, because anybody can
// sign under it, so that its signatures bind nobody.
func (k PublicKey) Check() error {
	switch k.Alg {
	case Ed25519:
		p, err := new(edwards25519.Point).SetBytes(k.Key)
		if err == nil && bytes.Equal(p.Bytes(), k.Key) &&
			new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 0 {
			return nil
		}
	case P256:
		if len(k.Key) == 33 && k.p256() != nil {
			return nil
		}
	case RSAPSS:
		if pub := k.rsa(); pub != nil && pub.N.BitLen() >= 3072 && pub.N.BitLen() <= 4096 {
			return nil
		}
	}
	return errs.New(errs.Invalid, "public key of algorithm %s with %d bytes is not usable", k.Alg, len(k.Key))
}

func (k PublicKey) p256() *ecdsa.PublicKey {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), k.Key)
	if x == nil {
		return nil
	}
	point := make([]byte, 65)
	point[0] = 4 // uncompressed
	x.FillBytes(point[1:33])
	y.FillBytes(point[33:])
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil
	}
	return pub
}

func (k PublicKey) rsa() *rsa.PublicKey {
	pub, err := x509.ParsePKIXPublicKey(k.Key)
	if err != nil {
		return nil
	}
	r, _ := pub.(*rsa.PublicKey)
	return r
}

var pssOptions = &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}

// tables makes checks under keys that are met again cheap: those of regions' sessions and
// of busy services. Two MiB at most; what it holds decides nothing.
var tables = edtable.NewKeys(128)

// Verify reports whether sig is k's signature of msg. It is deterministic.
func (k PublicKey) Verify(msg, sig []byte) bool {
	switch k.Alg {
	case Ed25519:
		return tables.Verify(k.Key, msg, sig)
	case P256:
		pub := k.p256()
		if pub == nil || len(sig) != 64 {
			return false
		}
		h := sha256.Sum256(msg)
		return ecdsa.Verify(pub, h[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case RSAPSS:
		pub := k.rsa()
		h := sha256.Sum256(msg)
		return pub != nil && rsa.VerifyPSS(pub, crypto.SHA256, h[:], sig, pssOptions) == nil
	}
	return false
}

// FromCrypto converts a standard library public key (Ed25519, P-256 or RSA).
func FromCrypto(pub crypto.PublicKey) (PublicKey, error) {
	switch p := pub.(type) {
	case ed25519.PublicKey:
		return PublicKey{Ed25519, bytes.Clone(p)}, nil
	case *ecdsa.PublicKey:
		if point, err := p.Bytes(); err == nil && p.Curve == elliptic.P256() {
			return PublicKey{P256, append([]byte{2 | point[64]&1}, point[1:33]...)}, nil // compressed
		}
	case *rsa.PublicKey:
		if der, err := x509.MarshalPKIXPublicKey(p); err == nil {
			return PublicKey{RSAPSS, der}, nil
		}
	}
	return PublicKey{}, errs.New(errs.Invalid, "public key type %T is not supported", pub)
}

// Signer signs for one public key: a principal's key file, a session key in memory,
// an identity key in an HSM.
type Signer interface {
	Public() PublicKey
	Sign(ctx context.Context, msg []byte) ([]byte, error)
}

// KeySigner is a Signer over a private key in memory (Ed25519 or P-256).
type KeySigner struct {
	priv crypto.Signer
	pub  PublicKey
}

// NewKeySigner wraps priv.
func NewKeySigner(priv crypto.Signer) (*KeySigner, error) {
	pub, err := FromCrypto(priv.Public())
	if err != nil {
		return nil, err
	}
	return &KeySigner{priv, pub}, nil
}

// GenerateEd25519 returns a signer over a fresh key.
func GenerateEd25519() *KeySigner {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	s, _ := NewKeySigner(priv)
	return s
}

// Public returns the public key.
func (s *KeySigner) Public() PublicKey { return s.pub }

// Format keeps the private key out of logs and errors, whatever the verb.
func (s *KeySigner) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "signer %s", s.pub.Fingerprint().Short())
}

// Private returns the private key, for TLS and key files.
func (s *KeySigner) Private() crypto.Signer { return s.priv }

// Sign signs msg.
func (s *KeySigner) Sign(_ context.Context, msg []byte) ([]byte, error) {
	switch priv := s.priv.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(priv, msg), nil
	case *ecdsa.PrivateKey:
		h := sha256.Sum256(msg)
		r, t, err := ecdsa.Sign(rand.Reader, priv, h[:])
		if err != nil {
			return nil, err
		}
		sig := make([]byte, 64)
		r.FillBytes(sig[:32])
		t.FillBytes(sig[32:])
		return sig, nil
	}
	return nil, errs.New(errs.Invalid, "cannot sign with a private key of type %T", s.priv)
}
