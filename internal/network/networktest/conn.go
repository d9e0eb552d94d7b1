package networktest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipe is one direction of a connection. Its buffer has no bound, so that a write
// never waits: a writer that waits inside a lock would stop simulated time.
type pipe struct {
	n        *Net
	from, to string

	mu       sync.Mutex
	queue    []segment
	err      error // set once broken
	news     *pipe // once the reader closed: the pipe by which the writer learns of it
	closed   bool  // writer has closed: io.EOF after the queue
	closedAt time.Time
	last     time.Time // delivery time of the newest segment: order is kept
	deadline time.Time
	notify   chan struct{}
}

type segment struct {
	at   time.Time
	data []byte
}

func newPipe(n *Net, from, to string) *pipe {
	return &pipe{n: n, from: from, to: to, notify: make(chan struct{}, 1)}
}

func (p *pipe) wake() {
	select {
	case p.notify <- struct{}{}:
	default:
	}
}

func (p *pipe) fail(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	p.queue = nil
	p.mu.Unlock()
	p.wake()
}

func (p *pipe) arrival() time.Time {
	p.n.mu.Lock()
	d := p.n.delay(p.from, p.to)
	p.n.mu.Unlock()
	return time.Now().Add(d)
}

func (p *pipe) write(b []byte) (int, error) {
	at := p.arrival()
	p.mu.Lock()
	news, closed := p.news, p.closed
	p.mu.Unlock()
	if news != nil && !closed && !news.told() {
		return len(b), nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, p.err
	}
	if p.closed {
		return 0, net.ErrClosed
	}
	if at.Before(p.last) {
		at = p.last
	}
	p.last = at
	p.queue = append(p.queue, segment{at, append([]byte(nil), b...)})
	p.wake()
	return len(b), nil
}

func (p *pipe) closeWrite() {
	at := p.arrival()
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		if at.Before(p.last) {
			at = p.last
		}
		p.closedAt = at
	}
	p.mu.Unlock()
	p.wake()
}

// closeRead ends the reading side. Who writes learns of it with the end of news, the pipe
// the other way, and not before: a sender that failed at once would be ahead of its reader
// by the latency of the link, which no machine is.
func (p *pipe) closeRead(news *pipe) {
	p.mu.Lock()
	p.news = news
	p.mu.Unlock()
	p.fail(net.ErrClosed)
}

// told reports whether the end of the pipe has arrived, or never will.
func (p *pipe) told() bool {
	cut := p.isCut()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil || !cut && p.closed && !p.closedAt.After(time.Now())
}

func (p *pipe) setDeadline(t time.Time) {
	p.mu.Lock()
	p.deadline = t
	p.mu.Unlock()
	p.wake()
}

func (p *pipe) isCut() bool {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	s := p.n.links[link{p.from, p.to}]
	return s != nil && s.cut
}

// try reads what has arrived; otherwise it returns how long to wait (0: for news).
func (p *pipe) try(b []byte) (n int, wait time.Duration, err error) {
	cut := p.isCut()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case p.err != nil:
		return 0, 0, p.err
	case !p.deadline.IsZero() && !now.Before(p.deadline):
		return 0, 0, os.ErrDeadlineExceeded
	}
	next := time.Time{}
	if !cut {
		if len(p.queue) > 0 {
			if next = p.queue[0].at; !next.After(now) {
				n = copy(b, p.queue[0].data)
				if p.queue[0].data = p.queue[0].data[n:]; len(p.queue[0].data) == 0 {
					p.queue = p.queue[1:]
				}
				return n, 0, nil
			}
		} else if p.closed {
			if next = p.closedAt; !next.After(now) {
				return 0, 0, io.EOF
			}
		}
	}
	if !p.deadline.IsZero() && (next.IsZero() || p.deadline.Before(next)) {
		next = p.deadline
	}
	if !next.IsZero() {
		wait = next.Sub(now)
	}
	return 0, wait, nil
}

func (p *pipe) read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, wait, err := p.try(b)
		if n > 0 || err != nil {
			return n, err
		}
		if wait == 0 {
			<-p.notify
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-p.notify:
		case <-t.C:
		}
		t.Stop()
	}
}

// conn is one end of a connection.
type conn struct {
	n             *Net
	in, out       *pipe
	local, remote Addr
}

func (c *conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "mem", Source: c.local, Addr: c.remote, Err: err}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.wrap("read", err)
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.wrap("write", err)
}

// Close ends both directions: the peer reads what was sent and then EOF, and its
// writes fail from then on.
func (c *conn) Close() error {
	c.n.mu.Lock()
	delete(c.n.conns, c)
	c.n.mu.Unlock()
	c.out.closeWrite()
	c.in.closeRead(c.out)
	return nil
}

func (c *conn) LocalAddr() net.Addr                { return c.local }
func (c *conn) RemoteAddr() net.Addr               { return c.remote }
func (c *conn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *conn) SetReadDeadline(t time.Time) error  { c.in.setDeadline(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { return nil } // writes never wait
