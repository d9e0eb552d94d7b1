package node

import (
	"context"
	"errors"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/vault"
)

// proposer puts commands into the log wherever the leader is.
type proposer struct{ n *Node }

const proposePause = 50 * time.Millisecond // between two looks for a leader

// Propose tries here, then at the leader, until ctx ends. Only errors that mean
// "nothing was proposed" are tried again.
func (p proposer) Propose(ctx context.Context, c *command.Command) (fsm.Outcome, error) {
	for {
		o, err := p.once(ctx, c)
		if !errors.Is(err, errs.ErrNotLeader) && !errors.Is(err, errs.ErrNoLeader) {
			return o, err
		}
		select {
		case <-ctx.Done():
			return fsm.Outcome{}, err
		case <-time.After(proposePause):
		}
	}
}

func (p proposer) once(ctx context.Context, c *command.Command) (fsm.Outcome, error) {
	leader, ok := p.n.cluster.Leader()
	switch {
	case !ok:
		return fsm.Outcome{}, errs.New(errs.NoLeader, "no region leads now")
	case leader == p.n.region():
		return p.n.cluster.Propose(ctx, c)
	}
	if p.n.owable(c) != nil {
		return p.n.peers.Propose(ctx, leader, c)
	}
	answered := p.n.cluster.Brought(c)
	o, err := p.n.peers.Propose(ctx, leader, c)
	return o, answered(ctx, err)
}

// owable refuses what no leader owes others: completions, and clock entries while it moves
// the clock by itself. One that holds time still owes them, or what is due by time alone
// would wait for ever where nobody asks for anything.
func (n *Node) owable(c *command.Command) error {
	lag := n.cfg.Clock.Now().Sub(n.fsm.View().Clock())
	return owable(c, lag, n.cfg.Vault.Still())
}

func owable(c *command.Command, lag, still time.Duration) error {
	if c.Type == command.TypeTick && lag < still {
		return errs.New(errs.Denied, "the clock is the leader's to move, which is %s behind", lag.Round(time.Second))
	}
	return vault.MaySubmit(c)
}

// owed says which commands an honest leader would have decided.
func (n *Node) owed(c *command.Command) error {
	if err := n.owable(c); err != nil {
		return err
	}
	return n.fsm.View().Owed(c, n.cfg.Clock.Now(), n.verifier.Verify)
}

// replica is the region's own copy of the state.
type replica struct{ n *Node }

func (r replica) View() fsm.View { return r.n.fsm.View() }
func (r replica) Ready() error   { return r.n.cluster.Ready() }

func (r replica) Lease() error { return r.n.cluster.Lease() }

func (r replica) WaitApplied(ctx context.Context, index uint64) error {
	return r.n.cluster.WaitApplied(ctx, index)
}

// covers proves entries, with the session certificates to verify them by.
type covers struct {
	log     func(index uint64) (*chain.Cover, error) // the cluster, which is made after the vault
	session func(identity.Fingerprint) *identity.SessionCert
}

func (n *Node) covers() covers {
	return covers{func(index uint64) (*chain.Cover, error) { return n.cluster.Cover(index) },
		func(s identity.Fingerprint) *identity.SessionCert { return n.cluster.Session(s) }}
}

func (c covers) prove(index uint64) (*chain.Cover, [][]byte, error) {
	cover, err := c.log(index)
	if err != nil {
		return nil, nil, err
	}
	var sessions [][]byte
	for _, w := range cover.Certificate.Witnesses {
		cert := c.session(w.Session)
		if cert == nil {
			return nil, nil, errs.New(errs.NotFound, "entry %d: the session of region %d is not known here", index, w.Region)
		}
		sessions = append(sessions, cert.Encode())
	}
	return cover, sessions, nil
}

// Cover serves the vault's completions.
func (c covers) Cover(index uint64) ([]byte, error) {
	cover, _, err := c.prove(index)
	if err != nil {
		return nil, err
	}
	return cover.Encode(), nil
}

// Proof serves the API's answers.
func (c covers) Proof(index uint64) (*rpc.Proof, error) {
	cover, sessions, err := c.prove(index)
	if err != nil {
		return nil, err
	}
	return &rpc.Proof{Cover: cover.Encode(), Sessions: sessions}, nil
}

// reader serves the API's reads.
type reader struct{ n *Node }

func (r reader) Barrier(ctx context.Context) error { return r.n.cluster.Barrier(ctx) }
func (r reader) Local() rpc.View                   { return r.n.fsm.View() }

// leafReader serves leaves and signs this region's tree.
type leafReader struct{ n *Node }

func (l leafReader) Size() uint64 { return l.n.leaves.Size() }

func (l leafReader) Leaves(ctx context.Context, from uint64, most int) ([]audit.Leaf, error) {
	return l.n.leaves.Leaves(ctx, from, most)
}

func (l leafReader) Checkpoint(ctx context.Context, size uint64) (*audit.Checkpoint, error) {
	root, err := l.n.leaves.Root(size)
	if err != nil {
		return nil, err
	}
	c := &audit.Checkpoint{Cluster: l.n.genesis.Document.Cluster, Size: size, Root: root}
	return c, c.Sign(ctx, l.n.region(), l.n.session, l.n.cfg.Clock.Now())
}

// redial drops the connection to a region that has started again: otherwise it would
// rest in its back-off, and the region be called unreachable just when it is back. So it
// does where a region was given another server: who is at the other end is nobody now.
func (n *Node) redial(results []fsm.Result) {
	changed := false
	for i := range results {
		changed = changed || results[i].Regions
	}
	if !changed {
		return
	}
	select {
	case n.turned <- struct{}{}:
	default:
	}
	for _, r := range n.fsm.View().Regions() {
		boot, known := n.boots[r.ID]
		switch {
		case len(r.Sessions) == 0 && known:
			delete(n.boots, r.ID)
		case len(r.Sessions) > 0 && (!known || boot != r.Sessions[0].Boot):
			n.boots[r.ID] = r.Sessions[0].Boot
		default:
			continue
		}
		n.conns.Reset(r.ID)
	}
}

func (n *Node) apiAddress(r identity.RegionID) (string, bool) {
	row, ok := n.fsm.View().Region(r)
	if !ok || row.APIAddr == "" {
		return "", false
	}
	return row.APIAddr, true
}

func (n *Node) address() *fsm.Region {
	if row, ok := n.fsm.View().Region(n.region()); ok {
		return row
	}
	return &fsm.Region{}
}

func foundingMembers(regions []genesis.Region) []cluster.Member {
	members := make([]cluster.Member, len(regions))
	for i, r := range regions {
		members[i] = cluster.Member{Region: r.ID, ServerID: r.ServerID, Addr: r.RaftAddr, Voter: true}
	}
	return members
}

// gossip is keyed from the root keyring, so that only opened regions take part.
func (n *Node) gossip() *cluster.Gossip {
	if n.cfg.Listen.Gossip == "" {
		return nil
	}
	g := &cluster.Gossip{Addr: n.cfg.Listen.Gossip}
	copy(g.Key[:], n.keyring.Derive("gossip"))
	for _, r := range n.fsm.View().Regions() {
		if r.ID != n.region() && r.GossipAddr != "" {
			g.Join = append(g.Join, r.GossipAddr)
		}
	}
	return g
}
