package cluster

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"sort"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// complete checks the configuration and fills in defaults.
func (cfg *Config) complete() error {
	if cfg.Session == nil || cfg.Session.Cert == nil || cfg.Pins == nil || cfg.Network == nil || cfg.FS == nil ||
		cfg.Stores.Log == nil || cfg.Stores.Stable == nil || cfg.Machine == nil || cfg.EntrySealer == nil || cfg.SnapshotSealer == nil || cfg.Fatal == nil {
		return errs.New(errs.Invalid, "cluster: session, pins, network, disk, stores, machine, sealers and Fatal are required")
	}
	if cfg.Session.Cert.Cluster != cfg.Cluster {
		return errs.New(errs.Invalid, "the session belongs to another cluster")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Listen == "" {
		cfg.Listen = cfg.RaftAddr
	}
	if cfg.Timing.Patience <= 0 {
		cfg.Timing.Patience = 2 * time.Second
	}
	if cfg.MinFree == 0 {
		cfg.MinFree = 64 << 20
	}
	cfg.Members = append([]Member(nil), cfg.Members...)
	sort.Slice(cfg.Members, func(i, j int) bool { return cfg.Members[i].ServerID < cfg.Members[j].ServerID })
	return cfg.Timing.Check()
}

// names returns each region's name, which no server id of it may leave.
func (cfg *Config) names() map[identity.RegionID]string {
	names := map[identity.RegionID]string{}
	for _, m := range cfg.Members {
		names[m.Region] = regionName(m.ServerID)
	}
	if cert := cfg.Session.Cert; names[cert.Region] == "" {
		names[cert.Region] = regionName(cert.ServerID)
	}
	return names
}

// regions are the regions of the genesis, which certificates count.
func (cfg *Config) regions() map[identity.RegionID]bool {
	out := map[identity.RegionID]bool{}
	for _, m := range cfg.Members {
		out[m.Region] = true
	}
	return out
}

// openBook makes what this region signs with and judges by.
func (c *Cluster) openBook() error {
	signer, err := chain.NewSigner(c.cfg.Session.Cert.Region, ownSigner{c.cfg.Session, c.transport.d.roster})
	if err != nil {
		return err
	}
	c.book = newBook(c.cfg.Session.Cert.Region, signer, c.cfg.Lineage, c.transport.d.roster)
	c.book.now = c.cfg.Now
	c.transport.book = c.book
	for _, m := range c.cfg.Members {
		c.book.founders[m.Region] = m.ServerID
	}
	c.book.present = c.approvedServer
	c.book.roster.trust(c.cfg.Session.Cert)
	c.evidence = &evidenceStore{fs: c.cfg.FS, court: c.court, convict: c.book.convict, log: c.log}
	c.marks = newMarks(c)
	return nil
}

// founding is the place of the first entry, which every founder writes by itself.
func founding(cfg *Config) chain.Link {
	data := raft.EncodeConfiguration(cfg.foundingConfiguration())
	h := chain.Header{Prev: cfg.Lineage, Term: 1, Index: 1, Type: chain.TypeConfiguration, Data: sha256.Sum256(data)}
	return h.Link()
}

func (cfg *Config) foundingConfiguration() (conf raft.Configuration) {
	for _, m := range cfg.Members {
		s := raft.Server{ID: raft.ServerID(m.ServerID), Address: raft.ServerAddress(m.Addr), Suffrage: raft.Nonvoter}
		if m.Voter {
			s.Suffrage = raft.Voter
		}
		conf.Servers = append(conf.Servers, s)
	}
	return conf
}

// openStores wraps raft's stores and judges what the disk holds.
func (c *Cluster) openStores() error {
	var err error
	if c.incarnation, err = ReadIncarnation(c.cfg.FS); err != nil {
		return err
	}
	c.started.Store(c.incarnation.Started)
	dog := &watchdog{slow: c.cfg.Timing.SlowWrite, hung: c.cfg.Timing.HungWrite, fatal: c.die,
		fence: func(on bool) { c.transport.fence(on); c.log.Warn("disk is slow", slog.Bool("fenced", on)) }}
	cache, err := raft.NewLogCache(logCacheSize, &watchedLog{c.cfg.Stores.Log, dog})
	if err != nil {
		return err
	}
	c.stable = &voteStore{VoteStore: c.cfg.Stores.Stable, dog: dog}
	c.chain = &chainStore{LogStore: cache, lineage: c.cfg.Lineage, links: newLinks(), book: c.book, proofs: map[uint64]*chain.LeaderProof{}, fatal: c.die}
	c.book.own, c.book.founding = ownLog{c.chain, c.book}, founding(&c.cfg)
	c.book.store, c.book.quiet = c.stable.Set, c.chain.links.quietAt
	c.snapshots = &snapshotStore{fs: c.cfg.FS, sealer: c.cfg.SnapshotSealer, lineage: c.cfg.Lineage, chain: c.chain, log: c.log, history: c.history, based: func(l link) { c.book.base(l.place()) }}
	c.chain.floor = c.snapshots.newestIndex
	c.replica = &replica{machine: c.cfg.Machine, entries: c.cfg.EntrySealer, snaps: c.cfg.SnapshotSealer, lineage: c.cfg.Lineage,
		chain: c.chain, decoded: c.decoded, admit: c.cfg.Admit, fits: c.cfg.Fits, fatal: c.die, log: c.log, advanced: c.advanced, dues: c.dues, certified: c.book.committable, vouched: c.vouch, kept: c.snapshots, marks: c.marks}
	if err := c.judgeDisk(); err != nil {
		return err
	}
	c.chain.before, c.chain.appended = c.placeProposals, c.shareDraws
	return nil
}

// judgeDisk refuses a disk that is not this server's, or is not what it was.
func (c *Cluster) judgeDisk() error {
	first, err1 := c.chain.FirstIndex()
	last, err2 := c.chain.LastIndex()
	if err := errors.Join(err1, err2); err != nil {
		return errs.Wrap(errs.Corrupt, err, "log")
	}
	names, err := c.snapshots.names()
	if err != nil {
		return err
	}
	if err := c.incarnation.check(&c.cfg, last == 0 && len(names) == 0); err != nil {
		return err
	}
	mark, err := readMark(c.cfg.FS, c.cfg.Lineage)
	if err != nil {
		return err
	}
	base, err := c.snapshots.choose(first, last, mark.index)
	if err != nil {
		return err
	}
	if err := c.chain.settle(base); err != nil {
		return err
	}
	rec, err := readRecord(c.cfg.Stores.Stable)
	if err != nil {
		return err
	}
	term, err := c.cfg.Stores.Stable.GetUint64([]byte(keyCurrentTerm))
	if err != nil && err.Error() != "not found" {
		return errs.Wrap(errs.Corrupt, err, "term")
	}
	c.book.resume(rec, term)
	if err := c.evidence.load(); err != nil {
		return err
	}
	c.startMark = mark.index
	c.mark.Store(mark.index)
	return checkMark(mark, c.chain, max(last, base.index))
}

// raftConfig is raft's configuration; what is not set here is off on purpose.
func (c *Cluster) raftConfig(notify chan<- bool) *raft.Config {
	t := c.cfg.Timing
	rc := raft.DefaultConfig()
	rc.LocalID = c.self()
	rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout, rc.CommitTimeout = t.Heartbeat, t.Election, t.Lease, t.Commit
	rc.MaxAppendEntries = maxAppendEntries
	rc.BatchApplyCh = true
	rc.ShutdownOnRemove = false
	rc.SnapshotInterval, rc.SnapshotThreshold, rc.TrailingLogs = t.SnapshotInterval, t.SnapshotThreshold, t.TrailingLogs
	rc.NotifyCh = notify
	rc.Logger = newRaftLogger(c.log)
	rc.NoLegacyTelemetry = true
	rc.RestoreCommittedLogs = false // loses the configuration and hangs above 8192 entries
	return rc
}

// bootstrap gives an empty store its first configuration, when the genesis names
// this server. A server that joins later stays empty until the leader adds it.
func (c *Cluster) bootstrap() error {
	last, err := c.chain.LastIndex()
	if err != nil {
		return errs.Wrap(errs.Corrupt, err, "log")
	}
	founder, conf := false, c.cfg.foundingConfiguration()
	for _, m := range c.cfg.Members {
		founder = founder || m.ServerID == string(c.self())
	}
	if !c.started.Load() && founder && last == 0 {
		err := raft.BootstrapCluster(c.raftConfig(nil), c.chain, c.stable, c.snapshots, c.newEndpoint(), conf)
		if err != nil {
			return errs.Wrap(errs.DiskFailed, err, "writing the first membership")
		}
		last = 1
	}
	if last > 0 {
		return c.markStarted()
	}
	c.chain.first = c.markStarted
	return nil
}

// markStarted notes that raft has run on this disk; from then on an empty log means
// a wiped one.
func (c *Cluster) markStarted() error {
	if c.started.Load() {
		return nil
	}
	in := c.incarnation
	in.Started = true
	if err := writeIncarnation(c.cfg.FS, in); err != nil {
		return err
	}
	c.started.Store(true)
	return nil
}

func (c *Cluster) newTransport() *transport {
	t := c.cfg.Timing
	d := &dialer{network: c.cfg.Network, cluster: c.cfg.Cluster, session: c.cfg.Session, pins: c.cfg.Pins, older: c.cfg.Older, names: c.cfg.names(),
		open: map[*conn]struct{}{}, client: map[identity.RegionID]*tls.Config{}}
	d.roster = newRoster(len(c.cfg.regions()), d.stands)
	d.roster.lookup = c.cfg.Registered
	if c.cfg.Former != nil {
		d.roster.former = func(cert *identity.SessionCert) bool {
			return d.checkName(cert) == nil && signedBy(c.cfg.Former, c.cfg.Cluster, cert)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &transport{d: d, self: raft.Server{ID: c.self(), Address: raft.ServerAddress(c.cfg.RaftAddr)},
		timeout: min(max(6*t.Heartbeat, 2*time.Second), 10*time.Second), beat: max(t.Heartbeat, 500*time.Millisecond),
		hint: c.hint, onReply: c.onReply, onClock: c.noteClock, now: c.cfg.Now, leads: c.leads, doubt: c.doubt, lost: c.lost, offer: c.offer,
		idle: map[raft.ServerID][]*conn{}, pipelines: map[*pipeline]struct{}{}, ctx: ctx, cancel: cancel}
}
