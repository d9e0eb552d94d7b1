package frost

import (
	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
)

type secpScalar struct{ secp.ModNScalar }

func (s *secpScalar) bytes() []byte {
	b := s.Bytes()
	return b[:]
}

func (s *secpScalar) isZero() bool { return s.IsZeroBit() == 1 }

//go:noinline
func (s *secpScalar) wipe() { s.Zero() }

// secpPoint is affine and normalised; the identity is x = y = 0.
type secpPoint struct {
	p   secp.JacobianPoint
	enc [33]byte // compressed; all zero for the identity
}

func newSecpPoint(p *secp.JacobianPoint) *secpPoint {
	e := &secpPoint{p: *p}
	if e.p.Z.Normalize().IsZero() || e.p.X.Normalize().IsZero() && e.p.Y.Normalize().IsZero() {
		e.p = secp.JacobianPoint{}
		return e
	}
	if !e.p.Z.IsOne() {
		e.p.ToAffine()
	}
	e.p.X.Normalize()
	e.p.Y.Normalize()
	e.enc[0] = 2 | byte(e.p.Y.IsOddBit())
	e.p.X.PutBytesUnchecked(e.enc[1:])
	return e
}

func (p *secpPoint) bytes() []byte      { return p.enc[:] }
func (p *secpPoint) equal(q point) bool { return p.enc == q.(*secpPoint).enc }
func (p *secpPoint) isIdentity() bool   { return p.enc[0] == 0 }

// koblitz is secp256k1 on the field and scalar arithmetic of decred's package, which is
// constant time; its multiplications are not and serve public values only. Scalars are
// big-endian.
type koblitz struct{}

func (koblitz) pointSize() int { return 33 }

func (koblitz) number(n uint8) scalar {
	s := new(secpScalar)
	s.SetInt(uint32(n))
	return s
}

// wide takes 48 bytes as high*2^192 + low.
func (koblitz) wide(b []byte) scalar {
	if len(b) != 48 {
		panic("frost: not 48 uniform bytes")
	}
	var half [32]byte
	var high, low, shift secp.ModNScalar
	copy(half[8:], b[:24])
	high.SetBytes(&half)
	copy(half[8:], b[24:])
	low.SetBytes(&half)
	half = [32]byte{7: 1}
	shift.SetBytes(&half)
	s := new(secpScalar)
	s.Mul2(&high, &shift).Add(&low)
	high.Zero()
	low.Zero()
	return s
}

func (koblitz) decodeScalar(b []byte) (scalar, bool) {
	if len(b) != 32 {
		return nil, false
	}
	s, buf := new(secpScalar), [32]byte(b)
	over := s.SetBytes(&buf)
	clear(buf[:])
	return s, over == 0
}

func (koblitz) add(a, b scalar) scalar {
	s := new(secpScalar)
	s.Add2(&a.(*secpScalar).ModNScalar, &b.(*secpScalar).ModNScalar)
	return s
}

func (koblitz) mulAdd(a, b, c scalar) scalar {
	s := new(secpScalar)
	s.Mul2(&a.(*secpScalar).ModNScalar, &b.(*secpScalar).ModNScalar).Add(&c.(*secpScalar).ModNScalar)
	return s
}

func (koblitz) negate(a scalar) scalar {
	s := new(secpScalar)
	s.NegateVal(&a.(*secpScalar).ModNScalar)
	return s
}

func (koblitz) inverse(a scalar) scalar {
	s := new(secpScalar)
	s.InverseValNonConst(&a.(*secpScalar).ModNScalar)
	return s
}

func (koblitz) base(k scalar) point { return combBase(&k.(*secpScalar).ModNScalar) }

func (koblitz) bases(ks []scalar) []point { return combBases(ks) }

func (koblitz) combine(plus []point, ks []scalar, ps []point) point {
	var sum secp.JacobianPoint
	return newSecpPoint(secpAccumulate(&sum, plus, ks, ps))
}

func (koblitz) combineBase(k scalar, ks []scalar, ps []point) point {
	var sum secp.JacobianPoint
	secp.ScalarBaseMultNonConst(&k.(*secpScalar).ModNScalar, &sum)
	return newSecpPoint(secpAccumulate(&sum, nil, ks, ps))
}

func secpAccumulate(sum *secp.JacobianPoint, plus []point, ks []scalar, ps []point) *secp.JacobianPoint {
	var term, next secp.JacobianPoint
	for i := range ks {
		secp.ScalarMultNonConst(&ks[i].(*secpScalar).ModNScalar, &ps[i].(*secpPoint).p, &term)
		secp.AddNonConst(sum, &term, &next)
		*sum = next
	}
	for _, p := range plus {
		secp.AddNonConst(sum, &p.(*secpPoint).p, &next)
		*sum = next
	}
	return sum
}

func (koblitz) negatePoint(p point) point {
	n := p.(*secpPoint).p
	n.Y.Negate(1).Normalize()
	return newSecpPoint(&n)
}

// decodePoint accepts the 33 bytes of a compressed point. The curve's order is prime, so
// there are no points of small order, and the identity has no such encoding.
func (koblitz) decodePoint(b []byte) (point, bool) {
	if len(b) != 33 || b[0]&^1 != 2 {
		return nil, false
	}
	e := &secpPoint{enc: [33]byte(b)}
	if e.p.X.SetByteSlice(b[1:]) || !secp.DecompressY(&e.p.X, b[0] == 3, &e.p.Y) {
		return nil, false
	}
	e.p.Z.SetInt(1)
	return e, true
}

func (koblitz) primeOrder(p point) bool { return !p.isIdentity() }
func (koblitz) oddY(p point) bool       { return p.(*secpPoint).enc[0] == 3 }
