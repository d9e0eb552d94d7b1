package rpc

import (
	"context"
	"crypto/sha256"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

// here lists the methods of the Vault service that the node that was asked answers
// itself, whoever leads and ready or not: what a region does and knows alone.
var here = map[string]bool{
	tetradv1.Vault_Acknowledge_FullMethodName: true, tetradv1.Vault_StopHere_FullMethodName: true,
	tetradv1.Vault_Brake_FullMethodName: true, tetradv1.Vault_ClockWord_FullMethodName: true,
	tetradv1.Vault_ListEvidence_FullMethodName: true, tetradv1.Vault_GetEvidence_FullMethodName: true,
	tetradv1.Vault_RepairHere_FullMethodName: true, tetradv1.Vault_Roll_FullMethodName: true,
}

// guardHere wants a principal that this node's own state knows, on its own connection:
// a region that forwards could stop another one in the name of anybody. One that was
// removed may still ask what became of its own commands: the last may have removed it.
func (s *Server) guardHere(method string, c caller) (route, error) {
	if c.region != 0 || c.forwarded {
		return route{}, errs.New(errs.Denied, "a region cannot ask this for a principal")
	}
	rooms, err := s.attached()
	if err != nil {
		return route{}, err
	}
	view := rooms.Reader.Local()
	if _, err := principal(view, c.principal); err != nil {
		if _, known := view.Principal(c.principal); !known || method != tetradv1.Vault_Acknowledge_FullMethodName {
			return route{}, err
		}
	}
	return route{caller: c}, nil
}

// local returns the rooms and the caller's principal; operating wants one that may pull
// brakes, otherwise any principal of the vault will do.
func (v *vaultService) local(ctx context.Context, operating bool) (*Rooms, *fsm.Principal, error) {
	rooms, err := v.server.attached()
	if err != nil {
		return nil, nil, err
	}
	p, err := principal(rooms.Reader.Local(), callerOf(ctx).principal)
	if err != nil {
		return nil, nil, err
	}
	if p.Tenant != "" || operating && p.Roles&(command.RoleAdmin|command.RoleOperator) == 0 {
		return nil, nil, errs.New(errs.Denied, "principal %s may not do this at a region", p.ID.Short())
	}
	return rooms, p, nil
}

// StopHere stops this region.
func (v *vaultService) StopHere(ctx context.Context, req *tetradv1.StopHereRequest) (*tetradv1.StopHereResponse, error) {
	rooms, p, err := v.local(ctx, true)
	if err != nil {
		return nil, err
	}
	if rooms.Brakes == nil {
		return nil, errs.New(errs.NotReady, "region %d is starting", v.server.cfg.Region)
	}
	s, err := rooms.Brakes.StopHere(ctx, p.ID, req.Reason)
	if s == nil {
		return nil, err
	}
	out := &tetradv1.StopHereResponse{Stop: showStop(s)}
	if err != nil {
		out.Fault = showFault(err)
	}
	return out, nil
}

func showStop(s *vault.Stop) *tetradv1.LocalStop {
	if s == nil {
		return nil
	}
	return &tetradv1.LocalStop{Id: s.ID[:], By: s.By[:], Reason: s.Reason, At: showTime(s.At)}
}

// Brake has this region freeze.
func (v *vaultService) Brake(ctx context.Context, req *tetradv1.BrakeRequest) (*tetradv1.BrakeResponse, error) {
	rooms, _, err := v.local(ctx, true)
	if err != nil {
		return nil, err
	}
	var key command.KeyID
	if err := id(key[:], req.KeyId, "key_id", true); err != nil {
		return nil, err
	}
	if err := command.CheckText("reason", req.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	if _, err := command.DecodePath(command.EncodePath(req.Path)); err != nil {
		return nil, err
	}
	if rooms.Brakes == nil {
		return nil, errs.New(errs.NotReady, "region %d is starting", v.server.cfg.Region)
	}
	c, o, err := rooms.Brakes.Brake(ctx, key, req.Reason, req.Path...)
	if err != nil {
		return nil, err
	}
	return &tetradv1.BrakeResponse{Command: c.Encode(), Outcome: showOutcome(o)}, nil
}

// ClockWord gives this region's word on the committed clock.
func (v *vaultService) ClockWord(ctx context.Context, _ *tetradv1.ClockWordRequest) (*tetradv1.ClockWordResponse, error) {
	rooms, _, err := v.local(ctx, true)
	if err != nil {
		return nil, err
	}
	if rooms.Brakes == nil {
		return nil, errs.New(errs.NotReady, "region %d is starting", v.server.cfg.Region)
	}
	w, err := rooms.Brakes.ClockWord(ctx)
	return &tetradv1.ClockWordResponse{Word: w}, err
}

// RepairHere hands a signed repair to this region.
func (v *vaultService) RepairHere(ctx context.Context, req *tetradv1.RepairHereRequest) (*tetradv1.RepairHereResponse, error) {
	rooms, _, err := v.local(ctx, true)
	if err != nil {
		return nil, err
	}
	c, err := decode(ctx, req.Command)
	if err != nil {
		return nil, err
	}
	if rooms.Brakes == nil {
		return nil, errs.New(errs.NotReady, "region %d is starting", v.server.cfg.Region)
	}
	return &tetradv1.RepairHereResponse{}, rooms.Brakes.RepairHere(ctx, c)
}

func (v *vaultService) evidence(ctx context.Context) ([]*chain.Evidence, error) {
	rooms, _, err := v.local(ctx, false)
	if err != nil || rooms.Proofs == nil {
		return nil, err
	}
	all := rooms.Proofs.Evidence()
	return all[:min(len(all), evidenceMax)], nil
}

// ListEvidence lists what this region keeps.
func (v *vaultService) ListEvidence(ctx context.Context, _ *tetradv1.ListEvidenceRequest) (*tetradv1.ListEvidenceResponse, error) {
	all, err := v.evidence(ctx)
	if err != nil || len(all) == 0 {
		return &tetradv1.ListEvidenceResponse{}, err
	}
	rooms, err := v.server.attached()
	if err != nil {
		return nil, err
	}
	view, out := rooms.Reader.Local(), &tetradv1.ListEvidenceResponse{}
	for _, e := range all {
		b := e.Encode()
		h := sha256.Sum256(b)
		out.Evidence = append(out.Evidence, &tetradv1.EvidenceSummary{Hash: h[:], Kind: e.Kind.String(), Accused: uint32(e.Accused),
			Accuser: uint32(e.Accuser.Region), Noticed: showTime(e.Noticed), Size: uint64(len(b)),
			Servers: e.AccusedServers(), Replaced: replaced(view, e)})
	}
	return out, nil
}

// replaced reports whether evidence is about a server, or an identity, that its region no
// longer has.
func replaced(view View, e *chain.Evidence) bool {
	r, ok := view.Region(e.Accused)
	servers := e.AccusedServers()
	if !ok || len(servers) == 0 {
		return false
	}
	former := func(c *identity.SessionCert) bool {
		return c.Region == r.ID && len(r.Former) > 0 && c.Verify(c.Cluster, r.Identity) != nil
	}
	return !slices.Contains(servers, r.ServerID) || slices.ContainsFunc(e.Sessions, former)
}

// GetEvidence sends a part of one file.
func (v *vaultService) GetEvidence(ctx context.Context, req *tetradv1.GetEvidenceRequest) (*tetradv1.GetEvidenceResponse, error) {
	var hash [32]byte
	if err := id(hash[:], req.Hash, "hash", false); err != nil {
		return nil, err
	}
	all, err := v.evidence(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		b := e.Encode()
		if sha256.Sum256(b) != hash {
			continue
		}
		from := min(req.Offset, uint64(len(b)))
		to := min(from+evidencePart, uint64(len(b)))
		return &tetradv1.GetEvidenceResponse{Part: b[from:to], Size: uint64(len(b))}, nil
	}
	return nil, errs.New(errs.NotFound, "region %d keeps no such evidence", v.server.cfg.Region)
}

// fillBrakes adds to Status what this region does and knows alone.
func fillBrakes(out *tetradv1.StatusResponse, rooms *Rooms) {
	if rooms.Brakes != nil {
		out.LocalStop, out.Idle = showStop(rooms.Brakes.Stopped()), durationpb.New(rooms.Brakes.Idle())
	}
	if rooms.Proofs == nil {
		return
	}
	view := rooms.Reader.Local()
	for _, e := range rooms.Proofs.Evidence() {
		countEvidence(out, uint32(e.Accused), e.Kind.String(), replaced(view, e))
	}
}

func countEvidence(out *tetradv1.StatusResponse, accused uint32, kind string, replaced bool) {
	for _, c := range out.Evidence {
		if c.Region == accused && c.Kind == kind && c.Replaced == replaced {
			c.Count++
			return
		}
	}
	out.Evidence = append(out.Evidence, &tetradv1.EvidenceCount{Region: accused, Kind: kind, Count: 1, Replaced: replaced})
}
