package frost

import (
	"filippo.io/edwards25519"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/ristretto"
)

// ristPoint is an element of ristretto255: a point of edwards25519 that stands for its
// coset. Two are the same if their encodings are.
type ristPoint struct {
	p   edwards25519.Point
	enc [ristretto.Size]byte
}

func newRistPoint(p *edwards25519.Point) *ristPoint {
	e := &ristPoint{enc: ristretto.Encode(p)}
	e.p.Set(p)
	return e
}

func (p *ristPoint) curve() *edwards25519.Point { return &p.p }

func (p *ristPoint) bytes() []byte      { return p.enc[:] }
func (p *ristPoint) equal(q point) bool { return p.enc == q.(*ristPoint).enc }
func (p *ristPoint) isIdentity() bool   { return p.enc == [ristretto.Size]byte{} }

// cosets is ristretto255: the scalars of edwards25519, and cosets in place of points.
type cosets struct{ edwards }

func (cosets) pointSize() int { return ristretto.Size }

func (cosets) base(k scalar) point {
	return newRistPoint(new(edwards25519.Point).ScalarBaseMult(&k.(*edScalar).Scalar))
}

// bases saves nothing here: an encoding wants a square root, and nobody makes many.
func (c cosets) bases(ks []scalar) []point {
	out := make([]point, len(ks))
	for i, k := range ks {
		out[i] = c.base(k)
	}
	return out
}

func (cosets) combine(plus []point, ks []scalar, ps []point) point {
	return newRistPoint(edCombine(plus, ks, ps))
}

func (cosets) combineBase(k scalar, ks []scalar, ps []point) point {
	return newRistPoint(edCombineBase(k, ks, ps))
}

func (cosets) negatePoint(p point) point {
	return newRistPoint(new(edwards25519.Point).Negate(&p.(*ristPoint).p))
}

// decodePoint takes the one encoding of an element other than the identity.
func (cosets) decodePoint(b []byte) (point, bool) {
	p, ok := ristretto.Decode(b)
	if !ok {
		return nil, false
	}
	e := &ristPoint{enc: [ristretto.Size]byte(b)}
	e.p.Set(p)
	return e, true
}

// primeOrder holds for whatever decodes: that is what the group is for.
func (cosets) primeOrder(point) bool { return true }

// signless is why a suite for ceremonies alone signs nothing: its shares evaluate a beacon,
// and a secret with two uses is one too many.
func (s *Suite) signless() error {
	if s.challenge == nil {
		return errs.New(errs.Invalid, "%v keys sign nothing and nothing is derived from them", s)
	}
	return nil
}

// Part returns what verifies a holder's part of the root key, as Compressed writes the key;
// nil for a region that holds none.
func (k *PublicKey) Part(region uint8) []byte {
	if i := k.indexOf(region); i >= 0 {
		return append([]byte(nil), k.shares[i].bytes()...)
	}
	return nil
}

// FoundedShare is a region's share of a sharing from before the first ceremony, epoch 0: of
// the beacon key, which the genesis deals. The caller clears secret.
func FoundedShare(suite *Suite, region uint8, secret []byte) (*Share, error) {
	s := &Share{suite: suite, region: region}
	ok := false
	protected(func() {
		if s.secret, ok = suite.group.decodeScalar(secret); ok && !s.secret.isZero() {
			s.public = suite.group.base(s.secret)
		}
	})
	if s.public == nil || region == 0 || !suite.founded {
		return nil, errs.New(errs.Malformed, "%v share of region %d, epoch 0: not a canonical share", suite, region)
	}
	return s, nil
}

// Scalar returns the share itself, 32 bytes, for a key that something else than this package
// uses. The caller clears them. Keys that sign give none away.
func (s *Share) Scalar() ([]byte, error) {
	if s.suite.signless() == nil {
		return nil, errs.New(errs.Invalid, "%v: a share that signs does not leave as a number", s)
	}
	return s.secret.bytes(), nil
}
