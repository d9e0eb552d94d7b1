package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Liar speaks the protocol with a region's own identity and says what it likes.
type Liar struct {
	t   *transport
	cfg Config
	b   *book
	log *liarLog
}

// liarLog is whatever the liar says it has.
type liarLog struct {
	links map[uint64]chain.Link
	last  chain.Link
}

func (l *liarLog) At(i uint64) (chain.Link, bool) { at, ok := l.links[i]; return at, ok }
func (l *liarLog) Last() chain.Link               { return l.last }
func (l *liarLog) Floor() uint64                  { return 0 }

func NewLiar(cfg Config) *Liar {
	_ = cfg.complete()
	c := &Cluster{cfg: cfg, log: cfg.Logger}
	t := c.newTransport()
	c.transport = t
	if err := c.openBook(); err != nil {
		panic(err)
	}
	l := &Liar{t, cfg, c.book, &liarLog{links: map[uint64]chain.Link{}}}
	l.b.own, l.b.founding = l.log, founding(&cfg)
	l.b.store = func(_, _ []byte) error { return nil }
	l.b.rec.Store(&record{})
	t.onReply = func(remote, *raft.AppendEntriesRequest, *reply) error { return nil }
	t.onClock, t.now = func(remote, time.Time, time.Time, *reply) {}, time.Now
	t.doubt, t.lost = func(*chain.PreVote) {}, func(uint64) {}
	t.leads = func() (uint64, bool) { return 0, false }
	l.Offer(nil)
	return l
}

// Steal makes the liar say what a running node of its region may say.
func (l *Liar) Steal(c *Cluster) { l.b.rec.Store(c.book.record()) }

// Offer is what the liar sends along with snapshots; nil: nothing.
func (l *Liar) Offer(p *chain.SnapshotProof) {
	l.t.offer = func(*raft.InstallSnapshotRequest) (item, error) {
		if p == nil {
			return item{itemSnapshotProof, nil}, nil
		}
		o, err := chain.SignOffer(l.b.signer, p.Tuple, p.Encode())
		v := &voucher{Proof: p}
		if rec := l.b.record(); rec.Term == p.Term {
			v.Leader = rec.Proof
		}
		for i := range p.Signatures {
			v.Sessions = append(v.Sessions, l.b.roster.named(p.Signatures[i].Session)...)
		}
		return offerItem(&o, v), err
	}
}

// Attested is a snapshot's proof, signed by sessions that vouch for it.
func (l *Liar) Attested(at chain.Link, state []byte, conf raft.Configuration, sessions ...*identity.Session) *chain.SnapshotProof {
	c := &Cluster{cfg: l.cfg, transport: l.t}
	a := chain.Attestation{Tuple: l.b.tuple(at), State: DataHash(state), ConfigIndex: 1, Members: c.attestedMembers(conf)}
	var sigs []chain.Signature
	for _, s := range sessions {
		l.b.roster.trust(s.Cert)
		signer, err := chain.NewSigner(s.Cert.Region, s)
		if err != nil {
			panic(err)
		}
		sig, err := chain.Attest(signer, &a)
		if err != nil {
			panic(err)
		}
		sigs = append(sigs, sig)
	}
	p, err := chain.Attested(a, sigs)
	if err != nil {
		panic(err)
	}
	return p
}

// Lead makes the liar leader of a term on a base, by the votes of sessions that really
// give them: what an election may have left in a liar's hands.
func (l *Liar) Lead(term uint64, base chain.Link, voters ...*identity.Session) *chain.LeaderProof {
	votes := []chain.Vote{}
	for _, s := range append([]*identity.Session{l.cfg.Session}, voters...) {
		l.b.roster.trust(s.Cert)
		signer, err := chain.NewSigner(s.Cert.Region, s)
		if err != nil {
			panic(err)
		}
		v, err := chain.SignVote(signer, chain.Vote{Lineage: l.cfg.Lineage, Term: term, Candidate: l.b.self, Last: base, Granted: true})
		if err != nil {
			panic(err)
		}
		votes = append(votes, v)
	}
	p, err := chain.Elect(base, votes)
	if err != nil {
		panic(err)
	}
	l.b.rec.Store(&record{Term: term, Proof: p, Why: &chain.Justification{Proof: p}})
	return p
}

// Sign completes an entry as the leader of its term would; p is given with the first.
func (l *Liar) Sign(e *raft.Log, prev [32]byte, p *chain.LeaderProof) *raft.Log {
	at := chain.Link{Term: e.Term, Index: e.Index, Hash: ChainHash(prev, e.Term, e.Index, e.Type, DataHash(e.Data))}
	sig, err := chain.SignEntry(l.b.signer, l.b.tuple(at))
	if err != nil {
		panic(err)
	}
	e.Extensions = (&Extension{Chain: at.Hash, Signature: &sig.Signature, Proof: p}).Encode()
	return e
}

// Certificate joins the sessions' acks of one place.
func (l *Liar) Certificate(at chain.Link, sessions ...*identity.Session) *chain.Certificate {
	var acks []chain.Ack
	for _, s := range sessions {
		l.b.roster.trust(s.Cert)
		signer, err := chain.NewSigner(s.Cert.Region, s)
		if err != nil {
			panic(err)
		}
		a, err := chain.SignAck(signer, l.b.tuple(at), time.Now())
		if err != nil {
			panic(err)
		}
		acks = append(acks, a)
	}
	c, err := chain.Certify(acks)
	if err != nil {
		panic(err)
	}
	return c
}

func (l *Liar) Close() { l.t.close() }
func (l *Liar) Endpoint() *endpoint {
	return &endpoint{transport: l.t, life: context.Background(), end: func() {}}
}
func (l *Liar) Header() raft.RPCHeader { return l.t.header() }
func (l *Liar) Seal(e []byte) []byte {
	b, _ := l.cfg.EntrySealer.Seal(e, entryContext(l.cfg.Lineage))
	return b
}
func (l *Liar) Session() *identity.Session { return l.cfg.Session }
func (l *Liar) Lineage() [32]byte          { return l.cfg.Lineage }
func ExtensionFor(c [32]byte) []byte       { return (&Extension{Chain: c}).Encode() }
func Place(term, index uint64, hash [32]byte) chain.Link {
	return chain.Link{Term: term, Index: index, Hash: hash}
}
func Fence(c *Cluster, on bool)  { c.transport.fence(on) }
func DataHash(b []byte) [32]byte { return sha256.Sum256(b) }

// Nudge sends a certificate and returns once it is written.
func (l *Liar) Nudge(id raft.ServerID, addr string, term uint64, c *chain.Certificate) error {
	q := &request{Kind: kindNudge, Header: l.t.header(), Nudge: &nudge{term, c.Index}, Items: []item{{itemCertificate, c.Encode()}}}
	q.sessions = sessionsOf(nil, nil, c)
	return l.t.tell(l.t.ctx, id, raft.ServerAddress(addr), q, time.Second)
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

// ReplicaOver is a replica without raft, over entries that are all certified.
func ReplicaOver(m Machine, entries, snaps Sealer, lineage [32]byte, log raft.LogStore, fatal func(error)) (raft.BatchingFSM, func([]*raft.Log) error) {
	l := &Liar{b: newBook(1, nil, lineage, newRoster(4, nil)), log: &liarLog{}}
	l.b.own = l.log
	l.b.rec.Store(&record{})
	chain := &chainStore{LogStore: log, lineage: lineage, links: newLinks(), book: l.b, fatal: fatal}
	r := &replica{machine: m, entries: entries, snaps: snaps, lineage: lineage, chain: chain, decoded: newDecodedCache(), kept: &snapshotStore{}, dues: newDues(1),
		marks: &marks{threshold: 1 << 40}, certified: func(uint64) bool { return true },
		fatal: fatal, advanced: func(link) {}, log: slog.New(slog.DiscardHandler)}
	return r, func(logs []*raft.Log) error {
		prev := lineage
		if at, ok := chain.at(logs[0].Index - 1); ok {
			prev = at.chain
		}
		for _, e := range logs {
			prev = ChainHash(prev, e.Term, e.Index, e.Type, DataHash(e.Data))
			e.Extensions = ExtensionFor(prev)
		}
		return chain.StoreLogs(logs)
	}
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
	for _, l := range e {
		if err := checkKind(l); err != nil {
			return err
		}
	}
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
		{Kind: kindNudge, Header: h, Nudge: &nudge{1, 2}, Items: []item{{9, []byte("later")}}},
		{Kind: kindRead, Header: h},
		{Kind: kindShow, Header: h, Show: &show{3, true}, Items: []item{{itemCommand, []byte("command")}}},
		{Kind: kindFetch, Header: h, Fetch: &fetch{41}},
		{Kind: kindPiece, Header: h, Piece: &piece{40, 3, 1 << 18}},
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

// Compact takes a snapshot of the newest mark, if it has none, and returns how many
// entries raft is told to leave.
func Compact(c *Cluster) (trailing uint64) {
	in := c.instance()
	c.compact(in)
	return in.raft.ReloadableConfig().TrailingLogs
}

// Certified returns the highest certified index a node knows of its own log.
func Certified(c *Cluster) uint64 { return c.book.own.Floor() }

// CountMessages counts by kind what a node sends from now on, heartbeats left out.
func CountMessages(c *Cluster) func() map[string]int {
	var mu sync.Mutex
	sent := map[string]int{}
	names := map[kind]string{kindAppend: "append", kindVote: "vote", kindPreVote: "pre-vote", kindSnapshot: "snapshot", kindTimeout: "transfer",
		kindNudge: "nudge", kindRead: "read", kindEvidence: "evidence", kindReports: "reports", kindHeaders: "headers", kindAttest: "attest", kindShow: "show", kindFetch: "fetch", kindPiece: "piece"}
	count := func(_ remote, q *request) bool {
		if q.Kind != kindAppend || !isHeartbeat(q.Append) {
			mu.Lock()
			sent[names[q.Kind]]++
			mu.Unlock()
		}
		return true
	}
	c.transport.lie.Store(&count)
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return sent
	}
}

// Signatures returns how many a node made and checked so far.
func Signatures(c *Cluster) (signs, checks uint64) {
	return c.book.roster.signs.Load(), c.book.roster.checks.Load()
}

// SparseLines is how many lines of one kind are written before the rest is counted.
const SparseLines = sparseLines

// Mute has a node send no entries from now on, only heartbeats.
func Mute(c *Cluster) {
	mute := func(_ remote, q *request) bool { return q.Kind != kindAppend || len(q.Append.Entries) == 0 }
	c.transport.lie.Store(&mute)
}

// Deafen keeps from a node what another shows it.
func Deafen(leader, from *Cluster) {
	deaf := func(to remote, q *request) bool { return q.Kind != kindShow || to.region != leader.book.self }
	from.transport.lie.Store(&deaf)
}

// Complain says to a node that the leader owes others something, and shows it a command.
func Complain(c *Cluster, to *Cluster, cmd *command.Command) {
	term, _, _ := c.followed()
	c.tellShow(Member{Region: to.book.self, ServerID: string(to.self()), Addr: to.cfg.RaftAddr}, &show{term, true}, cmd)
}

// Awaited is how many commands a node awaits, and how many of them others were told of.
func Awaited(c *Cluster) (brought, open int) {
	c.dues.mu.Lock()
	defer c.dues.mu.Unlock()
	return len(c.dues.brought), len(c.dues.owed) - len(c.dues.brought)
}

// Voters are the regions whose votes the present leader's proof holds.
func (c *Cluster) Voters() (out []identity.RegionID) {
	if p := c.book.record().Proof; p != nil {
		for i := range p.Ballots {
			out = append(out, p.Ballots[i].Region)
		}
	}
	return out
}

// Known reports whether a session is known, and whether it is of the newest boot.
func (c *Cluster) Known(cert *identity.SessionCert) (known, current bool) {
	h, ok := c.book.roster.Holder(cert.Region, cert.Session.Fingerprint())
	return ok, h.Current
}

// Meet hears of a session certificate.
func (c *Cluster) Meet(cert *identity.SessionCert) { c.book.roster.add(cert) }

// Provable reports whether the present term's proof verifies under who counts now.
func (c *Cluster) Provable() bool { return c.provable() }

// Repin looks for identities that were replaced, as after an entry.
func (c *Cluster) Repin() { c.repin() }
