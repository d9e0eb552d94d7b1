package cluster

import (
	"context"
	"log/slog"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
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

// judgeMembers checks memberships that are about to be stored and returns how many
// entries are good. A server that comes must be approved or a founder; one that is
// approved may neither go nor lose its vote. What is certified passes: this region's
// state may be far behind.
func (c *Cluster) judgeMembers(in *instance, a *raft.AppendEntriesRequest, certified uint64) (good int, err error) {
	var current []raft.Server
	for i, e := range a.Entries {
		if e.Type != raft.LogConfiguration || c.cfg.Approved == nil {
			continue
		}
		next, err := decodeConfiguration(e.Data)
		if err != nil {
			return i, err
		}
		if current == nil {
			current = in.raft.GetConfiguration().Configuration().Servers
		}
		own, _ := c.chain.at(e.Index)
		if at, _ := linkOf(e); e.Index > certified && own != at {
			if err := c.judgeChange(e.Index, current, next.Servers); err != nil && liar.Defends(liar.Membership) {
				return i, err
			}
		}
		current = next.Servers
	}
	return len(a.Entries), nil
}

func (c *Cluster) judgeChange(index uint64, current, next []raft.Server) error {
	approved, known := map[raft.ServerID]bool{}, map[raft.ServerID]bool{}
	for _, m := range c.cfg.Approved() {
		approved[raft.ServerID(m.ServerID)] = true
	}
	for _, m := range c.cfg.Members {
		known[raft.ServerID(m.ServerID)] = true
	}
	votes := map[raft.ServerID]bool{}
	for _, s := range next {
		votes[s.ID] = s.Suffrage == raft.Voter
	}
	for _, s := range current {
		known[s.ID] = true
		vote, stays := votes[s.ID]
		if approved[s.ID] && (!stays || s.Suffrage == raft.Voter && !vote) {
			return errs.New(errs.Denied, "membership at %d takes server %s out, which is approved", index, s.ID)
		}
	}
	for _, s := range next {
		if !approved[s.ID] && !known[s.ID] {
			return errs.New(errs.Denied, "membership at %d names server %s, which nobody approved", index, s.ID)
		}
	}
	return nil
}
