package cluster_test

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestReplacedIdentityFramesNobody: whoever has the HSM that a region lost can certify
// sessions of its new server too, and sign rivals with them. A liar shows those to all: the
// region's new identity is not convicted of what the old one signs, before or after.
func TestReplacedIdentityFramesNobody(t *testing.T) {
	s := &state{view: map[string][]cluster.Member{}}
	var founders []cluster.Member
	var former []identity.PublicKey
	tune := func(n *clustertest.Node, c *cluster.Config) {
		s.tune(n, c)
		if founders != nil {
			c.Members = founders
		}
		c.Former = func(r identity.RegionID) []identity.PublicKey {
			if r == 1 {
				return former
			}
			return nil
		}
	}
	simulate(t, clustertest.Options{Tune: tune}, func(t *testing.T, a *clustertest.Nodes) {
		founders = a.Members()
		s.set("", founders)
		lost, victim := a.List[0], a.List[1]
		victim.Start()
		accuser := speakerOf(t, a.List[3], victim)
		lost.ServerID = "r1-000000a1" // of the server to come
		thief := speakerOf(t, lost, victim)
		stolen := []exhibit{exhibitOf(thief, 1), exhibitOf(thief, 2)}

		convicted := func(want int, when string) {
			t.Helper()
			if c := victim.C.Stats().Convicted; len(c) != want {
				t.Errorf("%s: %v are convicted, want %d", when, c, want)
			}
		}
		told := func(x, y exhibit) {
			t.Helper()
			certs := []*identity.SessionCert{x.cert}
			if y.cert != x.cert {
				certs = append(certs, y.cert)
			}
			a.Eventually(time.Second, "the accusation", func() bool {
				return accuser.Accuse(raft.ServerID(victim.ServerID), victim.Addr, chain.RivalEntries, 1, x.bare, y.bare, certs...) == nil
			})
			time.Sleep(100 * time.Millisecond)
		}
		told(exhibitOf(thief, 6), exhibitOf(thief, 7)) // before this victim knows of the other HSM
		convicted(1, "of what the identity signs that it has")

		fresh := a.Join(1, "r1-000000a1")
		former = a.Repin(1)
		approved := append([]cluster.Member{fresh.Member()}, founders[1:]...)
		s.set("", approved)
		victim.C.Repin()
		convicted(0, "of what the old identity signed before")
		told(stolen[0], stolen[1])
		if e := victim.C.Evidence(); len(e) != 2 {
			t.Fatalf("%d files are kept, want 2", len(e))
		}
		convicted(0, "of what the old identity signs for the new server")
		own := speakerOf(t, fresh, victim)
		told(stolen[0], exhibitOf(own, 3))
		convicted(0, "of what the old identity signs beside what the new one did")
		victim.Crash()
		victim.Start()
		convicted(0, "after a restart")
		told(exhibitOf(own, 4), exhibitOf(own, 5))
		convicted(1, "of what it signed itself")
	})
}
