package clustertest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/network"
	"github.com/tetrad-vault/tetrad/internal/network/networktest"
)

// Options shape a set of nodes.
type Options struct {
	N      int                          // founding regions, 4 when zero
	Timing cluster.Timing               // Loopback when zero
	Bolt   string                       // directory for bbolt stores; "" keeps them in memory
	OS     bool                         // real sockets on 127.0.0.1 instead of memory
	Gossip bool                         // with memberlist
	Tune   func(*Node, *cluster.Config) // last word on each node's configuration
	Logger func(name string) *slog.Logger
}

// Nodes is a cluster under test.
type Nodes struct {
	TB      testing.TB
	Net     *networktest.Net // nil over real sockets
	ID      identity.ClusterID
	Lineage [32]byte
	Admin   *identity.KeySigner
	List    []*Node

	o    Options
	mu   sync.Mutex
	pins map[identity.RegionID][]identity.PublicKey
}

// Node is one server. Its disks survive Stop, Kill and Crash.
type Node struct {
	All      *Nodes
	Region   identity.RegionID
	Name     string
	ServerID string
	Addr     string
	Gossip   string
	Identity *identity.KeySigner
	Disk     *durabletest.Disk
	Store    *Store // nil with bbolt
	Voter    bool

	C       *cluster.Cluster  // nil while stopped
	Running *identity.Session // of the newest start
	Machine *Machine
	Network network.Network

	mu    sync.Mutex
	fatal error
	died  chan struct{}
}

// New makes N enrolled nodes, none of them started.
func New(tb testing.TB, o Options) *Nodes {
	tb.Helper()
	if o.N == 0 {
		o.N = 4
	}
	if o.Timing == (cluster.Timing{}) {
		o.Timing = cluster.Loopback()
	}
	a := &Nodes{TB: tb, o: o, Admin: identity.GenerateEd25519(), pins: map[identity.RegionID][]identity.PublicKey{}}
	_, _ = rand.Read(a.ID[:])
	_, _ = rand.Read(a.Lineage[:])
	if !o.OS {
		a.Net = networktest.New()
	}
	for i := range o.N {
		n := a.make(identity.RegionID(i+1), fmt.Sprintf("r%d-%08x", i+1, i+1))
		n.Voter = true
		a.List = append(a.List, n)
	}
	tb.Cleanup(a.Close)
	return a
}

func (a *Nodes) make(region identity.RegionID, serverID string) *Node {
	name := serverID[:strings.LastIndexByte(serverID, '-')]
	n := &Node{All: a, Region: region, Name: name, ServerID: serverID, Disk: durabletest.New(), Identity: identity.GenerateEd25519()}
	if a.o.Bolt == "" {
		n.Store = NewStore()
	}
	if a.o.OS {
		r := newReserved(a.TB)
		n.Network, n.Addr, n.Gossip = r, r.raft, r.gossip
	} else {
		n.Network, n.Addr, n.Gossip = a.Net.Host(name), name+":1", name+":2"
	}
	a.mu.Lock()
	a.pins[region] = append(a.pins[region], n.Identity.Public())
	a.mu.Unlock()
	if err := cluster.Enrol(n.Disk, n.incarnation()); err != nil {
		a.TB.Fatal(err)
	}
	return n
}

func (n *Node) incarnation() cluster.Incarnation {
	return cluster.Incarnation{Cluster: n.All.ID, Lineage: n.All.Lineage, Region: n.Region, ServerID: n.ServerID}
}

// Join makes a further server, not started: a new region, or with the name of an
// old one a new incarnation of it.
func (a *Nodes) Join(region identity.RegionID, serverID string) *Node {
	n := a.make(region, serverID)
	if a.Net != nil {
		n.Addr = n.Name + ":" + serverID[len(serverID)-1:] + "1"
	}
	a.List = append(a.List, n)
	return n
}

// Pins returns every region's identity keys.
func (a *Nodes) Pins(region identity.RegionID) []identity.PublicKey {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]identity.PublicKey(nil), a.pins[region]...)
}

// Repin leaves a region only the newest of its identity keys, and returns those it had.
func (a *Nodes) Repin(region identity.RegionID) (had []identity.PublicKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := len(a.pins[region]) - 1
	had, a.pins[region] = a.pins[region][:last:last], a.pins[region][last:]
	return had
}

// Members returns the founders.
func (a *Nodes) Members() []cluster.Member {
	var out []cluster.Member
	for _, n := range a.List {
		if n.Voter {
			out = append(out, n.Member())
		}
	}
	return out
}

// Member returns the node as a voting member.
func (n *Node) Member() cluster.Member {
	return cluster.Member{Region: n.Region, ServerID: n.ServerID, Addr: n.Addr, Voter: true}
}

// Session issues a fresh session of the node.
func (n *Node) Session() *identity.Session {
	key := identity.GenerateEd25519()
	cert := identity.SessionCert{Cluster: n.All.ID, Region: n.Region, ServerID: n.ServerID, Issued: time.Now()}
	_, _ = rand.Read(cert.Boot[:])
	signed, err := identity.IssueSession(context.Background(), n.Identity, key, cert)
	if err != nil {
		n.All.TB.Fatal(err)
	}
	return &identity.Session{KeySigner: key, Cert: signed}
}

// Config returns the configuration Start uses.
func (n *Node) Config() (cluster.Config, error) {
	a := n.All
	cfg := cluster.Config{Cluster: a.ID, Lineage: a.Lineage, Session: n.Session(), Pins: a.Pins, Members: a.Members(),
		Network: n.Network, RaftAddr: n.Addr, FS: n.Disk, Machine: n.Machine,
		EntrySealer: NewSealer("entry"), SnapshotSealer: NewSealer("snapshot"), Timing: a.o.Timing, Fatal: n.died1, Owed: n.Machine.Owed}
	if n.Store != nil {
		cfg.Stores = n.Store.Stores()
	} else {
		s, err := cluster.OpenBolt(filepath.Join(a.o.Bolt, n.ServerID))
		if err != nil {
			return cfg, err
		}
		cfg.Stores = s
	}
	if a.o.Logger != nil {
		cfg.Logger = a.o.Logger(n.Name)
	}
	if a.o.Gossip {
		cfg.Gossip = &cluster.Gossip{Addr: n.Gossip, Key: [32]byte{1}}
		for _, o := range a.List {
			cfg.Gossip.Join = append(cfg.Gossip.Join, o.Gossip)
		}
	}
	if a.o.Tune != nil {
		a.o.Tune(n, &cfg)
	}
	return cfg, nil
}

func (n *Node) died1(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fatal = err
	close(n.died)
}

// Died is closed when the node asked to be ended; Fatal says why.
func (n *Node) Died() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.died
}

// Fatal returns why the node asked to be ended, nil while it did not.
func (n *Node) Fatal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fatal
}

// TryStart starts the node with an empty machine.
func (n *Node) TryStart() error {
	n.mu.Lock()
	n.fatal, n.died = nil, make(chan struct{})
	n.mu.Unlock()
	n.Machine = NewMachine()
	cfg, err := n.Config()
	if err != nil {
		return err
	}
	n.Running = cfg.Session
	c, err := cluster.New(cfg)
	if err == nil {
		err = c.Start(context.Background())
	}
	if err != nil {
		if c != nil {
			_ = c.Shutdown(context.Background())
		} else if cfg.Stores.Close != nil {
			_ = cfg.Stores.Close()
		}
		return err
	}
	n.C = c
	return nil
}

// Start starts the node.
func (n *Node) Start() {
	n.All.TB.Helper()
	if err := n.TryStart(); err != nil {
		n.All.TB.Fatalf("starting %s: %v", n.ServerID, err)
	}
}

// Stop shuts the node down in order.
func (n *Node) Stop() {
	if n.C == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = n.C.Shutdown(ctx)
	n.C = nil
}

// Kill ends the process: nothing is handed over, what was written stays.
func (n *Node) Kill() { n.end(false) }

// Crash cuts the power: what was not synced is lost.
func (n *Node) Crash() { n.end(true) }

func (n *Node) end(power bool) {
	if n.C == nil {
		return
	}
	disk, store := n.Disk, n.Store
	if power {
		n.Disk = disk.Crash(nil)
	} else {
		n.Disk = disk.Kill()
	}
	if store != nil && power {
		n.Store = store.Crash()
	} else if store != nil {
		n.Store = store.Kill()
	}
	if n.All.Net != nil {
		n.All.Net.Reset(n.Name)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.C.Shutdown(ended)
	n.C = nil
}

// StartAll starts every node that is not running.
func (a *Nodes) StartAll() {
	a.TB.Helper()
	for _, n := range a.List {
		if n.C == nil {
			n.Start()
		}
	}
}

// Close stops all nodes.
func (a *Nodes) Close() {
	var wg sync.WaitGroup
	for _, n := range a.List {
		if n.C != nil {
			wg.Go(func() {
				ended, cancel := context.WithCancel(context.Background())
				cancel()
				_ = n.C.Shutdown(ended)
			})
		}
	}
	wg.Wait()
	for _, n := range a.List {
		n.C = nil
	}
	if a.Net != nil {
		a.Net.Close()
		if a.o.Gossip {
			time.Sleep(20 * time.Second) // memberlist's probes end by their own time-outs only
		}
	}
}

// Eventually polls until ok returns true.
func (a *Nodes) Eventually(within time.Duration, what string, ok func() bool) {
	a.TB.Helper()
	for deadline := time.Now().Add(within); ; {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			a.TB.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Leader waits for a node that leads and is ready.
func (a *Nodes) Leader() *Node {
	a.TB.Helper()
	var leader *Node
	a.Eventually(20*time.Second, "a leader", func() bool {
		for _, n := range a.List {
			if n.C != nil && n.C.IsLeader() && n.C.Ready() == nil {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// Followers returns the running nodes except n.
func (a *Nodes) Followers(n *Node) (out []*Node) {
	for _, o := range a.List {
		if o != n && o.C != nil {
			out = append(out, o)
		}
	}
	return out
}

// Command returns a fresh signed command that changes nothing.
func (a *Nodes) Command() *command.Command {
	return a.CommandOf(&command.FreezeVault{Reason: "test"})
}

// CommandOf returns a fresh signed command.
func (a *Nodes) CommandOf(body command.Body) *command.Command {
	var id command.ID
	_, _ = rand.Read(id[:])
	c, err := command.New(body, a.Admin.Public().Fingerprint(), id, time.Now().Add(time.Hour), rand.Reader)
	if err == nil {
		err = c.Sign(context.Background(), a.ID, a.Admin)
	}
	if err != nil {
		a.TB.Fatal(err)
	}
	return c
}

// Propose commits one command through whichever node leads and returns it.
func (a *Nodes) Propose() *command.Command {
	a.TB.Helper()
	c := a.Command()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := a.Leader().C.Propose(ctx, c); err != nil {
		a.TB.Fatalf("propose: %v", err)
	}
	return c
}

// Agree waits until all running nodes applied the same, and checks that no two ever
// applied different entries at one index.
func (a *Nodes) Agree(within time.Duration) {
	a.TB.Helper()
	a.Eventually(within, "equal states", func() bool {
		var want [32]byte
		for i, n := range a.Followers(nil) {
			d, _ := n.Machine.Digest()
			if i > 0 && d != want {
				return false
			}
			want = d
		}
		return true
	})
	a.CheckHistory()
}

// CheckHistory fails the test if two nodes applied different entries at one index.
func (a *Nodes) CheckHistory() {
	a.TB.Helper()
	at := map[uint64]command.Meta{}
	for _, n := range a.List {
		if n.Machine == nil {
			continue
		}
		for i, m := range n.Machine.History() {
			if o, ok := at[i]; ok && o != m {
				a.TB.Fatalf("two histories at index %d: %x and %x", i, o.Chain[:4], m.Chain[:4])
			}
			at[i] = m
		}
	}
}
