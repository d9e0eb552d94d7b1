// Package edtable multiplies fixed public points of edwards25519, and checks Ed25519
// signatures under keys that are met again and again, from tables made once a point. A
// check costs about a third of the standard library's, and its answer is the same, bit
// for bit, for every input. It runs in variable time: nothing secret may come here.
package edtable

import (
	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// A scalar's 256 bits are cut into 16 columns of 16. For each column c a table holds the
// odd multiples of 2^(16c) times the point, so that all columns share 15 doublings in
// place of 255. There is one generator, so that its multiples may be many more.
const (
	columns = 16
	column  = 16 // bits

	naf  = 5              // digits are odd, below 2^(naf-1), and at least so many places apart
	odd  = 1 << (naf - 2) // multiples a column
	nafB = 8
	oddB = 1 << (nafB - 2)
)

// Table holds the multiples of one point: 15 KiB.
type Table [columns * odd]affine

// affine is a point in the form additions want: y+x, y-x, 2dxy, with z = 1.
type affine struct{ plus, minus, t2d field.Element }

// extended is (X:Y:Z:T) with x = X/Z, y = Y/Z, xy = T/Z.
type extended struct{ x, y, z, t field.Element }

// New makes the table of p. It costs about as much as one multiplication without a table.
func New(p *edwards25519.Point) *Table {
	t := new(Table)
	fill(t[:], p)
	return t
}

// fill writes the multiples of p, equally many for each column.
func fill(t []affine, p *edwards25519.Point) {
	points, odd := make([]edwards25519.Point, len(t)), len(t)/columns
	base, twice := new(edwards25519.Point).Set(p), new(edwards25519.Point)
	for c := range columns {
		twice.Double(base)
		row := points[c*odd:][:odd]
		row[0].Set(base)
		for i := 1; i < odd; i++ {
			row[i].Add(&row[i-1], twice)
		}
		for range column {
			base.Double(base)
		}
	}
	normalise(t, points)
}

var d2 = func() (d field.Element) { // 2d, d = -121665/121666
	var n, m, one field.Element
	one.One()
	n.Negate(n.Mult32(&one, 121665))
	m.Invert(m.Mult32(&one, 121666))
	d.Multiply(&n, &m)
	return *d.Add(&d, &d)
}()

// normalise brings all points to z = 1 with a single inversion.
func normalise(t []affine, points []edwards25519.Point) {
	var product, inverse field.Element
	before := make([]field.Element, len(points)) // products of the z of all points before
	product.One()
	for i := range points {
		_, _, z, _ := points[i].ExtendedCoordinates()
		before[i].Set(&product)
		product.Multiply(&product, z)
	}
	inverse.Invert(&product)
	for i := len(points) - 1; i >= 0; i-- {
		x, y, z, _ := points[i].ExtendedCoordinates()
		var zInv field.Element
		zInv.Multiply(&inverse, &before[i])
		inverse.Multiply(&inverse, z)
		x.Multiply(x, &zInv)
		y.Multiply(y, &zInv)
		a := &t[i]
		a.plus.Add(y, x)
		a.minus.Subtract(y, x)
		a.t2d.Multiply(a.t2d.Multiply(x, y), &d2)
	}
}

// base is the table of the generator: 120 KiB.
var base = func() *[columns * oddB]affine {
	t := new([columns * oddB]affine)
	fill(t[:], edwards25519.NewGeneratorPoint())
	return t
}()

// DoubleBaseMult returns a*A + b*B, A being t's point and B the generator.
func (t *Table) DoubleBaseMult(a, b *edwards25519.Scalar) *edwards25519.Point {
	sum := t.multiply(a, b)
	p, err := new(edwards25519.Point).SetExtendedCoordinates(&sum.x, &sum.y, &sum.z, &sum.t)
	if err != nil {
		panic("edtable: a sum left the curve") // impossible: the additions are complete
	}
	return p
}

func (t *Table) multiply(a, b *edwards25519.Scalar) *extended {
	var digitsA, digitsB [columns * column]int8
	nonAdjacent(&digitsA, a, naf)
	nonAdjacent(&digitsB, b, nafB)
	sum := new(extended)
	sum.y.One()
	sum.z.One()
	for place := column - 1; place >= 0; place-- {
		if place < column-1 {
			sum.double()
		}
		for c := range columns {
			sum.addMultiple(t[c*odd:][:odd], digitsA[c*column+place])
			sum.addMultiple(base[c*oddB:][:oddB], digitsB[c*column+place])
		}
	}
	return sum
}

// nonAdjacent writes s as a sum of digits[i] * 2^i, nearly all of them zero, the others odd
// and below 2^(naf-1). A scalar is below 2^253, so that the last carry fits.
func nonAdjacent(digits *[columns * column]int8, s *edwards25519.Scalar, naf int) {
	b := s.Bytes()
	carry := 0
	for i := 0; i < len(digits); {
		window := int(b[i/8]) >> (i % 8)
		if i/8+1 < len(b) {
			window |= int(b[i/8+1]) << (8 - i%8)
		}
		window = window&(1<<naf-1) + carry
		if window&1 == 0 { // the carry stands in for the bit that made it even
			i++
			continue
		}
		carry = window >> (naf - 1) & 1
		digits[i] = int8(window - carry<<naf)
		i += naf
	}
}

func (p *extended) addMultiple(row []affine, digit int8) {
	switch {
	case digit > 0:
		a := &row[digit/2]
		p.add(&a.plus, &a.minus, &a.t2d, false)
	case digit < 0:
		a := &row[-digit/2]
		p.add(&a.minus, &a.plus, &a.t2d, true)
	}
}

// add is the complete mixed addition of Hisil, Wong, Carter and Dawson (2008/522, section
// 3.1) for a = -1. The caller has swapped plus and minus where the point is negated.
func (p *extended) add(plus, minus, t2d *field.Element, negated bool) {
	var a, b, c, d, e, f, g, h field.Element
	a.Multiply(a.Subtract(&p.y, &p.x), minus)
	b.Multiply(b.Add(&p.y, &p.x), plus)
	c.Multiply(&p.t, t2d)
	d.Add(&p.z, &p.z)
	e.Subtract(&b, &a)
	h.Add(&b, &a)
	if negated {
		f.Add(&d, &c)
		g.Subtract(&d, &c)
	} else {
		f.Subtract(&d, &c)
		g.Add(&d, &c)
	}
	p.set(&e, &f, &g, &h)
}

// double is the same paper's section 3.3.
func (p *extended) double() {
	var a, b, c, e, f, g, h field.Element
	a.Square(&p.x)
	b.Square(&p.y)
	c.Square(&p.z)
	c.Add(&c, &c)
	h.Add(&a, &b)
	e.Subtract(&h, e.Square(e.Add(&p.x, &p.y)))
	g.Subtract(&a, &b)
	f.Add(&c, &g)
	p.set(&e, &f, &g, &h)
}

func (p *extended) set(e, f, g, h *field.Element) {
	p.x.Multiply(e, f)
	p.y.Multiply(g, h)
	p.z.Multiply(f, g)
	p.t.Multiply(e, h)
}

// bytes is the encoding of RFC 8032 section 5.1.2.
func (p *extended) bytes() []byte {
	var zInv, x, y field.Element
	zInv.Invert(&p.z)
	x.Multiply(&p.x, &zInv)
	y.Multiply(&p.y, &zInv)
	out := y.Bytes()
	out[31] |= byte(x.IsNegative() << 7)
	return out
}
