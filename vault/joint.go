package vault

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// joint is the leader's part of an item whose regions sign together.
type joint struct {
	spends []intent.Spend
	parts  []part            // nil if a commitment is none
	bad    identity.RegionID // that offered it; 0 for nobody
	sums   [][]byte          // the signatures, verified, one a message
}

// plan puts together what the drawn regions of a threshold key sign, with their nonces.
// Whose commitment is none is remembered. Adding shares up takes none of that; finding who
// is to blame does.
func (c *coordinator) plan(it *item) {
	if !it.ground.threshold() || it.parts != nil || it.bad != 0 {
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
// shares add up to signatures that verify. Where one share is wrong, nothing else of that
// answer is taken with it, as no other answer with a wrong signature is: its region is left
// out of the next attempts on another region's word. Their nonces are spent, whoever is to
// blame.
func (b *bundle) combine(full []*item) {
	faults := make([]error, len(full))
	parallel(len(full), func(i int) {
		if full[i].ground.threshold() {
			faults[i] = b.add(full[i])
		}
	})
	var guilty []uint8
	for i, it := range full {
		if faults[i] != nil {
			guilty = append(guilty, b.convict(it, faults[i])...)
		}
	}
	for i, it := range full {
		it.done = faults[i] == nil
		for j, region := range it.signers {
			if slices.Contains(guilty, uint8(region)) {
				it.done, it.results[j].Signatures = false, nil
			}
		}
	}
}

// add adds up an item's shares and verifies what comes out. Only when that fails it looks
// for whom to blame.
func (b *bundle) add(it *item) error {
	sums := make([][]byte, len(it.spends))
	for i := range it.spends {
		shares := make([]*frost.SignatureShare, len(it.signers))
		for j, region := range it.signers {
			shares[j] = b.replies[region].shares[it][i]
		}
		key, err := b.keys.child(it.ground.key, it.ground.sharing, &it.spends[i])
		if err != nil {
			return err
		}
		if sums[i], err = frost.Join(shares); err == nil {
			err = key.Verify(it.spends[i].Message, sums[i])
		}
		if err != nil && liar.Defends(liar.Answers) {
			return b.culprits(it, i, shares)
		}
	}
	it.sums = sums
	return nil
}

// culprits says whose shares spoil a signature.
func (b *bundle) culprits(it *item, i int, shares []*frost.SignatureShare) error {
	if b.plan(it); it.parts == nil {
		return errs.New(errs.Unverified, "request %s has shares, but no nonces they could be made with", it.Request)
	}
	p := it.parts[i]
	if _, err := p.key.Aggregate(p.message, p.commitments, shares); err != nil {
		return err
	}
	return errs.New(errs.Internal, "request %s: its shares make a signature after all", it.Request)
}

// unread takes back the answers of regions whose commitments are none: the other regions
// drawn could not sign beside them, and said so without giving a ground.
func (b *bundle) unread() {
	for _, it := range b.items {
		if it.done {
			continue
		}
		if b.plan(it); it.bad == 0 || it.bad == b.cfg.Region {
			continue
		}
		if r := b.replies[it.bad]; r != nil && r.err == nil {
			r.err = b.blame(it.bad, "it offered a nonce commitment that is none")
		}
	}
}

// convict makes the answers of those bad whom a failed sum blames, and returns them.
func (b *bundle) convict(it *item, fault error) []uint8 {
	guilty := frost.Culprits(fault)
	b.cfg.Logger.Error("shares do not make a signature", slog.String("request", it.Request.String()),
		slog.Int("attempt", int(it.Attempt)), slog.Any("culprits", guilty), slog.Any("error", fault))
	for _, region := range guilty {
		if r := b.replies[identity.RegionID(region)]; r != nil && r.err == nil {
			r.err, r.wrong = b.blame(r.region, "its share does not verify"), r.answer
		}
	}
	return guilty
}

// checkShares is what a witness does with the shares of one region: each must verify by
// itself. An answer with one that does not is no good answer at all; one that nobody can
// check, since a commitment is none, is not wrong for that.
func (b *bundle) checkShares(r *reply) {
	for it, shares := range r.shares {
		for i, s := range shares {
			if it.parts == nil {
				clear(r.good)
			} else if it.parts[i].key.CheckShare(it.parts[i].message, it.parts[i].commitments, s) != nil {
				b.cfg.Logger.Error("share does not verify", slog.Int("region", int(r.region)), slog.String("request", it.Request.String()))
				r.spoil()
				return
			}
		}
	}
}
