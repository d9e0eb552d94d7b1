package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestTailOfReplacedLeader: the region that is replaced leads (its HSM is dead, its session
// key is in memory), and one other region has entries of it that nobody else got before all
// turned to the new identity. The three go on all the same: the tail is history that its
// region signed while it led.
func TestTailOfReplacedLeader(t *testing.T) {
	var former []identity.PublicKey
	var gone identity.RegionID
	tune := func(_ *clustertest.Node, cfg *cluster.Config) {
		cfg.Former = func(r identity.RegionID) []identity.PublicKey {
			if r == gone {
				return former
			}
			return nil
		}
	}
	simulate(t, clustertest.Options{Tune: tune}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		for range 5 {
			a.Propose()
		}
		lost := a.Leader()
		gone = lost.Region
		rest := a.Followers(lost)
		ahead := rest[0]
		for _, n := range rest[1:] {
			a.Net.Cut(lost.Name, n.Name)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		for range 3 {
			go func() { _, _ = lost.C.Propose(ctx, a.Command()) }()
		}
		a.Eventually(time.Second, "a tail", func() bool { return ahead.C.Stats().LastIndex > rest[1].C.Stats().LastIndex })
		a.Join(lost.Region, lost.Name+"-000000a1")
		former = a.Repin(lost.Region)
		for _, n := range rest {
			n.C.Repin()
		}
		lost.Kill()
		a.Net.HealAll()
		a.Eventually(time.Minute, "an entry that is carried out", func() bool {
			for _, n := range rest {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, err := n.C.Propose(ctx, a.Command())
				cancel()
				if err == nil {
					return true
				}
			}
			return false
		})
	})
}
