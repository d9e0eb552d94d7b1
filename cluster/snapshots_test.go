package cluster_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func quickSnapshots() cluster.Timing {
	t := cluster.Loopback()
	t.SnapshotInterval, t.SnapshotThreshold, t.TrailingLogs = 2*time.Second, 10, 3
	return t
}

func TestLaggingNodeIsSentASnapshot(t *testing.T) {
	simulate(t, clustertest.Options{Timing: quickSnapshots()}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		n := a.Followers(a.Leader())[0]
		n.Stop()
		for range 40 {
			a.Propose()
		}
		time.Sleep(10 * time.Second) // snapshots and compaction
		n.Start()
		a.Eventually(20*time.Second, "the state to arrive", func() bool { return n.Machine.Count() == 41 })
		if n.Machine.Restores() == 0 {
			t.Error("it came without a snapshot: the test proves nothing")
		}
		a.Propose()
		a.Agree(5 * time.Second)
		n.Crash() // and what was installed survives
		n.Start()
		if err := n.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Agree(5 * time.Second)
	})
}

// A region far behind recovers with another one down: the signatures over the snapshot it
// needs were gathered when the snapshot was made, and nothing goes on without it.
func TestFarBehindWithOneRegionDown(t *testing.T) {
	simulate(t, clustertest.Options{Timing: quickSnapshots()}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		behind := a.Followers(a.Leader())[0]
		behind.Stop()
		for range 40 {
			a.Propose()
		}
		time.Sleep(10 * time.Second) // snapshots and compaction
		a.Followers(a.Leader())[0].Crash()
		behind.Start()
		a.Propose() // needs the one that was behind
		if err := behind.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		if behind.Machine.Restores() == 0 || behind.Machine.Count() != 42 {
			t.Errorf("%d restores, %d commands", behind.Machine.Restores(), behind.Machine.Count())
		}
	})
}

// raft keeps a log that conflicts with an installed snapshot and asks for the same
// one for ever.
func TestConflictingLogMeetsSnapshot(t *testing.T) {
	simulate(t, clustertest.Options{Timing: quickSnapshots()}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		a.Agree(time.Second)
		old := a.Leader()
		isolate(a, old)
		for range 3 { // each entry stays in its log, uncommitted
			go propose(old, time.Minute)
			time.Sleep(10 * time.Millisecond)
		}
		// A long tail of its own term, as a busy leader would have had.
		cfg, _ := old.Config()
		last, err := old.Store.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		a.Eventually(10*time.Second, "another leader", func() bool { return a.Leader() != old })
		old.Kill()
		extend(t, old, cfg, last, 100)
		for range 40 {
			a.Propose()
		}
		time.Sleep(10 * time.Second)
		a.Net.HealAll()
		old.Start()
		a.Eventually(60*time.Second, "the conflict to be cut", func() bool { return old.Machine.Count() == 41 })
		if old.C.Stats().Restarts == 0 {
			t.Error("there was no conflict: the test proves nothing")
		}
		a.Propose()
		a.Agree(5 * time.Second)
		old.Crash()
		old.Start()
		if err := old.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Agree(5 * time.Second)
	})
}

// extend appends n well-formed entries of the last term to a stopped node's log.
func extend(t *testing.T, n *clustertest.Node, cfg cluster.Config, last uint64, count int) {
	t.Helper()
	var l raft.Log
	if err := n.Store.GetLog(last, &l); err != nil {
		t.Fatal(err)
	}
	ext, err := cluster.DecodeExtension(l.Extensions)
	if err != nil {
		t.Fatal(err)
	}
	prev := ext.Chain
	for i := last + 1; i <= last+uint64(count); i++ {
		e := &raft.Log{Index: i, Term: l.Term, Type: raft.LogNoop}
		prev = cluster.ChainHash(prev, e.Term, e.Index, e.Type, cluster.DataHash(nil))
		e.Extensions = cluster.ExtensionFor(prev)
		if err := n.Store.StoreLogs([]*raft.Log{e}); err != nil {
			t.Fatal(err)
		}
	}
}

// snapshotFiles returns the snapshots on a node's disk, newest first.
func snapshotFiles(n *clustertest.Node) (out []string) {
	for _, f := range n.Disk.Names() {
		if strings.HasPrefix(f, "snapshots/0") && !strings.HasSuffix(f, ".proof") {
			out = append([]string{f}, out...)
		}
	}
	return out
}

// TestDamagedSnapshot flips a bit in the newest snapshot. The older one may stand in
// only while the log bridges the gap up to the durable mark.
func TestDamagedSnapshot(t *testing.T) {
	for name, tc := range map[string]struct {
		trailing uint64
		want     errs.Code
	}{"log bridges": {1000, errs.OK}, "log does not": {3, errs.Corrupt}} {
		t.Run(name, func(t *testing.T) {
			tm := quickSnapshots()
			tm.TrailingLogs = tc.trailing
			simulate(t, clustertest.Options{Timing: tm}, func(t *testing.T, a *clustertest.Nodes) {
				a.StartAll()
				for range 3 {
					for range 15 {
						a.Propose()
					}
					time.Sleep(6 * time.Second)
				}
				n := a.Followers(a.Leader())[0]
				n.Stop()
				files := snapshotFiles(n)
				if len(files) != 2 {
					t.Fatalf("%d snapshots kept: %v", len(files), files)
				}
				b, err := n.Disk.ReadFile(files[0])
				if err != nil {
					t.Fatal(err)
				}
				if err := n.Disk.Flip(files[0], int64(len(b)-5)); err != nil {
					t.Fatal(err)
				}
				if err := n.TryStart(); errs.CodeOf(err) != tc.want {
					t.Fatalf("start: %v", err)
				}
				if tc.want == errs.OK {
					if err := n.C.WaitReady(t.Context()); err != nil {
						t.Fatal(err)
					}
					a.Agree(5 * time.Second)
				}
			})
		})
	}
}

// TestForeignSnapshotIsStale puts a snapshot of another lineage on the disk.
func TestForeignSnapshotIsStale(t *testing.T) {
	simulate(t, clustertest.Options{Timing: quickSnapshots()}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		n := a.Followers(a.Leader())[0]
		n.Stop()
		var buf bytes.Buffer
		conf := raft.Configuration{Servers: []raft.Server{{ID: "x", Address: "y"}}}
		if err := cluster.EnvelopeOf(&buf, clustertest.NewSealer("snapshot"), [32]byte{9}, 50, 3, [32]byte{1}, conf, []byte("state")); err != nil {
			t.Fatal(err)
		}
		if err := n.Disk.WriteFile("snapshots/00000000000000000050-00000000000000000003", buf.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := n.TryStart(); errs.CodeOf(err) != errs.Stale {
			t.Errorf("start: %v", err)
		}
	})
}

func TestEnvelopeIsBound(t *testing.T) {
	sealer := clustertest.NewSealer("snapshot")
	conf := raft.Configuration{Servers: []raft.Server{{ID: "x", Address: "y"}}}
	state := bytes.Repeat([]byte("canary "), cluster.SnapshotChunk/3) // several chunks
	make := func(index uint64, state []byte) []byte {
		var b bytes.Buffer
		if err := cluster.EnvelopeOf(&b, sealer, [32]byte{1}, index, 2, [32]byte{3}, conf, state); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	b := make(9, state)
	if got, err := cluster.OpenEnvelope(bytes.NewReader(b), sealer); err != nil || !bytes.Equal(got, state) {
		t.Fatalf("round trip: %d bytes, %v", len(got), err)
	}
	if bytes.Contains(b, []byte("canary")) {
		t.Error("plaintext in a sealed snapshot")
	}
	if got, err := cluster.OpenEnvelope(bytes.NewReader(make(9, nil)), sealer); err != nil || len(got) != 0 {
		t.Errorf("empty state: %v", err)
	}
	for i := 0; i < len(b); i += 997 { // any flipped bit
		c := bytes.Clone(b)
		c[i] ^= 4
		if _, err := cluster.OpenEnvelope(bytes.NewReader(c), sealer); err == nil {
			t.Fatalf("bit flipped at %d not noticed", i)
		}
	}
	for _, n := range []int{0, 3, 40, len(b) / 2, len(b) - 1} { // any cut
		if _, err := cluster.OpenEnvelope(bytes.NewReader(b[:n]), sealer); err == nil {
			t.Errorf("cut at %d not noticed", n)
		}
	}
	if _, err := cluster.OpenEnvelope(bytes.NewReader(append(bytes.Clone(b), 0)), sealer); err == nil {
		t.Error("trailing byte not noticed")
	}
	head := len(make(9, nil)) - (5 + 12 + 16) // header, without the final chunk
	other := make(10, state)
	if _, err := cluster.OpenEnvelope(bytes.NewReader(append(bytes.Clone(other[:head]), b[head:]...)), sealer); err == nil {
		t.Error("chunks grafted onto another place in the log")
	}
	chunk := 5 + 12 + cluster.SnapshotChunk + 16
	short := append(bytes.Clone(b[:head]), b[head+chunk:]...) // first chunk dropped
	if _, err := cluster.OpenEnvelope(bytes.NewReader(short), sealer); err == nil {
		t.Error("dropped chunk not noticed")
	}
	if _, err := cluster.OpenEnvelope(bytes.NewReader(b[:head+chunk]), sealer); err == nil {
		t.Error("end before the final chunk not noticed")
	}
}

// Nothing readable may reach a disk but raft's bookkeeping.
func TestNothingReadableOnDisk(t *testing.T) {
	simulate(t, clustertest.Options{Timing: quickSnapshots()}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		for range 30 {
			a.Propose() // carries the reason "test" and the field's bytes
		}
		time.Sleep(6 * time.Second)
		cmd := a.Command()
		canary := cmd.Principal[:]
		for _, n := range a.List {
			for _, f := range n.Disk.Names() {
				b, err := n.Disk.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(b, canary) {
					t.Errorf("%s of %s names a principal", f, n.Name)
				}
			}
			last, _ := n.Store.LastIndex()
			for i := uint64(1); i <= last; i++ {
				var l raft.Log
				if n.Store.GetLog(i, &l) == nil && bytes.Contains(l.Data, canary) {
					t.Errorf("log entry %d of %s names a principal", i, n.Name)
				}
			}
		}
	})
}

// Entries of many commands fill the disk long before raft counts enough of them.
func TestLogIsCompactedByBytes(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		l := a.Leader()
		grow := func(n int) {
			for range n {
				if _, err := l.C.Propose(t.Context(), a.CommandOf(large())); err != nil {
					t.Fatal(err)
				}
			}
		}
		grow(20)
		if cluster.Compact(l.C); l.C.Stats().Snapshot != 0 {
			t.Fatal("too early")
		}
		grow(20)
		trailing := cluster.Compact(l.C)
		if l.C.Stats().Snapshot == 0 {
			t.Error("no snapshot after 10 MiB of a limit of 8 MiB")
		}
		if trailing >= 10_000 || trailing < 256 {
			t.Errorf("%d entries are left, of 256 KiB each", trailing)
		}
		if before := l.C.Stats().Snapshot; cluster.Compact(l.C) != trailing || l.C.Stats().Snapshot != before {
			t.Error("compacted again without growth")
		}
		a.Propose()
		a.Agree(10 * time.Second)
	})
}
