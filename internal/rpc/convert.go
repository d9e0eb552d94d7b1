package rpc

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func showTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// hide leaves a zero hash or id out.
func hide[A comparable](a A, b []byte) []byte {
	var zero A
	if a == zero {
		return nil
	}
	return b
}

func showRegions(in []identity.RegionID) []uint32 {
	out := make([]uint32, len(in))
	for i, r := range in {
		out[i] = uint32(r)
	}
	return out
}

func showOutcome(o fsm.Outcome) *tetradv1.Outcome {
	return &tetradv1.Outcome{Code: uint32(o.Code), CodeName: o.Code.String(), Text: o.Text, Index: o.Index,
		KeyId: hide(o.Key, o.Key[:]), RequestId: hide(o.Request, o.Request[:]), Next: o.Next}
}

func readOutcome(o *tetradv1.Outcome) (fsm.Outcome, error) {
	out := fsm.Outcome{Code: errs.Code(o.GetCode()), Text: o.GetText(), Index: o.GetIndex(), Next: o.GetNext()}
	if o == nil || o.Code == 0 || o.Code > 1<<16-1 {
		return out, errs.New(errs.Malformed, "outcome without a code")
	}
	copy(out.Key[:], o.KeyId)
	copy(out.Request[:], o.RequestId)
	return out, nil
}

func showFault(err error) *tetradv1.Fault {
	e, code := plainFault(err), errs.CodeOf(err)
	return &tetradv1.Fault{Code: uint32(code), CodeName: code.String(), Text: e, Hint: errs.HintOf(err)}
}

// readFault is the error a fault shows.
func readFault(f *tetradv1.Fault) error {
	return &errs.Error{Code: errs.Code(f.Code), Msg: f.Text, Hint: f.Hint}
}

// showRequest shows a row; the payload only when asked for.
func showRequest(r *fsm.Request, payload bool) *tetradv1.Request {
	out := &tetradv1.Request{
		Id: r.ID[:], CommandId: r.Command[:], ContentHash: r.Hash[:], Author: r.Author[:], Tenant: r.Tenant,
		KeyId: r.Key[:], KeyVersion: r.KeyVersion, Kind: tetradv1.Kind(r.Kind), Hash: tetradv1.Hash(r.HashAlg),
		Note: r.Note, Expiry: showTime(r.Expiry), State: tetradv1.RequestState(r.State),
		Value: hide(r.Value, r.Value[:]), OpenedIndex: r.Opened, ClosedIndex: r.Closed, Leaf: r.Leaf, Path: r.Path,
	}
	if payload {
		out.Payload = r.Payload
	}
	for i := range r.Attempts {
		a := &r.Attempts[i]
		out.Attempts = append(out.Attempts, &tetradv1.Attempt{Number: uint32(a.Number), Index: a.Meta.Index,
			Term: a.Meta.Term, Chain: a.Meta.Chain[:], Stamp: showTime(a.Stamp), Eligible: showRegions(a.Eligible), SharingEpoch: a.Epoch})
	}
	for _, s := range r.Results {
		out.Results = append(out.Results, &tetradv1.SignatureSet{Region: uint32(s.Region), Signatures: s.Signatures})
	}
	return out
}

func showKey(view View, k *fsm.Key) *tetradv1.Key {
	out := &tetradv1.Key{
		Id: k.ID[:], Name: k.Name, Tenant: k.Tenant, Scheme: tetradv1.Scheme(k.Scheme), Curve: tetradv1.Curve(k.Curve),
		Signers: uint32(k.Signers), AllowBlind: k.AllowBlind, Note: k.Note, State: tetradv1.KeyState(k.State),
		Version: k.Version, CreatedIndex: k.Created, Created: showTime(k.Stamp), Regions: showRegions(k.Regions),
		Author: hide(k.Author, k.Author[:]), FrozenBy: hide(k.FrozenBy, k.FrozenBy[:]), Reason: k.Reason, Outside: k.Outside,
	}
	for i := range k.Attestations {
		a := &k.Attestations[i]
		out.Attestations = append(out.Attestations, &tetradv1.Attestation{Region: uint32(a.Region), PublicKey: a.PublicKey,
			Possession: a.Possession, Attributes: a.Attributes, Identity: a.Identity, Confirmed: a.Confirmed, Lost: a.Lost})
	}
	if k.Scheme.Shared() {
		showThreshold(out, view, k)
	}
	for i := range k.FrozenPaths {
		f := &k.FrozenPaths[i]
		out.FrozenPaths = append(out.FrozenPaths, &tetradv1.FrozenPath{Path: f.Path, By: f.By[:], Reason: f.Reason})
	}
	if k.Limit != nil {
		out.Limit = showLimit(k.Limit, view.Clock())
	}
	return out
}

func showLimit(l *fsm.Limit, now time.Time) *tetradv1.KeyLimit {
	out := &tetradv1.KeyLimit{Requests: l.Requests, Window: durationpb.New(l.Window), Used: l.Used(now)}
	if room := l.Room(now); room.After(now) {
		out.Room = timestamppb.New(room)
	}
	return out
}

var roleNames = [...]string{"admin", "operator", "signer", "approver", "auditor"}

func showPrincipal(p *fsm.Principal) *tetradv1.Principal {
	out := &tetradv1.Principal{Id: p.ID[:], Name: p.Name, Tenant: p.Tenant, PublicKey: p.Key.Encode(),
		Algorithm: p.Key.Alg.String(), Roles: uint32(p.Roles), Removed: p.Removed}
	for i, n := range roleNames {
		if p.Roles&(command.Role(1)<<i) != 0 {
			out.RoleNames = append(out.RoleNames, n)
		}
	}
	return out
}

func showRegion(r *fsm.Region, seen string) *tetradv1.Region {
	out := &tetradv1.Region{
		Id: uint32(r.ID), Name: r.Name, ServerId: r.ServerID, Identity: r.Identity.Encode(), RaftAddr: r.RaftAddr,
		ApiAddr: r.APIAddr, GossipAddr: r.GossipAddr, Hsm: r.HSM, Status: "active", Healthy: r.Healthy, Since: r.Since, Seen: seen, Level: r.Level,
	}
	if r.Status != fsm.RegionActive {
		out.Status = "quarantined"
	}
	for _, c := range r.Curves {
		out.Curves = append(out.Curves, tetradv1.Curve(c))
	}
	for i := range r.Former {
		fp := r.Former[i].Identity.Fingerprint()
		out.Former = append(out.Former, fp[:])
	}
	if len(r.Sessions) > 0 {
		fp := r.Sessions[0].Session.Fingerprint()
		out.Session, out.Boot = fp[:], r.Sessions[0].Boot[:]
	}
	return out
}
