package rpc

import (
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/version"
)

// bareStatus is what anyone may know.
func (s *Server) bareStatus() *tetradv1.StatusResponse {
	out := &tetradv1.StatusResponse{Region: uint32(s.cfg.Region), Version: version.Version,
		State: tetradv1.NodeState_NODE_STATE_READY}
	_, err := s.attached()
	if err == nil {
		err = s.cfg.Node.Ready()
	}
	if err != nil {
		out.State, out.Reason = tetradv1.NodeState_NODE_STATE_NOT_READY, plainFault(err)
		if errs.CodeOf(err) == errs.Sealed {
			out.State = tetradv1.NodeState_NODE_STATE_SEALED
		}
	}
	return out
}

func (s *Server) fillNode(out *tetradv1.StatusResponse, r Report) {
	out.RegionName, out.Started = r.RegionName, showTime(r.Started)
	out.Hsm, out.HsmError, out.StoreError = r.HSM, r.HSMError, r.StoreError
	if c := s.cfg.Session; c != nil {
		out.ServerId, out.Boot = c.ServerID, c.Boot[:]
	}
}

func (s *Server) fillState(out *tetradv1.StatusResponse, rooms *Rooms, view View, seen map[identity.RegionID]string) {
	cluster, lineage, meta, frontier := view.Cluster(), view.Lineage(), view.Meta(), view.Frontier()
	out.ClusterId, out.ClusterName, out.Lineage = cluster[:], view.ClusterName(), lineage[:]
	out.Term, out.AppliedIndex, out.Chain, out.Clock = meta.Term, meta.Index, meta.Chain[:], showTime(view.Clock())
	root := frontier.Root()
	out.AuditSize, out.AuditRoot, out.AuditStored = frontier.Size(), root[:], rooms.Leaves.Size()
	out.OpenRequests = uint64(len(view.OpenRequests()))
	if leader, ok := rooms.Leader.Leader(); ok {
		out.Leader, out.Leading = uint32(leader), leader == s.cfg.Region
		if r, ok := view.Region(leader); ok {
			out.LeaderAddr = r.APIAddr
		}
	}
	if reason, by, ok := view.Frozen(); ok {
		out.Frozen, out.FrozenReason, out.FrozenBy = true, reason, by[:]
	}
	for _, k := range view.FrozenPaths() {
		out.FrozenPaths += uint32(len(k.FrozenPaths))
	}
	out.Level, out.Knows = view.Level(), command.Level
	set := view.Settings()
	out.Settings = &tetradv1.Settings{MaxSkewMs: uint64(set.MaxSkew.Milliseconds()),
		RequestMaxAgeMs: uint64(set.RequestMaxAge.Milliseconds()), MaxOpen: set.MaxOpen, EscrowDelayMs: uint64(set.EscrowDelay.Milliseconds()),
		RefreshEveryMs: uint64(set.RefreshEvery.Milliseconds()), Import: set.Import}
	out.Refresh = showSchedule(view)
	if wraps := view.Wraps(); len(wraps) > 0 {
		out.WrapEpoch = wraps[len(wraps)-1].Epoch
	}
	for _, r := range view.Regions() {
		shown := showRegion(r, seen[r.ID])
		shown.Muted = view.Muted(r.ID)
		out.Regions = append(out.Regions, shown)
	}
	fillBrakes(out, rooms)
}
