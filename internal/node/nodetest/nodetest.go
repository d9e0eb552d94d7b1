// Package nodetest runs four whole nodes in one process: production wiring over a
// network and disks in memory, with software HSMs. It works inside testing/synctest
// and outside; node tests and the chaos suite stand on it.
package nodetest

import (
	"context"
	crand "crypto/rand"
	"log/slog"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/ceremony/ceremonytest"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/network/networktest"
	"github.com/tetrad-vault/tetrad/internal/node"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

// Site is what survives a node: its HSM, disk and log.
type Site struct {
	Name   string
	Device *sealtest.Device
	Disk   *durabletest.Disk
	Raft   *clustertest.Store
	Node   *node.Node // nil while the node is down

	life *process
}

// Host returns the site's name on the network.
func (s *Site) Host() string { return s.Name + ".test" }

// Cluster is four sites and the network between them.
type Cluster struct {
	Net      *networktest.Net
	Lab      *ceremonytest.Lab
	Genesis  *genesis.Genesis
	Sites    []*Site
	Timing   cluster.Timing
	Logger   *slog.Logger
	Watch    func(site int, m cluster.Machine, view func() fsm.View) cluster.Machine // see node.Config.Watch
	Answered func(site int, answer []byte)                                           // see node.Config.Answered

	tb     testing.TB
	ending sync.WaitGroup // what is left of ended processes
}

// New holds the ceremony; no node runs yet. Everything left running is stopped when
// the test calls Close.
func New(tb testing.TB) *Cluster {
	tb.Helper()
	c := &Cluster{Net: networktest.New(), Timing: cluster.Loopback(), Logger: slog.New(slog.DiscardHandler), tb: tb}
	disks := make([]*durabletest.Disk, 4)
	devices := make([]*sealtest.Device, 4)
	for i := range disks {
		disks[i], devices[i] = durabletest.New(), sealtest.New(sealtest.Options{Seed: uint64(i + 1)})
	}
	c.Lab = ceremonytest.New(tb, ceremonytest.Options{Disk: func(i int) durable.FS { return disks[i] }, Devices: devices,
		Created: time.Now()}) // a bubble lives in another year
	c.Genesis = c.Lab.Found(tb).Genesis
	for i, s := range c.Lab.Sites {
		if err := node.Enrol(disks[i]); err != nil {
			tb.Fatal(err)
		}
		c.Sites = append(c.Sites, &Site{Name: s.Region.Name, Device: devices[i], Disk: disks[i], Raft: clustertest.NewStore()})
	}
	return c
}

// Start starts a site's node on what its disk holds.
func (c *Cluster) Start(i int) error { return c.start(i, c.Sites[i]) }

// Copy starts a second process of a site beside the first, on a copy of its disk, with the
// same HSM, at a host of its own. The caller ends it by End.
func (c *Cluster) Copy(i int) (*Site, error) {
	s := c.Sites[i]
	twin := &Site{Name: s.Name + "-copy", Device: s.Device, Disk: s.Disk.CrashClone(nil), Raft: s.Raft.CrashClone()}
	return twin, c.start(i, twin)
}

// End ends the process of a copy as SIGKILL does.
func (c *Cluster) End(twin *Site) { c.end(twin) }

func (c *Cluster) start(i int, s *Site) error {
	s.life = &process{}
	cfg := node.Config{
		FS: s.Disk, Stores: s.Raft.Stores(), Network: fencedNetwork{c.Net.Host(s.Host()), s.life},
		HSM:    seal.Config{Token: fencedToken{s.Device.Token(), s.life}, PIN: s.Device.PIN()},
		Listen: node.Addresses{Raft: s.Host() + ":7201", API: s.Host() + ":7202", Gossip: s.Host() + ":7203"},
		Timing: c.Timing, Logger: c.Logger,
	}
	if c.Watch != nil {
		cfg.Watch = func(m cluster.Machine, view func() fsm.View) cluster.Machine { return c.Watch(i, m, view) }
	}
	if c.Answered != nil {
		cfg.Answered = func(answer []byte) { c.Answered(i, answer) }
	}
	n, err := node.Start(context.Background(), cfg)
	if err == nil {
		s.Node = n
	}
	return err
}

// StartAll starts every node and waits until all are ready to sign.
func (c *Cluster) StartAll(ctx context.Context) {
	c.tb.Helper()
	for i := range c.Sites {
		if err := c.Start(i); err != nil {
			c.tb.Fatalf("starting %s: %v", c.Sites[i].Name, err)
		}
	}
	for _, s := range c.Sites {
		if err := s.Node.WaitReady(ctx); err != nil {
			c.tb.Fatalf("%s is not ready: %v", s.Name, err)
		}
	}
}

// Stop shuts a node down in order.
func (c *Cluster) Stop(i int) {
	if s := c.Sites[i]; s.Node != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Node.Shutdown(ctx)
		s.Node = nil
	}
}

// Kill ends a node's process as SIGKILL does: what it wrote survives.
func (c *Cluster) Kill(i int) {
	s := c.Sites[i]
	c.end(s)
	s.Disk, s.Raft = s.Disk.Kill(), s.Raft.Kill()
}

// PowerOff ends a node as a power cut does: what it did not sync is lost, or with rng
// survives in parts.
func (c *Cluster) PowerOff(i int, rng *rand.Rand) {
	s := c.Sites[i]
	c.end(s)
	s.Disk, s.Raft = s.Disk.Crash(rng), s.Raft.Crash()
}

// end cuts a process off from the world; its goroutines wind down in the background.
// The caller fences its disks at once: nothing waits in between.
func (c *Cluster) end(s *Site) {
	if s.Node == nil {
		return
	}
	s.life.ended.Store(true)
	c.Net.Reset(s.Host())
	n := s.Node
	s.Node = nil
	c.ending.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		n.Shutdown(ctx)
	})
}

// Close stops everything and cuts what is left of the network.
func (c *Cluster) Close() {
	for i := range c.Sites {
		c.Stop(i)
	}
	c.ending.Wait()
	c.Net.Close()
}

// Client returns a client of the principal with this key, to be closed by the caller.
func (c *Cluster) Client(signer *identity.KeySigner) *client.Client {
	return c.ClientAt("client", signer, 0, 1, 2, 3)
}

// ClientAt is Client from a host of its own, knowing only some of the sites.
func (c *Cluster) ClientAt(host string, signer *identity.KeySigner, sites ...int) *client.Client {
	c.tb.Helper()
	cfg := client.Config{Cluster: c.Genesis.Document.Cluster, Regions: map[identity.RegionID][]identity.PublicKey{}, Signer: signer,
		Lineage: c.Genesis.Document.Hash(), Dial: c.Net.Host(host).Dial}
	for _, r := range c.Genesis.Document.Regions {
		cfg.Regions[r.ID] = []identity.PublicKey{r.Identity}
	}
	for _, i := range sites {
		cfg.Addresses = append(cfg.Addresses, c.Sites[i].Host()+":7202")
	}
	cl, err := client.Dial(cfg)
	if err != nil {
		c.tb.Fatal(err)
	}
	return cl
}

// Dual submits a body signed by both administrators.
func (c *Cluster) Dual(ctx context.Context, cl *client.Client, body command.Body) (*client.Outcome, error) {
	cmd, err := cl.Command(body)
	if err != nil {
		return nil, err
	}
	for _, a := range c.Lab.Admins {
		if a.Public().Fingerprint() == cmd.Principal {
			continue
		}
		if err := cmd.Sign(ctx, c.Genesis.Document.Cluster, a); err != nil {
			return nil, err
		}
	}
	return cl.Submit(ctx, cmd)
}

// ID draws a command id.
func ID() (id command.ID) {
	_, _ = crand.Read(id[:])
	return id
}
