package vault

import (
	"context"
	"errors"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

func byScheme(tasks []*task) (multisig, threshold []*task) {
	for _, t := range tasks {
		if t.ground.threshold() {
			threshold = append(threshold, t)
		} else {
			multisig = append(multisig, t)
		}
	}
	return multisig, threshold
}

// prepareParts rebuilds what an item's drawn regions sign together. A commitment of
// another region that is none is not this region's fault: it refuses without giving a
// ground for leaving it out, and who leads sees whose fault it is.
func (s *cosigner) prepareParts(t *task) {
	messages, spends, err := t.ground.messages()
	if err != nil {
		s.fault(t, err)
		return
	}
	parts, err := s.keys.parts(t.ground, spends, t.signers, s.nonces)
	var bad *unreadable
	switch {
	case errors.As(err, &bad) && bad.region != s.cfg.Region:
		t.refusal = errs.Wrap(errs.NotReady, err, "region %d cannot sign beside region %d", s.cfg.Region, bad.region)
	case err != nil:
		s.fault(t, err)
	default:
		t.messages, t.parts = messages, parts
	}
}

// withShares makes this region's shares of the signatures of threshold keys. The HSM has
// no part in it, save that it opens a share that is not open yet.
func (s *cosigner) withShares(ctx context.Context, tasks []*task) {
	parallel(len(tasks), func(i int) {
		if err := s.signShares(ctx, tasks[i]); err != nil {
			s.fault(tasks[i], err)
		}
	})
}

// signShares signs all parts of an item, unless it is refused now. The permit is asked
// before the first nonce is used: from there on all are used, whatever comes between, and
// the answer is judged once more before it leaves. A nonce that is not here, because this
// region started anew, is a fault of this region.
func (s *cosigner) signShares(ctx context.Context, t *task) error {
	key := t.ground.key
	share, err := s.open(ctx, t)
	switch {
	case errs.CodeOf(err) == errs.Stale: // its time ran out just now, for every region
		t.refusal = errs.Wrap(errs.Stale, err, "attempt %d of request %s", t.item.Attempt, t.item.Request)
		return nil
	case err != nil:
		return err
	}
	defer share.Wipe()
	if s.allowed(ctx, t); t.refusal != nil {
		return nil
	}
	signatures, faults := make([][]byte, len(t.parts)), make([]error, len(t.parts))
	parallel(len(t.parts), func(i int) {
		signatures[i], faults[i] = s.nonces.sign(key.Curve, share, &t.parts[i])
	})
	if err := errors.Join(faults...); err != nil {
		return err
	}
	s.stats.shares.Add(uint64(len(signatures)))
	t.slot.Signatures = signatures
	return nil
}

// open returns this region's share in the sharing of the item's attempt, the caller's to
// wipe. What fails there is the HSM's, which has its own time for it.
func (s *cosigner) open(ctx context.Context, t *task) (*frost.Share, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timing.HSM)
	defer cancel()
	share, _, err := s.shares.get(ctx, t.ground.key, t.ground.attempt.Epoch)
	switch errs.CodeOf(err) {
	case errs.Canceled, errs.DeadlineExceeded:
		return nil, errs.Wrap(errs.HSMTimeout, err, "the share of key %s was not opened in time", t.ground.key.ID)
	}
	if err != nil && errs.CodeOf(err) != errs.Stale {
		s.ailing()
	}
	return share, err
}
