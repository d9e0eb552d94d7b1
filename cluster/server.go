package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// server accepts connections from other regions and hands their requests, one at a
// time for each connection, to handle.
type server struct {
	d       *dialer
	ln      net.Listener
	handle  func(ctx context.Context, from remote, q *request, body io.Reader) *reply // nil: no reply
	timeout time.Duration
	book    *book
	log     *slog.Logger

	strangers *guests // who has not finished its handshake
	mu        sync.Mutex
	peers     map[identity.RegionID]*guests
	sparse    *sparse
	wg        sync.WaitGroup
	ctx       context.Context
	cancel    context.CancelFunc
	lie       atomic.Pointer[func(ctx context.Context, from remote, q *request, p *reply)] // tests and test builds only: changes an answer
}

func newServer(d *dialer, ln net.Listener, timeout time.Duration, b *book, log *slog.Logger) *server {
	ctx, cancel := context.WithCancel(context.Background())
	return &server{d: d, ln: ln, timeout: timeout, book: b, log: log, strangers: newGuests(maxHandshakes),
		peers: map[identity.RegionID]*guests{}, sparse: newSparse(), ctx: ctx, cancel: cancel}
}

func (s *server) run() {
	s.wg.Go(func() {
		cfg := s.d.serverConfig()
		for {
			raw, err := s.ln.Accept()
			if err != nil {
				if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
					return
				}
				s.log.Warn("accepting a connection", slog.String("error", err.Error()))
				time.Sleep(50 * time.Millisecond) // out of descriptors, say
				continue
			}
			s.strangers.add(raw)
			s.wg.Go(func() {
				c, err := s.d.accept(s.ctx, raw, cfg)
				s.strangers.remove(raw)
				if err != nil {
					s.refused(raw, err)
					return
				}
				s.serve(c)
			})
		}
	})
}

func (s *server) refused(raw net.Conn, err error) {
	if more, ok := s.sparse.allow("refused"); ok && s.ctx.Err() == nil {
		s.log.LogAttrs(s.ctx, slog.LevelInfo, "connection refused",
			append(more, slog.String("from", raw.RemoteAddr().String()), slog.String("error", err.Error()))...)
	}
}

// of returns a region's connections. The oldest goes when there are too many: a region
// that lost power never closed what it had.
func (s *server) of(region identity.RegionID) *guests {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers[region] == nil {
		s.peers[region] = newGuests(maxPerPeer)
	}
	return s.peers[region]
}

func (s *server) serve(c *conn) {
	defer s.d.drop(c)
	raw, peers := c.Conn.(*tls.Conn).NetConn(), s.of(c.peer.region)
	peers.add(raw)
	defer peers.remove(raw)
	for {
		if err := s.one(c); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && s.ctx.Err() == nil {
				s.log.Debug("connection ended", slog.Int("region", int(c.peer.region)), slog.String("error", err.Error()))
			}
			return
		}
	}
}

func (s *server) one(c *conn) error {
	if err := c.SetReadDeadline(time.Time{}); err != nil { // idle connections are kept
		return err
	}
	if _, err := c.r.Peek(1); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	b, err := readFrame(c.r, maxFrame)
	if err != nil {
		return err
	}
	q, err := decodeRequest(b)
	if err != nil {
		return err
	}
	if string(q.Header.ID) != string(c.peer.server) {
		return errs.New(errs.Unauthenticated, "server %s speaks for %q", c.peer.server, q.Header.ID)
	}
	var body io.Reader
	if q.Kind == kindSnapshot {
		body = &chunkReader{c: c, timeout: s.timeout}
	}
	p := s.handle(s.ctx, c.peer, q, body)
	if p == nil || q.Kind.silent() { // nobody reads it: it would be taken for the next call's
		return nil
	}
	if lie := s.lie.Load(); lie != nil {
		(*lie)(s.ctx, c.peer, q, p)
	}
	s.book.answer(c, p)
	if body != nil {
		if _, err := io.Copy(io.Discard, body); err != nil { // the stream must end where the next frame begins
			return err
		}
	}
	p.Kind = q.Kind
	out, err := frame(p, 512+256*len(p.Items))
	if err != nil {
		return err
	}
	return c.send(out, s.timeout)
}

func (s *server) close() {
	s.cancel()
	_ = s.ln.Close()
}

// chunkReader reads the chunk frames of a snapshot up to the empty one.
type chunkReader struct {
	c       *conn
	timeout time.Duration
	buf     []byte
	total   int64
	err     error
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if len(r.buf) == 0 && r.err == nil {
		r.fill()
	}
	if len(r.buf) == 0 {
		return 0, r.err
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

func (r *chunkReader) fill() {
	if r.err = r.c.SetReadDeadline(time.Now().Add(r.timeout)); r.err != nil {
		return
	}
	if r.buf, r.err = readFrame(r.c.r, streamChunk); r.err != nil {
		return
	}
	if r.total += int64(len(r.buf)); r.total > maxSnapshot {
		r.buf, r.err = nil, errs.New(errs.TooLarge, "snapshot stream exceeds %d bytes", int64(maxSnapshot))
	} else if len(r.buf) == 0 {
		r.err = io.EOF
	}
}
