package cluster_test

import (
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func TestBoltStores(t *testing.T) {
	dir := t.TempDir()
	s, err := cluster.OpenBolt(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stable.GetUint64([]byte("CurrentTerm")); err == nil || err.Error() != "not found" {
		t.Errorf("missing key: %v, raft compares the text", err)
	}
	if err := s.Stable.SetVote(7, []byte("addr")); err != nil {
		t.Fatal(err)
	}
	var logs []*raft.Log
	for i := uint64(1); i <= 5000; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: 1, Data: []byte{byte(i)}, Extensions: []byte{1}})
	}
	if err := s.Log.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	if err := s.Log.DeleteRange(1, 4500); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.OpenBolt(dir); errs.CodeOf(err) != errs.BadState {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = cluster.OpenBolt(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first, _ := s.Log.FirstIndex()
	last, _ := s.Log.LastIndex()
	term, _ := s.Stable.GetUint64([]byte("LastVoteTerm"))
	cand, _ := s.Stable.Get([]byte("LastVoteCand"))
	if first != 4501 || last != 5000 || term != 7 || string(cand) != "addr" {
		t.Errorf("log %d..%d, vote %d %q", first, last, term, cand)
	}
}

// TestDamagedBolt flips bytes all over a node's log file. bbolt checks its meta pages
// only: whatever else is hit must end in a coded error or not matter, and never in a
// different history.
func TestDamagedBolt(t *testing.T) {
	dir := t.TempDir()
	a := clustertest.New(t, clustertest.Options{OS: true, Bolt: dir, Logger: debugLogger, Timing: cluster.WAN()})
	a.StartAll()
	for range 30 {
		a.Propose()
	}
	a.Agree(20 * time.Second)
	n := a.Followers(a.Leader())[0]
	n.Stop()
	good, err := os.ReadFile(filepath.Join(dir, n.ServerID, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	stable, err := os.ReadFile(filepath.Join(dir, n.ServerID, "stable.db"))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewSource(1))
	found := 0
	for i := range 200 {
		bad := append([]byte(nil), good...)
		for range 1 + i {
			bad[rng.Intn(len(bad))] ^= byte(1 + rng.Intn(255))
		}
		if i%10 == 9 {
			bad = bad[:rng.Intn(len(bad))]
		}
		switch err := openDamaged(t, n, bad, stable); errs.CodeOf(err) {
		case errs.OK:
		case errs.Corrupt, errs.Stale, errs.DiskFailed:
			found++
		default:
			t.Fatalf("damage %d: %v", i, err)
		}
	}
	if found < 100 {
		t.Errorf("only %d of 200 damaged files were noticed", found)
	}
	n.Start()
	if err := n.C.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Agree(20 * time.Second)
}

// openDamaged opens the node on stores of its own: bbolt keeps its lock on a file that
// made it panic until the process ends.
func openDamaged(t *testing.T, n *clustertest.Node, log, stable []byte) error {
	dir := t.TempDir()
	for name, b := range map[string][]byte{"log.db": log, "stable.db": stable} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := cluster.OpenBolt(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	cfg, err := n.Config()
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.Stores.Close()
	cfg.Stores = s
	_, err = cluster.New(cfg)
	return err
}

// TestFlippedEntry changes single stored entries: each is found before raft starts.
func TestFlippedEntry(t *testing.T) {
	for name, change := range map[string]func(*raft.Log){
		"data":      func(l *raft.Log) { l.Data[len(l.Data)/2] ^= 1 },
		"extension": func(l *raft.Log) { l.Extensions[3] ^= 1 },
		"term":      func(l *raft.Log) { l.Term++ },
		"type":      func(l *raft.Log) { l.Type = raft.LogNoop },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
				a.StartAll()
				var index uint64
				for range 5 {
					o, err := propose(a.Leader(), time.Second)
					if err != nil {
						t.Fatal(err)
					}
					index = o.Index
				}
				n := a.Followers(a.Leader())[0]
				a.Agree(time.Second)
				n.Crash()
				n.Store.Corrupt(index-1, change)
				if err := n.TryStart(); errs.CodeOf(err) != errs.Corrupt {
					t.Fatalf("start: %v", err)
				}
			})
		})
	}
}
