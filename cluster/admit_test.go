package cluster_test

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestAdmissionRefuses sends one follower what raft would swallow or panic on, from a
// leader that proved its leadership. The entries must not be stored, the node must live,
// whoever signed a bad one is not heard for the term, and a good append must still pass.
func TestAdmissionRefuses(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		l, victim, base := liarAndVictim(t, a)
		good := (&command.Entry{Stamp: time.Now(), Commands: []*command.Command{a.Command()}}).Encode()
		foreign := cluster.SealEntry(clustertest.NewSealer("entry"), [32]byte{9}, good)
		conf := raft.EncodeConfiguration(raft.Configuration{})
		term := uint64(1)
		var proof *chain.LeaderProof
		lead := func() {
			term++
			proof = l.Lead(term, cluster.Place(1, 1, base), a.List[2].Session(), a.List[3].Session())
		}
		entry := func(index, term uint64, kind raft.LogType, data []byte, prev [32]byte) *raft.Log {
			return l.Sign(&raft.Log{Index: index, Term: term, Type: kind, Data: data}, prev, proof)
		}
		send := func(e ...*raft.Log) (raft.AppendEntriesResponse, error) {
			var r raft.AppendEntriesResponse
			err := l.Endpoint().AppendEntries(raft.ServerID(victim.ServerID), raft.ServerAddress(victim.Addr),
				&raft.AppendEntriesRequest{RPCHeader: l.Header(), Term: term, PrevLogEntry: 1, PrevLogTerm: 1, Entries: e}, &r)
			return r, err
		}
		one := func(kind raft.LogType, data []byte) func() []*raft.Log {
			return func() []*raft.Log { return []*raft.Log{entry(2, term, kind, data, base)} }
		}
		for _, bad := range []struct {
			name   string
			fences bool // it is signed, and says all by itself
			make   func() []*raft.Log
		}{
			{"hole in the indexes", false, func() []*raft.Log { return []*raft.Log{entry(3, term, raft.LogNoop, nil, base)} }},
			{"term of the future", false, func() []*raft.Log { return []*raft.Log{entry(2, term+1, raft.LogNoop, nil, base)} }},
			{"term zero", false, func() []*raft.Log { return []*raft.Log{entry(2, 0, raft.LogNoop, nil, base)} }},
			{"unknown type", true, one(77, nil)},
			{"deprecated type", true, one(raft.LogRemovePeerDeprecated, []byte{1})},
			{"membership of nobody", true, one(raft.LogConfiguration, conf)},
			{"membership of noise", true, one(raft.LogConfiguration, []byte{0xc1, 0xff})},
			{"no-op with data", true, one(raft.LogNoop, []byte("x"))},
			{"another history", false, func() []*raft.Log { return []*raft.Log{entry(2, term, raft.LogNoop, nil, [32]byte{1})} }},
			{"no extension", false, func() []*raft.Log { e := one(raft.LogNoop, nil)(); e[0].Extensions = nil; return e }},
			{"not signed", false, func() []*raft.Log {
				e := one(raft.LogNoop, nil)()
				e[0].Extensions = cluster.ExtensionFor(cluster.ChainHash(base, term, 2, raft.LogNoop, cluster.DataHash(nil)))
				return e
			}},
			{"no proof", false, func() []*raft.Log { p := proof; proof = nil; e := one(raft.LogNoop, nil)(); proof = p; return e }},
			{"not sealed", true, one(raft.LogCommand, good)},
			{"of another lineage", true, one(raft.LogCommand, foreign)},
			{"of a future format", true, one(raft.LogCommand, l.Seal([]byte{99}))},
			{"second entry is wrong", false, func() []*raft.Log {
				return []*raft.Log{one(raft.LogNoop, nil)()[0], entry(3, term, raft.LogNoop, nil, base)}
			}},
		} {
			lead()
			if r, err := send(bad.make()...); err != nil || r.Success {
				t.Errorf("%s: %+v, %v", bad.name, r, err)
			}
			if last, _ := victim.Store.LastIndex(); last != 1 {
				t.Fatalf("%s: log ends at %d", bad.name, last)
			}
			if _, err := send(); bad.fences != (errs.CodeOf(err) == errs.Denied) {
				t.Errorf("%s: afterwards the leader hears %v", bad.name, err)
			}
		}
		kept := 0
		for _, e := range victim.C.Evidence() {
			if e.Accused == 1 && e.Kind == chain.RefusedEntry {
				kept++
			}
		}
		if kept != 8 {
			t.Errorf("%d refused entries kept as evidence, want 8", kept)
		}
		lead()
		first := one(raft.LogCommand, l.Seal(good))()[0]
		if r, err := send(first); err != nil || !r.Success {
			t.Errorf("a good append is refused: %+v, %v", r, err)
		}
		if r, err := send(first); err != nil || !r.Success { // sent again
			t.Errorf("a repeated append is refused: %+v, %v", r, err)
		}
		rival := one(raft.LogCommand, l.Seal(good))()[0] // sealed anew: other bytes, same place
		if r, err := send(rival); err == nil && r.Success {
			t.Error("two entries at one place")
		}
		if e := victim.C.Evidence(); e[0].Kind != chain.RivalEntries || e[0].Accused != 1 {
			t.Errorf("two entries for one place convict nobody: %v of region %d", e[0].Kind, e[0].Accused)
		}
		if victim.Fatal() != nil {
			t.Errorf("the victim gave up: %v", victim.Fatal())
		}
	})
}

// liarAndVictim starts one follower, and a region that says what it likes.
func liarAndVictim(t *testing.T, a *clustertest.Nodes) (*cluster.Liar, *clustertest.Node, [32]byte) {
	t.Helper()
	victim := a.List[1]
	victim.Start()
	cfg, err := a.List[0].Config()
	if err != nil {
		t.Fatal(err)
	}
	l := cluster.NewLiar(cfg)
	t.Cleanup(l.Close)
	base, _, _ := cluster.Link(victim.C, 1)
	return l, victim, base
}

// An empty append or a nudge must not commit what no certificate covers: what the leader
// says is committed counts for nothing.
func TestCommitNeedsACertificate(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		l, victim, base := liarAndVictim(t, a)
		defer l.Close()
		id, addr := raft.ServerID(victim.ServerID), raft.ServerAddress(victim.Addr)
		third, fourth := a.List[2].Session(), a.List[3].Session()
		proof := l.Lead(2, cluster.Place(1, 1, base), third, fourth)
		good := (&command.Entry{Stamp: time.Now(), Commands: []*command.Command{a.Command()}}).Encode()
		data := l.Seal(good)
		e := l.Sign(&raft.Log{Index: 2, Term: 2, Type: raft.LogCommand, Data: data}, base, proof)
		place := cluster.Place(2, 2, cluster.ChainHash(base, 2, 2, raft.LogCommand, cluster.DataHash(data)))
		send := func(commit uint64, e ...*raft.Log) {
			t.Helper()
			var r raft.AppendEntriesResponse
			q := &raft.AppendEntriesRequest{RPCHeader: l.Header(), Term: 2, PrevLogEntry: 1, PrevLogTerm: 1, Entries: e, LeaderCommitIndex: commit}
			if err := l.Endpoint().AppendEntries(id, addr, q, &r); err != nil || !r.Success {
				t.Fatalf("%+v %v", r, err)
			}
		}
		send(2, e)
		own, other := l.Session(), cluster.Place(2, 2, [32]byte{1})
		for name, c := range map[string]*chain.Certificate{
			"other entry":    l.Certificate(other, own, third, fourth),
			"two regions":    l.Certificate(place, own, third),
			"beyond":         l.Certificate(cluster.Place(2, 3, place.Hash), own, third, fourth),
			"other term":     l.Certificate(cluster.Place(1, 2, place.Hash), own, third, fourth),
			"another term's": l.Certificate(cluster.Place(3, 2, place.Hash), own, third, fourth),
		} {
			if err := l.Nudge(id, victim.Addr, 2, c); err != nil {
				t.Fatal(err)
			}
			send(9)
			time.Sleep(20 * time.Millisecond) // well within the time a silent leader is believed
			if victim.Machine.Count() != 0 {
				t.Fatalf("%s: applied", name)
			}
		}
		if err := l.Nudge(id, victim.Addr, 2, l.Certificate(place, own, third, fourth)); err != nil {
			t.Fatal(err)
		}
		a.Eventually(time.Second, "the certified entry to be applied", func() bool { return victim.Machine.Count() == 1 })
	})
}

// A snapshot replaces nothing unless three regions vouch for it, it is what they vouch
// for, and it takes no applied state back.
func TestForgedSnapshots(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		for range 5 {
			a.Propose()
		}
		a.Agree(time.Second)
		leader := a.Leader()
		followers := a.Followers(leader)
		victim := followers[0]
		before, _ := victim.Machine.Digest()
		cfg, _ := leader.Config()
		cfg.Session = leader.Running
		liar := cluster.NewLiar(cfg)
		defer liar.Close()
		liar.Steal(leader.C)
		term := leader.C.Stats().Term
		conf := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(leader.ServerID), Address: raft.ServerAddress(leader.Addr)}}}
		sealer, forged := clustertest.NewSealer("snapshot"), []byte("forged")
		three := []*identity.Session{leader.Running, followers[1].Running, followers[2].Running}
		at := func(index uint64) chain.Link { return cluster.Place(term, index, [32]byte{5}) }
		send := func(index uint64, s cluster.Sealer, lineage [32]byte) (raft.InstallSnapshotResponse, error) {
			return install(liar, victim, conf, index, index, lineage, s, term, term)
		}
		for _, x := range []struct {
			name  string
			proof *chain.SnapshotProof
			send  func() (raft.InstallSnapshotResponse, error)
		}{
			{"no proof", nil, func() (raft.InstallSnapshotResponse, error) { return send(500, sealer, a.Lineage) }},
			{"two vouch", liar.Attested(at(500), forged, conf, three[:2]...), func() (raft.InstallSnapshotResponse, error) { return send(500, sealer, a.Lineage) }},
			{"another state", liar.Attested(at(500), []byte("true"), conf, three...), func() (raft.InstallSnapshotResponse, error) { return send(500, sealer, a.Lineage) }},
			{"another place", liar.Attested(at(400), forged, conf, three...), func() (raft.InstallSnapshotResponse, error) { return send(500, sealer, a.Lineage) }},
			{"another membership", liar.Attested(at(500), forged, raft.Configuration{Servers: append(conf.Servers, raft.Server{ID: raft.ServerID(victim.ServerID), Address: "x"})}, three...),
				func() (raft.InstallSnapshotResponse, error) { return send(500, sealer, a.Lineage) }},
			{"sealed by a stranger", liar.Attested(at(500), forged, conf, three...), func() (raft.InstallSnapshotResponse, error) {
				return send(500, clustertest.NewSealer("stranger"), a.Lineage)
			}},
			{"of another lineage", liar.Attested(at(500), forged, conf, three...), func() (raft.InstallSnapshotResponse, error) { return send(500, sealer, [32]byte{1}) }},
			{"announced elsewhere", liar.Attested(at(500), forged, conf, three...), func() (raft.InstallSnapshotResponse, error) {
				return install(liar, victim, conf, 400, 500, a.Lineage, sealer, term, term)
			}},
			{"takes state back", liar.Attested(cluster.Place(1, 3, [32]byte{5}), forged, conf, three...), func() (raft.InstallSnapshotResponse, error) {
				return install(liar, victim, conf, 3, 3, a.Lineage, sealer, term, 1)
			}},
		} {
			liar.Offer(x.proof)
			if r, err := x.send(); err == nil && r.Success {
				t.Errorf("%s: installed", x.name)
			}
			if now, _ := victim.Machine.Digest(); now != before {
				t.Fatalf("%s: state changed", x.name)
			}
		}
		if files := snapshotFiles(victim); len(files) != 0 {
			t.Errorf("forged snapshots kept: %v", files)
		}
		if victim.C.Stats().Restarts != 0 || victim.Fatal() != nil {
			t.Errorf("%d restarts, %v", victim.C.Stats().Restarts, victim.Fatal())
		}
		convicts := 0
		for _, e := range victim.C.Evidence() {
			if e.Kind == chain.UnprovenSnapshot && e.Accused == leader.Region {
				convicts++
			}
		}
		if convicts != 1 {
			t.Errorf("%d snapshots without signatures are kept as evidence, want the one by two regions", convicts)
		}
	})
}
