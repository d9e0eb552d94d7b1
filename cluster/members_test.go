package cluster_test

import (
	"testing"
	"time"

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
