package cluster_test

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func debugLogger(name string) *slog.Logger {
	if os.Getenv("CLUSTER_DEBUG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", name)
}

// TestFourOverSockets elects, commits, loses its leader, elects again and takes the
// old one back, over real sockets and bbolt.
func TestFourOverSockets(t *testing.T) {
	a := clustertest.New(t, clustertest.Options{OS: true, Bolt: t.TempDir(), Logger: debugLogger, Timing: cluster.WAN()}) // beside other tests regions may stand still for a while
	a.StartAll()
	first := a.Leader()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if o, err := first.C.Propose(context.Background(), a.Command()); err != nil || o.Code != errs.OK {
				t.Errorf("outcome %v, %v", o, err)
			}
		})
	}
	wg.Wait()
	a.Agree(20 * time.Second)
	if n := first.Machine.Count(); n != 50 {
		t.Fatalf("%d commands applied, want 50", n)
	}

	start := time.Now()
	first.Kill()
	second := a.Leader()
	a.Propose()
	t.Logf("leader killed to next commit: %s", time.Since(start))
	if second == first {
		t.Fatal("the dead node leads")
	}
	first.Start()
	if err := first.C.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Agree(20 * time.Second)
}

func TestSimulatedCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := clustertest.New(t, clustertest.Options{Logger: debugLogger})
		a.Net.SetLatency(5 * time.Millisecond)
		a.StartAll()
		a.Leader()
		for range 20 {
			a.Propose()
		}
		a.Agree(5 * time.Second)
	})
}

func TestGossipHintsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := clustertest.New(t, clustertest.Options{Gossip: true, Logger: debugLogger})
		a.StartAll()
		l := a.Leader()
		a.Eventually(2*time.Minute, "everybody's hints", func() bool {
			for _, n := range a.List {
				if len(n.C.Hints()) != 4 {
					return false
				}
			}
			return true
		})
		if got := l.C.Hints()[a.List[2].ServerID]; got != a.List[2].Addr {
			t.Errorf("hint %q, want %q", got, a.List[2].Addr)
		}
		a.List[3].Stop()
		a.Eventually(5*time.Minute, "the silent one's hint to go", func() bool { return len(a.Leader().C.Hints()) == 3 })
		if n := len(a.Leader().C.Members()); n != 4 {
			t.Errorf("gossip changed membership: %d members", n)
		}
	})
}

// A server that moved is found through gossip, and TLS proves that it is the one.
func TestHintFindsAMovedServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := clustertest.New(t, clustertest.Options{Gossip: true, Logger: debugLogger})
		a.StartAll()
		a.Propose()
		n := a.Followers(a.Leader())[0]
		n.Stop()
		members := a.Members() // the genesis does not change
		n.Addr = n.Name + ":9"
		a.Propose()
		n.Machine = clustertest.NewMachine()
		cfg, err := n.Config()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Members = members
		if n.C, err = cluster.New(cfg); err != nil {
			t.Fatal(err)
		}
		if err := n.C.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := n.C.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		a.Agree(time.Minute)
	})
}
