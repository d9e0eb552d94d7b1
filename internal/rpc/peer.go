package rpc

import (
	"context"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// peerService serves regions. The guard has checked that the caller is a member; each
// handler judges for itself whether this node is far enough to answer.
type peerService struct {
	tetradv1.UnimplementedPeerServer
	server *Server
}

// Propose proposes another region's command here, if this node leads.
func (p *peerService) Propose(ctx context.Context, req *tetradv1.ProposeRequest) (*tetradv1.ProposeResponse, error) {
	rooms, err := p.server.attached()
	if err != nil {
		return nil, err
	}
	if leader, ok := rooms.Leader.Leader(); !ok {
		return nil, errs.New(errs.NoLeader, "no region leads now")
	} else if leader != p.server.cfg.Region {
		return nil, errs.New(errs.NotLeader, "region %d does not lead; it believes region %d does", p.server.cfg.Region, leader)
	}
	c, err := command.Decode(req.Command)
	if err != nil {
		return nil, err
	}
	o, err := rooms.Vault.Submit(ctx, c)
	if err != nil {
		return nil, err
	}
	return &tetradv1.ProposeResponse{Outcome: showOutcome(o)}, nil
}

// CoSign answers the leader's question.
func (p *peerService) CoSign(ctx context.Context, req *tetradv1.CoSignRequest) (*tetradv1.CoSignResponse, error) {
	rooms, err := p.server.attached()
	if err != nil {
		return nil, err
	}
	b, err := rooms.Cosigner.HandleCoSign(ctx, callerOf(ctx).region, req.Question)
	if err != nil {
		return nil, err
	}
	return &tetradv1.CoSignResponse{Answer: b}, nil
}

// Partial gives this region's beacon partial of an entry.
func (p *peerService) Partial(ctx context.Context, req *tetradv1.PartialRequest) (*tetradv1.PartialResponse, error) {
	rooms, err := p.server.attached()
	if err != nil {
		return nil, err
	}
	meta := command.Meta{Term: req.Term, Index: req.Index}
	if err := id(meta.Chain[:], req.Chain, "chain", false); err != nil {
		return nil, err
	}
	b, err := rooms.Cosigner.HandlePartial(ctx, callerOf(ctx).region, meta)
	if err != nil {
		return nil, err
	}
	return &tetradv1.PartialResponse{Partial: b}, nil
}

// Word gives this region's word.
func (p *peerService) Word(ctx context.Context, req *tetradv1.WordRequest) (*tetradv1.WordResponse, error) {
	rooms, err := p.server.attached()
	if err != nil {
		return nil, err
	}
	b, err := rooms.Cosigner.HandleWord(ctx, callerOf(ctx).region, req.Ask)
	if err != nil {
		return nil, err
	}
	return &tetradv1.WordResponse{Word: b}, nil
}

// Leaves gives a page of stored leaves.
func (p *peerService) Leaves(ctx context.Context, req *tetradv1.LeavesRequest) (*tetradv1.LeavesResponse, error) {
	rooms, err := p.server.attached()
	if err != nil {
		return nil, err
	}
	out := &tetradv1.LeavesResponse{Size: rooms.Leaves.Size()}
	if req.From >= out.Size {
		return out, nil
	}
	n := int(min(uint64(req.Max), leavesPageMax, out.Size-req.From))
	out.Leaves, err = encodeLeaves(ctx, rooms.Leaves, req.From, n)
	return out, err
}

// Checkpoint signs this region's own tree at a size, once its store has that many.
func (p *peerService) Checkpoint(ctx context.Context, req *tetradv1.CheckpointRequest) (*tetradv1.CheckpointResponse, error) {
	rooms, err := p.server.attached()
	if err != nil {
		return nil, err
	}
	for {
		wake := p.server.hub.next()
		if rooms.Leaves.Size() >= req.Size {
			break
		}
		select {
		case <-ctx.Done():
			return nil, errs.New(errs.NotReady, "region %d has not stored %d leaves yet", p.server.cfg.Region, req.Size)
		case <-wake:
		}
	}
	cp, err := rooms.Leaves.Checkpoint(ctx, req.Size)
	if err != nil {
		return nil, err
	}
	return &tetradv1.CheckpointResponse{Checkpoint: cp.Encode()}, nil
}
