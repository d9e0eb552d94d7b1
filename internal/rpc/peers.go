package rpc

import (
	"context"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/api/coded"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Peers calls the Peer service of other regions. What comes back is unverified: the
// caller checks every signature and proof.
type Peers struct{ dialer Dialer }

// NewPeers calls over d.
func NewPeers(d Dialer) *Peers { return &Peers{d} }

func (p *Peers) call(ctx context.Context, region identity.RegionID, method string, req, reply any, changes bool) error {
	cc, err := p.dialer.Conn(region)
	if err != nil {
		return err
	}
	return coded.Invoke(ctx, cc, method, req, reply, changes)
}

// Propose brings a command to the region that leads.
func (p *Peers) Propose(ctx context.Context, leader identity.RegionID, c *command.Command) (fsm.Outcome, error) {
	reply := &tetradv1.ProposeResponse{}
	err := p.call(ctx, leader, tetradv1.Peer_Propose_FullMethodName, &tetradv1.ProposeRequest{Command: c.Encode()}, reply, true)
	if err != nil {
		return fsm.Outcome{}, err
	}
	return readOutcome(reply.Outcome)
}

// CoSign asks a drawn region for its answer.
func (p *Peers) CoSign(ctx context.Context, region identity.RegionID, question []byte) ([]byte, error) {
	reply := &tetradv1.CoSignResponse{}
	err := p.call(ctx, region, tetradv1.Peer_CoSign_FullMethodName, &tetradv1.CoSignRequest{Question: question}, reply, false)
	return reply.Answer, err
}

// Partial asks a region for its beacon partial of an entry.
func (p *Peers) Partial(ctx context.Context, region identity.RegionID, meta command.Meta) ([]byte, error) {
	reply := &tetradv1.PartialResponse{}
	req := &tetradv1.PartialRequest{Term: meta.Term, Index: meta.Index, Chain: meta.Chain[:]}
	err := p.call(ctx, region, tetradv1.Peer_Partial_FullMethodName, req, reply, false)
	return reply.Partial, err
}

// Word asks a region what it says of another.
func (p *Peers) Word(ctx context.Context, region identity.RegionID, ask []byte) ([]byte, error) {
	reply := &tetradv1.WordResponse{}
	err := p.call(ctx, region, tetradv1.Peer_Word_FullMethodName, &tetradv1.WordRequest{Ask: ask}, reply, false)
	return reply.Word, err
}

// Leaves asks a region for stored audit leaves, at most max and maybe fewer.
func (p *Peers) Leaves(ctx context.Context, region identity.RegionID, from uint64, max int) ([]audit.Leaf, error) {
	reply := &tetradv1.LeavesResponse{}
	req := &tetradv1.LeavesRequest{From: from, Max: uint32(min(max, leavesPageMax))}
	if err := p.call(ctx, region, tetradv1.Peer_Leaves_FullMethodName, req, reply, false); err != nil {
		return nil, err
	}
	leaves := make([]audit.Leaf, 0, len(reply.Leaves))
	for i, b := range reply.Leaves {
		l, err := audit.DecodeLeaf(b)
		if err != nil {
			return nil, errs.Wrap(errs.CodeOf(err), err, "leaf %d from region %d", from+uint64(i), region)
		}
		leaves = append(leaves, *l)
	}
	return leaves, nil
}

// Checkpoint asks a region to sign its tree at a size.
func (p *Peers) Checkpoint(ctx context.Context, region identity.RegionID, size uint64) (*audit.Checkpoint, error) {
	reply := &tetradv1.CheckpointResponse{}
	err := p.call(ctx, region, tetradv1.Peer_Checkpoint_FullMethodName, &tetradv1.CheckpointRequest{Size: size}, reply, false)
	if err != nil {
		return nil, err
	}
	return audit.DecodeCheckpoint(reply.Checkpoint)
}

// LeafSource is one region as a source of leaves for repair.
type LeafSource struct {
	Peers  *Peers
	Region identity.RegionID
}

// Leaves is Peers.Leaves of that region. A region that takes the call and says nothing
// does not keep a repair from the others.
func (s LeafSource) Leaves(ctx context.Context, from uint64, max int) ([]audit.Leaf, error) {
	ctx, cancel := context.WithTimeout(ctx, leavesWait)
	defer cancel()
	return s.Peers.Leaves(ctx, s.Region, from, max)
}
