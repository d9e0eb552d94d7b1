package networktest

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const maxDatagrams = 1024 // queued at one socket; more are dropped, as by a full buffer

// packetConn is a datagram socket.
type packetConn struct {
	n    *Net
	host string
	addr string

	mu       sync.Mutex
	queue    []datagram
	closed   bool
	deadline time.Time
	notify   chan struct{}
}

type datagram struct {
	at   time.Time
	from Addr
	data []byte
}

// ListenPacket opens a datagram socket at addr.
func (h host) ListenPacket(addr string) (net.PacketConn, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	addr = h.resolve(addr)
	if h.n.packets[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Addr: Addr(addr), Err: syscall.EADDRINUSE}
	}
	p := &packetConn{n: h.n, host: h.name, addr: addr, notify: make(chan struct{}, 1)}
	h.n.packets[addr] = p
	return p, nil
}

func (p *packetConn) wake() {
	select {
	case p.notify <- struct{}{}:
	default:
	}
}

func (p *packetConn) stop() {
	p.mu.Lock()
	p.closed, p.queue = true, nil
	p.mu.Unlock()
	p.wake()
}

func (p *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	dst := p.n.packets[to.String()]
	if dst == nil {
		return len(b), nil
	}
	if s := p.n.links[link{p.host, dst.host}]; s != nil && (s.cut || s.loss != nil && s.loss()) {
		return len(b), nil
	}
	dst.push(datagram{time.Now().Add(p.n.delay(p.host, dst.host)), Addr(p.addr), append([]byte(nil), b...)})
	return len(b), nil
}

func (p *packetConn) push(d datagram) {
	p.mu.Lock()
	if !p.closed && len(p.queue) < maxDatagrams {
		p.queue = append(p.queue, d)
	}
	p.mu.Unlock()
	p.wake()
}

func (p *packetConn) try(b []byte) (n int, from net.Addr, wait time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case p.closed:
		return 0, nil, 0, net.ErrClosed
	case !p.deadline.IsZero() && !now.Before(p.deadline):
		return 0, nil, 0, os.ErrDeadlineExceeded
	}
	next := p.deadline
	for i, d := range p.queue { // datagrams may overtake each other
		if !d.at.After(now) {
			p.queue = append(p.queue[:i:i], p.queue[i+1:]...)
			return copy(b, d.data), d.from, 0, nil
		}
		if next.IsZero() || d.at.Before(next) {
			next = d.at
		}
	}
	if !next.IsZero() {
		wait = next.Sub(now)
	}
	return 0, nil, wait, nil
}

func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, wait, err := p.try(b)
		if err != nil {
			return 0, nil, &net.OpError{Op: "read", Net: "mem", Addr: Addr(p.addr), Err: err}
		}
		if from != nil {
			return n, from, nil
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

func (p *packetConn) Close() error {
	p.n.mu.Lock()
	if p.n.packets[p.addr] == p {
		delete(p.n.packets, p.addr)
	}
	p.n.mu.Unlock()
	p.stop()
	return nil
}

func (p *packetConn) LocalAddr() net.Addr { return Addr(p.addr) }
func (p *packetConn) SetDeadline(t time.Time) error {
	return p.SetReadDeadline(t)
}
func (p *packetConn) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	p.deadline = t
	p.mu.Unlock()
	p.wake()
	return nil
}
func (p *packetConn) SetWriteDeadline(time.Time) error { return nil }
