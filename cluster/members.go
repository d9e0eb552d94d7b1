package cluster

import (
	"context"
	"log/slog"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Members returns raft's current configuration.
func (c *Cluster) Members() []Member {
	in := c.instance()
	if in == nil {
		return nil
	}
	var out []Member
	for _, s := range in.raft.GetConfiguration().Configuration().Servers {
		out = append(out, Member{Region: c.transport.d.regionOf(s.ID), ServerID: string(s.ID), Addr: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	return out
}

// catchUp is how many entries a new member may be behind when it becomes a voter.
const catchUp = 128

// Reconcile moves raft's configuration one step towards the members approved in the
// FSM, on the leader; changed tells whether a step was made. Call it again until not.
// A new server joins as non-voter and votes once it has caught up: a voter without
// the log would count towards quorums with nothing to show.
func (c *Cluster) Reconcile(ctx context.Context, approved []Member) (changed bool, err error) {
	in := c.instance()
	if in == nil || in.raft.State() != raft.Leader {
		return false, c.notLeader()
	}
	index, known := c.replica.configuration()
	current := in.raft.GetConfiguration().Configuration().Servers
	if !known || ctx.Err() != nil {
		return false, ctx.Err()
	}
	step := c.nextStep(current, approved)
	if step == nil {
		return false, nil
	}
	c.log.Info("membership", slog.String("step", step.what), slog.String("server", string(step.server.ID)))
	_, err = in.ask(func(r *raft.Raft) raft.Future { return step.run(r, index, c.cfg.Timing.HungWrite) })
	if err != nil {
		return false, errs.Wrap(errs.CodeOf(c.proposalError(err)), err, "membership: %s %s", step.what, step.server.ID)
	}
	return true, nil
}

// nextStep is the first difference, in an order that never counts on a server that
// is not there: additions, then removals, then promotions.
func (c *Cluster) nextStep(current []raft.Server, approved []Member) *step {
	have := map[raft.ServerID]raft.Server{}
	byAddr := map[raft.ServerAddress]raft.ServerID{}
	for _, s := range current {
		have[s.ID], byAddr[s.Address] = s, s.ID
	}
	want := map[raft.ServerID]bool{}
	for _, m := range approved {
		want[raft.ServerID(m.ServerID)] = true
	}
	for _, m := range approved {
		s, ok := have[raft.ServerID(m.ServerID)]
		addr := raft.ServerAddress(m.Addr)
		if ok && s.Address == addr {
			continue
		}
		if old, taken := byAddr[addr]; taken && old != raft.ServerID(m.ServerID) {
			if want[old] {
				continue // its own move comes first
			}
			return &step{"remove", have[old]} // raft allows an address once
		}
		return &step{"add", raft.Server{ID: raft.ServerID(m.ServerID), Address: addr}}
	}
	for _, s := range current {
		if !want[s.ID] && len(approved) > 0 {
			return &step{"remove", s}
		}
	}
	for _, m := range approved {
		if s := have[raft.ServerID(m.ServerID)]; m.Voter && s.Suffrage != raft.Voter && c.caughtUp(s.ID) {
			return &step{"promote", s}
		}
	}
	return nil
}

func (c *Cluster) caughtUp(id raft.ServerID) bool {
	c.ackMu.Lock()
	defer c.ackMu.Unlock()
	acked, ok := c.acks[id]
	return ok && acked+catchUp >= c.lastStored()
}
