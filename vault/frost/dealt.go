package frost

import (
	"fmt"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

const (
	dealtDomain      = "tetrad/frost/dealt/v1"
	dealtNonceDomain = "tetrad/frost/dealt/nonce/v1"
)

// Dealt is what one dealer sends one holder: the value of its polynomial there, which is
// secret, and a signature on it under the dealing's constant. The signature makes a wrong
// value evidence: nobody but the dealer could have made it.
type Dealt struct {
	suite    *Suite
	terms    [32]byte
	from, to uint8
	value    scalar
	c, s     scalar
}

// From returns the dealer, To the holder it is meant for.
func (d *Dealt) From() uint8 { return d.from }

// To returns the holder it is meant for.
func (d *Dealt) To() uint8 { return d.to }

// newDealt evaluates the polynomial for a holder. The signature's nonce is a hash of the
// secret and all that is signed, so it never serves two statements.
func newDealt(d *Dealing, coefficients []scalar, to uint8) *Dealt {
	out := &Dealt{suite: d.suite, terms: d.terms, from: d.region, to: to}
	protected(func() {
		out.value = d.suite.evaluate(coefficients, to)
		secret, value := coefficients[0].bytes(), out.value.bytes()
		last := coefficients[len(coefficients)-1].bytes()
		nonce := d.suite.proofScalar(dealtNonceDomain, secret, last, d.terms[:], []byte{d.region, to}, value)
		out.c = out.challenge(d.commitments[0], d.suite.group.base(nonce))
		out.s = d.suite.group.mulAdd(out.c, coefficients[0], nonce)
		nonce.wipe()
		clear(secret)
		clear(last)
		clear(value)
	})
	return out
}

func (d *Dealt) challenge(constant, r point) scalar {
	value := d.value.bytes()
	defer clear(value)
	return d.suite.proofScalar(dealtDomain, d.terms[:], []byte{d.from, d.to}, constant.bytes(), value, r.bytes())
}

// signed reports whether the dealer made it; right, whether it lies on the polynomial.
func (d *Dealt) signed(by *Dealing) bool {
	g := d.suite.group
	r := g.combineBase(d.s, []scalar{g.negate(d.c)}, by.commitments[:1])
	return sameScalar(d.challenge(by.commitments[0], r), d.c)
}

func (d *Dealt) right(by *Dealing) bool {
	return d.suite.group.base(d.value).equal(d.suite.evaluatePoints(by.commitments, d.to))
}

// Wipe overwrites the value.
func (d *Dealt) Wipe() { d.value.wipe() }

// Format keeps the value out of logs and errors, whatever the verb.
func (d *Dealt) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "share dealt by region %d to region %d", d.from, d.to)
}

const dealtVersion = 1

// Encode returns the canonical form, 132 bytes. They are secret: seal them to the holder.
func (d *Dealt) Encode() []byte {
	w := wire.NewWriter(132)
	w.U8(dealtVersion)
	w.U8(d.suite.id)
	w.Fixed(d.terms[:])
	w.U8(d.from)
	w.U8(d.to)
	value := d.value.bytes()
	w.Fixed(value)
	clear(value)
	w.Fixed(d.c.bytes())
	w.Fixed(d.s.bytes())
	return w.Bytes()
}

// DecodeDealt parses what the region from sent: canonical, and from's own.
func DecodeDealt(from uint8, b []byte) (*Dealt, error) {
	r := wire.NewReader(b)
	d := &Dealt{suite: readHead(r, dealtVersion, "dealt share")}
	r.Fixed(d.terms[:])
	d.from, d.to = r.U8(), r.U8()
	d.value, d.c, d.s = readScalar(r, d.suite), readScalar(r, d.suite), readScalar(r, d.suite)
	if r.Err() == nil && d.to == 0 {
		r.Fail("dealt share for region 0")
	}
	if err := r.Done(); err != nil {
		return nil, &Fault{Regions: []uint8{from}, err: errs.Wrap(errs.CodeOf(err), err, "dealt share of region %d", from)}
	}
	if d.from != from {
		return nil, blame(from, errs.Denied, "region %d sent a share dealt by region %d", from, d.from)
	}
	return d, nil
}
