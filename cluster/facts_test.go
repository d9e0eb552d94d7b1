package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// One test for each fact about raft that the code must respect; each was seen to
// fail with the measure taken out.

func simulate(t *testing.T, o clustertest.Options, f func(t *testing.T, a *clustertest.Nodes)) {
	synctest.Test(t, func(t *testing.T) {
		if o.Logger == nil {
			o.Logger = debugLogger
		}
		a := clustertest.New(t, o)
		f(t, a)
		a.Close()
	})
}

func isolate(a *clustertest.Nodes, n *clustertest.Node) {
	for _, o := range a.List {
		if o != n {
			a.Net.Cut(n.Name, o.Name)
		}
	}
}

// propose commits through one node within d.
func propose(n *clustertest.Node, d time.Duration) (fsm.Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return n.C.Propose(ctx, n.All.Command())
}

// Heartbeats must not overtake raft's main loop.
func TestHeartbeatsTakeTheMainWay(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		cfg, err := a.List[0].Config()
		if err != nil {
			t.Fatal(err)
		}
		l := cluster.NewLiar(cfg)
		defer l.Close()
		a.List[1].Start()
		a.List[1].Store.SetHook(func(op string) error {
			if op == "log" {
				time.Sleep(300 * time.Millisecond)
			}
			return nil
		})
		// While an append waits for the disk, a heartbeat waits behind it.
		id, addr := raft.ServerID(a.List[1].ServerID), raft.ServerAddress(a.List[1].Addr)
		prev, prevTerm, _ := cluster.Link(a.List[1].C, 1)
		proof := l.Lead(2, cluster.Place(prevTerm, 1, prev), a.List[2].Session(), a.List[3].Session())
		entry := l.Sign(&raft.Log{Index: 2, Term: 2, Type: raft.LogNoop}, prev, proof)
		done := make(chan time.Time, 1)
		go func() {
			var r raft.AppendEntriesResponse
			err := l.Endpoint().AppendEntries(id, addr, &raft.AppendEntriesRequest{RPCHeader: l.Header(), Term: 2, PrevLogEntry: 1, PrevLogTerm: prevTerm, Entries: []*raft.Log{entry}}, &r)
			if err != nil || !r.Success {
				t.Errorf("append: %+v, %v", r, err)
			}
			done <- time.Now()
		}()
		time.Sleep(50 * time.Millisecond)
		var r raft.AppendEntriesResponse
		if err := l.Endpoint().AppendEntries(id, addr, &raft.AppendEntriesRequest{RPCHeader: l.Header(), Term: 2}, &r); err != nil {
			t.Fatal(err)
		}
		if beat, stored := time.Now(), <-done; beat.Before(stored) {
			t.Errorf("the heartbeat was answered %s before the append", stored.Sub(beat))
		}
		called := false
		l.Endpoint().SetHeartbeatHandler(func(raft.RPC) { called = true })
		if called {
			t.Error("heartbeat handler used")
		}
	})
}

// What raft offers and nobody may use.
func TestForbiddenCalls(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{".VerifyLeader(", "RecoverCluster(", "NewNetworkTransport", "raft.Restore(", "FileSnapshotStore"} {
			if bytes.Contains(b, []byte(bad)) {
				t.Errorf("%s uses %s", f, bad)
			}
		}
		// It takes every value over, zero ones too: only from what is set now.
		if bytes.Contains(b, []byte(".ReloadConfig(")) && !bytes.Contains(b, []byte("conf := in.raft.ReloadableConfig()")) {
			t.Errorf("%s reloads a configuration of its own", f)
		}
	}
}

func TestRaftConfiguration(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.List[0].Start()
		rc := cluster.RaftConfig(a.List[0].C)
		if rc.RestoreCommittedLogs || rc.PreVoteDisabled || !rc.BatchApplyCh || rc.ProtocolVersion != 3 || rc.ShutdownOnRemove || !rc.NoLegacyTelemetry {
			t.Errorf("%+v", rc)
		}
		if cluster.PipelineDepth < 16 {
			t.Errorf("pipeline depth %d", cluster.PipelineDepth)
		}
	})
}

// A leader cut off from the others goes on believing for a while: what it answers
// then must not be stale.
func TestDeposedLeaderAnswersNothing(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		old := a.Leader()
		isolate(a, old)
		if !old.C.IsLeader() {
			t.Fatal("the hint should still say leader")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := old.C.Barrier(ctx); err == nil {
			t.Error("barrier passed without a quorum")
		}
		a.Eventually(5*time.Second, "the old leader not to be ready", func() bool { return errs.CodeOf(old.C.Ready()) == errs.NotReady })
		a.Eventually(5*time.Second, "a new leader", func() bool { l := a.Leader(); return l != old })
		a.Propose()
		a.Net.HealAll()
		if err := old.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Agree(5 * time.Second)
	})
}

// A follower's barrier waits for what was committed before it was called.
func TestFollowerBarrierIsLinearizable(t *testing.T) {
	tm := cluster.Loopback()
	tm.Commit = 3 * time.Second // news come by nudge or not at all
	simulate(t, clustertest.Options{Timing: tm}, func(t *testing.T, a *clustertest.Nodes) {
		a.Net.SetLatency(20 * time.Millisecond)
		a.StartAll()
		l := a.Leader()
		for _, f := range a.Followers(l) {
			c := a.Propose()
			if err := f.C.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, ok := f.Machine.Seen(c.ID); !ok {
				t.Errorf("%s passed a barrier without an acknowledged command", f.Name)
			}
		}
	})
}

// A vote is one write. In two, a crash between them leaves the new term with the
// old candidate.
func TestVoteIsOneWrite(t *testing.T) {
	s := clustertest.NewStore()
	stable := cluster.VoteStoreOver(s, func(error) {})
	vote := func(term uint64, cand string) error {
		if err := stable.SetUint64([]byte("LastVoteTerm"), term); err != nil {
			return err
		}
		return stable.Set([]byte("LastVoteCand"), []byte(cand))
	}
	if err := vote(1, "old"); err != nil {
		t.Fatal(err)
	}
	if err := stable.SetUint64([]byte("LastVoteTerm"), 2); err != nil { // and the power goes
		t.Fatal(err)
	}
	after := s.Crash()
	term, _ := after.GetUint64([]byte("LastVoteTerm"))
	cand, _ := after.Get([]byte("LastVoteCand"))
	if term != 1 || string(cand) != "old" {
		t.Fatalf("after a crash between the halves: term %d, candidate %q", term, cand)
	}
	stable = cluster.VoteStoreOver(after, func(error) {})
	if err := vote(2, "new"); err != nil {
		t.Fatal(err)
	}
	again := after.Crash()
	term, _ = again.GetUint64([]byte("LastVoteTerm"))
	cand, _ = again.Get([]byte("LastVoteCand"))
	if term != 2 || string(cand) != "new" {
		t.Fatalf("after a whole vote: term %d, candidate %q", term, cand)
	}
}

// With an empty configuration raft grants every vote.
func TestNobodyVotesWithoutMembership(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		fresh := a.Join(2, "r2-000000b1") // a new incarnation, nobody has added it
		fresh.Start()
		cfg, _ := a.List[0].Config()
		l := cluster.NewLiar(cfg)
		defer l.Close()
		id, addr := raft.ServerID(fresh.ServerID), raft.ServerAddress(fresh.Addr)
		var v raft.RequestVoteResponse
		if err := l.Endpoint().RequestVote(id, addr, &raft.RequestVoteRequest{RPCHeader: l.Header(), Term: 9}, &v); v.Granted {
			t.Errorf("vote %+v, %v", v, err)
		}
		var p raft.RequestPreVoteResponse
		if err := l.Endpoint().RequestPreVote(id, addr, &raft.RequestPreVoteRequest{RPCHeader: l.Header(), Term: 9}, &p); p.Granted {
			t.Errorf("pre-vote %+v, %v", p, err)
		}
	})
}

func TestWipedDiskIsRefused(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		n := a.Followers(a.Leader())[0]
		n.Crash()
		kept := n.Store
		n.Store = clustertest.NewStore() // only raft's files are gone
		if err := n.TryStart(); errs.CodeOf(err) != errs.Stale {
			t.Errorf("log gone: %v", err)
		}
		n.Store = kept
		if err := n.Disk.Remove("incarnation"); err != nil {
			t.Fatal(err)
		}
		if err := n.TryStart(); errs.CodeOf(err) != errs.Stale {
			t.Errorf("incarnation gone: %v", err)
		}
		other := a.Followers(a.Leader())[0]
		other.Crash()
		other.ServerID = "r9-00000009"
		if err := other.TryStart(); errs.CodeOf(err) != errs.Stale {
			t.Errorf("another server's disk: %v", err)
		}
	})
}

// TestOldDiskIsRefused puts back a log that ends before what the node had applied.
func TestOldDiskIsRefused(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		n := a.Followers(a.Leader())[0]
		n.Store.Lie(true) // the disk says yes and keeps nothing
		for range 5 {
			a.Propose()
		}
		a.Agree(time.Second)
		time.Sleep(3 * time.Second) // the mark is written
		n.Crash()
		if err := n.TryStart(); errs.CodeOf(err) != errs.Stale {
			t.Fatalf("a node that lost acknowledged entries started: %v", err)
		}
	})
}

func TestTimeoutNowOnlyFromTheLeader(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		l := a.Leader()
		f := a.Followers(l)
		term := l.C.Stats().Term
		cfg, _ := f[0].Config()
		cfg.Session = f[0].Running
		liar := cluster.NewLiar(cfg)
		defer liar.Close()
		last, _ := f[1].Store.LastIndex()
		hash, at, _ := cluster.Link(f[1].C, last)
		liar.Lead(term, cluster.Place(at-1, last, hash), f[1].Running, f[2].Running)
		var r raft.TimeoutNowResponse
		err := liar.Endpoint().TimeoutNow(raft.ServerID(f[1].ServerID), raft.ServerAddress(f[1].Addr), &raft.TimeoutNowRequest{RPCHeader: liar.Header()}, &r)
		if errs.CodeOf(err) != errs.Denied {
			t.Errorf("TimeoutNow of a follower: %v", err)
		}
		time.Sleep(3 * time.Second)
		if now := a.Leader(); now != l || now.C.Stats().Term != term {
			t.Errorf("leader %s term %d, was %s term %d", now.Name, now.C.Stats().Term, l.Name, term)
		}
		if err := l.C.TransferLeadership(t.Context()); err != nil {
			t.Fatalf("the leader's own: %v", err)
		}
		if a.Leader() == l {
			t.Error("leadership was not handed over")
		}
	})
}

// A server may speak for itself only.
func TestHeaderMustMatchTLS(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		l := a.Leader()
		f := a.Followers(l)
		cfg, _ := f[0].Config()
		liar := cluster.NewLiar(cfg)
		defer liar.Close()
		h := liar.Header()
		h.ID = []byte(l.ServerID)
		var r raft.AppendEntriesResponse
		err := liar.Endpoint().AppendEntries(raft.ServerID(f[1].ServerID), raft.ServerAddress(f[1].Addr), &raft.AppendEntriesRequest{RPCHeader: h, Term: 99}, &r)
		if err == nil {
			t.Error("an append in the leader's name was answered")
		}
	})
}

// A leader whose disk hangs goes on heartbeating in raft: nobody else is elected.
func TestHungDiskLosesLeadership(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		old := a.Leader()
		old.Store.SetHook(func(op string) error {
			if op == "log" {
				time.Sleep(20 * time.Second)
			}
			return nil
		})
		start := time.Now()
		go propose(old, time.Second)
		a.Eventually(4*time.Second, "another leader", func() bool {
			for _, n := range a.Followers(old) {
				if n.C.IsLeader() {
					return true
				}
			}
			return false
		})
		t.Logf("new leader %s after the stall", time.Since(start))
		a.Eventually(6*time.Second, "the node to give up", func() bool { return old.Fatal() != nil })
		if code := errs.CodeOf(old.Fatal()); code != errs.DiskFailed {
			t.Errorf("ended with %v", old.Fatal())
		}
	})
}

func TestDiskErrorsEndTheNode(t *testing.T) {
	for _, op := range []string{"log", "stable:CurrentTerm", "vote"} {
		t.Run(op, func(t *testing.T) {
			simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
				a.StartAll()
				old := a.Leader()
				n := a.Followers(old)[0]
				n.Store.SetHook(func(o string) error {
					if o == op {
						return errors.New("input/output error")
					}
					return nil
				})
				switch op {
				case "log":
					go propose(old, time.Second)
				default:
					old.Kill()
				}
				a.Eventually(30*time.Second, "the node to give up", func() bool { return n.Fatal() != nil })
				if errs.CodeOf(n.C.Ready()) != errs.NotReady {
					t.Error("ready after a disk error")
				}
			})
		})
	}
}

// TestWatchdogNeverAbandonsAWrite checks the order: fence, then end, and the write's
// own result last.
func TestWatchdogNeverAbandonsAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tm := cluster.Loopback()
		s := clustertest.NewStore()
		var fenced, ended atomic.Int64
		log := cluster.Watched(s, tm, func(on bool) {
			if on {
				fenced.Store(time.Now().UnixMilli())
			}
		}, func(error) { ended.Store(time.Now().UnixMilli()) })
		s.SetHook(func(string) error { time.Sleep(8 * time.Second); return nil })
		start := time.Now()
		if err := log.StoreLogs([]*raft.Log{{Index: 1}}); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 8*time.Second {
			t.Errorf("returned after %s, before the write ended", d)
		}
		if f, e := fenced.Load()-start.UnixMilli(), ended.Load()-start.UnixMilli(); f != 700 || e != 5000 {
			t.Errorf("fenced after %d ms, ended after %d ms", f, e)
		}
	})
}

// Followers learn of a commit at once, without waiting for CommitTimeout.
func TestCommitNewsTravelAtOnce(t *testing.T) {
	tm := cluster.Loopback()
	tm.Commit = 20 * time.Second
	simulate(t, clustertest.Options{Timing: tm}, func(t *testing.T, a *clustertest.Nodes) {
		a.Net.SetLatency(20 * time.Millisecond)
		a.StartAll()
		l := a.Leader()
		for range 3 {
			propose(l, time.Minute) // pipelines are up
		}
		time.Sleep(time.Minute)
		o, err := propose(l, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for _, f := range a.Followers(l) {
			if err := f.C.WaitApplied(t.Context(), o.Index); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d > 25*time.Millisecond {
			t.Errorf("followers applied %s after the leader, one way is 20ms", d)
		}
	})
}

// An unknown outcome is said as such, and the same id asks for the same outcome.
func TestLostLeaderMeansUnknown(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		l := a.Leader()
		isolate(a, l)
		cmd := a.Command()
		_, err := l.C.Propose(t.Context(), cmd)
		if errs.CodeOf(err) != errs.OutcomeUnknown {
			t.Fatalf("proposal of a leader without quorum: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.C.Propose(ctx, a.Command()); errs.CodeOf(err) != errs.NoLeader && errs.CodeOf(err) != errs.NotLeader {
			t.Errorf("proposal after stepping down: %v", err)
		}
		a.Net.HealAll()
		now := a.Leader()
		first, err := now.C.Propose(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		again, err := a.Leader().C.Propose(t.Context(), cmd)
		if err != nil || again.Index != first.Index {
			t.Errorf("same id: %v then %v, %v", first, again, err)
		}
	})
}

func TestDeadlineEndsTheWaitOnly(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.Net.SetLatency(50 * time.Millisecond)
		a.StartAll()
		l := a.Leader()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		cmd := a.Command()
		if _, err := l.C.Propose(ctx, cmd); errs.CodeOf(err) != errs.OutcomeUnknown {
			t.Fatalf("deadline while committing: %v", err)
		}
		time.Sleep(time.Second)
		if _, ok := l.Machine.Seen(cmd.ID); !ok {
			t.Error("the command did commit after all, or should have")
		}
		go propose(l, time.Second) // in flight
		time.Sleep(time.Millisecond)
		short, stop := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer stop()
		waiting := a.Command()
		if _, err := l.C.Propose(short, waiting); errs.CodeOf(err) != errs.DeadlineExceeded {
			t.Errorf("deadline before being proposed: %v", err)
		}
		time.Sleep(time.Second)
		if _, ok := l.Machine.Seen(waiting.ID); ok {
			t.Error("a withdrawn command was committed")
		}
	})
}

// After a restart the machine is at its last snapshot: the node must not answer
// before it has come as far as it was, and heard from the leader.
func TestRestartedNodeIsNotReady(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		for range 5 {
			a.Propose()
		}
		a.Agree(time.Second)
		time.Sleep(3 * time.Second)
		for _, n := range a.List {
			n.Crash()
		}
		n := a.List[0]
		n.Start()
		time.Sleep(10 * time.Second)
		if err := n.C.Ready(); errs.CodeOf(err) != errs.NotReady {
			t.Errorf("alone after a restart: %v", err)
		}
		if n.C.Applied() >= n.C.Stats().Mark {
			t.Errorf("applied %d without a leader, mark %d", n.C.Applied(), n.C.Stats().Mark)
		}
		a.StartAll()
		for _, n := range a.List {
			if err := n.C.WaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n.Machine.Count() != 5 {
				t.Errorf("%s is ready with %d of 5 commands", n.Name, n.Machine.Count())
			}
		}
	})
}

// The mark may be old: what was committed since is known from the leader only.
func TestReadyMeansABarrierPassed(t *testing.T) {
	tm := cluster.Loopback()
	tm.Commit = 10 * time.Second
	simulate(t, clustertest.Options{Timing: tm}, func(t *testing.T, a *clustertest.Nodes) {
		a.Net.SetLatency(10 * time.Millisecond)
		a.StartAll()
		a.Propose()
		n := a.Followers(a.Leader())[0]
		n.Crash()
		if err := n.Disk.Remove("highwater"); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			a.Propose()
		}
		n.Store.SetHook(func(op string) error {
			if op == "log" {
				time.Sleep(300 * time.Millisecond) // the leader is known long before its entries
			}
			return nil
		})
		n.Start()
		for n.C.Ready() != nil {
			time.Sleep(time.Millisecond)
		}
		if n.Machine.Count() != 6 {
			t.Errorf("ready with %d of 6 acknowledged commands", n.Machine.Count())
		}
	})
}

// A leader that does not answer holds up no reader: any two other regions will do. Without
// them a reader waits no longer than it likes.
func TestReadersWaitAsLongAsTheyLike(t *testing.T) {
	simulate(t, clustertest.Options{Timing: cluster.WAN()}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		l := a.Leader()
		f := a.Followers(l)[0]
		if err := f.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		isolate(a, l)
		if err := f.C.Barrier(t.Context()); err != nil {
			t.Errorf("a reader needs the leader: %v", err)
		}
		isolate(a, f)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := f.C.Barrier(ctx); errs.CodeOf(err) != errs.DeadlineExceeded || time.Since(start) > 250*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		a.Net.HealAll()
		isolate(a, l)
		start = time.Now()
		next := a.Leader()
		for _, n := range a.Followers(l) {
			if err := n.C.WaitReady(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(start); d > 8*time.Second {
			t.Errorf("%s until all are ready under %s", d, next.Name)
		}
	})
}

func TestTimingIsChecked(t *testing.T) {
	ok := cluster.WAN()
	if err := ok.Check(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Loopback().Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*cluster.Timing){
		"lease too long":    func(t *cluster.Timing) { t.Lease = t.Heartbeat - t.Delay - 10*time.Millisecond },
		"delay too long":    func(t *cluster.Timing) { t.Delay = 300 * time.Millisecond },
		"election short":    func(t *cluster.Timing) { t.Election = t.Heartbeat - 1 },
		"commit below 1 ms": func(t *cluster.Timing) { t.Commit = time.Microsecond },
		"hung before slow":  func(t *cluster.Timing) { t.HungWrite = t.SlowWrite },
		"no snapshots":      func(t *cluster.Timing) { t.SnapshotThreshold = 0 },
	} {
		c := ok
		change(&c)
		if c.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLowSpaceStopsProposals(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		l := a.Leader()
		l.Disk.SetCapacity(l.Disk.Used() + 1<<20)
		a.Eventually(40*time.Second, "leadership to move on", func() bool { n := a.Leader(); return n != l })
		if !l.C.Stats().LowSpace {
			t.Error("no alarm")
		}
		a.Propose()
		l.Disk.SetCapacity(0)
		a.Eventually(20*time.Second, "the alarm to end", func() bool { return !l.C.Stats().LowSpace })
	})
}

// A committed entry this version cannot read halts the node: skipping it would fork.
func TestUndecodableEntryHalts(t *testing.T) {
	s, m := clustertest.NewStore(), clustertest.NewMachine()
	sealer, lineage := clustertest.NewSealer("entry"), [32]byte{7}
	var fatal error
	r, store := cluster.ReplicaOver(m, sealer, sealer, lineage, s, func(err error) { fatal = err })
	logs := []*raft.Log{
		{Index: 1, Term: 1, Type: raft.LogCommand, Data: cluster.SealEntry(sealer, lineage, []byte{99})},
		{Index: 2, Term: 1, Type: raft.LogCommand, Data: []byte("not sealed at all")},
	}
	if err := store(logs); err != nil {
		t.Fatal(err)
	}
	if out := r.ApplyBatch(logs[:1]); len(out) != 1 {
		t.Fatalf("%d answers, raft panics", len(out))
	}
	if errs.CodeOf(fatal) != errs.Corrupt {
		t.Errorf("format of the future: %v", fatal)
	}
	if out := r.ApplyBatch(logs[1:]); len(out) != 1 || m.Count() != 0 {
		t.Error("went on after halting")
	}
	if _, err := r.Snapshot(); err == nil {
		t.Error("a halted node made a snapshot")
	}
}
