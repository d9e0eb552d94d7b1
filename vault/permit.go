package vault

import (
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// ground is what a signature rests on in one view of the committed state.
type ground struct {
	req     *fsm.Request
	attempt *fsm.Attempt
	key     *fsm.Key
	sharing *fsm.Sharing // of a threshold key: whose shares sign
}

// permit judges whether an attempt may be signed by this view and this clock. Both
// sides use it: the leader not to ask in vain, the co-signer before and after its HSM.
func permit(view fsm.View, it Item, meta command.Meta, now time.Time) (ground, *errs.Error) {
	if _, _, frozen := view.Frozen(); frozen {
		return ground{}, errs.New(errs.Frozen, "the vault is frozen").WithHint("two administrators can unfreeze it")
	}
	req, ok := view.Request(it.Request)
	if !ok {
		return ground{}, errs.New(errs.NotFound, "request %s is not in this region's state", it.Request)
	}
	if err := permitTime(view, req, now); err != nil {
		return ground{}, err
	}
	if !view.MaySign(req.Author, req.Tenant) {
		return ground{}, errs.New(errs.Denied, "request %s: its author %s may not sign any more", req.ID, req.Author.Short())
	}
	attempt := req.Open()
	if attempt == nil || attempt.Number != it.Attempt || attempt.Meta != meta {
		return ground{}, errs.New(errs.BadState, "request %s is %s: attempt %d of entry %d is not the open one",
			it.Request, req.State, it.Attempt, meta.Index)
	}
	if now.Before(attempt.Stamp.Add(-view.Settings().MaxSkew)) {
		return ground{}, errs.New(errs.Skewed, "request %s: its attempt is stamped %s ahead of this region's clock",
			it.Request, attempt.Stamp.Sub(now)).WithHint("check the clocks of all regions")
	}
	key, err := permitKey(view, req)
	if err != nil {
		return ground{req: req, attempt: attempt, key: key}, err
	}
	s, err := permitShares(view, key, attempt)
	return ground{req, attempt, key, s}, err
}

// permitShares returns the sharing that signs, nil for a multisig key. One that was
// replaced and has run out is every region's word: no other pair would sign either.
func permitShares(view fsm.View, key *fsm.Key, attempt *fsm.Attempt) (*fsm.Sharing, *errs.Error) {
	if key.Scheme != command.SchemeThreshold {
		return nil, nil
	}
	s := sharing(view, key, attempt.Epoch)
	if s == nil {
		return nil, errs.New(errs.Stale, "attempt %d was opened under sharing %d of key %s, which does not sign any more",
			attempt.Number, attempt.Epoch, key.ID).WithHint("send a new request with a new id")
	}
	return s, nil
}

// permitTime wants both clocks before the expiry: the committed one cannot be turned
// back, the own one cannot be held back by a leader that commits nothing.
func permitTime(view fsm.View, req *fsm.Request, now time.Time) *errs.Error {
	if req.State == fsm.RequestExpired || !now.Before(req.Expiry) || !view.Clock().Before(req.Expiry) {
		return errs.New(errs.Expired, "request %s expired at %s", req.ID, req.Expiry.Format(time.RFC3339))
	}
	if ahead := view.Clock().Sub(now); ahead > view.Settings().MaxSkew {
		return errs.New(errs.Skewed, "this region's clock is %s behind the committed one", ahead).
			WithHint("check this region's clock")
	}
	return nil
}

func permitKey(view fsm.View, req *fsm.Request) (*fsm.Key, *errs.Error) {
	key, ok := view.Key(req.Key)
	if !ok {
		return nil, errs.New(errs.NotFound, "key %s is not in this region's state", req.Key)
	}
	if frozen := key.FrozenFor(req); frozen != nil {
		return nil, frozen
	}
	if key.State != fsm.KeyActive || key.Version != req.KeyVersion {
		return nil, errs.New(errs.BadState, "key %s is %s in version %d, request %s is for version %d",
			key.ID, key.State, key.Version, req.ID, req.KeyVersion)
	}
	return key, nil
}

// signers returns the k regions drawn for an attempt, in drawn order.
func (g ground) signers(value [32]byte) []identity.RegionID {
	eligible := make([]uint8, len(g.attempt.Eligible))
	for i, r := range g.attempt.Eligible {
		eligible[i] = uint8(r)
	}
	order := draw.Permutation(value, g.req.ID, g.attempt.Number, eligible)
	out := make([]identity.RegionID, min(int(g.key.Signers), len(order)))
	for i := range out {
		out[i] = identity.RegionID(order[i])
	}
	return out
}

// messages rebuilds from the committed payload what each drawn region signs; of a
// threshold key, what they sign together, and under which of its children.
func (g ground) messages() ([][]byte, []intent.Spend, error) {
	q := g.req
	if !g.threshold() {
		m, err := intent.Messages(q.Kind, q.HashAlg, q.Payload, g.key.Info())
		return m, nil, err
	}
	spends, err := intent.Spends(q.Kind, q.HashAlg, q.Payload, q.Path, g.key.Info())
	if err != nil {
		return nil, nil, err
	}
	m := make([][]byte, len(spends))
	for i := range spends {
		m[i] = spends[i].Message
	}
	return m, spends, nil
}
