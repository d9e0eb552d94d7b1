package cluster

import (
	"bytes"
	"crypto/sha256"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Liar speaks the protocol with a region's own identity and says what it likes.
type Liar struct {
	t   *transport
	cfg Config
}

func NewLiar(cfg Config) *Liar {
	c := &Cluster{cfg: cfg}
	t := c.newTransport()
	t.onReply = func(remote, uint64, *reply) {}
	t.onClock, t.now = func(remote, time.Time, time.Time, *reply) {}, time.Now
	return &Liar{t, cfg}
}

func (l *Liar) Close()                 { l.t.close() }
func (l *Liar) Endpoint() *endpoint    { return &endpoint{transport: l.t} }
func (l *Liar) Header() raft.RPCHeader { return l.t.header() }
func (l *Liar) Seal(e []byte) []byte {
	b, _ := l.cfg.EntrySealer.Seal(e, entryContext(l.cfg.Lineage))
	return b
}
func (l *Liar) Lineage() [32]byte    { return l.cfg.Lineage }
func ExtensionFor(c [32]byte) []byte { return (&Extension{Chain: c}).Encode() }
func Fence(c *Cluster, on bool)      { c.transport.fence(on) }
func DataHash(b []byte) [32]byte     { return sha256.Sum256(b) }

// Nudge sends commit news and returns once they are written.
func (l *Liar) Nudge(id raft.ServerID, addr string, term, at, index uint64, chain [32]byte) error {
	c, err := l.t.connect(l.t.ctx, id, raft.ServerAddress(addr), time.Second)
	if err != nil {
		return err
	}
	b, err := frame(&request{Kind: kindNudge, Header: l.t.header(), Nudge: &nudge{term, at, index, chain}}, 256)
	if err != nil {
		return err
	}
	return c.send(b, time.Second)
}

// Link returns the chain hash and term a node holds at index.
func Link(c *Cluster, index uint64) (chain [32]byte, term uint64, ok bool) {
	l, ok := c.chain.at(index)
	return l.chain, l.term, ok
}

// ForceSnapshot takes a snapshot now.
func ForceSnapshot(c *Cluster) error { return c.instance().raft.Snapshot().Error() }

func RaftConfig(c *Cluster) *raft.Config { return c.raftConfig(nil) }

// VoteStoreOver is the stable store as raft sees it.
func VoteStoreOver(s VoteStore, fatal func(error)) raft.StableStore {
	return &voteStore{VoteStore: s, dog: &watchdog{slow: time.Second, hung: 2 * time.Second, fatal: fatal, fence: func(bool) {}}}
}

// Watched is a log store under the watchdog.
func Watched(s raft.LogStore, t Timing, fence func(bool), fatal func(error)) raft.LogStore {
	return &watchedLog{s, &watchdog{slow: t.SlowWrite, hung: t.HungWrite, fence: fence, fatal: fatal}}
}

// ReplicaOver is a replica without raft.
func ReplicaOver(m Machine, entries, snaps Sealer, lineage [32]byte, log raft.LogStore, fatal func(error)) (raft.BatchingFSM, func([]*raft.Log) error) {
	chain := &chainStore{LogStore: log, lineage: lineage, links: newLinks(), fatal: fatal}
	r := &replica{machine: m, entries: entries, snaps: snaps, lineage: lineage, chain: chain, decoded: newDecodedCache(),
		fatal: fatal, advanced: func(link) {}, log: slog.New(slog.DiscardHandler)}
	return r, chain.StoreLogs
}

func SealEntry(s Sealer, lineage [32]byte, b []byte) []byte {
	out, _ := s.Seal(b, entryContext(lineage))
	return out
}

// EnvelopeOf seals a snapshot; OpenEnvelope opens one.
func EnvelopeOf(w io.Writer, s Sealer, lineage [32]byte, index, term uint64, chain [32]byte, conf raft.Configuration, state []byte) error {
	h := &envelopeHeader{Lineage: lineage, Link: link{index, term, chain}, Config: raft.EncodeConfiguration(conf), ConfigIndex: 1}
	e, err := newEnvelopeWriter(w, h, s)
	if err != nil {
		return err
	}
	if _, err := e.Write(state); err != nil {
		return err
	}
	return e.Close()
}

func OpenEnvelope(r io.Reader, s Sealer) ([]byte, error) {
	e, err := newEnvelopeReader(r, s)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(e)
}

const SnapshotChunk = snapshotChunk

func ChunkContext(header [32]byte, n uint64, final bool) []byte {
	return chunkContext(header, n, final)
}

func EntryContext(lineage [32]byte) []byte { return entryContext(lineage) }

// Fuzzed decoders: each returns whether b decodes and, where that is defined, encodes
// back to itself.
func RoundTripRequest(b []byte) (ok, same bool) {
	q, err := decodeRequest(b)
	if err != nil {
		return false, true
	}
	f, err := frame(q, len(b))
	return true, err == nil && string(f[4:]) == string(b)
}

func RoundTripReply(b []byte) (ok, same bool) {
	p, err := decodeReply(b)
	if err != nil {
		return false, true
	}
	f, err := frame(p, len(b))
	return true, err == nil && string(f[4:]) == string(b)
}

func RoundTripMeta(b []byte) (ok, same bool) {
	m, err := decodeGossipMeta(b)
	return err == nil, err != nil || string(m.encode()) == string(b)
}

func RoundTripMark(b []byte) bool        { _, _, err := decodeMark(b); return err == nil }
func RoundTripIncarnation(b []byte) bool { _, err := decodeIncarnation(b); return err == nil }
func RoundTripPartial(b []byte) bool     { _, _, err := decodePartialItem(b); return err == nil }
func RoundTripSessions(b []byte) int     { return len(decodeSessions(b)) }
func CheckShape(prev, prevTerm, term uint64, e []*raft.Log) error {
	return checkShape(prev, prevTerm, term, e)
}

// SampleRequests are one of each kind, encoded.
func SampleRequests() (out [][]byte) {
	h := raft.RPCHeader{ProtocolVersion: 3, ID: []byte("r1-00000001"), Addr: []byte("r1:1")}
	conf := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "b"}}})
	for _, q := range []*request{
		{Kind: kindAppend, Header: h, Append: &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 1, PrevLogTerm: 2, LeaderCommitIndex: 1,
			Entries: []*raft.Log{{Index: 2, Term: 3, Data: []byte("x"), Extensions: ExtensionFor([32]byte{1}), AppendedAt: time.UnixMilli(5)}}}},
		{Kind: kindVote, Header: h, Vote: &raft.RequestVoteRequest{Term: 1, LastLogIndex: 2, LastLogTerm: 3, LeadershipTransfer: true}},
		{Kind: kindPreVote, Header: h, PreVote: &raft.RequestPreVoteRequest{Term: 1, LastLogIndex: 2, LastLogTerm: 3}},
		{Kind: kindSnapshot, Header: h, Snapshot: &raft.InstallSnapshotRequest{SnapshotVersion: 1, Term: 4, LastLogIndex: 9, LastLogTerm: 3, Configuration: conf, ConfigurationIndex: 1, Size: 77}},
		{Kind: kindTimeout, Header: h},
		{Kind: kindNudge, Header: h, Nudge: &nudge{1, 1, 2, [32]byte{3}}, Items: []item{{9, []byte("later")}}},
		{Kind: kindRead, Header: h},
	} {
		f, _ := frame(q, 512)
		out = append(out, f[4:])
	}
	return out
}

func SampleReply() []byte {
	f, _ := frame(&reply{Kind: kindAppend, Code: errs.OK, Term: 2, LastLog: 9, Yes: true, Items: []item{partialItem(link{1, 2, [32]byte{3}}, []byte("p"))}}, 512)
	return f[4:]
}

// Pipeline internals.
const PipelineDepth = pipelineDepth

// SealedSnapshot is a snapshot of a state, sealed.
func SealedSnapshot(s Sealer, lineage [32]byte, index, term uint64, conf raft.Configuration, state []byte) []byte {
	var b bytes.Buffer
	if err := EnvelopeOf(&b, s, lineage, index, term, [32]byte{5}, conf, state); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// CompactAt lets the log be compacted beyond limit bytes, and returns how many entries
// raft is told to leave.
func CompactAt(c *Cluster, limit int64) (trailing uint64) {
	in := c.instance()
	c.compact(in, limit)
	return in.raft.ReloadableConfig().TrailingLogs
}
