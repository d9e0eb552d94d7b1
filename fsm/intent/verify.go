package intent

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// CheckPublicKey reports whether pub is a usable public key in the curve's one form:
// 33 bytes compressed, or 32 bytes, canonical and not of small order.
func CheckPublicKey(curve command.Curve, pub []byte) error {
	ok := false
	switch curve {
	case command.Secp256k1:
		_, ok = parseSecp256k1(pub)
	case command.P256:
		_, ok = parseP256(pub)
	case command.Ed25519:
		ok = identity.PublicKey{Alg: identity.Ed25519, Key: pub}.Check() == nil
	default:
		return unknownCurve(curve)
	}
	if !ok {
		return errs.New(errs.Invalid, "%d bytes are not a %s public key", len(pub), curve)
	}
	return nil
}

func parseSecp256k1(pub []byte) (*secp256k1.PublicKey, bool) {
	if len(pub) != 33 {
		return nil, false
	}
	k, err := secp256k1.ParsePubKey(pub)
	return k, err == nil
}

func parseP256(pub []byte) (*ecdsa.PublicKey, bool) {
	if len(pub) != 33 {
		return nil, false
	}
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), pub)
	if x == nil {
		return nil, false
	}
	raw := make([]byte, 65)
	raw[0] = 4
	x.FillBytes(raw[1:33])
	y.FillBytes(raw[33:])
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
	return k, err == nil
}

// Verify reports whether sig is a valid signature of message: 64 bytes r||s with low s
// over the 32-byte digest, or an Ed25519 signature over the bytes.
func Verify(curve command.Curve, pub, message, sig []byte) bool {
	return NewVerifier(curve, pub).Verify(message, sig)
}

// Verifier is a public key prepared for many signatures: parsing one costs a fifth of a
// verification. It is immutable.
type Verifier struct {
	secp256k1 *secp256k1.PublicKey
	p256      *ecdsa.PublicKey
	ed25519   ed25519.PublicKey
}

// NewVerifier prepares a key; with one that is not usable, nothing verifies.
func NewVerifier(curve command.Curve, pub []byte) *Verifier {
	v := &Verifier{}
	switch curve {
	case command.Secp256k1:
		v.secp256k1, _ = parseSecp256k1(pub)
	case command.P256:
		v.p256, _ = parseP256(pub)
	case command.Ed25519:
		if CheckPublicKey(curve, pub) == nil {
			v.ed25519 = bytes.Clone(pub)
		}
	}
	return v
}

// Verify is the function Verify for this key.
func (v *Verifier) Verify(message, sig []byte) bool {
	switch {
	case v == nil || len(sig) != 64:
		return false
	case v.secp256k1 != nil:
		return len(message) == 32 && verifySecp256k1(v.secp256k1, message, sig)
	case v.p256 != nil:
		r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
		return len(message) == 32 && s.Cmp(halfP256()) <= 0 && ecdsa.Verify(v.p256, message, r, s)
	case v.ed25519 != nil:
		return ed25519.Verify(v.ed25519, message, sig)
	}
	return false
}

func verifySecp256k1(k *secp256k1.PublicKey, digest, sig []byte) bool {
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:]) || r.IsZero() || s.IsZero() || s.IsOverHalfOrder() {
		return false
	}
	return secpecdsa.NewSignature(&r, &s).Verify(digest, k)
}

func halfP256() *big.Int { return new(big.Int).Rsh(elliptic.P256().Params().N, 1) }

// NormalizeLowS returns a 64-byte ECDSA signature with the lower of s and n-s (HSMs
// return either); an Ed25519 signature as it is.
func NormalizeLowS(curve command.Curve, sig []byte) ([]byte, error) {
	if len(sig) != 64 {
		return nil, errs.New(errs.Malformed, "%s signature of %d bytes, want 64", curve, len(sig))
	}
	var n *big.Int
	switch curve {
	case command.Ed25519:
		return bytes.Clone(sig), nil
	case command.Secp256k1:
		n = secp256k1.Params().N
	case command.P256:
		n = elliptic.P256().Params().N
	default:
		return nil, unknownCurve(curve)
	}
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(n) >= 0 || s.Cmp(n) >= 0 {
		return nil, errs.New(errs.Malformed, "%s signature: r or s is out of range", curve)
	}
	if s.Cmp(new(big.Int).Rsh(n, 1)) > 0 {
		s.Sub(n, s)
	}
	out := bytes.Clone(sig)
	s.FillBytes(out[32:])
	return out, nil
}
