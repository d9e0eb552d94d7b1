package cluster

import (
	"bytes"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// messageVersion is the version of every request and reply. Items are the room for
// what later versions add: a receiver ignores kinds it does not know.
const messageVersion = 1

// kind says what a request asks; its reply carries the same kind.
type kind uint8

const (
	kindAppend   kind = 1
	kindVote     kind = 2
	kindPreVote  kind = 3
	kindSnapshot kind = 4 // followed by chunk frames
	kindTimeout  kind = 5
	kindNudge    kind = 6  // commit news; no reply
	kindRead     kind = 7  // asks the leader for an index to wait for
	kindEvidence kind = 8  // passes evidence on; no reply
	kindReports  kind = 9  // pushes the votes of a lost election; no reply
	kindHeaders  kind = 10 // asks for headers of a range of the log
	kindAttest   kind = 11 // asks for a signature over a snapshot's attestation
	kindShow     kind = 12 // shows a command that the leader owes a decision, or complains of the leader; no reply
	kindFetch    kind = 13 // asks for certified entries, or for what stands in their place
	kindPiece    kind = 14 // asks for a piece of the snapshot that was offered instead
)

// silent requests have no reply.
func (k kind) silent() bool {
	return k == kindNudge || k == kindEvidence || k == kindReports || k == kindShow
}

// maxReply bounds the answer to a request.
func (k kind) maxReply() int {
	if k == kindFetch {
		return maxFrame // an entry may be that large
	}
	return maxReply
}

// item is one extension of an envelope.
type item struct {
	Kind uint8
	Data []byte
}

// request is one message to a peer. Exactly the field that Kind names is set.
type request struct {
	Kind     kind
	Header   raft.RPCHeader
	Append   *raft.AppendEntriesRequest
	Vote     *raft.RequestVoteRequest
	PreVote  *raft.RequestPreVoteRequest
	Snapshot *raft.InstallSnapshotRequest
	Nudge    *nudge
	Show     *show
	Fetch    *fetch
	Piece    *piece
	From, To uint64 // headers: indexes
	Items    []item
	sessions []identity.Fingerprint // whose certificates go along; not part of the form
}

// nudge brings the certificate of the entry at Index, as an item.
type nudge struct {
	Term  uint64 // of the leader
	Index uint64
}

// reply answers a request. Code and Text are set when it was not carried out.
type reply struct {
	Kind    kind
	Header  raft.RPCHeader
	Code    errs.Code // OK
	Text    string
	Term    uint64
	LastLog uint64 // append: last index; read: index to wait for
	Yes     bool   // success or granted
	NoWait  bool   // append: no back-off before the next one
	Items   []item

	sessions []identity.Fingerprint // whose certificates go along; not part of the form
}

func writeHeader(w *wire.Writer, h raft.RPCHeader) {
	w.U8(uint8(h.ProtocolVersion))
	w.Blob(h.ID)
	w.Blob(h.Addr)
}

func readHeader(r *wire.Reader) raft.RPCHeader {
	h := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersion(r.U8())}
	h.ID = bytes.Clone(r.Blob(maxServerID))
	h.Addr = bytes.Clone(r.Blob(maxAddr))
	return h
}

func writeItems(w *wire.Writer, items []item) {
	w.U8(uint8(len(items)))
	for _, it := range items {
		w.U8(it.Kind)
		w.Blob(it.Data)
	}
}

func readItems(r *wire.Reader) []item {
	n := int(r.U8())
	if n > maxItems {
		r.Fail("%d items, limit %d", n, maxItems)
		return nil
	}
	var items []item
	for i := 0; i < n && r.Err() == nil; i++ {
		items = append(items, item{r.U8(), bytes.Clone(r.Blob(maxItem))})
	}
	return items
}

func (q *request) size() int {
	n := 512
	if q.Append != nil {
		for _, e := range q.Append.Entries {
			n += entryOverhead + len(e.Data) + len(e.Extensions)
		}
	}
	return n
}

const entryOverhead = 8 + 8 + 1 + 8 + 4 + 4

// encode appends the canonical form to w.
func (q *request) encode(w *wire.Writer) {
	w.U8(messageVersion)
	w.U8(uint8(q.Kind))
	writeHeader(w, q.Header)
	switch q.Kind {
	case kindAppend:
		writeAppend(w, q.Append)
	case kindVote:
		w.U64(q.Vote.Term)
		w.U64(q.Vote.LastLogIndex)
		w.U64(q.Vote.LastLogTerm)
		w.Bool(q.Vote.LeadershipTransfer)
	case kindPreVote:
		w.U64(q.PreVote.Term)
		w.U64(q.PreVote.LastLogIndex)
		w.U64(q.PreVote.LastLogTerm)
	case kindSnapshot:
		writeSnapshot(w, q.Snapshot)
	case kindNudge:
		w.U64(q.Nudge.Term)
		w.U64(q.Nudge.Index)
	case kindShow:
		w.U64(q.Show.Term)
		w.Bool(q.Show.Complains)
	case kindFetch:
		w.U64(q.Fetch.After)
	case kindPiece:
		w.U64(q.Piece.Index)
		w.U64(q.Piece.Term)
		w.U64(q.Piece.Offset)
	}
	if q.Kind == kindHeaders {
		w.U64(q.From)
		w.U64(q.To)
	}
	writeItems(w, q.Items)
}

func decodeRequest(b []byte) (*request, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != messageVersion {
		r.Fail("message version %d", v)
	}
	q := &request{Kind: kind(r.U8())}
	q.Header = readHeader(r)
	switch q.Kind {
	case kindAppend:
		q.Append = readAppend(r, q.Header)
	case kindVote:
		q.Vote = &raft.RequestVoteRequest{RPCHeader: q.Header, Term: r.U64(), LastLogIndex: r.U64(),
			LastLogTerm: r.U64(), LeadershipTransfer: r.Bool()}
	case kindPreVote:
		q.PreVote = &raft.RequestPreVoteRequest{RPCHeader: q.Header, Term: r.U64(), LastLogIndex: r.U64(), LastLogTerm: r.U64()}
	case kindSnapshot:
		q.Snapshot = readSnapshot(r, q.Header)
	case kindNudge:
		q.Nudge = &nudge{Term: r.U64(), Index: r.U64()}
	case kindHeaders:
		q.From, q.To = r.U64(), r.U64()
	case kindShow:
		q.Show = &show{Term: r.U64(), Complains: r.Bool()}
	case kindFetch:
		q.Fetch = &fetch{After: r.U64()}
	case kindPiece:
		q.Piece = &piece{Index: r.U64(), Term: r.U64(), Offset: r.U64()}
	case kindTimeout, kindRead, kindEvidence, kindReports, kindAttest:
	default:
		r.Fail("message kind %d", q.Kind)
	}
	q.Items = readItems(r)
	return q, r.Done()
}

func writeAppend(w *wire.Writer, a *raft.AppendEntriesRequest) {
	w.U64(a.Term)
	w.U64(a.PrevLogEntry)
	w.U64(a.PrevLogTerm)
	w.U64(a.LeaderCommitIndex)
	writeEntries(w, a.Entries)
}

func writeEntries(w *wire.Writer, entries []*raft.Log) {
	w.U32(uint32(len(entries)))
	for _, e := range entries {
		w.U64(e.Index)
		w.U64(e.Term)
		w.U8(uint8(e.Type))
		w.Time(e.AppendedAt)
		w.Blob(e.Data)
		w.Blob(e.Extensions)
	}
}

// maxAppendEntries is raft's MaxAppendEntries.
const maxAppendEntries = 64 // each is acked by itself, in one reply

// readAppend aliases the frame: entries live as long as it does.
func readAppend(r *wire.Reader, h raft.RPCHeader) *raft.AppendEntriesRequest {
	a := &raft.AppendEntriesRequest{RPCHeader: h, Term: r.U64(), PrevLogEntry: r.U64(), PrevLogTerm: r.U64(), LeaderCommitIndex: r.U64()}
	a.Entries = readEntries(r)
	return a
}

func readEntries(r *wire.Reader) (entries []*raft.Log) {
	n := r.Count(maxAppendEntries)
	for i := 0; i < n && r.Err() == nil; i++ {
		entries = append(entries, &raft.Log{Index: r.U64(), Term: r.U64(), Type: raft.LogType(r.U8()),
			AppendedAt: r.Time(), Data: r.Blob(maxSealed), Extensions: r.Blob(maxExtensions)})
	}
	return entries
}

func writeSnapshot(w *wire.Writer, s *raft.InstallSnapshotRequest) {
	w.U8(uint8(s.SnapshotVersion))
	w.U64(s.Term)
	w.U64(s.LastLogIndex)
	w.U64(s.LastLogTerm)
	w.Blob(s.Configuration)
	w.U64(s.ConfigurationIndex)
	w.U64(uint64(s.Size))
}

func readSnapshot(r *wire.Reader, h raft.RPCHeader) *raft.InstallSnapshotRequest {
	s := &raft.InstallSnapshotRequest{RPCHeader: h, SnapshotVersion: raft.SnapshotVersion(r.U8()), Term: r.U64(),
		LastLogIndex: r.U64(), LastLogTerm: r.U64(), Configuration: bytes.Clone(r.Blob(maxConfig)), ConfigurationIndex: r.U64()}
	size := r.U64()
	if size > maxSnapshot {
		r.Fail("snapshot of %d bytes, limit %d", size, int64(maxSnapshot))
		return s
	}
	s.Size = int64(size)
	return s
}

func (p *reply) encode(w *wire.Writer) {
	w.U8(messageVersion)
	w.U8(uint8(p.Kind))
	writeHeader(w, p.Header)
	w.U16(uint16(p.Code))
	w.String(p.Text)
	w.U64(p.Term)
	w.U64(p.LastLog)
	w.Bool(p.Yes)
	w.Bool(p.NoWait)
	writeItems(w, p.Items)
}

func decodeReply(b []byte) (*reply, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != messageVersion {
		r.Fail("message version %d", v)
	}
	p := &reply{Kind: kind(r.U8())}
	p.Header = readHeader(r)
	p.Code = errs.Code(r.U16())
	p.Text = r.String(1024)
	p.Term, p.LastLog = r.U64(), r.U64()
	p.Yes, p.NoWait = r.Bool(), r.Bool()
	p.Items = readItems(r)
	return p, r.Done()
}
