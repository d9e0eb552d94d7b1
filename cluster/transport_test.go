package cluster_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func install(l *cluster.Liar, to *clustertest.Node, conf raft.Configuration, index, announced uint64, lineage [32]byte, s cluster.Sealer, term, logTerm uint64) (raft.InstallSnapshotResponse, error) {
	b := cluster.SealedSnapshot(s, lineage, index, logTerm, conf, []byte("forged"))
	var r raft.InstallSnapshotResponse
	err := l.Endpoint().InstallSnapshot(raft.ServerID(to.ServerID), raft.ServerAddress(to.Addr), &raft.InstallSnapshotRequest{
		RPCHeader: l.Header(), SnapshotVersion: 1, Term: term, LastLogIndex: announced, LastLogTerm: logTerm,
		Configuration: raft.EncodeConfiguration(conf), ConfigurationIndex: 1, Size: int64(len(b))}, &r, bytes.NewReader(b))
	return r, err
}

// raft's decoder stops listening after the first refusal while its sender may wait
// for room in the pipeline: nobody would ever wake it.
func TestBrokenPipelineWakesItsSender(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		cfg, _ := a.List[0].Config()
		l := cluster.NewLiar(cfg)
		defer l.Close()
		base, _, _ := cluster.Link(victim.C, 1)
		l.Lead(2, cluster.Place(1, 1, base), a.List[2].Session(), a.List[3].Session())
		p, err := l.Endpoint().AppendEntriesPipeline(raft.ServerID(victim.ServerID), raft.ServerAddress(victim.Addr))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		failed := make(chan error, 1)
		wg.Go(func() {
			for { // every one is refused: it follows an entry nobody has
				_, err := p.AppendEntries(&raft.AppendEntriesRequest{RPCHeader: l.Header(), Term: 2, PrevLogEntry: 70, PrevLogTerm: 2}, &raft.AppendEntriesResponse{})
				if err != nil {
					failed <- err
					return
				}
			}
		})
		if f := <-p.Consumer(); f.Response().Success {
			t.Error("accepted")
		} // and like raft, never listen again
		select {
		case <-failed:
		case <-time.After(time.Minute):
			t.Error("the sender waits for ever")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

// Closing wakes a sender that waits for a peer which reads nothing.
func TestPipelineCloseUnblocks(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		victim := a.List[1]
		victim.Start()
		cfg, _ := a.List[0].Config()
		l := cluster.NewLiar(cfg)
		defer l.Close()
		base, _, _ := cluster.Link(victim.C, 1)
		l.Lead(2, cluster.Place(1, 1, base), a.List[2].Session(), a.List[3].Session())
		p, err := l.Endpoint().AppendEntriesPipeline(raft.ServerID(victim.ServerID), raft.ServerAddress(victim.Addr))
		if err != nil {
			t.Fatal(err)
		}
		a.Net.Cut("r1", "r2")
		done := make(chan error, 1)
		go func() {
			for {
				if _, err := p.AppendEntries(&raft.AppendEntriesRequest{RPCHeader: l.Header(), Term: 2}, &raft.AppendEntriesResponse{}); err != nil {
					done <- err
					return
				}
			}
		}()
		synctest.Wait() // it stands, full
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		<-done
	})
}

// Strangers, other regions' names, and noise.
func TestOnlyPinnedRegionsAreHeard(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		target := a.Followers(a.Leader())[0]
		id, addr := raft.ServerID(target.ServerID), raft.ServerAddress(target.Addr)
		try := func(name string, change func(*cluster.Config)) {
			t.Helper()
			cfg, _ := a.List[3].Config()
			change(&cfg)
			l := cluster.NewLiar(cfg)
			defer l.Close()
			var r raft.AppendEntriesResponse
			if err := l.Endpoint().AppendEntries(id, addr, &raft.AppendEntriesRequest{RPCHeader: l.Header(), Term: 99}, &r); err == nil {
				t.Errorf("%s was answered", name)
			}
		}
		session := func(change func(*clustertest.Node)) *identity.Session {
			was := a.List[3]
			n := &clustertest.Node{All: a, Region: was.Region, ServerID: was.ServerID, Identity: was.Identity}
			change(n)
			return n.Session()
		}
		try("a stranger", func(c *cluster.Config) {
			c.Session = session(func(n *clustertest.Node) { n.Identity = identity.GenerateEd25519() })
		})
		try("a region under another's name", func(c *cluster.Config) {
			c.Session = session(func(n *clustertest.Node) { n.ServerID = a.List[0].ServerID })
		})
		try("a region under another's number", func(c *cluster.Config) {
			c.Session = session(func(n *clustertest.Node) { n.Region = 1 })
		})
		raw, err := a.Net.Host("r4").Dial(t.Context(), target.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if _, err := raw.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if term := a.Leader().C.Stats().Term; term >= 99 {
			t.Error("a stranger's term was believed")
		}
	})
}

// TestOversizedFramesAreCut speaks TLS properly and then claims a frame of 4 GiB.
func TestOversizedFramesAreCut(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.List[0].Start()
		n := a.List[1]
		conf := identity.ClientTLS(n.Session(), 1, a.Pins, a.ID)
		conf.NextProtos = []string{"tetrad-raft/1"}
		raw, err := a.Net.Host(n.Name).Dial(t.Context(), a.List[0].Addr)
		if err != nil {
			t.Fatal(err)
		}
		c := tls.Client(raw, conf)
		defer c.Close()
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(binary.BigEndian.AppendUint32(nil, 1<<32-1)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("answered")
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Error("the connection was kept")
		}
	})
}

// A peer that accepts and then says nothing must not hold a caller for long.
func TestSilentPeerTimesOut(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		silent, err := a.Net.Host("r2").Listen("r2:1")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		cfg, _ := a.List[0].Config()
		l := cluster.NewLiar(cfg)
		defer l.Close()
		start := time.Now()
		var r raft.RequestVoteResponse
		if err := l.Endpoint().RequestVote("r2-00000002", "r2:1", &raft.RequestVoteRequest{RPCHeader: l.Header(), Term: 1}, &r); err == nil {
			t.Error("answered")
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("waited %s", d)
		}
	})
}

// Large entries travel in frames of bounded size.
func TestLargeEntries(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		n := a.Followers(a.Leader())[0]
		n.Stop()
		var wg sync.WaitGroup
		l := a.Leader()
		for range 24 {
			cmd := a.CommandOf(large())
			wg.Go(func() {
				if _, err := l.C.Propose(context.Background(), cmd); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		n.Start()
		if err := n.C.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Agree(5 * time.Second)
		if n.Machine.Count() != 24 {
			t.Errorf("%d commands", n.Machine.Count())
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	simulate(t, clustertest.Options{Timing: cluster.WAN()}, func(t *testing.T, a *clustertest.Nodes) {
		a.Net.SetLatency(time.Second / 10)
		a.StartAll()
		l := a.Leader()
		var wg sync.WaitGroup
		var mu sync.Mutex
		codes := map[errs.Code]int{}
		for range 80 {
			cmd := a.CommandOf(large())
			wg.Go(func() {
				_, err := l.C.Propose(context.Background(), cmd)
				mu.Lock()
				codes[errs.CodeOf(err)]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if codes[errs.Throttled] == 0 || codes[errs.OK] == 0 || codes[errs.OK]+codes[errs.Throttled] != 80 {
			t.Errorf("outcomes %v", codes)
		}
	})
}

// A sender that dies in the middle of a snapshot holds up nobody: raft hears of it only
// once it is there whole.
func TestDyingSnapshotSender(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		leader := a.Leader()
		victim, dead := a.Followers(leader)[0], a.Followers(leader)[1]
		dead.Stop() // the victim is needed for every commit
		a.Propose()
		cfg, _ := dead.Config()
		l := cluster.NewLiar(cfg)
		half := &half{left: 200 << 10, end: make(chan struct{})}
		done := make(chan error, 1)
		go func() {
			done <- l.Endpoint().InstallSnapshot(raft.ServerID(victim.ServerID), raft.ServerAddress(victim.Addr), &raft.InstallSnapshotRequest{
				RPCHeader: l.Header(), SnapshotVersion: 1, Term: leader.C.Stats().Term, LastLogIndex: 1000, LastLogTerm: 1,
				Configuration: raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "b"}}}), ConfigurationIndex: 1, Size: 1 << 20},
				&raft.InstallSnapshotResponse{}, half)
		}()
		time.Sleep(time.Second)
		for range 5 {
			start := time.Now()
			if _, err := propose(leader, 5*time.Second); err != nil || time.Since(start) > time.Second {
				t.Fatalf("a proposal took %s: %v", time.Since(start), err)
			}
		}
		close(half.end)
		l.Close()
		if <-done == nil {
			t.Error("half a snapshot was installed")
		}
		a.Eventually(30*time.Second, "the half to be removed", func() bool { return len(spools(victim)) == 0 })
	})
}

// half gives some bytes and then none until end.
type half struct {
	left int
	end  chan struct{}
}

func (h *half) Read(b []byte) (int, error) {
	if h.left == 0 {
		<-h.end
		return 0, errors.New("dead")
	}
	n := min(len(b), h.left)
	h.left -= n
	return n, nil
}

func spools(n *clustertest.Node) (out []string) {
	all, _ := n.Disk.List("snapshots")
	for _, name := range all {
		if strings.HasPrefix(name, "incoming-") {
			out = append(out, name)
		}
	}
	return out
}
