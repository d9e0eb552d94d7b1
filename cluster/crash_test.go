package cluster_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/race"
)

// TestCrashAtEveryWriteOfAnElection cuts the power of one region before each write of an
// election in turn: of terms, records, votes, proofs and first entries. Whatever was said
// before must still be true after the restart: nobody reports two logs or votes twice, the
// histories agree, and the vault goes on.
func TestCrashAtEveryWriteOfAnElection(t *testing.T) {
	race.Without(t)
	kinds := map[string]bool{}
	for write := 1; ; write++ {
		crashed := ""
		simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
			crashed = electionWithCrash(t, a, write)
		})
		if t.Failed() {
			t.Fatalf("power cut before write %d (%s)", write, crashed)
		}
		if crashed == "" {
			break
		}
		kinds[crashed] = true
	}
	for _, want := range []string{"stable:CurrentTerm", "stable:TetradTerm", "vote", "log"} {
		if !kinds[want] {
			t.Errorf("no crash before a write of %s: the test proves less than it says", want)
		}
	}
}

// electionWithCrash returns before what kind of write the power was cut; "" if the
// election took fewer writes.
func electionWithCrash(t *testing.T, a *clustertest.Nodes, write int) string {
	a.StartAll()
	a.Propose()
	a.Agree(5 * time.Second)
	old := a.Leader()
	var mu sync.Mutex
	var victim *clustertest.Node
	count, crashed := 0, ""
	for _, n := range a.Followers(old) {
		n.Store.SetHook(func(op string) error {
			mu.Lock()
			defer mu.Unlock()
			if count++; count != write {
				return nil
			}
			victim, crashed = n, op
			return errors.New("the power is cut")
		})
	}
	old.Kill()
	time.Sleep(1500 * time.Millisecond) // an election takes half of that
	for _, n := range a.Followers(nil) {
		n.Store.SetHook(nil)
	}
	mu.Lock()
	defer mu.Unlock()
	if victim != nil {
		victim.Crash()
	}
	a.StartAll()
	a.Propose()
	a.Agree(20 * time.Second)
	for _, n := range a.List {
		honest(t, n)
		if victim != n && n.Fatal() != nil {
			t.Errorf("%s gave up: %v", n.Name, n.Fatal())
		}
	}
	return strings.Clone(crashed)
}

// honest fails if a node holds anything against another that only a liar can have done.
func honest(t *testing.T, n *clustertest.Node) {
	t.Helper()
	for _, e := range n.C.Evidence() {
		court := chain.Court{Cluster: n.All.ID, Lineage: n.All.Lineage, Pins: n.All.Pins, Regions: 4}
		if f, err := chain.Convict(court, e); err != nil || f.Convicts || e.Kind != chain.RefusedEntry {
			t.Errorf("%s holds %q against region %d, which is honest: %v", n.Name, e.Kind, e.Accused, err)
		}
	}
	if s := n.C.Stats(); s.Alarms != 0 {
		t.Errorf("%s: %d acked entries were truncated", n.Name, s.Alarms)
	}
}
