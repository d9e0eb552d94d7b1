package frost

import "crypto/subtle"

// scalar is an integer modulo the group's order. Its methods, and the group's on it,
// run in constant time, apart from inverse.
type scalar interface {
	bytes() []byte // 32, in the byte order of the curve's signatures
	isZero() bool
	wipe() // overwrites it with zero
}

// point is an element of the curve, normalised so that encoding it is cheap.
type point interface {
	bytes() []byte // group.pointSize() of them
	equal(point) bool
	isIdentity() bool
}

// group is all the arithmetic the protocol needs. A value of one group never meets one
// of another: everything that carries scalars or points names its suite, and the suite
// is compared where things come together. Results are fresh values.
type group interface {
	pointSize() int
	number(n uint8) scalar
	// wide reduces uniform bytes, 64 (Ed25519) or 48 (secp256k1) of them, without bias.
	wide(b []byte) scalar
	// decodeScalar accepts 32 canonical bytes only, in constant time.
	decodeScalar(b []byte) (scalar, bool)
	add(a, b scalar) scalar
	mulAdd(a, b, c scalar) scalar // a*b + c
	negate(a scalar) scalar
	// inverse may take variable time: region numbers only.
	inverse(a scalar) scalar

	// base multiplies the generator by a secret, in constant time. It is the only
	// multiplication of a point that a secret ever enters.
	base(k scalar) point
	// bases does the same for many, none of them zero, with one inversion for all.
	bases(ks []scalar) []point
	// combine returns sum(plus) + sum(ks[i]*ps[i]) in variable time: public values only.
	combine(plus []point, ks []scalar, ps []point) point
	// combineBase returns k*generator + sum(ks[i]*ps[i]), public values only.
	combineBase(k scalar, ks []scalar, ps []point) point
	negatePoint(p point) point
	// decodePoint accepts canonical bytes of a point on the curve whose order is not small.
	decodePoint(b []byte) (point, bool)
	// primeOrder reports whether a decoded point lies in the group of prime order.
	primeOrder(p point) bool
	oddY(p point) bool
}

func (s *Suite) mul(a, b scalar) scalar { return s.group.mulAdd(a, b, s.small().value[0]) }

func (s *Suite) addPoints(points ...point) point { return s.group.combine(points, nil, nil) }

// decodeElement is the strict form: canonical, and of prime order.
func (s *Suite) decodeElement(b []byte) (point, bool) {
	p, ok := s.group.decodePoint(b)
	return p, ok && s.group.primeOrder(p)
}

// sameScalar compares in constant time.
func sameScalar(a, b scalar) bool { return subtle.ConstantTimeCompare(a.bytes(), b.bytes()) == 1 }
