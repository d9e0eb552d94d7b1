package cluster_test

import (
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/clustertest"
)

// A node that was cut off and finds the same leader of the same term again has missed what
// was committed meanwhile: it is not ready until it passed a new barrier.
func TestLosingSightEndsReadiness(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		leader := a.Leader()
		n := a.Followers(leader)[0]
		if err := n.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		term := n.C.Stats().Term
		a.Net.Isolate(n.Name, a.List[0].Name, a.List[1].Name, a.List[2].Name, a.List[3].Name)
		time.Sleep(3 * time.Second)
		if n.C.Ready() == nil {
			t.Fatal("ready without a leader")
		}
		for range 5 {
			a.Propose()
		}
		n.Store.SetHook(func(op string) error {
			if op == "log" {
				time.Sleep(300 * time.Millisecond) // the leader is known again long before its entries
			}
			return nil
		})
		a.Net.HealAll()
		for n.C.Ready() != nil {
			time.Sleep(time.Millisecond)
		}
		if now := n.C.Stats().Term; now != term {
			t.Skipf("the term moved from %d to %d", term, now)
		}
		if got := n.Machine.Count(); got != 5 {
			t.Errorf("ready with %d of 5 commands", got)
		}
	})
}
