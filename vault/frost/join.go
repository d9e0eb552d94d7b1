package frost

import (
	"bytes"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Join adds up the parts of one signature, without verifying it: for parts that whoever
// filed them has aggregated and verified before. The error is Unverified when the signers
// did not sign together, and names no region.
func Join(shares []*SignatureShare) ([]byte, error) {
	if len(shares) < minThreshold {
		return nil, errs.New(errs.Invalid, "threshold signature: %d parts", len(shares))
	}
	first := shares[0]
	g := first.suite.group
	z := g.number(0)
	for _, s := range shares {
		part, ok := g.decodeScalar(s.z)
		if !ok || s.suite != first.suite || s.epoch != first.epoch || !bytes.Equal(s.r, first.r) {
			return nil, errs.New(errs.Unverified, "threshold signature: the parts of regions %d and %d are not of one signature", first.region, s.region)
		}
		z = g.add(z, part)
	}
	return first.suite.signature(first.r, z.bytes()), nil
}
