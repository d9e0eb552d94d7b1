// Package rpctest runs real rpc servers, with real TLS over a network in memory, above
// a vault that only pretends: one shared state and no log. For tests of internal/rpc
// and of the client.
package rpctest

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/network"
	"github.com/tetrad-vault/tetrad/internal/network/networktest"
	"github.com/tetrad-vault/tetrad/internal/roll"
	"github.com/tetrad-vault/tetrad/internal/rpc"
)

// Cluster is several nodes over one State.
type Cluster struct {
	ID    identity.ClusterID
	Net   *networktest.Net
	State *State
	Nodes []*Node

	leader atomic.Uint32
	pins   map[identity.RegionID][]identity.PublicKey
}

// Submit and Sign are what a node's vault does with a command.
type (
	Submit func(ctx context.Context, c *command.Command) (fsm.Outcome, error)
	Sign   func(ctx context.Context, c *command.Command) (*fsm.Request, error)
)

// Node is one region's server and what it pretends to have behind it.
type Node struct {
	Region  identity.RegionID
	Addr    string
	Session *identity.Session
	Network network.Network
	Server  *rpc.Server
	Conns   *rpc.Conns
	Metrics *prometheus.Registry
	Brakes  rpc.Brakes // Attach gives the server these
	Proofs  rpc.Proofs
	Adds    func(*fsm.Request) ([][]byte, error) // parts to signatures, see rpc.Rooms
	Brought func(*command.Command) func(context.Context, error) error
	Bend    func(*roll.Roll) // what the node says of who the regions are; nil: the truth

	cluster *Cluster
	mu      sync.Mutex
	ready   error
	known   identity.RegionID // believed leader, 0: the cluster's
	served  chan error

	onSubmit Submit
	onSign   Sign
	onProve  Prove
	Submits  atomic.Int64 // commands that reached the vault
}

// Option changes a node's configuration before it is built.
type Option func(*rpc.Config)

// New builds and starts n nodes, all ready, the first one leading.
func New(n int, opts ...Option) *Cluster {
	var hsms []*identity.KeySigner
	for range n {
		hsms = append(hsms, identity.GenerateEd25519())
	}
	return build(identity.ClusterID{1, 2, 3}, [32]byte{7}, hsms, opts)
}

// Of does the same for the regions of a kit, whose genesis clients then trust. Its
// administrators are principals.
func Of(k *fsmtest.Kit, opts ...Option) *Cluster {
	var hsms []*identity.KeySigner
	for _, r := range k.Regions {
		hsms = append(hsms, r.Identity)
	}
	c := build(k.Cluster(), k.Genesis.Document.Hash(), hsms, opts)
	for _, a := range k.Admins {
		c.State.PutPrincipal(fsm.Principal{Name: "admin", Key: a.Public(), Roles: command.RoleAdmin | command.RoleOperator | command.RoleAuditor})
	}
	return c
}

func build(id identity.ClusterID, lineage [32]byte, hsms []*identity.KeySigner, opts []Option) *Cluster {
	c := &Cluster{ID: id, Net: networktest.New(), pins: map[identity.RegionID][]identity.PublicKey{}}
	c.State = newState(c.ID, lineage)
	for i, hsm := range hsms {
		c.Nodes = append(c.Nodes, c.newNode(identity.RegionID(i+1), hsm))
	}
	for _, node := range c.Nodes {
		node.build(opts)
		node.Attach()
	}
	c.Lead(1)
	return c
}

func must(err error) {
	if err != nil {
		panic(err) // a broken kit, not a failing test
	}
}

func (c *Cluster) newNode(id identity.RegionID, hsm *identity.KeySigner) *Node {
	c.pins[id] = []identity.PublicKey{hsm.Public()}
	key := identity.GenerateEd25519()
	cert, err := identity.IssueSession(context.Background(), hsm, key, identity.SessionCert{Cluster: c.ID, Region: id,
		ServerID: fmt.Sprintf("region-%d-00000000", id), Boot: identity.Boot{byte(id)}, Issued: time.Now()})
	must(err)
	name := fmt.Sprintf("region-%d", id)
	node := &Node{Region: id, Addr: name + ":7443", Network: c.Net.Host(name), cluster: c,
		Session: &identity.Session{KeySigner: key, Cert: cert}, served: make(chan error, 1)}
	c.State.regions = append(c.State.regions, &fsm.Region{ID: id, Name: name, ServerID: cert.ServerID, Identity: hsm.Public(),
		APIAddr: node.Addr, Status: fsm.RegionActive, Healthy: true, Sessions: []identity.SessionCert{*cert}})
	return node
}

// Pins are the regions' identity keys.
func (c *Cluster) Pins() map[identity.RegionID][]identity.PublicKey { return c.pins }

func (c *Cluster) pin(id identity.RegionID) []identity.PublicKey { return c.pins[id] }

// Lead makes a region the leader in the eyes of all.
func (c *Cluster) Lead(id identity.RegionID) {
	old := identity.RegionID(c.leader.Swap(uint32(id)))
	if old != 0 && old != id {
		c.Nodes[old-1].Server.SetLeader(false)
	}
}

// Addresses of all nodes.
func (c *Cluster) Addresses() (out []string) {
	for _, n := range c.Nodes {
		out = append(out, n.Addr)
	}
	return out
}

// Principal adds a principal with a fresh key.
func (c *Cluster) Principal(tenant string, roles command.Role) *identity.KeySigner {
	k := identity.GenerateEd25519()
	c.State.PutPrincipal(fsm.Principal{Name: "p", Tenant: tenant, Key: k.Public(), Roles: roles})
	return k
}

// PrincipalTLS is the configuration by which a key dials any region.
func (c *Cluster) PrincipalTLS(k *identity.KeySigner) *tls.Config {
	return identity.PrincipalTLS(k, 0, c.pin, c.ID)
}

// Notify tells every node that requests changed.
func (c *Cluster) Notify(ids ...command.RequestID) {
	for _, n := range c.Nodes {
		n.Server.Notify([]fsm.Result{{Completed: ids}})
	}
}

// Close shuts every node down and waits for them.
func (c *Cluster) Close() {
	for _, n := range c.Nodes {
		n.Stop()
	}
	c.Net.Close()
}

func (n *Node) build(opts []Option) {
	c := n.cluster
	n.Metrics = prometheus.NewRegistry()
	n.Conns = rpc.NewConns(rpc.ConnsConfig{
		TLS: func(r identity.RegionID) *tls.Config { return identity.ClientTLS(n.Session, r, c.pin, c.ID) },
		Address: func(r identity.RegionID) (string, bool) {
			region, ok := c.State.Region(r)
			if !ok {
				return "", false
			}
			return region.APIAddr, true
		},
		Dial: n.Network.Dial,
	})
	cfg := rpc.Config{Region: n.Region, Session: n.Session.Cert, TLS: identity.ServerTLS(n.Session, c.pin, c.ID, true),
		Node: n, Dialer: n.Conns, Metrics: n.Metrics}
	for _, o := range opts {
		o(&cfg)
	}
	var err error
	n.Server, err = rpc.New(cfg)
	must(err)
	l, err := n.Network.Listen(n.Addr)
	must(err)
	go func() { n.served <- n.Server.Serve(l) }()
}

// Attach makes the node serve; New has done it already.
func (n *Node) Attach() {
	n.Server.Attach(rpc.Rooms{Vault: fakeVault{n}, Cosigner: fakeCosigner{}, Reader: reader{n}, Leaves: leaves{n},
		Leader: leader{n}, Covers: covers{n}, Brakes: n.Brakes, Proofs: n.Proofs, Genesis: []byte("genesis"), Signatures: n.Adds, Roll: n.roll, Brought: n.Brought})
	n.Server.SetReady(true)
}

// roll says who the regions are, as the state has them.
func (n *Node) roll(ctx context.Context, guest identity.RegionID, nonce [16]byte) ([]byte, error) {
	o := &roll.Roll{Lineage: n.cluster.State.Lineage(), Nonce: nonce, Applied: n.cluster.State.Meta().Index, Guest: guest, At: time.Now()}
	for _, r := range n.cluster.State.Regions() {
		o.Identities = append(o.Identities, r.Identity)
	}
	if guest != 0 {
		o.Sealed = []byte("root key")
	}
	if n.Bend != nil {
		n.Bend(o)
	}
	if err := o.Sign(ctx, n.Session); err != nil {
		return nil, err
	}
	return o.Encode(), nil
}

// Stop shuts the node down; it does not come back.
func (n *Node) Stop() {
	n.Conns.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n.Server.Shutdown(ctx)
	if err := <-n.served; err != nil {
		panic(err)
	}
	n.served <- nil
}

// SetReady makes the node refuse with err; nil makes it ready.
func (n *Node) SetReady(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ready = err
}

// Believe makes this node alone believe that a region leads.
func (n *Node) Believe(id identity.RegionID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known = id
}

// OnSubmit replaces what the node's vault does with commands.
func (n *Node) OnSubmit(f Submit) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onSubmit = f
}

// OnSign replaces what the node's vault does with signature requests.
func (n *Node) OnSign(f Sign) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onSign = f
}

func (n *Node) hooks() (Submit, Sign) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.onSubmit, n.onSign
}

// Ready implements rpc.Node.
func (n *Node) Ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ready
}

// Report implements rpc.Node.
func (n *Node) Report() rpc.Report { return rpc.Report{RegionName: "region", HSM: "software"} }

type leader struct{ n *Node }

func (l leader) Leader() (identity.RegionID, bool) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	id := l.n.known
	if id == 0 {
		id = identity.RegionID(l.n.cluster.leader.Load())
	}
	return id, id != 0
}

type reader struct{ n *Node }

func (r reader) Local() rpc.View { return r.n.cluster.State }

func (r reader) Barrier(context.Context) error {
	if id, _ := leader(r).Leader(); id != r.n.Region {
		return errs.New(errs.NotLeader, "region %d does not lead", r.n.Region)
	}
	return nil
}

type leaves struct{ n *Node }

func (l leaves) Size() uint64 {
	f := l.n.cluster.State.Frontier()
	return f.Size()
}

func (l leaves) Leaves(_ context.Context, from uint64, most int) ([]audit.Leaf, error) {
	s := l.n.cluster.State
	s.mu.Lock()
	defer s.mu.Unlock()
	to := min(from+uint64(most), uint64(len(s.leaves)))
	return s.leaves[min(from, to):to:to], nil
}

func (l leaves) Checkpoint(ctx context.Context, size uint64) (*audit.Checkpoint, error) {
	f := l.n.cluster.State.Frontier()
	cp := &audit.Checkpoint{Cluster: l.n.cluster.ID, Size: size, Root: f.Root()}
	return cp, cp.Sign(ctx, l.n.Region, l.n.Session, time.Now())
}
