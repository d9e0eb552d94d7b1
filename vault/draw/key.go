package draw

import (
	"github.com/tetrad-vault/tetrad/internal/edtable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// PublicKey is the public side of the PRF, fixed at genesis.
type PublicKey struct {
	Threshold int
	Group     [32]byte   // public key of the shared secret
	Shares    [][32]byte // Shares[i] verifies region i+1

	tables []*edtable.Table // of the points of Shares, if NewPublicKey made this
}

// NewPublicKey builds and validates a public key from its stored parts (genesis.Beacon).
func NewPublicKey(threshold int, group [32]byte, shares [][]byte) (PublicKey, error) {
	k := PublicKey{Threshold: threshold, Group: group, Shares: make([][32]byte, len(shares))}
	for i, s := range shares {
		if len(s) != 32 {
			return PublicKey{}, errs.New(errs.Malformed, "beacon key: public share of region %d has %d bytes, want 32", i+1, len(s))
		}
		k.Shares[i] = [32]byte(s)
	}
	if err := k.Validate(); err != nil {
		return PublicKey{}, err
	}
	k.tables = make([]*edtable.Table, len(shares))
	for i := range k.Shares {
		p, _ := decodePoint(k.Shares[i][:])
		k.tables[i] = edtable.New(p)
	}
	return k, nil
}

// Validate checks that every point is canonical and not the identity, and that the
// shares lie on one polynomial of degree below Threshold through Group: any Threshold
// partials then give one value.
func (k PublicKey) Validate() error {
	n, t := len(k.Shares), k.Threshold
	if err := checkSize(n, t); err != nil {
		return err
	}
	if _, ok := decodePoint(k.Group[:]); !ok {
		return errs.New(errs.Malformed, "beacon key: group key is not a canonical element")
	}
	shares := make([]*point, n)
	for i := range k.Shares {
		p, ok := decodePoint(k.Shares[i][:])
		if !ok {
			return errs.New(errs.Malformed, "beacon key: public share of region %d is not a canonical element", i+1)
		}
		shares[i] = p
	}
	// One window of t shares fixes the polynomial; every further one must agree at zero.
	for first := 0; first+t <= n; first++ {
		if encodePoint(interpolate(first+1, shares[first:first+t])) != k.Group {
			return errs.New(errs.Invalid, "beacon key: public shares of regions %d to %d do not give the group key", first+1, first+t)
		}
	}
	return nil
}

func checkSize(n, t int) error {
	if n < 2 || n > maxRegions || t < 2 || t > n {
		return errs.New(errs.Invalid, "beacon key: threshold %d of %d regions, want 2 to n of at most %d", t, n, maxRegions)
	}
	return nil
}

// interpolate returns the value at zero of the polynomial through points at first, first+1, ...
func interpolate(first int, points []*point) *point {
	regions := make([]uint8, len(points))
	for i := range regions {
		regions[i] = uint8(first + i)
	}
	return new(point).VarTimeMultiScalarMult(lagrange(regions), points)
}

// Check verifies one partial. The coded error (Unverified) names the region at fault.
func (k PublicKey) Check(at *Place, p Partial) error {
	if p.Region == 0 || int(p.Region) > len(k.Shares) {
		return errs.New(errs.Invalid, "draw partial of region %d: the beacon key has %d regions", p.Region, len(k.Shares))
	}
	x, okX := k.share(p.Region)
	v, okV := p.point()
	if !okX || !okV || !verify(k.Shares[p.Region-1], x, at, p.Eval, v, p.Proof) {
		return errs.New(errs.Unverified, "draw partial of region %d: its proof does not verify", p.Region).
			WithHint("region %d sent a wrong partial: keep it as evidence and look at that region", p.Region)
	}
	return nil
}

// share returns how to multiply a region's public share; false if that is no element.
func (k PublicKey) share(region uint8) (multiplier, bool) {
	if k.tables != nil {
		return k.tables[region-1].DoubleBaseMult, true
	}
	p, ok := decodePoint(k.Shares[region-1][:])
	return func(a, b *scalar) *point { return new(point).VarTimeDoubleScalarBaseMult(a, p, b) }, ok
}

// Combine returns the value from Threshold or more partials of distinct regions, which
// the caller has checked (or made itself): it verifies no proof.
func (k PublicKey) Combine(at *Place, ps []Partial) ([32]byte, error) {
	if k.Threshold < 1 || len(ps) < k.Threshold {
		return [32]byte{}, errs.New(errs.Unavailable, "draw: %d partials, %d are needed", len(ps), k.Threshold)
	}
	ps = ps[:k.Threshold]
	regions, evals := make([]uint8, len(ps)), make([]*point, len(ps))
	seen := [maxRegions + 1]bool{}
	for i, p := range ps {
		if p.Region == 0 || int(p.Region) > len(k.Shares) || p.Region > maxRegions || seen[p.Region] {
			return [32]byte{}, errs.New(errs.Invalid, "draw: partial of region %d is repeated or of no region", p.Region)
		}
		seen[p.Region] = true
		v, ok := p.point()
		if !ok {
			return [32]byte{}, errs.New(errs.Malformed, "draw partial of region %d: not a canonical element", p.Region)
		}
		regions[i], evals[i] = p.Region, v
	}
	sum := new(point).VarTimeMultiScalarMult(lagrange(regions), evals)
	return value(at.input, encodePoint(sum)), nil
}

// CombineChecked checks every partial given, then combines.
func (k PublicKey) CombineChecked(at *Place, ps []Partial) ([32]byte, error) {
	if len(ps) > maxRegions {
		return [32]byte{}, errs.New(errs.TooLarge, "draw: %d partials, limit %d", len(ps), maxRegions)
	}
	for _, p := range ps {
		if err := k.Check(at, p); err != nil {
			return [32]byte{}, err
		}
	}
	return k.Combine(at, ps)
}
