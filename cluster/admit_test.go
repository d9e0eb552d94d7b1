package cluster_test

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

// TestAdmissionRefuses sends one follower what raft would swallow or panic on. The
// entries must not be stored, the node must live, and a good append must still pass.
func TestAdmissionRefuses(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		cfg, err := a.List[0].Config()
		if err != nil {
			t.Fatal(err)
		}
		l := cluster.NewLiar(cfg)
		defer l.Close()
		base, _, _ := cluster.Link(victim.C, 1)
		entry := func(index, term uint64, kind raft.LogType, data []byte, prev [32]byte) *raft.Log {
			e := &raft.Log{Index: index, Term: term, Type: kind, Data: data}
			e.Extensions = cluster.ExtensionFor(cluster.ChainHash(prev, term, index, kind, cluster.DataHash(data)))
			return e
		}
		good := (&command.Entry{Stamp: time.Now(), Commands: []*command.Command{a.Command()}}).Encode()
		conf := raft.EncodeConfiguration(raft.Configuration{})
		send := func(e ...*raft.Log) raft.AppendEntriesResponse {
			t.Helper()
			var r raft.AppendEntriesResponse
			err := l.Endpoint().AppendEntries(raft.ServerID(victim.ServerID), raft.ServerAddress(victim.Addr),
				&raft.AppendEntriesRequest{RPCHeader: l.Header(), Term: 2, PrevLogEntry: 1, PrevLogTerm: 1, Entries: e}, &r)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		noExt := entry(2, 2, raft.LogCommand, l.Seal(good), base)
		noExt.Extensions = nil
		foreign := cluster.SealEntry(clustertest.NewSealer("entry"), [32]byte{9}, good)
		for name, e := range map[string][]*raft.Log{
			"hole in the indexes":   {entry(3, 2, raft.LogNoop, nil, base)},
			"term of the future":    {entry(2, 3, raft.LogNoop, nil, base)},
			"term zero":             {entry(2, 0, raft.LogNoop, nil, base)},
			"unknown type":          {entry(2, 2, 77, nil, base)},
			"deprecated type":       {entry(2, 2, raft.LogRemovePeerDeprecated, []byte{1}, base)},
			"membership of nobody":  {entry(2, 2, raft.LogConfiguration, conf, base)},
			"membership of noise":   {entry(2, 2, raft.LogConfiguration, []byte{0xc1, 0xff}, base)},
			"no-op with data":       {entry(2, 2, raft.LogNoop, []byte("x"), base)},
			"another history":       {entry(2, 2, raft.LogNoop, nil, [32]byte{1})},
			"no chain hash":         {noExt},
			"not sealed":            {entry(2, 2, raft.LogCommand, good, base)},
			"of another lineage":    {entry(2, 2, raft.LogCommand, foreign, base)},
			"of a future format":    {entry(2, 2, raft.LogCommand, l.Seal([]byte{99}), base)},
			"second entry is wrong": {entry(2, 2, raft.LogNoop, nil, base), entry(3, 2, raft.LogNoop, nil, base)},
		} {
			if r := send(e...); r.Success {
				t.Errorf("%s: stored", name)
			}
			if last, _ := victim.Store.LastIndex(); last != 1 {
				t.Fatalf("%s: log ends at %d", name, last)
			}
		}
		if n := victim.C.Stats().Refused; n != 14 {
			t.Errorf("%d refusals counted, want 14", n)
		}
		first := entry(2, 2, raft.LogCommand, l.Seal(good), base)
		if r := send(first); !r.Success {
			t.Error("a good append is refused")
		}
		rival := entry(2, 2, raft.LogCommand, l.Seal(good), base) // sealed anew: other bytes, same place
		if r := send(rival); r.Success {
			t.Error("two entries at one place")
		}
		if victim.Fatal() != nil {
			t.Errorf("the victim gave up: %v", victim.Fatal())
		}
		if r := send(first); !r.Success { // sent again
			t.Error("a repeated append is refused")
		}
	})
}

// An empty append or a nudge must not commit a rival suffix: what the leader says is
// committed counts for its own entries only.
func TestNudgeNeedsTheSameChain(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		cfg, _ := a.List[0].Config()
		l := cluster.NewLiar(cfg)
		defer l.Close()
		id, addr := raft.ServerID(victim.ServerID), raft.ServerAddress(victim.Addr)
		base, _, _ := cluster.Link(victim.C, 1)
		good := (&command.Entry{Stamp: time.Now(), Commands: []*command.Command{a.Command()}}).Encode()
		data := l.Seal(good)
		chain := cluster.ChainHash(base, 2, 2, raft.LogCommand, cluster.DataHash(data))
		e := &raft.Log{Index: 2, Term: 2, Type: raft.LogCommand, Data: data, Extensions: cluster.ExtensionFor(chain)}
		var r raft.AppendEntriesResponse
		if err := l.Endpoint().AppendEntries(id, addr, &raft.AppendEntriesRequest{RPCHeader: l.Header(), Term: 2, PrevLogEntry: 1, PrevLogTerm: 1, Entries: []*raft.Log{e}}, &r); err != nil || !r.Success {
			t.Fatalf("%+v %v", r, err)
		}
		for name, bad := range map[string]func() error{
			"other chain": func() error { return l.Nudge(id, victim.Addr, 2, 2, 2, [32]byte{1}) },
			"other term":  func() error { return l.Nudge(id, victim.Addr, 2, 1, 2, chain) },
			"old leader":  func() error { return l.Nudge(id, victim.Addr, 1, 2, 2, chain) },
			"beyond":      func() error { return l.Nudge(id, victim.Addr, 2, 2, 3, chain) },
		} {
			if err := bad(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond) // well within the time a silent leader is believed
			if victim.Machine.Count() != 0 {
				t.Fatalf("%s: applied", name)
			}
		}
		if err := l.Nudge(id, victim.Addr, 2, 2, 2, chain); err != nil {
			t.Fatal(err)
		}
		a.Eventually(time.Second, "the honest nudge to apply", func() bool { return victim.Machine.Count() == 1 })
	})
}

// A snapshot must not take back applied state, and must be what was announced.
func TestForgedSnapshots(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		for range 5 {
			a.Propose()
		}
		a.Agree(time.Second)
		l := a.Leader()
		victim := a.Followers(l)[0]
		before, _ := victim.Machine.Digest()
		cfg, _ := l.Config()
		liar := cluster.NewLiar(cfg)
		defer liar.Close()
		conf := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(l.ServerID), Address: raft.ServerAddress(l.Addr)}}}
		send := func(index, announced uint64, lineage [32]byte, sealer cluster.Sealer) (raft.InstallSnapshotResponse, error) {
			return install(liar, victim, conf, index, announced, lineage, sealer, l.C.Stats().Term, l.C.Stats().Term)
		}
		sealer := clustertest.NewSealer("snapshot")
		if r, err := send(3, 3, a.Lineage, sealer); err == nil && !r.Success {
			t.Error("expected an answer about an index in the log")
		}
		for name, try := range map[string]func() (raft.InstallSnapshotResponse, error){
			"sealed by a stranger": func() (raft.InstallSnapshotResponse, error) {
				return send(500, 500, a.Lineage, clustertest.NewSealer("stranger"))
			},
			"of another lineage": func() (raft.InstallSnapshotResponse, error) {
				return send(500, 500, [32]byte{1}, sealer)
			},
			"announced elsewhere": func() (raft.InstallSnapshotResponse, error) { return send(400, 500, a.Lineage, sealer) },
		} {
			if r, err := try(); err == nil && r.Success {
				t.Errorf("%s: installed", name)
			}
			if now, _ := victim.Machine.Digest(); now != before {
				t.Fatalf("%s: state changed", name)
			}
		}
		if files := snapshotFiles(victim); len(files) != 0 {
			t.Errorf("forged snapshots kept: %v", files)
		}
		r, err := install(liar, victim, conf, 3, 3, a.Lineage, sealer, l.C.Stats().Term, 1)
		if err == nil && r.Success || victim.C.Stats().Restarts != 0 {
			t.Errorf("applied state taken back: %+v, %v, %d restarts", r, err, victim.C.Stats().Restarts)
		}
		if victim.Fatal() != nil {
			t.Errorf("the victim gave up: %v", victim.Fatal())
		}
		a.Propose()
		a.Agree(5 * time.Second)
	})
}
