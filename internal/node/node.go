package node

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/escrow"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/replication"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault"
)

// Node is one running region.
type Node struct {
	cfg Config
	log *slog.Logger
	*opened

	fsm      *fsm.Machine
	verifier *fsm.Verifier
	leaves   *replication.Store
	vault    *vault.Vault
	cluster  *cluster.Cluster
	server   *rpc.Server
	conns    *rpc.Conns
	peers    *rpc.Peers
	checkup  checkup // of the token, for status

	kept     roll.Pins                           // as they stand on disk; keepMembers' own
	boots    map[identity.RegionID]identity.Boot // newest known of each region; used by Apply only
	gap      chan struct{}                       // leaves are missing
	leads    chan struct{}                       // leadership changed
	turned   chan struct{}                       // a region's row did, maybe its identity
	cuts     chan uint64                         // repairs of the log that were committed
	cancel   context.CancelFunc
	work     sync.WaitGroup
	checks   sync.WaitGroup // of signatures, under way
	checking chan struct{}  // a place for each of them

	failOnce sync.Once
	failed   chan struct{} // closed on a fatal fault
	err      error
	stopOnce sync.Once
}

// verifierCapacity is how many verified signatures a node remembers: a few seconds of
// full load, so that admission's work is still there at Apply.
const verifierCapacity = 16 << 10

// Start unseals the region and starts its node; it returns when the API listens and
// raft runs, not when the node is ready to sign (WaitReady).
func Start(ctx context.Context, cfg Config) (_ *Node, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	o, err := unseal(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Logger.With(slog.String("region", o.session.Cert.ServerID)), opened: o, kept: o.told,
		boots: map[identity.RegionID]identity.Boot{}, gap: make(chan struct{}, 1), checking: make(chan struct{}, checksMax), leads: make(chan struct{}, 1), turned: make(chan struct{}, 1), cuts: make(chan uint64, cutsMax), failed: make(chan struct{})}
	defer func() {
		if err != nil {
			n.Shutdown(context.WithoutCancel(ctx))
		}
	}()
	for _, step := range []func() error{n.openState, n.openVault, n.openCluster} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return n, n.run(ctx)
}

func (n *Node) region() identity.RegionID { return n.session.Cert.Region }

func (n *Node) sealer(p seal.Purpose) *seal.Sealer {
	return n.keyring.Sealer(p, n.region(), n.session.Cert.Boot)
}

func (n *Node) openState() (err error) {
	n.verifier = fsm.NewVerifier(verifierCapacity)
	if n.fsm, err = fsm.New(n.genesis, fsm.Options{Verify: n.verifier.Verify}); err != nil {
		return err
	}
	n.leaves, err = replication.Open(n.cfg.FS, n.sealer(seal.PurposeLeaf), replication.Options{Logger: n.log})
	if err != nil {
		return err
	}
	if err := n.leaves.Append([]audit.Leaf{n.fsm.GenesisLeaf()}); err != nil {
		return err
	}
	return n.leaves.Sync()
}

func (n *Node) openVault() (err error) {
	n.conns = rpc.NewConns(rpc.ConnsConfig{
		TLS: func(r identity.RegionID) *tls.Config {
			return identity.ClientTLS(n.session, r, n.pins, n.genesis.Document.Cluster)
		},
		Address: n.apiAddress,
		Dial:    n.cfg.Network.Dial,
	})
	n.peers = rpc.NewPeers(n.conns)
	n.vault, err = vault.New(n.lie(vault.Config{
		Region: n.region(), Identity: n.hsm.Identity(), Session: n.session, Curves: n.curves, Level: command.Level, Share: n.share,
		Proposer: proposer{n}, Replica: replica{n}, Token: n.hsm, Wraps: n.hsm.Epochs(n.genesis.Document.Cluster), Peers: n.peers, Leaves: n.leaves,
		Verify: n.verifier.Verify, Escrow: n.escrow,
		FS: n.cfg.FS, Sealer: n.sealer(seal.PurposeLocal), HSMWorkers: n.cfg.HSM.Sessions, Attributes: attributesOK,
		Timing: n.cfg.Vault, Shares: n.cfg.Shares, Clock: n.cfg.Clock, Random: n.cfg.Random, Logger: n.log, Covers: n.covers(),
	}))
	n.share.Wipe() // the vault has it
	return err
}

// escrow encrypts this region's share for the officers of a key's escrow.
func (n *Node) escrow(view fsm.View, k *fsm.Key, e *fsm.Escrow, epoch uint32, share []byte) ([]byte, error) {
	return escrow.Seal(escrow.TermsOf(view.Cluster(), k.ID, e, epoch), n.region(), view.Regions(), share)
}

// attributesOK judges a new key of any region. What some vendors cannot report is let
// pass here, since a region's own HSM was judged by its own profile when it made the key.
func attributesOK(attributes []byte) error {
	return seal.AttributesOK(attributes, seal.Profile{Name: "any vendor", LocalNotReported: true, NoGenMechanism: true})
}

func (n *Node) openCluster() (err error) {
	doc := &n.genesis.Document
	var driven cluster.Machine = &machine{fsm: n.fsm, leaves: n.leaves, after: n.applied, gap: n.gap}
	if n.cfg.Watch != nil {
		driven = n.cfg.Watch(driven, n.fsm.View)
	}
	n.cluster, err = cluster.New(cluster.Config{
		Cluster: doc.Cluster, Lineage: n.hash, Session: n.session, Pins: n.pins, Older: n.older, Former: n.former, Members: foundingMembers(doc.Regions),
		Network: n.cfg.Network, RaftAddr: n.address().RaftAddr, Listen: n.cfg.Listen.Raft,
		FS: n.cfg.FS, Stores: n.cfg.Stores,
		Machine:     driven,
		EntrySealer: n.sealer(seal.PurposeEntry), SnapshotSealer: n.sealer(seal.PurposeSnapshot),
		Admit: n.admit,
		Time:  n.clock,
		Registered: func(session identity.Fingerprint) *identity.SessionCert {
			_, cert, _ := n.fsm.View().RegionBySession(session)
			return cert
		},
		Approved: func() []cluster.Member { return approvedMembers(n.fsm.View()) },
		Allowed:  func(t command.Type) error { return n.fsm.View().Allowed(t) },
		Fits:     func() error { return n.fsm.View().Fits(command.Level) },
		Beacon:   n.beacon(),
		Owed:     n.owed, Left: n.conns.Reset,
		OnLeader: n.onLeader, Fatal: n.fail,
		Now: n.cfg.Clock.Now, Timing: n.cfg.Timing, Gossip: n.gossip(), Logger: n.log, MinFree: n.cfg.MinFree,
	})
	return err
}

// cutsMax is how many repairs may wait: each does what the one before did not.
const cutsMax = 4

// checksMax is how many entries have their signatures checked while they are stored.
const checksMax = 4

// admit has an entry's signatures checked, in parallel, while it is being stored; Apply
// waits for those checks. An entry beyond checksMax waits for its own first.
func (n *Node) admit(e *command.Entry) error {
	view := n.fsm.View()
	select {
	case n.checking <- struct{}{}:
		n.checks.Go(func() {
			defer func() { <-n.checking }()
			n.verifier.Warm(view, e)
		})
	default:
		n.verifier.Warm(view, e)
	}
	return nil
}

// clock is what entries may be stamped against.
func (n *Node) clock() (time.Time, time.Duration) {
	v := n.fsm.View()
	return v.Clock(), v.Settings().MaxSkew
}

func (n *Node) applied(results []fsm.Result) {
	n.redial(results)
	n.vault.Applied(results)
	n.repairs(results)
	if n.server != nil {
		n.server.Notify(results)
	}
}

func (n *Node) onLeader(leads bool) {
	n.log.Info("leadership", slog.Bool("leads", leads))
	n.vault.SetLeader(leads)
	n.server.SetLeader(leads)
	n.nudge()
}

// run starts everything that moves. The server exists before raft, because raft's first
// act may be to tell it who leads.
func (n *Node) run(ctx context.Context) (err error) {
	n.server, err = rpc.New(rpc.Config{
		Region: n.region(), Session: n.session.Cert, Node: status{n}, Dialer: n.conns, Limits: n.cfg.Limits,
		TLS:    identity.ServerTLS(n.session, n.pins, n.genesis.Document.Cluster, true),
		Logger: n.log, Metrics: n.registerer(),
	})
	if err != nil {
		return err
	}
	if err := n.registerMetrics(); err != nil {
		return err
	}
	listener, err := n.cfg.Network.Listen(n.cfg.Listen.API)
	if err != nil {
		return err
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	n.server.Attach(rpc.Rooms{Vault: n.vault, Cosigner: n.shown(n.cosigner()), Reader: reader{n}, Leaves: leafReader{n}, Leader: n.cluster, Brought: n.cluster.Brought,
		Covers: n.covers(), Brakes: brakes{n.vault, n}, Proofs: proofs{n}, Signatures: n.vault.Signatures, Roll: n.roll, Genesis: n.genesis.Encode()})
	n.start("api", func(context.Context) error { return n.server.Serve(listener) }, work)
	if err := n.cluster.Start(ctx); err != nil {
		return err
	}
	n.start("vault", n.vault.Run, work)
	n.start("leaves", n.keepLeaves, work)
	n.start("members", n.keepMembers, work)
	n.start("ready", n.watchReady, work)
	n.start("repairs", n.keepRepairs, work)
	return nil
}

// start runs a part of the node until work ends; an error before that is fatal.
func (n *Node) start(name string, part func(context.Context) error, work context.Context) {
	n.work.Go(func() {
		if err := part(work); err != nil && work.Err() == nil {
			n.log.Error("part of the node ended", slog.String("part", name), slog.Any("error", err))
			n.fail(err)
		}
	})
}

func (n *Node) fail(err error) {
	n.failOnce.Do(func() { n.err = err; close(n.failed) })
}

// Wait blocks until ctx ends or the node met a fault it cannot go on with.
func (n *Node) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.failed:
		return n.err
	}
}

// WaitReady blocks until the node may sign.
func (n *Node) WaitReady(ctx context.Context) error { return n.cluster.WaitReady(ctx) }

// View returns the region's own copy of the state, however old.
func (n *Node) View() fsm.View { return n.fsm.View() }

// Leaves is the region's own copy of the audit log.
func (n *Node) Leaves() rpc.Leaves { return leafReader{n} }

// Leads reports whether the node believes to lead, Ready whether it may sign now.
func (n *Node) Leads() bool  { return n.cluster.IsLeader() }
func (n *Node) Ready() error { return n.cluster.Ready() }

// watchReady drives the health service: serving while raft's readiness holds.
func (n *Node) watchReady(ctx context.Context) error {
	if err := n.cluster.WaitReady(ctx); err != nil {
		return err
	}
	n.log.Info("ready to sign", slog.Duration("after", time.Since(n.cfg.Started)))
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		n.server.SetReady(n.cluster.Ready() == nil)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Shutdown stops the node in order: no new work, then work under way, then the log,
// then disk and HSM. Safe to call more than once and after a failed Start.
func (n *Node) Shutdown(ctx context.Context) {
	n.stopOnce.Do(func() {
		if n.cluster != nil && n.cluster.IsLeader() {
			_ = n.cluster.TransferLeadership(ctx) // clients find the new leader while we still answer
		}
		if n.server != nil {
			n.drain(ctx)
		}
		if n.cancel != nil {
			n.cancel()
		}
		n.work.Wait()
		if n.cluster != nil {
			n.closed("raft", n.cluster.Shutdown(ctx))
		}
		n.checks.Wait()
		if n.conns != nil {
			n.conns.Close() // after raft: what it applied last may have asked other regions
		}
		if n.leaves != nil {
			n.closed("leaf store", n.leaves.Close())
		}
		if n.cfg.Stores.Close != nil {
			n.closed("raft stores", n.cfg.Stores.Close())
		}
		n.closed("hsm", n.hsm.Close(ctx)) // last: nothing above can still call it
	})
}

// drain lets calls finish, for a part of the time there is: who waits for a far event
// must not take what raft, disk and HSM need to close in order.
func (n *Node) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainWait)
	defer cancel()
	n.server.Shutdown(ctx)
}

const drainWait = 5 * time.Second

func (n *Node) closed(what string, err error) {
	if err != nil {
		n.log.Warn("closing", slog.String("part", what), slog.Any("error", err))
	}
}

// Addr returns the address the API listens on, for tests.
func (n *Node) Addr() net.Addr { return nil }
