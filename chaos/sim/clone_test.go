package sim

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/seal"
)

// shared is a quiet plan in which threshold keys sign.
func shared(length time.Duration) *Plan {
	p := quiet(length)
	p.Shared = true
	return p
}

// onlyLong leaves a test to the long form: vault has the short one of it (TestClonedMemory).
func onlyLong(t *testing.T) {
	if !long() {
		t.Skip("part of the long form: set CHAOS_SEEDS")
	}
	t.Parallel()
}

// TestCopiedRegion: a second process of a region runs on a copy of its disk, with its HSM,
// beside it, in its place, and beside it again. No nonce makes two shares, and nothing is
// signed that the log did not draw.
func TestCopiedRegion(t *testing.T) {
	onlyLong(t)
	const site = 2
	h, found := simulate(t, shared(40*time.Second), Options{Meanwhile: func(w *World) {
		time.Sleep(4 * time.Second)
		w.mu.Lock()
		twin, err := w.Copy(site)
		w.mu.Unlock()
		if err != nil {
			t.Error(err)
			return
		}
		original, copied := w.Sites[site].Host(), twin.Host()
		time.Sleep(time.Second)
		w.Net.Isolate(original, w.hosts()...) // the process, not the region: nothing to record
		w.Net.Route(original, copied)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := twin.Node.WaitReady(ctx); err != nil {
			t.Errorf("the copy does not take the region's place: %v", err)
		}
		cancel()
		time.Sleep(6 * time.Second) // it signs
		w.Net.Route(original, original)
		w.Net.HealAll()
		w.Net.Reset(copied)
		time.Sleep(6 * time.Second) // the region itself, with what it holds in memory from before
		w.Net.Route(original, copied)
		w.Net.Reset(original)
		time.Sleep(6 * time.Second)
		w.Net.Route(original, original)
		w.End(twin)
		time.Sleep(time.Second)
		w.keepers[site].orders <- orderStop // as the operator who found out does
		w.keepers[site].orders <- orderUp
	}})
	only(t, h, found)
}

// TestOldDisk: a region comes back on the disk and log it had before a refresh.
func TestOldDisk(t *testing.T) {
	onlyLong(t)
	const site = 1
	h, found := simulate(t, shared(40*time.Second), Options{Meanwhile: func(w *World) {
		time.Sleep(2 * time.Second)
		var disk *durabletest.Disk
		var raft *clustertest.Store
		w.mu.Lock()
		disk, raft = w.Sites[site].Disk.CrashClone(nil), w.Sites[site].Raft.CrashClone()
		w.mu.Unlock()
		time.Sleep(20 * time.Second)
		w.keepers[site].orders <- orderPowerOff
		time.Sleep(time.Second)
		w.mu.Lock()
		w.Sites[site].Disk, w.Sites[site].Raft = disk, raft
		w.mu.Unlock()
		w.keepers[site].orders <- orderUp
	}})
	only(t, h, found)
}

// TestPlantedRevival: invariant 8. Somebody brings a wrapping key back that was destroyed,
// and opens what lay under it.
func TestPlantedRevival(t *testing.T) {
	onlyLong(t)
	p := shared(10 * time.Second)
	p.Seed = shedOf // waits until the first epoch is destroyed
	p.Shared = true
	h, found := simulate(t, p, Options{NoAdmin: true})
	first := slices.IndexFunc(h.Opened, func(o chaos.Opened) bool { return o.Label == seal.EpochLabel(h.Genesis.Document.Cluster, 1) })
	if len(found) > 0 || first < 0 {
		t.Fatalf("%d uses of HSMs' keys, that of the first epoch at %d; found %v", len(h.Opened), first, found)
	}
	again := h.Opened[first]
	again.At = time.Now().Add(24 * 365 * 100 * time.Hour) // after everything
	h.Record(again)
	if found := chaos.Check(h); !slices.Contains(chaos.Broken(found), 8) {
		t.Errorf("a revived wrapping key was not noticed: %v", found)
	}
}

// only wants shares to have left, and nothing found.
func only(t *testing.T, h *chaos.History, found []chaos.Violation) {
	t.Helper()
	sum := chaos.Summary{}
	sum.Add(h)
	t.Log(sum)
	if sum.Shares == 0 || sum.Sharings < 3 {
		t.Errorf("too little was signed, or nothing was refreshed: %s", sum)
	}
	for _, v := range found {
		t.Error(v)
	}
}
