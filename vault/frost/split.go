package frost

import (
	"fmt"
	"io"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Split is the public side of a sharing dealt by one who knew the whole key: commitments to
// the coefficients of its polynomial, exactly as many as the threshold, the first of which
// is the key. It needs no proof of knowledge: whoever makes shares of so many holders that
// match it knows the secret, and each holder checks its own.
type Split struct {
	suite       *Suite
	commitments []point
}

const coefficientOfSplit = "tetrad/frost/split/v1"

// SplitSecret deals a whole key to holders, as epoch 1 of a threshold key. secret is 32
// bytes in the byte order of Secret.Bytes and stays the caller's to clear, as the shares are
// to wipe. The coefficients hang on the secret too: weak randomness alone gives nothing away.
func SplitSecret(random io.Reader, suite *Suite, secret []byte, threshold int, holders []uint8) (*Split, []*Share, error) {
	if err := checkHolders(threshold, holders); err != nil {
		return nil, nil, err
	}
	constant, ok := suite.group.decodeScalar(secret)
	if !ok || constant.isZero() {
		return nil, nil, errs.New(errs.Malformed, "%d bytes that are no secret scalar of %v", len(secret), suite).
			WithHint("it must not be zero and be below the order of the group")
	}
	coefficients := []scalar{constant}
	defer func() {
		for _, a := range coefficients {
			a.wipe()
		}
	}()
	for i := 1; i < threshold; i++ {
		a, err := suite.coefficient(random, secret, i)
		if err != nil {
			return nil, nil, err
		}
		coefficients = append(coefficients, a)
	}
	out := &Split{suite: suite}
	var shares []*Share
	protected(func() {
		for _, a := range coefficients {
			out.commitments = append(out.commitments, suite.group.base(a))
		}
		for _, r := range holders {
			s := &Share{suite: suite, epoch: 1, region: r, secret: suite.evaluate(coefficients, r)}
			s.public = suite.group.base(s.secret)
			shares = append(shares, s)
		}
	})
	if _, err := out.Key(holders); err != nil {
		for _, s := range shares {
			s.Wipe()
		}
		return nil, nil, err
	}
	return out, shares, nil
}

func (s *Suite) coefficient(random io.Reader, secret []byte, i int) (scalar, error) {
	var seed [64]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "randomness")
	}
	a := s.proofScalar(coefficientOfSplit, seed[:], secret, []byte{uint8(i)})
	if a.isZero() {
		return nil, errs.New(errs.Internal, "randomness gave zero")
	}
	return a, nil
}

// Suite returns the key's suite.
func (s *Split) Suite() *Suite { return s.suite }

// Threshold returns how many holders sign.
func (s *Split) Threshold() int { return len(s.commitments) }

// Key returns the public side of the sharing among holders.
func (s *Split) Key(holders []uint8) (*PublicKey, error) {
	n := len(s.commitments)
	if err := checkHolders(n, holders); err != nil {
		return nil, err
	}
	k := &PublicKey{suite: s.suite, epoch: 1, threshold: n, regions: slices.Clone(holders), root: s.commitments[0], point: s.commitments[0]}
	for _, r := range holders {
		p := s.suite.evaluatePoints(s.commitments, r)
		if p.isIdentity() {
			return nil, errs.New(errs.Invalid, "the share of region %d would be zero", r).WithHint("deal the key again")
		}
		k.shares = append(k.shares, p)
	}
	return k, nil
}

// Format prints the suite and the key.
func (s *Split) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "sharing of the %v key %x", s.suite, s.commitments[0].bytes())
}

const splitVersion = 1

// Encode returns the canonical form: 3 bytes and a point for each commitment.
func (s *Split) Encode() []byte {
	w := wire.NewWriter(3 + 33*len(s.commitments))
	w.U8(splitVersion)
	w.U8(s.suite.id)
	w.U8(uint8(len(s.commitments)))
	for _, p := range s.commitments {
		w.Fixed(p.bytes())
	}
	return w.Bytes()
}

// DecodeSplit parses the canonical form: at least two commitments, canonical points of
// prime order.
func DecodeSplit(b []byte) (*Split, error) {
	r := wire.NewReader(b)
	s := &Split{suite: readHead(r, splitVersion, "dealt whole key")}
	n := int(r.U8())
	if n < minThreshold || n > maxRegions {
		r.Fail("%d commitments, want %d to %d", n, minThreshold, maxRegions)
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		s.commitments = append(s.commitments, readElement(r, s.suite))
	}
	return s, r.Done()
}
