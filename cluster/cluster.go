package cluster

import (
	"context"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Cluster is one node's part in the replicated log.
type Cluster struct{ cfg Config }

var errTodo = errs.New(errs.Internal, "not yet")

// New checks the configuration and the disk: an old, wiped or foreign one is
// refused with errs.Stale. Nothing runs before Start.
func New(cfg Config) (*Cluster, error) { return &Cluster{cfg}, nil }

// Start listens and joins; it returns before a leader is known.
func (c *Cluster) Start(ctx context.Context) error { return errTodo }

// Shutdown stops everything and waits for it; a leader hands over first.
func (c *Cluster) Shutdown(ctx context.Context) error { return nil }

// Propose commits one command and returns what the state machine decided.
// NotLeader, NoLeader, Throttled, DiskFull and DeadlineExceeded mean that nothing
// was proposed; OutcomeUnknown that it may or may not be committed.
func (c *Cluster) Propose(ctx context.Context, cmd *command.Command) (fsm.Outcome, error) {
	return fsm.Outcome{}, errTodo
}

// Barrier returns once this node applied everything that was committed when it was
// called, on leader and follower alike: reads after it are linearizable.
func (c *Cluster) Barrier(ctx context.Context) error { return errTodo }

// Leader returns the region believed to lead: good enough to route, never for safety.
func (c *Cluster) Leader() (identity.RegionID, bool) { return 0, false }

// IsLeader is a hint likewise.
func (c *Cluster) IsLeader() bool { return false }

// WaitApplied returns once the machine applied the entry at index.
func (c *Cluster) WaitApplied(ctx context.Context, index uint64) error { return errTodo }

// Applied returns the index of the last entry the machine applied.
func (c *Cluster) Applied() uint64 { return 0 }

// Ready returns nil when this node applied everything up to its durable mark and
// passed a barrier of the current leader; errs.NotReady otherwise.
func (c *Cluster) Ready() error { return errs.New(errs.NotReady, "not started") }

// WaitReady waits for Ready.
func (c *Cluster) WaitReady(ctx context.Context) error { return errTodo }

// Members returns raft's current configuration.
func (c *Cluster) Members() []Member { return nil }

// Reconcile moves raft's configuration one step towards the members approved in the
// FSM, on the leader; changed tells whether a step was made. Call it again until not.
func (c *Cluster) Reconcile(ctx context.Context, approved []Member) (changed bool, err error) {
	return false, errTodo
}

// TransferLeadership hands leadership to the most advanced follower.
func (c *Cluster) TransferLeadership(ctx context.Context) error { return errTodo }

// Hints returns gossip's view: address by server id of the regions believed alive.
func (c *Cluster) Hints() map[string]string { return nil }

// Stats returns a glance for status and metrics.
func (c *Cluster) Stats() Stats { return Stats{} }
