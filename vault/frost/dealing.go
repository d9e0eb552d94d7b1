package frost

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

const (
	dealingDomain     = "tetrad/frost/dealing/v1"
	coefficientDomain = "tetrad/frost/coefficient/v1"
	knowledgeDomain   = "tetrad/frost/knowledge/v1"
	proofNonceDomain  = "tetrad/frost/knowledge/nonce/v1"
)

// Dealing is the public half of what one dealer contributes: commitments to the
// coefficients of its polynomial, exactly as many as the threshold, and the proof that it
// knows the constant one.
type Dealing struct {
	suite       *Suite
	terms       [32]byte
	region      uint8
	commitments []point
	c, s        scalar // challenge and response of the proof
}

// Region returns the dealer.
func (d *Dealing) Region() uint8 { return d.region }

// deal makes region's polynomial. share is its share of the previous sharing, nil for a
// new key. The coefficients are secret and the caller's to wipe.
func (t *Terms) deal(random io.Reader, region uint8, share *Share) (*Dealing, []scalar, error) {
	d := &Dealing{suite: t.Suite, terms: t.Hash(), region: region}
	coefficients := make([]scalar, t.Threshold)
	for i := range coefficients {
		if i == 0 && share != nil {
			coefficients[0] = t.Suite.group.add(share.secret, t.Suite.group.number(0))
			continue
		}
		var err error
		if coefficients[i], err = t.randomScalar(random, coefficientDomain, region, nil); err != nil {
			return nil, nil, err
		}
	}
	secret := coefficients[0].bytes()
	defer clear(secret)
	nonce, err := t.randomScalar(random, proofNonceDomain, region, secret)
	if err != nil {
		return nil, nil, err
	}
	protected(func() {
		for _, a := range coefficients {
			d.commitments = append(d.commitments, t.Suite.group.base(a))
		}
		d.c = d.challenge(t.Suite.group.base(nonce))
		d.s = t.Suite.group.mulAdd(d.c, coefficients[0], nonce)
		nonce.wipe()
	})
	return d, coefficients, nil
}

// randomScalar is never zero: a zero coefficient would lower the degree. hedge, if any, is
// a secret without which weak randomness does not give the scalar away.
func (t *Terms) randomScalar(random io.Reader, domain string, region uint8, hedge []byte) (scalar, error) {
	var seed [64]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "key ceremony: reading randomness")
	}
	terms := t.Hash()
	s := t.Suite.proofScalar(domain, seed[:], hedge, terms[:], []byte{region})
	if s.isZero() {
		return nil, errs.New(errs.Internal, "key ceremony: randomness gave zero")
	}
	return s, nil
}

// challenge binds the proof to the terms, the dealer and all commitments.
func (d *Dealing) challenge(r point) scalar {
	parts := [][]byte{d.terms[:], {d.region}}
	for _, p := range d.commitments {
		parts = append(parts, p.bytes())
	}
	return d.suite.proofScalar(knowledgeDomain, append(parts, r.bytes())...)
}

// verify judges a revealed dealing under the terms. Faults name the dealer.
func (d *Dealing) verify(t *Terms) error {
	if d.suite != t.Suite || d.terms != t.Hash() {
		return d.fault(errs.Replayed, "it is of another session or other terms")
	}
	if !slices.Contains(t.Dealers, d.region) {
		return d.fault(errs.Denied, "the region does not deal in this ceremony")
	}
	if len(d.commitments) != t.Threshold {
		return d.fault(errs.Unverified, "%d commitments, want exactly %d", len(d.commitments), t.Threshold)
	}
	if t.Previous != nil && !d.commitments[0].equal(t.Previous.shares[t.Previous.indexOf(d.region)]) {
		return d.fault(errs.Unverified, "its constant is not the region's share of epoch %d", t.Previous.epoch)
	}
	r := d.suite.group.combineBase(d.s, []scalar{d.suite.group.negate(d.c)}, d.commitments[:1])
	if !sameScalar(d.challenge(r), d.c) {
		return d.fault(errs.Unverified, "its proof of knowledge does not verify")
	}
	return nil
}

func (d *Dealing) fault(code errs.Code, format string, args ...any) *Fault {
	return blame(d.region, code, "dealing of region %d: %s", d.region, fmt.Sprintf(format, args...))
}

// Hash is what a dealer publishes before anybody reveals.
func (d *Dealing) Hash() [32]byte {
	w := wire.NewWriter(512)
	w.String(dealingDomain)
	w.Blob(d.Encode())
	return sha256.Sum256(w.Bytes())
}

const dealingVersion = 1

// Encode returns the canonical form: 100 bytes and one point for each commitment.
func (d *Dealing) Encode() []byte {
	w := wire.NewWriter(100 + len(d.commitments)*33)
	w.U8(dealingVersion)
	w.U8(d.suite.id)
	w.Fixed(d.terms[:])
	w.U8(d.region)
	w.U8(uint8(len(d.commitments)))
	for _, p := range d.commitments {
		w.Fixed(p.bytes())
	}
	w.Fixed(d.c.bytes())
	w.Fixed(d.s.bytes())
	return w.Bytes()
}

// DecodeDealing parses what the region from revealed: canonical scalars, canonical points
// of prime order, and from's own. Whether it holds, the ceremony judges.
func DecodeDealing(from uint8, b []byte) (*Dealing, error) {
	r := wire.NewReader(b)
	d := &Dealing{suite: readHead(r, dealingVersion, "dealing")}
	r.Fixed(d.terms[:])
	d.region = r.U8()
	n := int(r.U8())
	if n > maxRegions {
		r.Fail("%d commitments, limit %d", n, maxRegions)
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		d.commitments = append(d.commitments, readElement(r, d.suite))
	}
	d.c, d.s = readScalar(r, d.suite), readScalar(r, d.suite)
	if err := r.Done(); err != nil {
		return nil, &Fault{Regions: []uint8{from}, err: errs.Wrap(errs.CodeOf(err), err, "dealing of region %d", from)}
	}
	if d.region != from {
		return nil, blame(from, errs.Denied, "region %d sent a dealing of region %d", from, d.region)
	}
	return d, nil
}

func readScalar(r *wire.Reader, s *Suite) scalar {
	var b [32]byte
	r.Fixed(b[:])
	defer clear(b[:])
	if r.Err() != nil {
		return nil
	}
	v, ok := s.group.decodeScalar(b[:])
	if !ok {
		r.Fail("not a canonical scalar")
	}
	return v
}
