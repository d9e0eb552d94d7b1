package node_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/node/nodetest"
)

// roundTrips between Virginia, Zurich, Singapore and Hong Kong.
var roundTrips = map[[2]int]time.Duration{
	{0, 1}: 95 * time.Millisecond, {0, 2}: 215 * time.Millisecond, {0, 3}: 205 * time.Millisecond,
	{1, 2}: 165 * time.Millisecond, {1, 3}: 190 * time.Millisecond, {2, 3}: 35 * time.Millisecond,
}

func roundTrip(a, b int) time.Duration { return roundTrips[[2]int{min(a, b), max(a, b)}] }

// quorumTrip is the round trip to the second nearest region: with it three have the entry.
func quorumTrip(from int) time.Duration {
	var all []time.Duration
	for to := range 4 {
		if to != from {
			all = append(all, roundTrip(from, to))
		}
	}
	slices.Sort(all)
	return all[1]
}

// TestSignatureCostsTwoRoundTrips measures, in simulated time, what a signature takes with
// the leader in each of four regions of the wide area: one round trip to a quorum, one to
// the farther of the drawn pair, and at most 20 ms. Certificates add none.
func TestSignatureCostsTwoRoundTrips(t *testing.T) {
	for place := range 4 {
		t.Run([]string{"Virginia", "Zurich", "Singapore", "Hong Kong"}[place], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { twoRoundTrips(t, place) })
		})
	}
}

func twoRoundTrips(t *testing.T, place int) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	c := nodetest.New(t)
	c.Timing = cluster.WAN()
	defer time.Sleep(time.Minute) // gossip's last probes
	defer c.Close()
	c.StartAll(ctx)
	leader := slices.IndexFunc(c.Sites, func(s *nodetest.Site) bool { return s.Node.Leads() })
	at := func(site int) int { return (site - leader + place + 4) % 4 } // the leader is where it is wanted
	for i, a := range c.Sites {
		for j, b := range c.Sites {
			if i != j {
				c.Net.SetLinkLatency(a.Host(), b.Host(), roundTrip(at(i), at(j))/2)
			}
		}
	}
	d := openDesk(t, ctx, c, command.P256)
	defer d.Close()
	near := c.ClientAt(c.Sites[leader].Host(), d.signer, leader)
	defer near.Close()
	local := desk{near, d.key, d.signer}
	const rounds = 31
	var over, took []time.Duration
	for i := range rounds {
		start := time.Now()
		r, err := local.sign(ctx, fmt.Sprint("payment ", i))
		if err != nil {
			t.Fatal(err)
		}
		elapsed, farther := time.Since(start), time.Duration(0)
		for _, set := range r.Results {
			if site := int(set.Region) - 1; site != leader {
				farther = max(farther, roundTrip(place, at(site)))
			}
		}
		took, over = append(took, elapsed), append(over, elapsed-quorumTrip(place)-farther)
		time.Sleep(time.Second)
	}
	if now := slices.IndexFunc(c.Sites, func(s *nodetest.Site) bool { return s.Node.Leads() }); now != leader {
		t.Fatalf("leadership moved from site %d to %d", leader, now)
	}
	slices.Sort(over)
	slices.Sort(took)
	t.Logf("p50 %s; beyond quorum (%s) and co-sign round trip: p50 %s, worst %s", took[rounds/2], quorumTrip(place), over[rounds/2], over[rounds-1])
	if over[rounds/2] > 20*time.Millisecond {
		t.Errorf("a signature takes %s more than its two round trips", over[rounds/2])
	}
}
