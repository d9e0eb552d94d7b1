package cluster_test

import (
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
)

// signatures counts those made and checked by all nodes.
func signatures(a *clustertest.Nodes) (signs, checks uint64) {
	for _, n := range a.List {
		s, v := cluster.Signatures(n.C)
		signs, checks = signs+s, checks+v
	}
	return signs, checks
}

// TestCertificatesAddNoMessages counts what an entry costs: one append and one piece of
// commit news to each follower, as without certificates, and one round trip. Signatures,
// acks and certificates ride on these.
func TestCertificatesAddNoMessages(t *testing.T) {
	tm := cluster.Loopback()
	tm.Commit = 10 * time.Second // no news but the nudge
	simulate(t, clustertest.Options{Timing: tm}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		leader := a.Leader()
		for _, n := range a.Followers(leader) {
			if err := n.C.WaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		a.Net.SetLatency(20 * time.Millisecond)
		a.Propose()
		time.Sleep(time.Second)
		counters := map[string]func() map[string]int{}
		for _, n := range a.List {
			counters[n.Name] = cluster.CountMessages(n.C)
		}
		signs, checks := signatures(a)
		const entries = 20
		for range entries {
			start := time.Now()
			a.Propose()
			if d := time.Since(start); d > 41*time.Millisecond {
				t.Errorf("an entry took %s, a round trip takes 40ms", d)
			}
			time.Sleep(100 * time.Millisecond)
		}
		sent := map[string]int{}
		for name, count := range counters {
			for kind, n := range count() {
				if sent[kind] += n; name != leader.Name {
					t.Errorf("%s sent %d messages of kind %s", name, n, kind)
				}
			}
		}
		s, v := signatures(a)
		if s, v = s-signs, v-checks; s > 5*entries+8 || v > 13*entries+20 { // and a few for leases
			t.Errorf("%d entries took %d signatures and %d checks over all regions, want 5 and at most 13 each", entries, s, v)
		}
		t.Logf("an entry takes %.1f signatures and %.1f checks over all regions", float64(s)/entries, float64(v)/entries)
		if sent["append"] != 3*entries || sent["nudge"] != 3*entries || len(sent) != 2 {
			t.Errorf("%d entries took %v, want 3 appends and 3 nudges each", entries, sent)
		}
	})
}
