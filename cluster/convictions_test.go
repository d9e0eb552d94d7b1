package cluster_test

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// exhibit is what an incarnation of region 1 signed, and the certificate to check it by.
type exhibit struct {
	bare []byte
	cert *identity.SessionCert
}

func exhibitOf(l *speaker, hash byte) exhibit {
	_, bare := l.Entry(2, 2, [32]byte{hash}, errs.OK)
	return exhibit{bare, l.Session().Cert}
}

// A region that two administrators gave another server starts clean: what the server
// before it signed convicts that one, however often and with whatever it is shown again.
func TestReplacedServerStartsClean(t *testing.T) {
	s := &state{view: map[string][]cluster.Member{}}
	var founders []cluster.Member
	tune := func(n *clustertest.Node, c *cluster.Config) {
		if s.tune(n, c); founders != nil {
			c.Members = founders
		}
	}
	simulate(t, clustertest.Options{Tune: tune}, func(t *testing.T, a *clustertest.Nodes) {
		founders = a.Members()
		s.set("", founders)
		first, victim := a.List[0].ServerID, a.List[1]
		victim.Start()
		accuser := speakerOf(t, a.List[3], victim)
		told := func(x, y exhibit) {
			t.Helper()
			certs := []*identity.SessionCert{x.cert}
			if y.cert != x.cert {
				certs = append(certs, y.cert)
			}
			a.Eventually(time.Second, "the accusation", func() bool { // connections of before a restart are gone
				return accuser.Accuse(raft.ServerID(victim.ServerID), victim.Addr, chain.RivalEntries, 1, x.bare, y.bare, certs...) == nil
			})
			time.Sleep(100 * time.Millisecond) // until it was judged
		}
		convicted := func(want int, when string) {
			t.Helper()
			if c := victim.C.Stats().Convicted; len(c) != want || want == 1 && c[0] != 1 {
				t.Errorf("%s: %v are convicted, want %d", when, c, want)
			}
		}
		kept := func(want int) {
			t.Helper()
			if e := victim.C.Evidence(); len(e) != want {
				t.Errorf("%d files are kept, want %d", len(e), want)
			}
		}
		old := speakerOf(t, a.List[0], victim)
		told(exhibitOf(old, 1), exhibitOf(old, 2))
		convicted(1, "two entries for one place")
		files := victim.C.Evidence()
		if len(files) != 1 || len(files[0].AccusedServers()) != 1 || files[0].AccusedServers()[0] != first {
			t.Fatalf("evidence %+v", files)
		}

		a.List[0].ServerID = "a-0000beef"
		s.set("", a.Members())
		convicted(0, "replaced")
		kept(1)
		told(exhibitOf(old, 1), exhibitOf(old, 2))
		told(exhibitOf(old, 3), exhibitOf(old, 4))
		convicted(0, "shown again, and more of the kind")
		victim.Crash()
		victim.Start()
		convicted(0, "after a restart")
		kept(2)

		next := speakerOf(t, a.List[0], victim)
		told(exhibitOf(old, 5), exhibitOf(next, 6))
		convicted(0, "what the old server signed beside what the new one did")
		told(exhibitOf(next, 7), exhibitOf(next, 8))
		convicted(1, "the new server lies too")
		victim.Crash()
		victim.Start()
		convicted(1, "after another restart")
	})
}

// A server that nobody replaced answers for all that its region certified: it escapes by
// no made-up incarnation.
func TestMadeUpIncarnation(t *testing.T) {
	s := &state{view: map[string][]cluster.Member{}}
	simulate(t, clustertest.Options{Tune: s.tune}, func(t *testing.T, a *clustertest.Nodes) {
		s.set("", a.Members())
		victim := a.List[1]
		victim.Start()
		accuser := speakerOf(t, a.List[3], victim)
		own := exhibitOf(speakerOf(t, a.List[0], victim), 1)
		a.List[0].ServerID = "a-0000beef"
		other := exhibitOf(speakerOf(t, a.List[0], victim), 2)
		if err := accuser.Accuse(raft.ServerID(victim.ServerID), victim.Addr, chain.RivalEntries, 1, own.bare, other.bare, own.cert, other.cert); err != nil {
			t.Fatal(err)
		}
		a.Eventually(time.Second, "the conviction", func() bool { return len(victim.C.Stats().Convicted) == 1 })
	})
}
