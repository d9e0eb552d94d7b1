package frost

import (
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Commitment is the public half of one nonce: what a region publishes ahead, and what an
// entry names when it opens an attempt. It is good for one message under one key of its
// suite, whichever that is.
type Commitment struct {
	suite   *Suite
	region  uint8
	boot    uint64 // nonce epoch: a restart raises it
	serial  uint32 // within the pool, from 1
	hiding  point
	binding point
}

// Region returns whose nonce it commits to.
func (c *Commitment) Region() uint8 { return c.region }

// Suite returns the suite whose keys it can sign for.
func (c *Commitment) Suite() *Suite { return c.suite }

// Boot returns the nonce epoch: the region drops its nonces and raises it at every start.
func (c *Commitment) Boot() uint64 { return c.boot }

// Serial returns its number within the pool: ascending, from 1.
func (c *Commitment) Serial() uint32 { return c.serial }

// same reports whether b and c are one commitment, points and all.
func (c *Commitment) same(b *Commitment) bool {
	return c.suite == b.suite && c.region == b.region && c.boot == b.boot && c.serial == b.serial &&
		c.hiding.equal(b.hiding) && c.binding.equal(b.binding)
}

const (
	commitmentVersion = 1
	commitmentHead    = 15 // bytes before the points
)

// Encode returns the canonical form: 15 bytes and two points, 79 bytes for Ed25519, 81 for
// secp256k1.
func (c *Commitment) Encode() []byte {
	w := wire.NewWriter(81)
	w.U8(commitmentVersion)
	w.U8(c.suite.id)
	w.U8(c.region)
	w.U64(c.boot)
	w.U32(c.serial)
	w.Fixed(c.hiding.bytes())
	w.Fixed(c.binding.bytes())
	return w.Bytes()
}

// DecodeCommitment parses what the region from published: canonical points of prime
// order, and from's own. Run it once, when the commitment is published; see KnownCommitment.
func DecodeCommitment(from uint8, b []byte) (*Commitment, error) {
	c, err := KnownCommitment(b)
	if err != nil {
		return nil, &Fault{Regions: []uint8{from}, err: errs.Wrap(errs.CodeOf(err), err, "commitment of region %d", from)}
	}
	if c.region != from {
		return nil, blame(from, errs.Denied, "region %d sent a commitment of region %d", from, c.region)
	}
	if !c.suite.group.primeOrder(c.hiding) || !c.suite.group.primeOrder(c.binding) {
		return nil, blame(from, errs.Malformed, "commitment of region %d: a point is not of prime order", from)
	}
	return c, nil
}

// KnownCommitment parses a commitment that went through DecodeCommitment before, as those
// named in a committed entry have. It leaves out the test for prime order, which costs
// more than a signature; even without any such test no secret is at risk, since no secret
// multiplies a received point, and the region that published a bad one is found when the
// result does not verify.
func KnownCommitment(b []byte) (*Commitment, error) {
	r := wire.NewReader(b)
	suite := readSigner(r, commitmentVersion, "nonce commitment")
	c := &Commitment{suite: suite, region: r.U8(), boot: r.U64(), serial: r.U32()}
	if r.Err() == nil {
		c.hiding, c.binding = readPoint(r, suite), readPoint(r, suite)
	}
	if r.Err() == nil && (c.region == 0 || c.serial == 0) {
		r.Fail("nonce commitment of region %d, serial %d", c.region, c.serial)
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return c, nil
}

// readPoint reads a canonical point that is not of small order.
func readPoint(r *wire.Reader, s *Suite) point {
	b := make([]byte, s.group.pointSize())
	r.Fixed(b)
	if r.Err() != nil {
		return nil
	}
	p, ok := s.group.decodePoint(b)
	if !ok {
		r.Fail("not a canonical point, or one of small order")
	}
	return p
}

// sortCommitments returns cs by region, after checking that they are for k and enough. One
// region may have published another's points as its own: the binding factors tell them
// apart, and the copier, who cannot answer, is the one whose part is wrong.
func (k *PublicKey) sortCommitments(cs []*Commitment) ([]*Commitment, error) {
	if len(cs) < k.threshold || len(cs) > len(k.regions) {
		return nil, errs.New(errs.Invalid, "threshold signature by %d regions: the key needs %d and has %d", len(cs), k.threshold, len(k.regions))
	}
	if slices.Contains(cs, nil) {
		return nil, errs.New(errs.Invalid, "threshold signature: a commitment is missing")
	}
	cs = slices.Clone(cs)
	slices.SortFunc(cs, func(a, b *Commitment) int { return int(a.region) - int(b.region) })
	for i, c := range cs {
		switch {
		case c.suite != k.suite:
			return nil, blame(c.region, errs.Invalid, "commitment of region %d is for %v, the key is %v", c.region, c.suite, k.suite)
		case k.indexOf(c.region) < 0:
			return nil, errs.New(errs.Denied, "region %d holds no share of the key and cannot sign", c.region)
		case i > 0 && cs[i-1].region == c.region:
			return nil, errs.New(errs.Invalid, "two commitments of region %d for one signature", c.region)
		}
	}
	return cs, nil
}
