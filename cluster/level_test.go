package cluster_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestOutgrownReleaseHalts: the region whose release does not know the level that is raised
// applies that entry and nothing after it, also when it starts again; the others go on.
func TestOutgrownReleaseHalts(t *testing.T) {
	var mu sync.Mutex
	var raise *command.Command
	fits := func(n *clustertest.Node) error {
		mu.Lock()
		defer mu.Unlock()
		if raise == nil {
			return nil
		}
		if _, ok := n.Machine.Seen(raise.ID); ok {
			return errs.New(errs.Stale, "this release is too old")
		}
		return nil
	}
	simulate(t, clustertest.Options{Tune: func(n *clustertest.Node, c *cluster.Config) {
		if n.Region == 4 {
			c.Fits = func() error { return fits(n) }
		}
	}}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		behind := a.List[3]
		mu.Lock()
		raise = a.CommandOf(&command.RaiseLevel{Level: 9, Reason: "all are upgraded, or so they think"})
		mu.Unlock()
		if a.Leader() == behind {
			if err := behind.C.TransferLeadership(context.Background()); err != nil {
				t.Fatal(err)
			}
			a.Eventually(20*time.Second, "another leader", func() bool { return a.Leader() != behind })
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if _, err := a.Leader().C.Propose(ctx, raise); err != nil {
			t.Fatal(err)
		}
		<-behind.Died()
		if errs.CodeOf(behind.Fatal()) != errs.Stale {
			t.Errorf("it ended with %v", behind.Fatal())
		}
		at := behind.Machine.Count()
		behind.Kill()
		a.Propose()
		a.Propose()
		if n := behind.Machine.Count(); n != at {
			t.Errorf("it applied %d commands after the level was raised", n-at)
		}
	})
}

// TestNotProposedYet: what the state does not allow yet never gets into the log.
func TestNotProposedYet(t *testing.T) {
	simulate(t, clustertest.Options{Tune: func(_ *clustertest.Node, c *cluster.Config) {
		c.Allowed = func(t command.Type) error {
			if t == command.TypeFreezePath {
				return errs.New(errs.BadState, "%s needs level 1", t)
			}
			return nil
		}
	}}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		l := a.Leader()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		early, before := a.CommandOf(&command.FreezePath{Path: []uint32{1}}), l.C.Applied()
		if _, err := l.C.Propose(ctx, early); errs.CodeOf(err) != errs.BadState {
			t.Errorf("proposed: %v", err)
		}
		a.Propose()
		if _, seen := l.Machine.Seen(early.ID); seen || l.C.Applied() != before+1 {
			t.Errorf("it is in the log: %d entries more", l.C.Applied()-before)
		}
	})
}
