package frost

import (
	"crypto/sha256"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

const transcriptDomain = "tetrad/frost/transcript/v1"

// Verify verifies the dealings of all dealers, in their order, and returns the key they
// make and the ceremony's transcript hash. It needs no secret: a region that takes no part
// and an auditor come to the same result.
func (t *Terms) Verify(dealings []*Dealing) (*PublicKey, [32]byte, error) {
	if err := t.Check(); err != nil {
		return nil, [32]byte{}, err
	}
	if len(dealings) != len(t.Dealers) {
		return nil, [32]byte{}, errs.New(errs.Invalid, "key ceremony: %d dealings of %d dealers", len(dealings), len(t.Dealers))
	}
	for i, d := range dealings {
		if d.region != t.Dealers[i] {
			return nil, [32]byte{}, errs.New(errs.Invalid, "key ceremony: a dealing of region %d where region %d's belongs", d.region, t.Dealers[i])
		}
		if err := d.verify(t); err != nil {
			return nil, [32]byte{}, err
		}
	}
	return t.combine(dealings)
}

// combine sums verified dealings.
func (t *Terms) combine(dealings []*Dealing) (*PublicKey, [32]byte, error) {
	weights := t.weights()
	sum := make([]point, t.Threshold)
	column := make([]point, len(dealings))
	for j := range sum {
		for i, d := range dealings {
			column[i] = d.commitments[j]
		}
		if t.Previous == nil {
			sum[j] = t.Suite.addPoints(column...)
		} else {
			sum[j] = t.Suite.group.combine(nil, weights, column)
		}
	}
	if sum[0].isIdentity() || sum[t.Threshold-1].isIdentity() {
		return nil, [32]byte{}, errs.New(errs.Invalid, "key ceremony: the dealings cancel out").WithHint("start a new session")
	}
	k := &PublicKey{suite: t.Suite, epoch: t.Epoch, threshold: t.Threshold, regions: append([]uint8(nil), t.Holders...),
		root: sum[0], point: sum[0]}
	for _, r := range t.Holders {
		p := t.Suite.evaluatePoints(sum, r)
		if p.isIdentity() {
			return nil, [32]byte{}, errs.New(errs.Invalid, "key ceremony: region %d's share would be zero", r).WithHint("start a new session")
		}
		k.shares = append(k.shares, p)
	}
	if t.Previous != nil && !k.root.equal(t.Previous.root) {
		return nil, [32]byte{}, errs.New(errs.Internal, "key ceremony: the new sharing is of another key")
	}
	return k, t.transcript(dealings, k), nil
}

// transcript hashes the terms, every dealing and the key.
func (t *Terms) transcript(dealings []*Dealing, k *PublicKey) [32]byte {
	terms := t.Hash()
	w := wire.NewWriter(2048)
	w.String(transcriptDomain)
	w.Fixed(terms[:])
	for _, d := range dealings {
		w.Blob(d.Encode())
	}
	w.Blob(k.Encode())
	return sha256.Sum256(w.Bytes())
}
