package vault

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// joint is the leader's part of an item whose regions sign together.
type joint struct {
	spends []intent.Spend
	parts  []part            // nil if a commitment is none
	bad    identity.RegionID // that offered it; 0 for nobody
	sums   [][]byte          // the signatures, verified, one a message
}

// plan puts together what the drawn regions of a threshold key sign.
func (c *coordinator) plan(it *item) {
	if !it.ground.threshold() {
		return
	}
	var err error
	if it.parts, err = c.keys.parts(it.ground, it.spends, it.signers, c.nonces); err == nil {
		return
	}
	var bad *unreadable
	if errors.As(err, &bad) {
		it.bad = bad.region
	}
	c.cfg.Logger.Error("threshold request cannot be signed as drawn", slog.String("request", it.Request.String()), slog.Any("error", err))
}

func decodeShares(from identity.RegionID, encoded [][]byte) ([]*frost.SignatureShare, error) {
	out := make([]*frost.SignatureShare, len(encoded))
	for i, b := range encoded {
		var err error
		if out[i], err = frost.DecodeSignatureShare(uint8(from), b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// combine marks as done what all drawn regions answered: of a threshold key once the
// shares add up to signatures that verify. Whose share is wrong is convicted: nothing of
// its answer is filed, since Apply would count it, and it is left out of the next attempt
// on another region's word. The nonces of the attempt are spent, whoever is to blame.
func (b *bundle) combine(full []*item) {
	faults := make([]error, len(full))
	parallel(len(full), func(i int) {
		if full[i].ground.threshold() {
			faults[i] = b.add(full[i])
		}
	})
	for i, it := range full {
		if it.done = faults[i] == nil; !it.done {
			b.convict(it, faults[i])
		}
	}
}

// add adds up an item's shares and verifies what comes out.
func (b *bundle) add(it *item) error {
	if it.parts == nil {
		return errs.New(errs.Unverified, "request %s has a share, but no nonces it could be made with", it.Request)
	}
	sums := make([][]byte, len(it.parts))
	shares := make([]*frost.SignatureShare, len(it.signers))
	for i, p := range it.parts {
		for j, region := range it.signers {
			shares[j] = b.replies[region].shares[it][i]
		}
		var err error
		if sums[i], err = p.key.Aggregate(p.message, p.commitments, shares); err != nil {
			return err
		}
	}
	it.sums = sums
	return nil
}

// convict takes back the answers of the regions that a failed sum blames; without any,
// those of all signers.
func (b *bundle) convict(it *item, fault error) {
	guilty := frost.Culprits(fault)
	b.cfg.Logger.Error("shares do not make a signature", slog.String("request", it.Request.String()),
		slog.Int("attempt", int(it.Attempt)), slog.Any("culprits", guilty), slog.Any("error", fault))
	for i, region := range it.signers {
		r := b.replies[region]
		switch {
		case slices.Contains(guilty, uint8(region)):
			r.answer, r.err = nil, b.blame(region, "its share does not verify")
			it.results[i].Signatures = nil
		case len(guilty) == 0:
			r.answer = nil
		}
	}
}

// checkShares is what a witness does with the shares of one region: each must verify by
// itself. What does not is no good answer.
func (b *bundle) checkShares(r *reply) {
	for it, shares := range r.shares {
		for i, s := range shares {
			if it.parts == nil || it.parts[i].key.CheckShare(it.parts[i].message, it.parts[i].commitments, s) != nil {
				b.cfg.Logger.Error("share does not verify", slog.Int("region", int(r.region)), slog.String("request", it.Request.String()))
				delete(r.good, it)
				break
			}
		}
	}
}
