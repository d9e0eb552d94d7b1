package client

import (
	"context"
	"iter"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Leaf is one audit leaf in its stored form.
type Leaf struct {
	Seq   uint64
	Bytes []byte
}

// AuditLeaves yields leaves from one place to another (0: to the present end). What it
// yields is unverified: see "vaultctl audit verify".
func (c *Client) AuditLeaves(ctx context.Context, from, to uint64) iter.Seq2[Leaf, error] {
	return leaves(from, func(take func(uint64, [][]byte) bool) error {
		return stream(ctx, c, tetradv1.Vault_AuditLeaves_FullMethodName, &tetradv1.AuditLeavesRequest{From: from, To: to},
			func(m *tetradv1.AuditLeavesResponse) bool { return take(m.From, m.Leaves) })
	})
}

// FollowAudit yields leaves from a place on and then each new one, until the context
// ends. After an error begin again behind the last leaf.
func (c *Client) FollowAudit(ctx context.Context, from uint64) iter.Seq2[Leaf, error] {
	return leaves(from, func(take func(uint64, [][]byte) bool) error {
		return stream(ctx, c, tetradv1.Vault_FollowAudit_FullMethodName, &tetradv1.FollowAuditRequest{From: from},
			func(m *tetradv1.FollowAuditResponse) bool { return take(m.From, m.Leaves) })
	})
}

func leaves(from uint64, run func(take func(uint64, [][]byte) bool) error) iter.Seq2[Leaf, error] {
	return func(yield func(Leaf, error) bool) {
		next, left := from, false
		err := run(func(at uint64, page [][]byte) bool {
			if at != next {
				yield(Leaf{}, errs.New(errs.Malformed, "leaf %d came where %d was due", at, next))
				left = true
				return false
			}
			for _, b := range page {
				if !yield(Leaf{next, b}, nil) {
					left = true
					return false
				}
				next++
			}
			return true
		})
		if err != nil && !left {
			yield(Leaf{}, err)
		}
	}
}

// Checkpoint is the size and root of the audit log. Signed holds the canonical bytes
// with the signatures of the regions.
type Checkpoint struct {
	Size    uint64
	Root    [32]byte
	Signed  []byte
	Regions []RegionID
}

// AuditCheckpoint returns the present checkpoint; its signatures are unverified.
func (c *Client) AuditCheckpoint(ctx context.Context) (*Checkpoint, error) {
	reply := &tetradv1.AuditCheckpointResponse{}
	err := c.call(ctx, tetradv1.Vault_AuditCheckpoint_FullMethodName, &tetradv1.AuditCheckpointRequest{}, reply, false)
	if err != nil {
		return nil, err
	}
	out := &Checkpoint{Size: reply.Size, Signed: reply.Checkpoint}
	if copy(out.Root[:], reply.Root) != len(out.Root) {
		return nil, errs.New(errs.Malformed, "checkpoint with a root of %d bytes", len(reply.Root))
	}
	for _, r := range reply.Regions {
		out.Regions = append(out.Regions, RegionID(r))
	}
	return out, nil
}

// Genesis returns the encoded genesis document, unverified.
func (c *Client) Genesis(ctx context.Context) ([]byte, error) {
	reply := &tetradv1.GenesisResponse{}
	err := c.call(ctx, tetradv1.Vault_Genesis_FullMethodName, &tetradv1.GenesisRequest{}, reply, false)
	return reply.Genesis, err
}

// NodeStatus is what one node says of itself, or why it says nothing.
type NodeStatus struct {
	Addr   string
	Status *Status
	Err    error
}

// Status asks one node after the other and returns the first answer.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	reply := &Status{}
	err := c.call(ctx, tetradv1.Vault_Status_FullMethodName, &tetradv1.StatusRequest{}, reply, false)
	return reply, err
}

// StatusAll asks every node at once, each once. With digest they also hash their state.
func (c *Client) StatusAll(ctx context.Context, digest bool) []NodeStatus {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	c.certain(ctx)
	out := make([]NodeStatus, len(c.nodes))
	done := make(chan struct{})
	for i, n := range c.nodes {
		go func() {
			defer func() { done <- struct{}{} }()
			reply := &Status{}
			err := c.ask(ctx, n, tetradv1.Vault_Status_FullMethodName, &tetradv1.StatusRequest{Digest: digest}, reply, false)
			out[i] = NodeStatus{n.addr, reply, err}
			if err != nil {
				out[i].Status = nil
			}
		}()
	}
	for range c.nodes {
		<-done
	}
	return out
}
