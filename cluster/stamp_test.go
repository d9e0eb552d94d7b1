package cluster_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

const skew = 2 * time.Second

// clocks makes nodes whose clocks can be set apart.
func clocks(o clustertest.Options) (clustertest.Options, func(*clustertest.Node, time.Duration)) {
	var offsets [8]atomic.Int64
	o.Tune = func(n *clustertest.Node, c *cluster.Config) {
		m := n.Machine
		c.Now = func() time.Time { return time.Now().Add(time.Duration(offsets[n.Region].Load())) }
		c.Time = func() (time.Time, time.Duration) { return m.Clock(), skew }
	}
	return o, func(n *clustertest.Node, d time.Duration) { offsets[n.Region].Store(int64(d)) }
}

// commit proposes through whichever node leads until one succeeds.
func commit(t *testing.T, a *clustertest.Nodes, within time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(within); ; {
		_, err := propose(a.Leader(), time.Second)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing commits within %s: %v", within, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func notAhead(t *testing.T, a *clustertest.Nodes) {
	t.Helper()
	for _, n := range a.Followers(nil) {
		if d := time.Until(n.Machine.Clock()); d > skew {
			t.Errorf("%s: the committed clock is %s ahead", n.Name, d)
		}
	}
}

// A leader whose clock is wrong moves no time and does not stay, whether it was wrong
// before or jumps while it leads.
func TestLeaderWithAWrongClock(t *testing.T) {
	for name, by := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			o, set := clocks(clustertest.Options{})
			simulate(t, o, func(t *testing.T, a *clustertest.Nodes) {
				a.StartAll()
				commit(t, a, time.Second)
				l := a.Leader()
				set(l, by) // no heartbeat in between: it does not know yet
				if by < 0 {
					time.Sleep(10 * time.Second) // its stamps stand still, and grow old
				}
				_, _ = propose(l, time.Second)
				commit(t, a, 20*time.Second)
				if a.Leader() == l {
					t.Error("it still leads")
				}
				notAhead(t, a)
				if err := l.C.TransferLeadership(t.Context()); err == nil {
					t.Error("it should not lead")
				}
				a.Agree(20 * time.Second)
				if err := a.Leader().C.TransferLeadership(t.Context()); err != nil { // perhaps to it
					t.Fatal(err)
				}
				commit(t, a, 20*time.Second)
				notAhead(t, a)
				set(l, 0)
				commit(t, a, 5*time.Second)
				a.Agree(20 * time.Second)
			})
		})
	}
}

// Three regions' clocks were ahead and are repaired: the committed clock is in the
// future, and yet work goes on, and a region that was away catches up.
func TestClocksRepaired(t *testing.T) {
	o, set := clocks(clustertest.Options{Timing: quickSnapshots()})
	simulate(t, o, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		commit(t, a, time.Second)
		away := a.Followers(a.Leader())[0]
		away.Stop()
		for _, n := range a.List {
			set(n, time.Hour)
		}
		for range 5 {
			commit(t, a, 20*time.Second)
		}
		for _, n := range a.List {
			set(n, 0)
		}
		for _, n := range a.Followers(nil) {
			n.Stop()
		}
		a.StartAll()
		for range 5 {
			commit(t, a, 20*time.Second)
		}
		a.Agree(20 * time.Second)
	})
}

// Everything stops for an hour while an entry is under way: it is sent again with its
// old stamp, and nothing is wedged.
func TestLongPause(t *testing.T) {
	o, _ := clocks(clustertest.Options{})
	simulate(t, o, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		commit(t, a, time.Second)
		l := a.Leader()
		isolate(a, l)
		_, _ = propose(l, 300*time.Millisecond) // stored by the leader alone
		for _, n := range a.Followers(nil) {
			n.Kill()
		}
		time.Sleep(time.Hour)
		a.Net.HealAll()
		a.StartAll()
		commit(t, a, 20*time.Second)
		a.Agree(20 * time.Second)
	})
}

// A follower whose clock is wrong neither disturbs the others nor falls behind for good.
func TestFollowerWithAWrongClock(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		o, set := clocks(clustertest.Options{})
		simulate(t, o, func(t *testing.T, a *clustertest.Nodes) {
			a.StartAll()
			commit(t, a, time.Second)
			l := a.Leader()
			f := a.Followers(l)[0]
			set(f, by)
			for range 50 {
				if _, err := propose(l, 2*time.Second); err != nil {
					t.Fatalf("the others are disturbed: %v", err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			set(f, 0)
			commit(t, a, time.Second)
			a.Agree(20 * time.Second)
		})
	}
}

// An old stamp is not let in by sending along an entry the follower holds already, or two
// new ones at once: then a liar would hold time back after a quiet night.
func TestOldStampsInLongerAppends(t *testing.T) {
	o, _ := clocks(clustertest.Options{})
	simulate(t, o, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		commit(t, a, time.Second)
		a.Agree(time.Second)
		leader := a.Leader()
		victim := a.Followers(leader)[0]
		cfg, err := leader.Config()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Session = leader.Running
		liar := cluster.NewLiar(cfg)
		defer liar.Close()
		liar.Steal(leader.C)
		s := leader.C.Stats()
		var held raft.Log
		if err := leader.Store.Stores().Log.GetLog(s.LastIndex, &held); err != nil {
			t.Fatal(err)
		}
		hash, _, _ := cluster.Link(victim.C, s.LastIndex)
		old := func(index uint64, prev [32]byte) *raft.Log {
			e := &command.Entry{Stamp: time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond), Commands: []*command.Command{a.Command()}}
			return liar.Sign(&raft.Log{Index: index, Term: s.Term, Type: raft.LogCommand, Data: liar.Seal(e.Encode())}, prev, nil)
		}
		first := old(s.LastIndex+1, hash)
		x, err := cluster.DecodeExtension(first.Extensions)
		if err != nil {
			t.Fatal(err)
		}
		_, before, _ := cluster.Link(victim.C, s.LastIndex-1)
		for name, q := range map[string]*raft.AppendEntriesRequest{
			"beside one that is held": {Term: s.Term, PrevLogEntry: s.LastIndex - 1, PrevLogTerm: before, Entries: []*raft.Log{&held, first}},
			"two at once":             {Term: s.Term, PrevLogEntry: s.LastIndex, PrevLogTerm: held.Term, Entries: []*raft.Log{first, old(s.LastIndex+2, x.Chain)}},
		} {
			q.RPCHeader = liar.Header()
			var r raft.AppendEntriesResponse
			err := liar.Endpoint().AppendEntries(raft.ServerID(victim.ServerID), raft.ServerAddress(victim.Addr), q, &r)
			if at := victim.C.Stats().LastIndex; at != s.LastIndex || err == nil && r.Success {
				t.Errorf("%s: stored up to %d, answered %t, %v", name, at, r.Success, err)
			}
		}
	})
}
