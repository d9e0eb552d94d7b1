package frost

import (
	"crypto/subtle"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

type edScalar struct{ edwards25519.Scalar }

func (s *edScalar) bytes() []byte { return s.Bytes() }
func (s *edScalar) isZero() bool  { return s.Equal(&edZero) == 1 }

//go:noinline
func (s *edScalar) wipe() { s.Set(&edZero) }

var (
	edZero     edwards25519.Scalar
	edMinusOne = new(edwards25519.Scalar).Negate(edNumber(1))
	edIdentity = edwards25519.NewIdentityPoint()
)

func edNumber(n uint8) *edwards25519.Scalar {
	b := [32]byte{n}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(b[:])
	if err != nil {
		panic("frost: a byte is not a scalar")
	}
	return s
}

// edPoint keeps its encoding, because every point is hashed at least once.
type edPoint struct {
	p   edwards25519.Point
	enc [32]byte
}

func newEdPoint(p *edwards25519.Point) *edPoint {
	e := &edPoint{enc: [32]byte(p.Bytes())}
	e.p.Set(p)
	return e
}

// edCurve is a point on edwards25519, whatever its encoding.
type edCurve interface{ curve() *edwards25519.Point }

func (p *edPoint) curve() *edwards25519.Point { return &p.p }

func (p *edPoint) bytes() []byte      { return p.enc[:] }
func (p *edPoint) equal(q point) bool { return p.enc == q.(*edPoint).enc }
func (p *edPoint) isIdentity() bool   { return p.enc == [32]byte{1} }

// edwards is edwards25519 on filippo.io/edwards25519. Scalars are little-endian.
type edwards struct{}

func (edwards) pointSize() int        { return 32 }
func (edwards) number(n uint8) scalar { return &edScalar{*edNumber(n)} }

func (edwards) wide(b []byte) scalar {
	s := new(edScalar)
	if _, err := s.SetUniformBytes(b); err != nil {
		panic("frost: not 64 uniform bytes")
	}
	return s
}

// The library's SetCanonicalBytes branches on whether the bytes are canonical, and earlier
// versions compared them one by one; shares are secret, so this reduces and compares instead.
func (edwards) decodeScalar(b []byte) (scalar, bool) {
	if len(b) != 32 {
		return nil, false
	}
	var padded [64]byte
	copy(padded[:], b)
	s := edwards{}.wide(padded[:])
	clear(padded[:])
	again := s.bytes()
	defer clear(again)
	return s, subtle.ConstantTimeCompare(again, b) == 1
}

func (edwards) add(a, b scalar) scalar {
	s := new(edScalar)
	s.Add(&a.(*edScalar).Scalar, &b.(*edScalar).Scalar)
	return s
}

func (edwards) mulAdd(a, b, c scalar) scalar {
	s := new(edScalar)
	s.MultiplyAdd(&a.(*edScalar).Scalar, &b.(*edScalar).Scalar, &c.(*edScalar).Scalar)
	return s
}

func (edwards) negate(a scalar) scalar {
	s := new(edScalar)
	s.Negate(&a.(*edScalar).Scalar)
	return s
}

func (edwards) inverse(a scalar) scalar {
	s := new(edScalar)
	s.Invert(&a.(*edScalar).Scalar)
	return s
}

func (edwards) base(k scalar) point {
	return newEdPoint(new(edwards25519.Point).ScalarBaseMult(&k.(*edScalar).Scalar))
}

func (edwards) bases(ks []scalar) []point {
	out, made := make([]point, len(ks)), make([]edPoint, len(ks))
	before := make([]field.Element, len(ks)) // products of the z of all points before
	var product field.Element
	product.One()
	for i, k := range ks {
		made[i].p.ScalarBaseMult(&k.(*edScalar).Scalar)
		_, _, z, _ := made[i].p.ExtendedCoordinates()
		before[i].Set(&product)
		product.Multiply(&product, z)
	}
	product.Invert(&product)
	for i := len(ks) - 1; i >= 0; i-- {
		x, y, z, _ := made[i].p.ExtendedCoordinates()
		var inverse field.Element
		inverse.Multiply(&product, &before[i])
		product.Multiply(&product, z)
		made[i].enc = [32]byte(y.Multiply(y, &inverse).Bytes())
		made[i].enc[31] |= byte(x.Multiply(x, &inverse).IsNegative() << 7)
		out[i] = &made[i]
	}
	return out
}

func edSlices(ks []scalar, ps []point) ([]*edwards25519.Scalar, []*edwards25519.Point) {
	scalars, points := make([]*edwards25519.Scalar, len(ks)), make([]*edwards25519.Point, len(ps))
	for i := range ks {
		scalars[i], points[i] = &ks[i].(*edScalar).Scalar, ps[i].(edCurve).curve()
	}
	return scalars, points
}

func edCombine(plus []point, ks []scalar, ps []point) *edwards25519.Point {
	sum := edwards25519.NewIdentityPoint()
	if len(ks) > 0 {
		sum.VarTimeMultiScalarMult(edSlices(ks, ps))
	}
	for _, p := range plus {
		sum.Add(sum, p.(edCurve).curve())
	}
	return sum
}

func edCombineBase(k scalar, ks []scalar, ps []point) *edwards25519.Point {
	scalars, points := edSlices(ks, ps)
	if len(ks) == 1 {
		return new(edwards25519.Point).VarTimeDoubleScalarBaseMult(scalars[0], points[0], &k.(*edScalar).Scalar)
	}
	scalars = append(scalars, &k.(*edScalar).Scalar)
	points = append(points, edwards25519.NewGeneratorPoint())
	return new(edwards25519.Point).VarTimeMultiScalarMult(scalars, points)
}

func (edwards) combine(plus []point, ks []scalar, ps []point) point {
	return newEdPoint(edCombine(plus, ks, ps))
}

func (edwards) combineBase(k scalar, ks []scalar, ps []point) point {
	return newEdPoint(edCombineBase(k, ks, ps))
}

func (edwards) negatePoint(p point) point {
	return newEdPoint(new(edwards25519.Point).Negate(&p.(*edPoint).p))
}

// decodePoint refuses what the library admits for compatibility: y of 2^255-19 or more,
// and the points of small order, which include those whose sign bit is ambiguous.
func (edwards) decodePoint(b []byte) (point, bool) {
	if len(b) != 32 || !belowEdPrime(b) {
		return nil, false
	}
	e := &edPoint{enc: [32]byte(b)}
	if _, err := e.p.SetBytes(b); err != nil {
		return nil, false
	}
	return e, new(edwards25519.Point).MultByCofactor(&e.p).Equal(edIdentity) == 0
}

// belowEdPrime compares a little-endian y, its sign bit left out, with 2^255-19.
func belowEdPrime(b []byte) bool {
	if b[31]&0x7f != 0x7f {
		return true
	}
	for _, v := range b[1:31] {
		if v != 0xff {
			return true
		}
	}
	return b[0] < 0xed
}

// primeOrder multiplies by the order: (L-1)*P must be -P.
func (edwards) primeOrder(p point) bool {
	e := p.(*edPoint)
	m := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(edMinusOne, &e.p, &edZero)
	return m.Add(m, &e.p).Equal(edIdentity) == 1
}

func (edwards) oddY(point) bool { return false }
