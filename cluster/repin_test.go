package cluster_test

import (
	"context"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// later is a session that somebody with a region's HSM issues, for whatever time.
func later(t *testing.T, n *clustertest.Node, ahead time.Duration) *identity.SessionCert {
	t.Helper()
	key := identity.GenerateEd25519()
	cert := identity.SessionCert{Cluster: n.All.ID, Region: n.Region, ServerID: n.ServerID, Issued: time.Now().Add(ahead)}
	_, _ = rand.Read(cert.Boot[:])
	signed, err := identity.IssueSession(context.Background(), n.Identity, key, cert)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TestReplacedIdentity gives a region another identity while the server with the old one is
// up, connected, and voted for the leader: it is nobody from the next entry on, whatever
// sessions it issued for later. The server with the new one joins and counts, though the
// log it is sent begins with what the old one signed.
func TestReplacedIdentity(t *testing.T) {
	var older []identity.PublicKey
	var fresh *clustertest.Node
	tune := func(n *clustertest.Node, cfg *cluster.Config) {
		if n == fresh {
			cfg.Older = func(r identity.RegionID) []identity.PublicKey {
				if r == n.Region {
					return older
				}
				return nil
			}
		}
	}
	simulate(t, clustertest.Options{Tune: tune}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		for range 10 {
			a.Propose()
		}
		leader := a.Leader()
		i := slices.IndexFunc(a.List, func(n *clustertest.Node) bool { return n != leader && slices.Contains(leader.C.Voters(), n.Region) })
		if i < 0 {
			t.Fatalf("the leader rests on %v", leader.C.Voters())
		}
		lost := a.List[i]
		ahead := later(t, lost, 48*time.Hour) // shown in time, to be the newest for long
		for _, n := range a.List {
			n.C.Meet(ahead)
			if known, current := n.C.Known(ahead); n != lost && (!known || !current) {
				t.Fatal("a session of the region is not known")
			}
		}

		fresh = a.Join(lost.Region, lost.Name+"-000000a1")
		older = a.Repin(lost.Region)
		a.Propose()
		a.Propose()
		time.Sleep(time.Second)
		now, had := later(t, fresh, 0), later(t, lost, time.Hour)
		for _, n := range a.List[:4] {
			if n == lost {
				continue
			}
			n.C.Meet(had)
			n.C.Meet(now)
			for what, cert := range map[string]*identity.SessionCert{"the running one": lost.Running.Cert, "one for later": ahead, "one issued since": had} {
				if known, _ := n.C.Known(cert); known {
					t.Errorf("%s still knows sessions of the replaced identity: %s", n.Name, what)
				}
			}
			if known, current := n.C.Known(now); !known || !current {
				t.Errorf("%s: the new identity's session is known %v, current %v", n.Name, known, current)
			}
		}
		reached := lost.Machine.Count()
		for range 5 {
			a.Propose()
		}
		if lost.Machine.Count() != reached {
			t.Error("the replaced server is still sent what is decided")
		}
		lost.Kill()
		a.Eventually(20*time.Second, "a leader that everybody can believe", func() bool {
			n := a.Leader()
			return n.C.Provable() && !slices.Contains(n.C.Voters(), lost.Region)
		})

		fresh.Start()
		var approved []cluster.Member
		for _, n := range a.List {
			if n != lost {
				approved = append(approved, n.Member())
			}
		}
		reconcile(t, a, approved, time.Minute)
		a.Propose()
		if err := fresh.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Agree(5 * time.Second)
		a.Followers(a.Leader())[0].Kill() // the newcomer counts
		a.Propose()

		reached = lost.Machine.Count()
		lost.Start() // the thief of the old one
		for range 20 {
			a.Propose()
			time.Sleep(200 * time.Millisecond)
		}
		if lost.Machine.Count() > reached || lost.C.Ready() == nil {
			t.Error("the replaced server takes part")
		}
		lost.Kill()
	})
}

// TestThiefConvictsNobody: who has a region's old HSM signs two entries for one place in the
// name of the server that came with the new one. That shows nothing against it; what the new
// HSM certified does.
func TestThiefConvictsNobody(t *testing.T) {
	s := &state{view: map[string][]cluster.Member{}}
	var founders []cluster.Member
	var older []identity.PublicKey
	tune := func(n *clustertest.Node, c *cluster.Config) {
		s.tune(n, c)
		c.Members = founders
		c.Former = func(r identity.RegionID) []identity.PublicKey {
			if r == 1 {
				return older
			}
			return nil
		}
	}
	simulate(t, clustertest.Options{Tune: tune}, func(t *testing.T, a *clustertest.Nodes) {
		founders = a.Members()
		s.set("", founders)
		victim, thief := a.List[1], a.List[0]
		victim.Start()
		accuser := speakerOf(t, a.List[3], victim)
		fresh := a.Join(1, thief.Name+"-0000beef")
		older = a.Repin(1)
		s.set("", append([]cluster.Member{fresh.Member()}, founders[1:]...))
		thief.ServerID = fresh.ServerID
		for convicted, by := range []*clustertest.Node{thief, fresh} { // the thief shows nothing, the region itself does
			l := speakerOf(t, by, victim)
			x, y := exhibitOf(l, 1), exhibitOf(l, 2)
			a.Eventually(time.Second, "the accusation", func() bool {
				return accuser.Accuse(raft.ServerID(victim.ServerID), victim.Addr, chain.RivalEntries, 1, x.bare, y.bare, x.cert) == nil
			})
			time.Sleep(100 * time.Millisecond) // until it was judged
			if c := victim.C.Stats().Convicted; len(c) != convicted {
				t.Errorf("%d: %v are convicted", convicted, c)
			}
		}
	})
}
