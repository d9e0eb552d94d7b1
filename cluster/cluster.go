package cluster

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Cluster is one node's part in the replicated log.
type Cluster struct {
	cfg         Config
	log         *slog.Logger
	incarnation Incarnation
	startMark   uint64 // durable high-water mark at start

	book      *book
	turning   sync.Mutex  // held by repin
	pinned    pinned      // guarded by turning
	doubtful  atomic.Bool // sessions were let go: the leader looks at what its term rests on
	evidence  *evidenceStore
	marks     *marks
	stable    *voteStore
	chain     *chainStore
	snapshots *snapshotStore
	decoded   *decodedCache
	replica   *replica
	transport *transport
	server    *server
	proposer  *proposer
	barriers  *shared
	dues      *dues
	gossip    atomic.Pointer[gossip]

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // own goroutines
	work   sync.WaitGroup // partials being computed
	gate   chan struct{}  // raft hears one message at a time
	life   chan struct{}  // start, restart and shutdown exclude each other
	inst   atomic.Pointer[instance]

	failed   atomic.Pointer[error]
	ready    atomic.Pointer[epoch]
	losses   atomic.Uint64 // how often the leader was lost from sight
	heard    atomic.Int64  // when it was heard last, nanoseconds
	fed      atomic.Int64  // when raft was handed something in its name last, likewise
	mark     atomic.Uint64
	refused  atomic.Uint64
	alarms   atomic.Uint64 // acked entries that were truncated
	restarts atomic.Uint64
	fetched  atomic.Uint64 // times that another region than the leader brought something
	larder   larder
	lowSpace atomic.Bool
	started  atomic.Bool // incarnation file says so
	spooling atomic.Bool // a snapshot is being received
	news     signal      // leader, readiness or failure changed

	ackMu   sync.Mutex
	acks    map[raft.ServerID]uint64
	offsets map[raft.ServerID]offset // of the own clock

	shun   shun
	claims claims
	sparse *sparse

	ownDraws []evaluation // of entries being stored; touched by raft's leader loop only
}

// New checks the configuration and the disk: an old, wiped or foreign one is
// refused with errs.Stale, a damaged one with errs.Corrupt. Nothing runs before Start.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cluster{cfg: cfg, log: cfg.Logger, ctx: ctx, cancel: cancel, decoded: newDecodedCache(), pinned: pinned{},
		gate: make(chan struct{}, 1), life: make(chan struct{}, 1), acks: map[raft.ServerID]uint64{}, claims: claims{last: map[identity.Fingerprint]chain.Claim{}}, offsets: map[raft.ServerID]offset{}, sparse: newSparse()}
	c.dues = newDues(cfg.Session.Cert.Region)
	c.transport = c.newTransport()
	err := c.openBook()
	if err == nil {
		err = c.openStores()
	}
	if err != nil {
		c.transport.close()
		cancel()
		return nil, err
	}
	c.pinned.changed(cfg) // what the disk's evidence was judged by
	c.proposer = newProposer(ctx, c.proposeEntry)
	c.barriers = newShared(c.quorumRead)
	return c, nil
}

// Start listens and joins; it returns before a leader is known.
func (c *Cluster) Start(context.Context) error {
	c.life <- struct{}{}
	defer func() { <-c.life }()
	ln, err := c.cfg.Network.Listen(c.cfg.Listen)
	if err != nil {
		return errs.Wrap(errs.Unavailable, err, "listening on %s", c.cfg.Listen)
	}
	c.server = newServer(c.transport.d, ln, c.transport.timeout, c.book, c.log)
	c.server.handle = c.serve
	c.lie()
	var in *instance
	if err = c.bootstrap(); err == nil {
		in, err = c.newInstance()
	}
	if err != nil {
		c.server.close()
		return err
	}
	c.inst.Store(in)
	c.server.run()
	if c.cfg.Gossip != nil {
		if g, err := startGossip(c); err == nil {
			c.gossip.Store(g)
		} else {
			c.log.Error("gossip does not start", slog.String("error", err.Error())) // hints only
		}
	}
	c.wg.Go(c.proposer.run)
	c.wg.Go(func() { c.barriers.run(c.ctx) })
	c.wg.Go(c.keepReady)
	c.wg.Go(c.keepMark)
	c.wg.Go(c.keepCompact)
	c.wg.Go(c.keepCertified)
	c.wg.Go(c.keepWilling)
	c.wg.Go(c.keepFed)
	c.wg.Go(c.watchSpace)
	return nil
}

// Shutdown stops everything and waits for it; a leader hands over first, unless ctx
// has ended already.
func (c *Cluster) Shutdown(ctx context.Context) error {
	if ctx.Err() == nil && c.IsLeader() && !c.dead() {
		if err := c.TransferLeadership(ctx); err != nil {
			c.log.Info("leadership not handed over", slog.String("error", err.Error()))
		}
	}
	c.cancel()
	c.life <- struct{}{}
	defer func() { <-c.life }()
	if g := c.gossip.Load(); g != nil {
		g.close()
	}
	var errsAll []error
	c.transport.close() // calls and dials in flight would keep raft's goroutines
	if in := c.inst.Swap(nil); in != nil {
		errsAll = append(errsAll, in.close(c.transport))
	}
	if c.server != nil {
		c.server.close()
		c.server.wg.Wait()
	}
	c.wg.Wait()
	c.work.Wait()
	if !c.dead() {
		errsAll = append(errsAll, c.writeMark())
	}
	if c.cfg.Stores.Close != nil {
		errsAll = append(errsAll, c.cfg.Stores.Close())
	}
	c.news.fire()
	return errors.Join(errsAll...)
}

// die ends the node: nothing leaves it or enters it from here on.
func (c *Cluster) die(err error) {
	if !c.failed.CompareAndSwap(nil, &err) {
		return
	}
	c.transport.dead.Store(true)
	c.log.Error("this node must stop", slog.String("error", err.Error()), slog.String("hint", errs.HintOf(err)))
	c.news.fire()
	go c.cfg.Fatal(err) // it may shut this cluster down, which waits for our goroutines
}

func (c *Cluster) dead() bool { return c.failed.Load() != nil }

func (c *Cluster) instance() *instance { return c.inst.Load() }

func (c *Cluster) self() raft.ServerID { return raft.ServerID(c.cfg.Session.Cert.ServerID) }

// Propose commits one command and returns what the state machine decided.
// NotLeader, NoLeader, Throttled, DiskFull and DeadlineExceeded mean that nothing
// was proposed; OutcomeUnknown that it may or may not be committed.
func (c *Cluster) Propose(ctx context.Context, cmd *command.Command) (fsm.Outcome, error) {
	switch {
	case c.dead():
		return fsm.Outcome{}, errs.New(errs.Unavailable, "this region is stopping")
	case !c.IsLeader():
		return fsm.Outcome{}, c.notLeader()
	case c.lowSpace.Load():
		return fsm.Outcome{}, errs.New(errs.DiskFull, "less than %d bytes of disk are left", c.cfg.MinFree).
			WithHint("free disk space in the data directory; reads go on")
	}
	if out, is := c.falseOutcome(cmd); is {
		return out.Outcome, out.err
	}
	if c.cfg.Allowed != nil {
		if err := c.cfg.Allowed(cmd.Type); err != nil {
			return fsm.Outcome{}, err
		}
	}
	return c.proposer.submit(ctx, cmd)
}

// Barrier returns once this node applied everything that was committed when it was
// called, on leader and follower alike: reads after it are linearizable.
func (c *Cluster) Barrier(ctx context.Context) error {
	index, err := c.barriers.do(ctx)
	if err != nil {
		return err
	}
	return c.replica.wait(ctx, index)
}

// Leader returns the region believed to lead: good enough to route, never for safety.
func (c *Cluster) Leader() (identity.RegionID, bool) {
	in := c.instance()
	if in == nil {
		return 0, false
	}
	_, id := in.raft.LeaderWithID()
	region := c.transport.d.regionOf(id)
	return region, region != 0 && !c.book.fenced(region, c.book.record().Term) // raft has not noticed yet that it is not heard
}

// IsLeader is a hint likewise.
func (c *Cluster) IsLeader() bool {
	in := c.instance()
	return in != nil && in.raft.State() == raft.Leader
}

// WaitApplied returns once the machine applied the entry at index.
func (c *Cluster) WaitApplied(ctx context.Context, index uint64) error {
	return c.replica.wait(ctx, index)
}

// Applied returns the index of the last entry the machine applied.
func (c *Cluster) Applied() uint64 { return c.replica.at().index }

// TransferLeadership hands leadership to the most advanced follower.
func (c *Cluster) TransferLeadership(ctx context.Context) error {
	in := c.instance()
	if in == nil || in.raft.State() != raft.Leader {
		return c.notLeader()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	done := make(chan error, 1)
	c.wg.Go(func() {
		_, err := in.ask(func(r *raft.Raft) raft.Future { return r.LeadershipTransfer() })
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats returns a glance for status and metrics.
func (c *Cluster) Stats() Stats {
	s := Stats{ServerID: c.cfg.Session.Cert.ServerID, State: "stopped", Applied: c.Applied(), Mark: c.mark.Load(),
		Snapshot: c.snapshots.newestIndex(), Queue: c.proposer.waiting(), Refused: c.refused.Load(), Alarms: c.alarms.Load(), Certified: c.book.own.Floor(), Lease: c.Lease() == nil, Convicted: c.book.convicts(), Restarts: c.restarts.Load(), Left: c.dues.leftSoFar(), Fetched: c.fetched.Load(),
		LowSpace: c.lowSpace.Load(), Members: c.Members()}
	in := c.instance()
	if in == nil {
		return s
	}
	s.Fenced = c.transport.fenced()
	s.State = [...]string{"follower", "candidate", "leader", "stopped"}[in.raft.State()]
	_, id := in.raft.LeaderWithID()
	s.LeaderID, s.Leader = string(id), c.transport.d.regionOf(id)
	s.Term, s.LastIndex, s.CommitIndex = in.raft.CurrentTerm(), in.raft.LastIndex(), in.raft.CommitIndex()
	if s.State == "leader" {
		s.Acked = map[string]uint64{}
		c.ackMu.Lock()
		for id, index := range c.acks {
			s.Acked[string(id)] = index
		}
		c.ackMu.Unlock()
	}
	return s
}

// signal wakes everybody who waits for a change.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// sleep waits for d, or less when ctx ends or news come.
func sleep(ctx context.Context, d time.Duration, news <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-news:
	case <-ctx.Done():
	}
}
