package rpc

import (
	"context"
	"slices"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// thresholdCurves are the curves that threshold keys are on.
var thresholdCurves = []command.Curve{command.Secp256k1, command.Ed25519}

// show shows a request, and of a threshold key the signatures its parts add up to. Parts
// that do not are shown alone: the caller, who verifies signatures, misses them.
func (v *vaultService) show(r *fsm.Request, payload bool) *tetradv1.Request {
	out := showRequest(r, payload)
	rooms := v.server.rooms.Load()
	if rooms == nil || rooms.Signatures == nil || r.State != fsm.RequestComplete || !ofThreshold(r) {
		return out
	}
	sigs, err := rooms.Signatures(r)
	if err != nil {
		v.server.log.Error("the parts of a signature do not add up", "request", r.ID, "error", err)
		return out
	}
	out.Signatures = sigs
	return out
}

// ofThreshold reports whether a request is one of a threshold key.
func ofThreshold(r *fsm.Request) bool {
	return slices.ContainsFunc(r.Attempts, func(a fsm.Attempt) bool { return a.Epoch != 0 })
}

func showThreshold(out *tetradv1.Key, view View, k *fsm.Key) {
	if len(k.Point) >= 32 {
		out.PublicKey, out.Point, out.ChainCode = k.Point[len(k.Point)-32:], k.Point, k.Chain[:]
	}
	out.Sharing, out.Retiring, out.Addresses = showSharing(k.Sharing), showSharing(k.Retiring), k.Issued
	out.SinceIndex = k.Since
	awaited, why := view.Unrefreshed(k)
	if out.RefreshAwaited = awaited; why != nil {
		out.RefreshHindrance = why.Error()
	}
	out.Asset, out.SelfIssued = tetradv1.Asset(k.Asset), k.Given.Self
	for _, b := range k.Branches() {
		out.Branches = append(out.Branches, &tetradv1.Branch{Path: b.Path, Next: b.Next})
	}
	if f := k.Fallback; f != nil {
		out.Fallback = &tetradv1.Fallback{Signers: uint32(f.Signers), PublicKeys: f.PublicKeys}
	}
	if c := k.Ceremony; c != nil {
		out.Ceremony = showCeremony(view, c)
	}
	for _, e := range k.Escrows {
		out.Escrows = append(out.Escrows, showEscrow(e))
	}
}

// showSharing leaves the sealed shares out.
func showSharing(s *fsm.Sharing) *tetradv1.Sharing {
	if s == nil {
		return nil
	}
	out := &tetradv1.Sharing{Epoch: s.Epoch, WrapEpoch: s.Wrap, Threshold: uint32(s.Threshold), Transcript: s.Transcript[:], Public: s.Public}
	for i := range s.Shares {
		out.Holders = append(out.Holders, uint32(s.Shares[i].Region))
	}
	return out
}

func showCeremony(view View, c *fsm.Ceremony) *tetradv1.Ceremony {
	wrap, _ := view.Wrap(c.Wrap)
	out := &tetradv1.Ceremony{Epoch: c.ID.Epoch, Try: uint32(c.ID.Try), Step: tetradv1.CeremonyStep(c.Step), Deadline: showTime(c.Deadline),
		WrapEpoch: c.Wrap, Threshold: uint32(c.Threshold), Dealers: showRegions(c.Dealers), Holders: showRegions(c.Holders),
		Missing: showRegions(c.Missing(wrap)), Suspects: showRegions(c.Suspects()), Author: hide(c.Author, c.Author[:])}
	for i := range c.Faults {
		f := &c.Faults[i]
		out.Faults = append(out.Faults, &tetradv1.CeremonyFault{Try: uint32(f.Try), Step: tetradv1.CeremonyStep(f.Step),
			Region: uint32(f.Region), By: showRegions(f.By), Note: f.Note})
	}
	return out
}

// ofVault returns the state to a principal of the vault.
func (v *vaultService) ofVault(ctx context.Context) (View, error) {
	view, p, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	if !view.MayRead(p.ID, "") {
		return nil, errs.New(errs.Denied, "principal %s is not one of the vault", p.ID.Short())
	}
	return view, nil
}

// ListWraps shows the epochs of wrapping keys.
func (v *vaultService) ListWraps(ctx context.Context, in *tetradv1.ListWrapsRequest) (*tetradv1.ListWrapsResponse, error) {
	view, err := v.ofVault(ctx)
	if err != nil {
		return nil, err
	}
	out := &tetradv1.ListWrapsResponse{}
	for _, w := range view.Wraps() {
		row := &tetradv1.WrapEpoch{Epoch: w.Epoch, Live: w.Live, DoomedIndex: w.Doomed, Dropped: showRegions(w.Dropped)}
		for i := range w.Keys {
			k := &w.Keys[i]
			row.Regions = append(row.Regions, uint32(k.Region))
			if in.Keys {
				row.Keys = append(row.Keys, &tetradv1.WrapKey{Region: uint32(k.Region), Public: k.Public, Sealed: k.Sealed, Attributes: k.Attributes, Identity: k.Identity})
			}
		}
		out.Wraps = append(out.Wraps, row)
	}
	return out, nil
}

// ListNonces shows a pool for each region and curve, empty ones too.
func (v *vaultService) ListNonces(ctx context.Context, _ *tetradv1.ListNoncesRequest) (*tetradv1.ListNoncesResponse, error) {
	view, err := v.ofVault(ctx)
	if err != nil {
		return nil, err
	}
	out := &tetradv1.ListNoncesResponse{}
	for _, r := range view.Regions() {
		for _, c := range thresholdCurves {
			out.Pools = append(out.Pools, showPool(view, r.ID, c))
		}
	}
	return out, nil
}

func showPool(view View, r identity.RegionID, c command.Curve) *tetradv1.NoncePool {
	out := &tetradv1.NoncePool{Region: uint32(r), Curve: tetradv1.Curve(c), Most: fsm.MaxPool}
	if p, ok := view.NoncePool(r, c); ok {
		out.Left, out.Offered, out.Session = uint32(p.Count()), p.Offered, hide(p.Session, p.Session[:])
	}
	return out
}

// showSchedule shows when threshold keys are refreshed by themselves, nil if they are not.
func showSchedule(view View) *tetradv1.RefreshSchedule {
	s, ok := view.Schedule()
	if !ok {
		return nil
	}
	out := &tetradv1.RefreshSchedule{Since: showTime(s.Since), Index: s.Index, Asked: s.Asked, Due: showTime(s.Due), WrapEpoch: s.Wrap,
		Retries: uint32(s.Retries), Lagging: s.Lagging}
	if !s.Retry.IsZero() {
		out.Retry = showTime(s.Retry)
	}
	if !s.Last.IsZero() {
		out.Last = showTime(s.Last)
	}
	_, out.Running = view.Refreshing()
	return out
}
