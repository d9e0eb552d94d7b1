// Package ristretto is ristretto255 (RFC 9496) on the points of edwards25519: the library
// does the curve arithmetic, what stands here is only how group elements become bytes and
// back, and hashing to the group. The beacon's draws and its key ceremonies share it.
package ristretto

import (
	"bytes"
	"crypto/sha512"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// Size is the length of an encoded element.
const Size = 32

// A point stands for its whole coset, so two points are compared by their encodings.
type point = edwards25519.Point

type curve struct {
	one, minusOne, d, sqrtM1, sqrtADMinusOne, invSqrtAMinusD, oneMinusDSq, dMinusOneSq field.Element
}

// consts are the constants of RFC 9496 section 4.1, derived from the curve's d.
var consts = newCurve()

func newCurve() *curve {
	c := new(curve)
	c.one.One()
	c.minusOne.Negate(&c.one)
	// d = -121665/121666
	var n, m field.Element
	n.Mult32(&c.minusOne, 121665)
	m.Mult32(&c.one, 121666)
	c.d.Multiply(&n, m.Invert(&m))
	c.sqrtM1.SqrtRatio(&c.minusOne, &c.one)
	var aMinusD field.Element
	aMinusD.Subtract(&c.minusOne, &c.d)
	c.sqrtADMinusOne.SqrtRatio(&aMinusD, &c.one) // a*d - 1 = a - d, as a = -1
	c.sqrtADMinusOne.Negate(&c.sqrtADMinusOne)   // the RFC's choice of root is the odd one
	c.invSqrtAMinusD.SqrtRatio(&c.one, &aMinusD)
	c.oneMinusDSq.Subtract(&c.one, n.Square(&c.d))
	c.dMinusOneSq.Square(n.Subtract(&c.d, &c.one))
	return c
}

// Decode accepts only the canonical encoding of an element other than the identity.
func Decode(b []byte) (*point, bool) {
	var s field.Element
	if len(b) != 32 || b[0]&1 == 1 || bytes.Equal(b, make([]byte, 32)) {
		return nil, false
	}
	if _, err := s.SetBytes(b); err != nil || !bytes.Equal(s.Bytes(), b) {
		return nil, false
	}
	var ss, u1, u2, u2Sq, v, inv, denX, denY, x, y, t field.Element
	ss.Square(&s)
	u1.Subtract(&consts.one, &ss)
	u2.Add(&consts.one, &ss)
	u2Sq.Square(&u2)
	v.Multiply(&consts.d, v.Square(&u1))
	v.Negate(&v)
	v.Subtract(&v, &u2Sq)
	_, square := inv.SqrtRatio(&consts.one, t.Multiply(&v, &u2Sq))
	denX.Multiply(&inv, &u2)
	denY.Multiply(&inv, denY.Multiply(&denX, &v))
	x.Absolute(x.Multiply(x.Add(&s, &s), &denX))
	y.Multiply(&u1, &denY)
	t.Multiply(&x, &y)
	if square == 0 || t.IsNegative() == 1 || y.Equal(new(field.Element)) == 1 {
		return nil, false
	}
	p, err := new(point).SetExtendedCoordinates(&x, &y, &consts.one, &t)
	return p, err == nil
}

// Encode returns the one encoding of p's coset.
func Encode(p *point) (out [32]byte) {
	x0, y0, z0, t0 := p.ExtendedCoordinates()
	var u1, u2, inv, den1, den2, zInv, ix, iy, enchanted, t field.Element
	u1.Multiply(u1.Add(z0, y0), t.Subtract(z0, y0))
	u2.Multiply(x0, y0)
	inv.SqrtRatio(&consts.one, t.Multiply(&u1, t.Square(&u2)))
	den1.Multiply(&inv, &u1)
	den2.Multiply(&inv, &u2)
	zInv.Multiply(zInv.Multiply(&den1, &den2), t0)
	ix.Multiply(x0, &consts.sqrtM1)
	iy.Multiply(y0, &consts.sqrtM1)
	enchanted.Multiply(&den1, &consts.invSqrtAMinusD)
	rotate := t.Multiply(t0, &zInv).IsNegative()
	var x, y, den field.Element
	x.Select(&iy, x0, rotate)
	y.Select(&ix, y0, rotate)
	den.Select(&enchanted, &den2, rotate)
	negate := t.Multiply(&x, &zInv).IsNegative()
	y.Select(t.Negate(&y), &y, negate)
	t.Absolute(t.Multiply(&den, t.Subtract(z0, &y)))
	copy(out[:], t.Bytes())
	return out
}

// IsIdentity reports whether p stands for the identity.
func IsIdentity(p *point) bool { return Encode(p) == [32]byte{} }

// mapToPoint is MAP of RFC 9496 section 4.3.4.
func mapToPoint(b []byte) *point {
	var t, r, u, v, s, sPrime, c, n, w field.Element
	if _, err := t.SetBytes(b); err != nil { // ignores the top bit, as the RFC wants
		panic("ristretto: field element of wrong length")
	}
	r.Multiply(&consts.sqrtM1, r.Square(&t))
	u.Multiply(u.Add(&r, &consts.one), &consts.oneMinusDSq)
	v.Subtract(&consts.minusOne, v.Multiply(&r, &consts.d))
	v.Multiply(&v, w.Add(&r, &consts.d))
	_, square := s.SqrtRatio(&u, &v)
	sPrime.Negate(sPrime.Absolute(sPrime.Multiply(&s, &t)))
	s.Select(&s, &sPrime, square)
	c.Select(&consts.minusOne, &r, square)
	n.Multiply(n.Multiply(&c, w.Subtract(&r, &consts.one)), &consts.dMinusOneSq)
	n.Subtract(&n, &v)
	var w0, w1, w2, w3, ss, x, y, z, xy field.Element
	w0.Multiply(w0.Add(&s, &s), &v)
	w1.Multiply(&n, &consts.sqrtADMinusOne)
	w2.Subtract(&consts.one, ss.Square(&s))
	w3.Add(&consts.one, &ss)
	p, err := new(point).SetExtendedCoordinates(x.Multiply(&w0, &w3), y.Multiply(&w2, &w1), z.Multiply(&w1, &w3), xy.Multiply(&w0, &w2))
	if err != nil {
		panic("ristretto: map left the curve") // impossible: MAP is total
	}
	return p
}

// Hash is ristretto255_XMD:SHA-512_R255MAP_RO_ of RFC 9380 (appendix B).
func Hash(msg []byte, dst string) *point {
	h := sha512.New()
	tail := append([]byte(dst), byte(len(dst)))
	h.Write(make([]byte, sha512.BlockSize))
	h.Write(msg)
	h.Write([]byte{0, 64, 0})
	h.Write(tail)
	b0 := h.Sum(nil)
	h.Reset()
	h.Write(b0)
	h.Write([]byte{1})
	h.Write(tail)
	u := h.Sum(nil)
	return new(point).Add(mapToPoint(u[:32]), mapToPoint(u[32:]))
}
