package draw

import (
	"filippo.io/edwards25519"
)

// A proof is Chaum-Pedersen made non-interactive: it shows that two elements have the
// same logarithm, X to the generator and V to H, in 64 bytes (challenge, response).
// Classic form, without the batching layer of RFC 9497, which costs two more
// multiplications on either side and gains nothing for one statement.
const (
	proofSize   = 64
	proofDomain = "tetrad/draw/proof/v1"
	nonceDomain = "tetrad/draw/nonce/v1"
)

// prove runs in constant time in the secret x. The nonce is derived from the secret and
// the statement, as in EdDSA: it never repeats for another statement, and needs no
// randomness that could fail or be cloned with a machine.
func prove(x *scalar, public [32]byte, h *point, hEnc [32]byte, eval [32]byte) []byte {
	secret := x.Bytes()
	r := hashToScalar(nonceDomain, secret, public[:], hEnc[:], eval[:])
	clear(secret)
	r1 := encodePoint(new(point).ScalarBaseMult(r))
	r2 := encodePoint(new(point).ScalarMult(r, h))
	c := challenge(public, hEnc, eval, r1, r2)
	s := new(scalar).Subtract(r, new(scalar).Multiply(c, x))
	*r = scalar{}
	return append(c.Bytes(), s.Bytes()...)
}

// multiplier returns a*X + b*B in variable time, for a region's public share X.
type multiplier func(a, b *scalar) *point

// verify runs in variable time: everything in it is public.
func verify(public [32]byte, x multiplier, at *Place, eval [32]byte, v *point, proof []byte) bool {
	if len(proof) != proofSize {
		return false
	}
	c, okC := decodeScalar(proof[:32])
	s, okS := decodeScalar(proof[32:])
	if !okC || !okS {
		return false
	}
	r1 := x(c, s)
	r2 := new(point).VarTimeMultiScalarMult([]*edwards25519.Scalar{s, c}, []*point{at.hash, v})
	return challenge(public, at.enc, eval, encodePoint(r1), encodePoint(r2)).Equal(c) == 1
}

func challenge(public, h, eval, r1, r2 [32]byte) *scalar {
	return hashToScalar(proofDomain, public[:], h[:], eval[:], r1[:], r2[:])
}
