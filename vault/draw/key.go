package draw

import (
	"github.com/tetrad-vault/tetrad/internal/edtable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// PublicKey is the public side of one sharing of the PRF's key. The key is fixed at the
// genesis; the shares are new after each refresh or reshare.
type PublicKey struct {
	Epoch     uint32 // 0: the sharing of the genesis
	Threshold int
	Group     [32]byte   // public key of the shared secret
	Shares    [][32]byte // Shares[i] verifies region i+1; zero for one that holds none

	tables []*edtable.Table // of the points of Shares, if NewPublicKey or NewSharing made this
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
	return k.ready()
}

// ready validates k and makes the tables that its partials are checked with.
func (k PublicKey) ready() (PublicKey, error) {
	if err := k.Validate(); err != nil {
		return PublicKey{}, err
	}
	k.tables = make([]*edtable.Table, len(k.Shares))
	for _, r := range k.holders() {
		p, _ := decodePoint(k.Shares[r-1][:])
		k.tables[r-1] = edtable.New(p)
	}
	return k, nil
}

// Sharing is the public side of a sharing as ceremonies leave it (vault/frost).
type Sharing interface {
	Epoch() uint32
	Threshold() int
	Compressed() []byte  // the key
	Holders() []uint8    // ascending
	Part(r uint8) []byte // what verifies a holder's share
}

// KeyOf returns the public key that draws are verified with under a sharing.
func KeyOf(s Sharing) (PublicKey, error) {
	holders := s.Holders()
	shares := make([][]byte, len(holders))
	for i, r := range holders {
		shares[i] = s.Part(r)
	}
	return NewSharing(s.Epoch(), s.Threshold(), s.Compressed(), holders, shares)
}

// NewSharing builds and validates the public side of a sharing: shares[i] verifies
// holders[i], ascending.
func NewSharing(epoch uint32, threshold int, group []byte, holders []uint8, shares [][]byte) (PublicKey, error) {
	k := PublicKey{Epoch: epoch, Threshold: threshold, Shares: make([][32]byte, maxRegions)}
	bad := len(group) != 32 || len(holders) != len(shares) || len(holders) == 0
	for i, last := 0, uint8(0); i < len(holders) && !bad; i++ {
		if bad = holders[i] <= last || holders[i] > maxRegions || len(shares[i]) != 32; !bad {
			k.Shares[holders[i]-1], last = [32]byte(shares[i]), holders[i]
		}
	}
	if bad {
		return PublicKey{}, errs.New(errs.Malformed, "beacon key: sharing of epoch %d with %d public shares of regions %v", epoch, len(shares), holders)
	}
	k.Group, k.Shares = [32]byte(group), k.Shares[:holders[len(holders)-1]]
	return k.ready()
}

// Holds reports whether a region has a share.
func (k PublicKey) Holds(region uint8) bool {
	return region > 0 && int(region) <= len(k.Shares) && k.Shares[region-1] != [32]byte{}
}

// holders are the regions with a share, ascending.
func (k PublicKey) holders() (regions []uint8) {
	for i := range k.Shares {
		if r := uint8(i + 1); k.Epoch == 0 || k.Holds(r) { // at the genesis nobody is left out
			regions = append(regions, r)
		}
	}
	return regions
}

// Validate checks that every point is canonical and not the identity, and that the
// shares lie on one polynomial of degree below Threshold through Group: any Threshold
// partials then give one value.
func (k PublicKey) Validate() error {
	if len(k.Shares) > maxRegions {
		return checkSize(len(k.Shares), k.Threshold)
	}
	holders, t := k.holders(), k.Threshold
	if err := checkSize(len(holders), t); err != nil {
		return err
	}
	if _, ok := decodePoint(k.Group[:]); !ok {
		return errs.New(errs.Malformed, "beacon key: group key is not a canonical element")
	}
	shares := make([]*point, len(holders))
	for i, r := range holders {
		p, ok := decodePoint(k.Shares[r-1][:])
		if !ok {
			return errs.New(errs.Malformed, "beacon key: public share of region %d is not a canonical element", r)
		}
		shares[i] = p
	}
	// One window of t shares fixes the polynomial; every further one must agree at zero.
	for first := 0; first+t <= len(holders); first++ {
		window := holders[first : first+t]
		if encodePoint(new(point).VarTimeMultiScalarMult(lagrange(window), shares[first:first+t])) != k.Group {
			return errs.New(errs.Invalid, "beacon key: public shares of regions %v do not give the group key", window)
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

// Check verifies one partial. The coded error names the region: Unverified is its fault;
// Stale is a partial of another epoch, which an honest region sends while a new one begins.
func (k PublicKey) Check(at *Place, p Partial) error {
	if err := k.takes(p); err != nil {
		return err
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

// takes reports a partial that no proof makes one of this sharing.
func (k PublicKey) takes(p Partial) error {
	switch {
	case p.Epoch != k.Epoch:
		return errs.New(errs.Stale, "draw partial of region %d is of beacon epoch %d, the entry's is %d: partials of two epochs do not mix", p.Region, p.Epoch, k.Epoch)
	case p.Region == 0 || int(p.Region) > len(k.Shares) || k.Epoch != 0 && !k.Holds(p.Region):
		return errs.New(errs.Invalid, "draw partial of region %d, which holds no share of the beacon key's epoch %d", p.Region, k.Epoch)
	}
	return nil
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
		if err := k.takes(p); err != nil {
			return [32]byte{}, err
		}
		if p.Region > maxRegions || seen[p.Region] {
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
