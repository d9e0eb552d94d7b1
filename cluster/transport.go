package cluster

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

var (
	errFenced  = errs.New(errs.DiskFailed, "outgoing messages are fenced: the disk does not answer")
	errStopped = errs.New(errs.Unavailable, "transport is stopped")
)

// transport sends this node's messages. It outlives restarts of raft: each raft
// instance gets an endpoint of its own.
type transport struct {
	d       *dialer
	self    raft.Server
	timeout time.Duration // of one call
	beat    time.Duration // of a heartbeat
	hint    func(id raft.ServerID) string
	onReply func(peer remote, a *raft.AppendEntriesRequest, p *reply) error // append replies, before raft sees them
	onClock func(peer remote, began, ended time.Time, p *reply)
	now     func() time.Time // the node's clock
	book    *book
	leads   func() (term uint64, ok bool)
	doubt   func(*chain.PreVote)                             // another region's, just received
	lost    func(term uint64)                                // a vote of this candidacy was refused
	lie     atomic.Pointer[func(to remote, q *request) bool] // tests and test builds only; false: not sent

	offer  func(*raft.InstallSnapshotRequest) (item, error)
	fences atomic.Int32
	dead   atomic.Bool // fenced for good

	mu        sync.Mutex
	idle      map[raft.ServerID][]*conn
	pipelines map[*pipeline]struct{}
	closed    bool
	ctx       context.Context
	cancel    context.CancelFunc
}

func (t *transport) fence(on bool) {
	if on {
		t.fences.Add(1)
	} else {
		t.fences.Add(-1)
	}
}

func (t *transport) fenced() bool { return t.dead.Load() || t.fences.Load() > 0 }

func (t *transport) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(t.self.ID), Addr: []byte(t.self.Address)}
}

// connect takes an idle connection or dials; fresh tells which.
func (t *transport) connect(ctx context.Context, id raft.ServerID, addr raft.ServerAddress, timeout time.Duration) (*conn, error) {
	if t.fenced() {
		return nil, errFenced
	}
	if c := t.takeIdle(id); c != nil {
		return c, nil
	}
	return t.dial(ctx, id, addr, timeout)
}

// dial tries the configured address and, when gossip knows another, that one with the
// second half of the time. TLS proves who answers there.
func (t *transport) dial(ctx context.Context, id raft.ServerID, addr raft.ServerAddress, timeout time.Duration) (*conn, error) {
	hint := ""
	if t.hint != nil {
		hint = t.hint(id)
	}
	if hint == "" || hint == string(addr) {
		return t.dialOnce(ctx, id, string(addr), timeout)
	}
	if c, err := t.dialOnce(ctx, id, string(addr), timeout/2); err == nil {
		return c, nil
	}
	return t.dialOnce(ctx, id, hint, timeout/2)
}

func (t *transport) dialOnce(ctx context.Context, id raft.ServerID, addr string, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	return t.d.dial(ctx, id, addr)
}

func (t *transport) takeIdle(id raft.ServerID) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.idle[id]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	t.idle[id] = list[:len(list)-1]
	return c
}

func (t *transport) release(id raft.ServerID, c *conn) {
	t.mu.Lock()
	keep := !t.closed && len(t.idle[id]) < maxIdle
	if keep {
		t.idle[id] = append(t.idle[id], c)
	}
	t.mu.Unlock()
	if !keep {
		t.d.drop(c)
	}
}

// dropIdle closes a peer's idle connections: when one broke, the others will have.
func (t *transport) dropIdle(id raft.ServerID) {
	t.mu.Lock()
	list := t.idle[id]
	delete(t.idle, id)
	t.mu.Unlock()
	for _, c := range list {
		t.d.drop(c)
	}
}

// call sends one request and waits for its reply. body, when given, follows the
// request as chunk frames.
func (t *transport) call(id raft.ServerID, addr raft.ServerAddress, q *request, timeout time.Duration, body io.Reader) (*reply, *conn, error) {
	return t.callUntil(t.ctx, id, addr, q, timeout, body)
}

// callUntil is call, given up when ctx ends.
func (t *transport) callUntil(ctx context.Context, id raft.ServerID, addr raft.ServerAddress, q *request, timeout time.Duration, body io.Reader) (*reply, *conn, error) {
	c, err := t.connect(ctx, id, addr, timeout)
	if err != nil {
		return nil, nil, err
	}
	b, err := t.pack(c, q)
	if err != nil {
		t.d.drop(c)
		return nil, nil, err
	}
	if ctx != t.ctx { // whose end closes all connections anyway
		defer context.AfterFunc(ctx, func() { t.d.drop(c) })()
	}
	p, err := t.exchange(c, q, b, timeout, body)
	if err != nil {
		t.d.drop(c)
		t.dropIdle(id)
		return nil, nil, err
	}
	t.book.roster.meet(p.Items)
	if p.Code == errs.Unauthenticated { // it lacks a session it was told of on this connection
		t.d.drop(c)
	} else {
		t.release(id, c)
	}
	if p.Code != errs.OK {
		return nil, nil, errs.New(p.Code, "%s", p.Text)
	}
	return p, c, nil
}

// pack makes the frame of a request, with what its receiver needs to believe it.
func (t *transport) pack(c *conn, q *request) ([]byte, error) {
	t.book.dress(c, q)
	if lie := t.lie.Load(); lie != nil && !(*lie)(c.peer, q) {
		return nil, errFenced
	}
	return frame(q, q.size())
}

// tell sends a request that has no reply.
func (t *transport) tell(ctx context.Context, id raft.ServerID, addr raft.ServerAddress, q *request, timeout time.Duration) error {
	c, err := t.connect(ctx, id, addr, timeout)
	if err != nil {
		return err
	}
	b, err := t.pack(c, q)
	if err == nil {
		err = c.send(b, timeout)
	}
	if err != nil {
		t.d.drop(c)
		return err
	}
	t.release(id, c)
	return nil
}

func (t *transport) exchange(c *conn, q *request, b []byte, timeout time.Duration, body io.Reader) (*reply, error) {
	if err := c.send(b, timeout); err != nil {
		return nil, err
	}
	if body != nil {
		if err := t.stream(c, body, timeout); err != nil {
			return nil, err
		}
		timeout = installTimeout
	}
	return receive(c, q.Kind, timeout)
}

// installTimeout is how long a follower may take to verify and restore a snapshot.
const installTimeout = 2 * time.Minute

func receive(c *conn, want kind, timeout time.Duration) (*reply, error) {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	b, err := readFrame(c.r, want.maxReply())
	if err != nil {
		return nil, err
	}
	p, err := decodeReply(b)
	if err == nil && p.Kind != want {
		err = errs.New(errs.Malformed, "reply of kind %d to a request of kind %d", p.Kind, want)
	}
	return p, err
}

// stream sends body in chunk frames; an empty frame ends it.
func (t *transport) stream(c *conn, body io.Reader, timeout time.Duration) error {
	buf := make([]byte, streamChunk)
	for {
		n, err := io.ReadFull(body, buf)
		if t.fenced() {
			return errFenced
		}
		if n > 0 {
			if err := c.send(chunkFrame(buf[:n]), timeout); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return c.send(chunkFrame(nil), timeout)
		}
		if err != nil {
			return err
		}
	}
}

func chunkFrame(b []byte) []byte {
	w := wire.NewWriter(4 + len(b))
	w.Blob(b)
	return w.Bytes()
}

// reset ends every connection there is; new ones can be made.
func (t *transport) reset() {
	t.mu.Lock()
	t.idle = map[raft.ServerID][]*conn{}
	t.mu.Unlock()
	t.d.dropAll()
}

// close ends every connection and everything that waits on one.
func (t *transport) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.d.close()
}

// endpoint is one raft instance's raft.Transport. It has no Close on purpose: raft
// would call it at shutdown.
type endpoint struct {
	*transport
	rpc  chan raft.RPC
	stop chan struct{}   // closed when its raft instance ends
	life context.Context // ends with stop
	end  context.CancelFunc
}

var (
	_ raft.Transport   = (*endpoint)(nil)
	_ raft.WithPreVote = (*endpoint)(nil)
)

func (e *endpoint) Consumer() <-chan raft.RPC     { return e.rpc }
func (e *endpoint) LocalAddr() raft.ServerAddress { return e.self.Address }

// EncodePeer and DecodePeer implement raft.Transport; addresses are their own form.
func (e *endpoint) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }
func (e *endpoint) DecodePeer(b []byte) raft.ServerAddress                  { return raft.ServerAddress(b) }

// SetHeartbeatHandler ignores the handler. It would run appendEntries beside raft's
// main loop; after a pause two nodes can then commit different entries at one index.
// Heartbeats take the same way as everything else.
func (e *endpoint) SetHeartbeatHandler(func(raft.RPC)) {}

// trim cuts an append to what fits a frame, in place: raft reads from the request how
// far it got.
func trim(a *raft.AppendEntriesRequest) {
	size := 0
	for i, l := range a.Entries {
		size += entryOverhead + len(l.Data) + len(l.Extensions)
		if size > maxAppend && i > 0 {
			a.Entries = a.Entries[:i]
			return
		}
	}
}

// AppendEntries implements raft.Transport.
func (e *endpoint) AppendEntries(id raft.ServerID, addr raft.ServerAddress, a *raft.AppendEntriesRequest, out *raft.AppendEntriesResponse) error {
	if err := e.mayLead(a); err != nil {
		return err
	}
	trim(a)
	timeout := e.timeout
	if isHeartbeat(a) {
		timeout = e.beat
	}
	began := e.now()
	p, c, err := e.call(id, addr, &request{Kind: kindAppend, Header: a.RPCHeader, Append: a}, timeout, nil)
	if err != nil {
		return err
	}
	e.onClock(c.peer, began, e.now(), p)
	if err := e.onReply(c.peer, a, p); err != nil {
		return err
	}
	*out = appendResponse(p)
	return nil
}

// mayLead refuses what a replication of an ended leadership still sends: it may read a log
// that was cut meanwhile, and would look like a liar's.
func (t *transport) mayLead(a *raft.AppendEntriesRequest) error {
	rec := t.book.record()
	if rec.Term != a.Term || rec.Proof == nil || rec.Proof.Leader != t.book.self {
		return errs.New(errs.BadState, "this region does not lead term %d", a.Term)
	}
	return nil
}

func appendResponse(p *reply) raft.AppendEntriesResponse {
	return raft.AppendEntriesResponse{RPCHeader: p.Header, Term: p.Term, LastLog: p.LastLog, Success: p.Yes, NoRetryBackoff: p.NoWait}
}

// InstallSnapshot implements raft.Transport; data are sealed bytes.
func (e *endpoint) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, a *raft.InstallSnapshotRequest, out *raft.InstallSnapshotResponse, data io.Reader) error {
	q := &request{Kind: kindSnapshot, Header: a.RPCHeader, Snapshot: a}
	offer, err := e.offer(a)
	if err != nil {
		return err
	}
	q.Items = append(q.Items, offer)
	p, _, err := e.call(id, addr, q, e.timeout, io.LimitReader(data, a.Size))
	if err == nil && p.Term > a.Term {
		err = e.believe(p)
	}
	if err == nil {
		*out = raft.InstallSnapshotResponse{RPCHeader: p.Header, Term: p.Term, Success: p.Yes}
	}
	return err
}
