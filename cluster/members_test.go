package cluster_test

import (
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
)

func reconcile(t *testing.T, a *clustertest.Nodes, approved []cluster.Member, within time.Duration) (voterAt int) {
	t.Helper()
	steps := 0
	a.Eventually(within, "the approved membership", func() bool {
		changed, err := a.Leader().C.Reconcile(t.Context(), approved)
		if err != nil {
			t.Logf("reconcile: %v", err)
			return false
		}
		if changed {
			steps++
		}
		have := a.Leader().C.Members()
		if len(have) != len(approved) {
			return false
		}
		for _, m := range have {
			if !m.Voter {
				return false
			}
		}
		return true
	})
	return steps
}

// A lost disk: its region comes back as a new incarnation, approved first, then
// non-voter, then voter.
func TestRegionReplacesItsServer(t *testing.T) {
	simulate(t, clustertest.Options{Timing: quickSnapshots()}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		for range 30 {
			a.Propose()
		}
		time.Sleep(6 * time.Second)
		lost := a.Followers(a.Leader())[0]
		lost.Crash()
		fresh := a.Join(lost.Region, lost.Name+"-000000a1")
		fresh.Start()
		time.Sleep(5 * time.Second)
		if fresh.Machine.Count() != 0 || len(a.Leader().C.Members()) != 4 {
			t.Fatal("a server nobody approved takes part")
		}
		var approved []cluster.Member
		for _, n := range a.List {
			if n != lost {
				approved = append(approved, n.Member())
			}
		}
		if steps := reconcile(t, a, approved, time.Minute); steps != 3 {
			t.Errorf("%d steps, want add, remove, promote", steps)
		}
		a.Propose()
		if err := fresh.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Agree(5 * time.Second)
		// The newcomer counts: with another region gone there still is a quorum.
		a.Followers(a.Leader())[0].Kill()
		a.Propose()
	})
}

// A newcomer that cannot catch up must not become a voter.
func TestNoVoteBeforeCatchingUp(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		fresh := a.Join(5, "r5-00000005") // approved, but its node never starts
		approved := append(a.Members(), fresh.Member())
		for range 20 {
			_, _ = a.Leader().C.Reconcile(t.Context(), approved)
			time.Sleep(500 * time.Millisecond)
		}
		for _, m := range a.Leader().C.Members() {
			if m.ServerID == fresh.ServerID && m.Voter {
				t.Error("a silent server became a voter")
			}
		}
		a.Propose()
	})
}

// state is what each node's state machine approves.
type state struct {
	mu   sync.Mutex
	view map[string][]cluster.Member // by server id; "" is for all others
}

func (s *state) set(server string, approved []cluster.Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view[server] = approved
}

func (s *state) tune(n *clustertest.Node, c *cluster.Config) {
	c.Approved = func() []cluster.Member {
		s.mu.Lock()
		defer s.mu.Unlock()
		if v, ok := s.view[n.ServerID]; ok {
			return v
		}
		return s.view[""]
	}
}

// A leader that changes the membership on its own account finds nobody who stores it.
func TestMembershipNobodyApproved(t *testing.T) {
	s := &state{view: map[string][]cluster.Member{}}
	simulate(t, clustertest.Options{Tune: s.tune}, func(t *testing.T, a *clustertest.Nodes) {
		s.set("", a.Members())
		victim := a.List[1]
		victim.Start()
		cfg, _ := a.List[0].Config()
		l := cluster.NewLiar(cfg)
		defer l.Close()
		term := uint64(1)
		var four []raft.Server
		for _, m := range a.Members() {
			four = append(four, raft.Server{ID: raft.ServerID(m.ServerID), Address: raft.ServerAddress(m.Addr)})
		}
		muted := append([]raft.Server(nil), four...)
		muted[2].Suffrage = raft.Nonvoter
		for name, servers := range map[string][]raft.Server{
			"a stranger":    append(four[:4:4], raft.Server{ID: "r9-00000009", Address: "r9:1"}),
			"one less":      four[:3],
			"one vote less": muted,
		} {
			data := raft.EncodeConfiguration(raft.Configuration{Servers: servers})
			for _, before := range []int{0, 1} {
				var entries []*raft.Log
				term++
				last, _ := victim.Store.LastIndex()
				prev, lastTerm, _ := cluster.Link(victim.C, last)
				index, p := last+1, l.Lead(term, cluster.Place(lastTerm, last, prev), a.List[2].Session(), a.List[3].Session())
				if before == 1 {
					entries = append(entries, l.Sign(&raft.Log{Index: index, Term: term, Type: raft.LogNoop}, prev, p))
					prev, p, index = cluster.ChainHash(prev, term, index, raft.LogNoop, cluster.DataHash(nil)), nil, index+1
				}
				entries = append(entries, l.Sign(&raft.Log{Index: index, Term: term, Type: raft.LogConfiguration, Data: data}, prev, p))
				var r raft.AppendEntriesResponse
				err := l.Endpoint().AppendEntries(raft.ServerID(victim.ServerID), raft.ServerAddress(victim.Addr),
					&raft.AppendEntriesRequest{RPCHeader: l.Header(), Term: term, PrevLogEntry: last, PrevLogTerm: lastTerm, Entries: entries}, &r)
				if err != nil || r.Success || r.LastLog > last+uint64(before) || len(victim.C.Members()) != 4 {
					t.Errorf("%s after %d entries: %+v, %v", name, before, r, err)
				}
			}
		}
	})
}

// A region whose state is behind takes part in a change of members as soon as it has
// caught up, and disturbs nothing before.
func TestLateStateWedgesNothing(t *testing.T) {
	s := &state{view: map[string][]cluster.Member{}}
	simulate(t, clustertest.Options{Tune: s.tune}, func(t *testing.T, a *clustertest.Nodes) {
		founders := a.Members()
		s.set("", founders)
		a.StartAll()
		a.Propose()
		leader := a.Leader()
		lost, late := a.Followers(leader)[0], a.Followers(leader)[1]
		lost.Crash()
		fresh := a.Join(lost.Region, lost.Name+"-000000a1")
		fresh.Start()
		var approved []cluster.Member
		for _, n := range a.List {
			if n != lost {
				approved = append(approved, n.Member())
			}
		}
		s.set("", approved)
		s.set(late.ServerID, founders) // and it is needed for the quorum
		var wg sync.WaitGroup
		wg.Go(func() { reconcile(t, a, approved, time.Minute) })
		time.Sleep(300 * time.Millisecond)
		s.set(late.ServerID, approved)
		wg.Wait()
		a.Propose()
		a.Agree(10 * time.Second)
	})
}

// A region whose disk was lost comes back at its old address.
func TestReplacedAtTheOldAddress(t *testing.T) {
	s := &state{view: map[string][]cluster.Member{}}
	simulate(t, clustertest.Options{Timing: quickSnapshots(), Tune: s.tune}, func(t *testing.T, a *clustertest.Nodes) {
		s.set("", a.Members())
		a.StartAll()
		for range 30 {
			a.Propose()
		}
		time.Sleep(6 * time.Second)
		lost := a.Followers(a.Leader())[0]
		lost.Crash()
		fresh := a.Join(lost.Region, lost.Name+"-000000a1")
		fresh.Addr = lost.Addr
		fresh.Start()
		time.Sleep(5 * time.Second) // the leader finds a stranger at the address
		var approved []cluster.Member
		for _, n := range a.List {
			if n != lost {
				approved = append(approved, n.Member())
			}
		}
		s.set("", approved)
		reconcile(t, a, approved, time.Minute)
		a.Propose()
		if err := fresh.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Agree(5 * time.Second)
		a.Followers(a.Leader())[0].Kill()
		a.Propose()
	})
}
