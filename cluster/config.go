package cluster

import (
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/network"
)

// Machine is the replicated state machine, with everything the node hangs on it.
// Apply and Restore are never called at once; Snapshot returns quickly and what it
// returned is written while Apply goes on.
type Machine interface {
	Apply(batch []fsm.Input) [][]fsm.Outcome // one slice an input, one outcome a command
	Snapshot() (io.WriterTo, error)
	Restore(io.Reader) error // all or nothing; what it reads is authenticated up to the first error
}

// Sealer encrypts under the root keyring; context must match at Open.
type Sealer interface {
	Seal(plaintext, context []byte) ([]byte, error)
	Open(sealed, context []byte) ([]byte, error)
}

// Beacon computes and collects the partial values of draws. Deliver must not block.
type Beacon interface {
	// Evaluate is called for every entry that opens draws, while the entry is being
	// stored; its result leaves the node only once the entry is durable.
	Evaluate(meta command.Meta) ([]byte, error)
	// Deliver hands the leader a region's partial, its own included. It is not verified.
	Deliver(from identity.RegionID, meta command.Meta, partial []byte)
}

// Member is one server of the raft configuration.
type Member struct {
	Region   identity.RegionID
	ServerID string // region name, dash, eight hex digits of its incarnation
	Addr     string
	Voter    bool
}

// VoteStore is a raft.StableStore that can write a vote in one transaction.
type VoteStore interface {
	raft.StableStore
	SetVote(term uint64, candidate []byte) error
}

// Stores are where raft keeps log, term and vote.
type Stores struct {
	Log    raft.LogStore
	Stable VoteStore
	Close  func() error // after Shutdown, may be nil
}

// Config is everything a Cluster needs.
type Config struct {
	Cluster identity.ClusterID
	Lineage [32]byte // hash of the genesis: chain hash before the first entry
	Session *identity.Session
	Pins    identity.Pins
	Older   identity.Pins // of regions whose pin is ahead of the own state: what verifies the log up to there, and nothing new; may be nil
	Former  identity.Pins // all that regions had before: for evidence and for what this region stored itself; may be nil
	Members []Member      // from the genesis; the first raft configuration

	Network  network.Network
	RaftAddr string // advertised to the others
	Listen   string // where to listen; "" is RaftAddr

	FS     durable.FS // incarnation, high-water mark and snapshots
	Stores Stores

	Machine        Machine
	EntrySealer    Sealer
	SnapshotSealer Sealer
	Admit          func(*command.Entry) error // judges an opened entry before it is stored; may be nil
	Beacon         Beacon                     // may be nil

	// Approved are the members the state machine wants now; nil: memberships are not
	// judged.
	Approved func() []Member

	// Registered finds a session certificate the state machine has registered; nil: only
	// those met on the wire are known.
	Registered func(identity.Fingerprint) *identity.SessionCert

	// Time tells the committed clock and the permitted skew; nil: stamps are not judged.
	Time func() (clock time.Time, skew time.Duration)

	// Allowed reports why a type of command may not be proposed yet: some region may run a
	// release that cannot decode it; nil: all may.
	Allowed func(command.Type) error

	// Fits reports that the state is at a level this release does not understand: the node
	// halts; nil: it always fits.
	Fits func() error

	// Owed is nil for a command that an honest leader would have decided: signed by who may
	// sign it, within its time, not decided. Without Owed all are.
	Owed func(*command.Command) error
	Left func(identity.RegionID) // a leader was left: what waits for it waits for nothing; may be nil

	OnLeader func(bool)  // leadership gained or lost; a hint, called in order, may block briefly
	Fatal    func(error) // the node must stop at once: disk failed, log undecodable; called once

	Now     func() time.Time // time.Now when nil
	Timing  Timing
	Gossip  *Gossip // nil: no gossip
	Logger  *slog.Logger
	MinFree uint64 // bytes of disk below which nothing is proposed; 0 is 64 MiB
}

// Timing are the periods of raft and of our measures around it.
type Timing struct {
	Heartbeat time.Duration // silence after which a follower asks for votes; a heartbeat is a tenth of it
	Election  time.Duration
	Lease     time.Duration // silence of a quorum after which a leader steps down
	Commit    time.Duration // commit news without a nudge
	Delay     time.Duration // longest one-way delay between regions

	SlowWrite time.Duration // a log write this long stops outgoing messages
	HungWrite time.Duration // a log write this long ends the node
	Mark      time.Duration // between two writes of the high-water mark
	Patience  time.Duration // for a leader to decide what it is brought; zero: 2 s

	SnapshotInterval  time.Duration
	SnapshotThreshold uint64
	TrailingLogs      uint64
}

// Loopback are the periods for four nodes on one machine.
func Loopback() Timing {
	t := WAN()
	t.Heartbeat, t.Election, t.Lease = 350*time.Millisecond, 350*time.Millisecond, 300*time.Millisecond
	t.Commit, t.Delay = 50*time.Millisecond, time.Millisecond
	return t
}

// WAN are the periods for regions up to 250 ms of round trip apart.
func WAN() Timing {
	return Timing{
		Heartbeat: 1500 * time.Millisecond, Election: 1500 * time.Millisecond, Lease: 1200 * time.Millisecond,
		Commit: 100 * time.Millisecond, Delay: 125 * time.Millisecond,
		SlowWrite: 700 * time.Millisecond, HungWrite: 5 * time.Second, Mark: time.Second, Patience: 2 * time.Second,
		SnapshotInterval: time.Minute, SnapshotThreshold: 20_000, TrailingLogs: 10_000,
	}
}

// Check reports the first period that makes no sense.
func (t Timing) Check() error {
	const margin = 10 * time.Millisecond
	if t.Lease+t.Delay+margin >= t.Heartbeat {
		return errs.New(errs.Invalid, "lease %s + one-way delay %s + %s must stay below heartbeat %s", t.Lease, t.Delay, margin, t.Heartbeat).
			WithHint("a leader could still believe in its lease while another is elected: lengthen heartbeat or shorten lease")
	}
	if t.Election < t.Heartbeat || t.Commit < time.Millisecond || t.SlowWrite <= 0 || t.HungWrite <= t.SlowWrite || t.Mark <= 0 {
		return errs.New(errs.Invalid, "timing: election %s, commit %s, slow write %s, hung write %s, mark %s", t.Election, t.Commit, t.SlowWrite, t.HungWrite, t.Mark)
	}
	if t.SnapshotInterval <= 0 || t.SnapshotThreshold == 0 {
		return errs.New(errs.Invalid, "timing: snapshot interval %s, threshold %d", t.SnapshotInterval, t.SnapshotThreshold)
	}
	return nil
}

// Gossip configures memberlist, which spreads address hints and signs of life and
// never changes membership.
type Gossip struct {
	Addr string   // advertised and listened on, TCP and UDP
	Key  [32]byte // from the root keyring
	Join []string // gossip addresses of the members known so far
}

// Stats is a glance at the cluster from one node, for status and metrics.
type Stats struct {
	ServerID    string
	Leader      identity.RegionID // 0: none known
	LeaderID    string
	State       string // follower, candidate, leader or stopped
	Term        uint64
	LastIndex   uint64
	CommitIndex uint64
	Applied     uint64
	Mark        uint64 // durable high-water mark
	Snapshot    uint64 // index of the newest snapshot
	Members     []Member
	Acked       map[string]uint64   // on the leader: highest index each server acknowledged
	Queue       int                 // commands waiting for a proposal
	Certified   uint64              // highest certified index
	Lease       bool                // held now
	Refused     uint64              // appends refused at admission
	Alarms      uint64              // acked entries truncated, states that differ: never without a liar or a bad disk
	Convicted   []identity.RegionID // by what they signed themselves
	Restarts    uint64              // raft restarts within this process
	Left        uint64              // leaders left because they did not decide what they were brought
	Fetched     uint64              // times another region than the leader brought what is certified
	Fenced      bool                // outgoing messages stopped by the disk watchdog
	LowSpace    bool
}
