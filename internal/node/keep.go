package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/replication"
)

const (
	leafSyncEvery = time.Second      // how much of the leaves a power cut may cost; the log has them
	leafCheck     = 64               // leaves read and proved as often, so that damage is found while others can mend it
	repairRetry   = 2 * time.Second  // between two attempts to mend the leaf store
	memberEvery   = 5 * time.Second  // between two looks whether raft's members are the approved ones
	memberStep    = 30 * time.Second // longest step of a change of members
)

// keepLeaves syncs the leaf store and fetches what it lacks from other regions. A store
// that is lost to this process ends it: the next one reads what the disk really holds.
func (n *Node) keepLeaves(ctx context.Context) error {
	ticker := time.NewTicker(leafSyncEvery)
	defer ticker.Stop()
	var retry <-chan time.Time
	checked := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := n.leaves.Sync(); err != nil {
				n.log.Error("audit leaves", slog.Any("error", err))
			}
			checked = n.checkLeaves(ctx, checked)
			if n.leaves.Healthy() == nil {
				continue
			}
		case <-n.gap:
		case <-retry:
			retry = nil
		}
		if err := n.leaves.Failed(); err != nil {
			return err
		}
		if retry != nil {
			continue // tried a moment ago
		}
		if err := n.repair(ctx); err != nil {
			n.log.Warn("audit leaves are missing; nothing is signed here until they are back", slog.Any("error", err))
			retry = time.After(repairRetry)
		}
	}
}

// checkLeaves goes round the stored leaves; what is damaged makes the store unhealthy.
func (n *Node) checkLeaves(ctx context.Context, from uint64) (next uint64) {
	next, err := n.leaves.Check(ctx, from, leafCheck)
	if err != nil && ctx.Err() == nil {
		n.log.Warn("audit leaves could not be checked", slog.Uint64("from", from), slog.Any("error", err))
	}
	return next
}

func (n *Node) repair(ctx context.Context) error {
	view := n.fsm.View()
	var sources []replication.Source
	for _, r := range view.Regions() {
		if r.ID != n.region() {
			sources = append(sources, rpc.LeafSource{Peers: n.peers, Region: r.ID})
		}
	}
	return n.leaves.Repair(ctx, audit.Frontier{}, sources) // Restore has told it the tree
}

// keepMembers moves raft's configuration to what the state machine approved, while
// this node leads.
func (n *Node) keepMembers(ctx context.Context) error {
	ticker := time.NewTicker(memberEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-n.leads:
		case <-n.turned:
			n.notePins()
			continue
		}
		n.notePins()
		n.stepDown(ctx)
		for n.cluster.IsLeader() && n.reconcile(ctx) {
		}
	}
}

func (n *Node) notePins() {
	if err := n.keepPins(); err != nil {
		n.log.Error("identities of re-enrolled regions", slog.Any("error", err))
	}
}

func (n *Node) reconcile(ctx context.Context) (changed bool) {
	ctx, cancel := context.WithTimeout(ctx, memberStep)
	defer cancel()
	changed, err := n.cluster.Reconcile(ctx, approvedMembers(n.fsm.View()))
	if err != nil && ctx.Err() == nil {
		n.log.Warn("changing raft's members", slog.Any("error", err))
	}
	return changed && err == nil
}

func approvedMembers(v fsm.View) []cluster.Member {
	var members []cluster.Member
	for _, r := range v.Regions() {
		if r.Status == fsm.RegionActive {
			members = append(members, cluster.Member{Region: r.ID, ServerID: r.ServerID, Addr: r.RaftAddr, Voter: true})
		}
	}
	return members
}
