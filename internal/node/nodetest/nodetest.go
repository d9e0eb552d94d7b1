// Package nodetest runs four whole nodes in one process: production wiring over a
// network and disks in memory, with software HSMs. It works inside testing/synctest
// and outside; node tests and the chaos suite stand on it.
package nodetest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
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
}

// Cluster is four sites and the network between them.
type Cluster struct {
	Net     *networktest.Net
	Lab     *ceremonytest.Lab
	Genesis *genesis.Genesis
	Sites   []*Site
	Timing  cluster.Timing
	Logger  *slog.Logger
	tb      testing.TB
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
func (c *Cluster) Start(i int) error {
	s := c.Sites[i]
	n, err := node.Start(context.Background(), node.Config{
		FS: s.Disk, Stores: s.Raft.Stores(), Network: c.Net.Host(s.Name + ".test"),
		HSM:    seal.Config{Token: s.Device.Token(), PIN: s.Device.PIN()},
		Listen: node.Addresses{Raft: s.Name + ".test:7201", API: s.Name + ".test:7202", Gossip: s.Name + ".test:7203"},
		Timing: c.Timing, Logger: c.Logger,
	})
	s.Node = n
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

// Close stops everything and cuts what is left of the network.
func (c *Cluster) Close() {
	for i := range c.Sites {
		c.Stop(i)
	}
	c.Net.Close()
}

// Client returns a client of the principal with this key, to be closed by the caller.
func (c *Cluster) Client(signer *identity.KeySigner) *client.Client {
	c.tb.Helper()
	cfg := client.Config{Cluster: c.Genesis.Document.Cluster, Regions: map[identity.RegionID][]identity.PublicKey{}, Signer: signer,
		Dial: c.Net.Host("client").Dial}
	for i, r := range c.Genesis.Document.Regions {
		cfg.Regions[r.ID] = []identity.PublicKey{r.Identity}
		cfg.Addresses = append(cfg.Addresses, c.Sites[i].Name+".test:7202")
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
	_, _ = rand.Read(id[:])
	return id
}
