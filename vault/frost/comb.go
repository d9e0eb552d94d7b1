package frost

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
	"sync"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// The constant-time multiplication of secp256k1's generator. The scalar k is written
// with digits that are never zero: with d = (k + 2^260 - 1)/2 mod n,
//
//	k = sum over 260 bits of (2*d_i - 1) * 2^i,
//
// so each of 52 windows of five bits contributes an odd multiple, -31 to 31, of
// 2^(5w)*G. The sixteen positive ones are tabled; all sixteen are read whichever is
// wanted, and the sign is applied with masks. Additions use the complete formula of
// Renes, Costello and Batina (2015/1060, algorithm 8), which has no exceptional cases to
// branch on.
const (
	combWindows = 52
	combBits    = 5
	combEntries = 1 << (combBits - 1)
)

// combEntry is an affine point: x and y, each four words, most significant first.
type combEntry [8]uint64

type combTable [combWindows][combEntries]combEntry

// combOf builds the table (53 KB, a few milliseconds) when it is first needed.
var combOf = sync.OnceValue(func() *combTable {
	t, one := new(combTable), new(secp.ModNScalar).SetInt(1)
	var start, twice, p, next secp.JacobianPoint
	secp.ScalarBaseMultNonConst(one, &start)
	for w := range t {
		start.ToAffine()
		secp.DoubleNonConst(&start, &twice)
		twice.ToAffine()
		p = start
		for e := range t[w] {
			p.ToAffine()
			t[w][e] = newCombEntry(&p)
			secp.AddNonConst(&p, &twice, &next)
			p = next
		}
		for range combBits {
			secp.DoubleNonConst(&start, &next)
			start = next
		}
	}
	return t
})

func newCombEntry(p *secp.JacobianPoint) (e combEntry) {
	x, y := p.X.Bytes(), p.Y.Bytes()
	for i := range 4 {
		e[i] = binary.BigEndian.Uint64(x[8*i:])
		e[4+i] = binary.BigEndian.Uint64(y[8*i:])
	}
	return e
}

// combHalf is 1/2, and combShift (2^260 - 1)/2, modulo the order.
var combHalf, combShift = func() (half, shift secp.ModNScalar) {
	half.SetInt(2).InverseNonConst()
	power := new(secp.ModNScalar).SetInt(2)
	for range 259 {
		power.Add(power)
	}
	shift.SetInt(1).Negate().Add(power).Mul(&half)
	return half, shift
}()

// combBase returns k*G. The zero scalar gives the identity.
func combBase(k *secp.ModNScalar) *secpPoint {
	x, y, z := combMultiply(k)
	var p secp.JacobianPoint
	p.Set(&secp.JacobianPoint{X: x, Y: y, Z: z})
	if z.IsZeroBit() == 1 {
		return newSecpPoint(&p)
	}
	return combAffine(&p, z.Inverse())
}

// combAffine divides by z.
func combAffine(p *secp.JacobianPoint, inverse *secp.FieldVal) *secpPoint {
	p.X.Mul(inverse)
	p.Y.Mul(inverse)
	p.Z.SetInt(1)
	return newSecpPoint(p)
}

// combBases returns k*G for each k, none of them zero, with one inversion for all.
func combBases(ks []scalar) []point {
	out, made := make([]point, len(ks)), make([]secp.JacobianPoint, len(ks))
	before := make([]secp.FieldVal, len(ks)) // products of the z of all points before
	var product secp.FieldVal
	product.SetInt(1)
	for i, k := range ks {
		made[i].X, made[i].Y, made[i].Z = combMultiply(&k.(*secpScalar).ModNScalar)
		before[i] = product
		product.Mul(&made[i].Z)
	}
	product.Inverse()
	for i := len(ks) - 1; i >= 0; i-- {
		inverse, z := before[i], made[i].Z
		out[i] = combAffine(&made[i], inverse.Mul(&product))
		product.Mul(&z)
	}
	return out
}

// combMultiply returns k*G in homogeneous coordinates, z normalised. It is the part that
// must not depend on k.
//
//go:noinline
func combMultiply(k *secp.ModNScalar) (x, y, z secp.FieldVal) {
	var d secp.ModNScalar
	d.Mul2(k, &combHalf).Add(&combShift)
	var b [33]byte // one byte of zero above, so that every window can read two
	d.PutBytesUnchecked(b[1:])
	d.Zero()

	table := combOf()
	acc := projective{}
	acc.y.SetInt(1)
	var chosen combEntry
	for w := range combWindows {
		low := w * combBits
		at := 32 - low/8
		word := uint64(b[at])
		if at > 0 { // depends on w only
			word |= uint64(b[at-1]) << 8
		}
		combSelect(&chosen, &table[w], word>>(low%8)&(1<<combBits-1))
		acc.add(&chosen)
	}
	clear(b[:])
	clear(chosen[:])
	acc.z.Normalize()
	return acc.x, acc.y, acc.z
}

// combSelect sets out to the window's odd multiple 2*digit - 31: it reads all entries.
func combSelect(out *combEntry, window *[combEntries]combEntry, digit uint64) {
	negative := (digit >> (combBits - 1)) ^ 1            // digits 0 to 15 are -31 to -1
	index := (digit ^ -negative) & (1<<(combBits-1) - 1) // 15 - digit, or digit - 16
	*out = combEntry{}
	for e := range window {
		mask := -uint64(subtle.ConstantTimeEq(int32(e), int32(index)))
		for i := range out {
			out[i] |= window[e][i] & mask
		}
	}
	combNegate(out, -negative)
}

// The field's prime, 2^256 - 2^32 - 977, most significant word first.
var secpPrime = [4]uint64{^uint64(0), ^uint64(0), ^uint64(0), 0xfffffffefffffc2f}

// combNegate replaces y by p - y where mask is all ones. No tabled y is zero.
func combNegate(e *combEntry, mask uint64) {
	var borrow, n uint64
	for i := 3; i >= 0; i-- {
		n, borrow = bits.Sub64(secpPrime[i], e[4+i], borrow)
		e[4+i] = e[4+i]&^mask | n&mask
	}
}

func (e *combEntry) fields() (x, y secp.FieldVal) {
	var b [32]byte
	for i := range 4 {
		binary.BigEndian.PutUint64(b[8*i:], e[i])
	}
	x.SetBytes(&b)
	for i := range 4 {
		binary.BigEndian.PutUint64(b[8*i:], e[4+i])
	}
	y.SetBytes(&b)
	return x, y
}

// projective is X/Z, Y/Z. Every coordinate has magnitude 2 at most between additions.
type projective struct{ x, y, z secp.FieldVal }

const b3 = 21 // three times the curve's b

// add adds the affine e. The steps are those of the paper's algorithm 8; the comments
// give magnitudes, which must not pass 8 before a multiplication, nor 32 ever.
func (p *projective) add(e *combEntry) {
	x2, y2 := e.fields()
	var t0, t1, t3, t4, cross, zb secp.FieldVal
	t0.Mul2(&p.x, &x2)                              // 1
	t1.Mul2(&p.y, &y2)                              // 1
	t3.Add2(&x2, &y2)                               // 2
	t4.Add2(&p.x, &p.y)                             // 4
	t3.Mul(&t4)                                     // 1
	t3.Add(cross.Add2(&t0, &t1).Negate(2))          // 4: x1*y2 + x2*y1
	t4.Mul2(&y2, &p.z).Add(&p.y)                    // 3: y2*z1 + y1
	cross.Mul2(&x2, &p.z).Add(&p.x)                 // 3: x2*z1 + x1
	t0.MulInt(3)                                    // 3: 3*x1*x2
	zb.Set(&p.z).Normalize().MulInt(b3).Normalize() // 1
	sum, diff := t1, t1
	sum.Add(&zb)                              // 2
	diff.Add(zb.Negate(1))                    // 3
	cross.Normalize().MulInt(b3).Normalize()  // 1
	p.x.Mul2(&t4, &cross).Negate(1)           // 2
	p.x.Add(zb.Mul2(&t3, &diff)).Normalize()  // 1
	p.y.Mul2(&cross, &t0).Add(diff.Mul(&sum)) // 2
	p.z.Mul2(&sum, &t4).Add(t0.Mul(&t3))      // 2
}
