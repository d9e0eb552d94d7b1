package frost

import (
	"bytes"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// SignatureShare is one region's part of a signature: its response, and the group
// commitment it computed, which spares the combining side computing it.
type SignatureShare struct {
	suite  *Suite
	region uint8
	epoch  uint32
	r      []byte
	z      []byte
}

// Region returns whose part it is.
func (s *SignatureShare) Region() uint8 { return s.region }

// Epoch returns the number of the sharing whose share made it.
func (s *SignatureShare) Epoch() uint32 { return s.epoch }

const signatureShareVersion = 1

// Encode returns the canonical form: 71 bytes for Ed25519, 72 for secp256k1.
func (s *SignatureShare) Encode() []byte {
	w := wire.NewWriter(72)
	w.U8(signatureShareVersion)
	w.U8(s.suite.id)
	w.U8(s.region)
	w.U32(s.epoch)
	w.Fixed(s.r)
	w.Fixed(s.z)
	return w.Bytes()
}

// DecodeSignatureShare parses what the region from answered: a canonical response, and
// from's own. The commitment inside is judged when the parts are combined.
func DecodeSignatureShare(from uint8, b []byte) (*SignatureShare, error) {
	r := wire.NewReader(b)
	suite := readSigner(r, signatureShareVersion, "signature share")
	s := &SignatureShare{suite: suite, region: r.U8(), epoch: r.U32(), z: make([]byte, 32)}
	if r.Err() == nil {
		s.r = make([]byte, suite.group.pointSize())
	}
	r.Fixed(s.r)
	r.Fixed(s.z)
	if r.Err() == nil {
		if _, ok := suite.group.decodeScalar(s.z); !ok {
			r.Fail("response is not a canonical scalar")
		}
	}
	if err := r.Done(); err != nil {
		return nil, &Fault{Regions: []uint8{from}, err: errs.Wrap(errs.CodeOf(err), err, "signature share of region %d", from)}
	}
	if s.region != from {
		return nil, blame(from, errs.Denied, "region %d answered for region %d", from, s.region)
	}
	return s, nil
}

// Aggregate combines the parts of all signers named by commitments and verifies the
// result: what it returns, 64 bytes, is a valid signature under k. Only when the result
// does not verify are the parts checked one by one; the Fault then names every region
// whose part is wrong. The nonces of that attempt are spent, whoever is to blame.
func (k *PublicKey) Aggregate(msg []byte, commitments []*Commitment, shares []*SignatureShare) ([]byte, error) {
	shares, err := k.sortShares(commitments, shares)
	if err != nil {
		return nil, err
	}
	g, agree := k.suite.group, true
	z := g.number(0)
	for _, s := range shares {
		part, ok := g.decodeScalar(s.z)
		if !ok {
			return nil, blame(s.region, errs.Malformed, "signature share of region %d: response is not a canonical scalar", s.region)
		}
		z = g.add(z, part)
		agree = agree && bytes.Equal(s.r, shares[0].r)
	}
	if agree {
		sig := k.suite.signature(shares[0].r, z.bytes())
		if k.suite.verify(k.point, msg, sig) {
			return sig, nil
		}
	}
	return nil, k.accuse(msg, commitments, shares)
}

// sortShares returns shares by region, after checking that they are the signers'.
func (k *PublicKey) sortShares(commitments []*Commitment, shares []*SignatureShare) ([]*SignatureShare, error) {
	cs, err := k.sortCommitments(commitments)
	if err != nil {
		return nil, err
	}
	if len(shares) != len(cs) || slices.Contains(shares, nil) {
		return nil, errs.New(errs.Unavailable, "threshold signature: %d parts of %d", len(shares), len(cs))
	}
	shares = slices.Clone(shares)
	slices.SortFunc(shares, func(a, b *SignatureShare) int { return int(a.region) - int(b.region) })
	for i, s := range shares {
		switch {
		case s.region != cs[i].region:
			return nil, errs.New(errs.Invalid, "threshold signature: a part of region %d where region %d was asked", s.region, cs[i].region)
		case s.suite != k.suite:
			return nil, blame(s.region, errs.Invalid, "signature share of region %d is for %v, the key is %v", s.region, s.suite, k.suite)
		case s.epoch != k.epoch:
			return nil, blame(s.region, errs.Stale, "signature share of region %d is of epoch %d, the key's sharing of epoch %d", s.region, s.epoch, k.epoch)
		}
	}
	return shares, nil
}

// accuse finds whose parts are wrong.
func (k *PublicKey) accuse(msg []byte, commitments []*Commitment, shares []*SignatureShare) error {
	r, err := k.newRound(msg, commitments)
	if err != nil {
		return err
	}
	var wrong []uint8
	for i, s := range shares {
		if z, ok := k.suite.group.decodeScalar(s.z); !ok || !bytes.Equal(s.r, r.r.bytes()) || !r.holds(i, z) {
			wrong = append(wrong, s.region)
		}
	}
	if len(wrong) == 0 {
		return errs.New(errs.Internal, "threshold signature does not verify, though every part does")
	}
	e := errs.New(errs.Unverified, "threshold signature: the parts of regions %v do not verify", wrong)
	return &Fault{Regions: wrong, err: e.WithHint("the nonces are spent: open a new attempt, keep the parts as evidence and look at those regions")}
}

// CheckShare verifies one part by itself. Aggregate needs no such check; it is for
// whoever holds a part as evidence.
func (k *PublicKey) CheckShare(msg []byte, commitments []*Commitment, s *SignatureShare) error {
	r, err := k.newRound(msg, commitments)
	if err != nil {
		return err
	}
	i := r.indexOf(s.region)
	if i < 0 || s.suite != k.suite || s.epoch != k.epoch {
		return errs.New(errs.Invalid, "signature share of region %d, epoch %d is not of this signature", s.region, s.epoch)
	}
	z, ok := k.suite.group.decodeScalar(s.z)
	if !ok || !bytes.Equal(s.r, r.r.bytes()) || !r.holds(i, z) {
		return blame(s.region, errs.Unverified, "signature share of region %d does not verify", s.region)
	}
	return nil
}
