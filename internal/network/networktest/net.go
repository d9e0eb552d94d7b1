// Package networktest is a network in memory for tests and simulations: hosts,
// links between them that can be cut, slowed and reset, and nothing that blocks
// in a way testing/synctest cannot see.
//
// A cut holds bytes and delivers them after healing, as TCP does; datagrams are
// dropped. A reset breaks connections for good, as a crash does. Writes never
// block. Everything hangs off the Net: no state outlives it.
package networktest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tetrad-vault/tetrad/internal/network"
)

// Net is a set of hosts and the links between them. Safe for concurrent use.
type Net struct {
	mu        sync.Mutex
	listeners map[string]*listener
	packets   map[string]*packetConn
	links     map[link]*state
	conns     map[*conn]struct{}
	routes    map[string]string // host -> who is reached in its place
	latency   time.Duration
	port      int
}

type link struct{ from, to string }

type state struct {
	cut     bool
	latency time.Duration
	set     bool // latency differs from the net's
	loss    func() bool
	healed  chan struct{} // closed when a cut ends
}

// New returns a network without latency.
func New() *Net {
	return &Net{listeners: map[string]*listener{}, packets: map[string]*packetConn{},
		links: map[link]*state{}, conns: map[*conn]struct{}{}, routes: map[string]string{}, port: 30000}
}

// Host returns the network as seen from one host. Addresses are "name:port" and
// belong to the host that listens on them.
func (n *Net) Host(name string) network.Network { return host{n, name} }

// Route has whoever dials a host reach another one in its place, which listens on the same
// ports; a host that is its own place ends that. Connections there are stay.
func (n *Net) Route(name, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.routes[name] = to
}

func (n *Net) link(from, to string) *state {
	l := n.links[link{from, to}]
	if l == nil {
		l = &state{healed: make(chan struct{})}
		n.links[link{from, to}] = l
	}
	return l
}

// SetLatency sets the one-way delay of all links that have none of their own.
func (n *Net) SetLatency(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.latency = d
}

// SetLinkLatency sets the delay of one direction.
func (n *Net) SetLinkLatency(from, to string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.link(from, to)
	l.latency, l.set = d, true
}

// SetLoss drops datagrams of one direction for which lose returns true.
func (n *Net) SetLoss(from, to string, lose func() bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(from, to).loss = lose
}

// Cut stops both directions between two hosts.
func (n *Net) Cut(a, b string) { n.CutOneWay(a, b); n.CutOneWay(b, a) }

// CutOneWay stops one direction.
func (n *Net) CutOneWay(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(from, to).cut = true
}

// Heal ends a cut in both directions; what it held is delivered.
func (n *Net) Heal(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heal(link{a, b})
	n.heal(link{b, a})
}

// HealAll ends all cuts.
func (n *Net) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k := range n.links {
		n.heal(k)
	}
}

func (n *Net) heal(k link) {
	l := n.link(k.from, k.to)
	if !l.cut {
		return
	}
	l.cut = false
	close(l.healed)
	l.healed = make(chan struct{})
	for c := range n.conns {
		if c.in.from == k.from && c.in.to == k.to {
			c.in.wake()
		}
	}
}

// Isolate cuts a host from all others that exist so far.
func (n *Net) Isolate(name string, others ...string) {
	for _, o := range others {
		if o != name {
			n.Cut(name, o)
		}
	}
}

// Reset breaks every connection of a host and closes its listeners, as the death of
// its process does.
func (n *Net) Reset(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for addr, l := range n.listeners {
		if l.host == name {
			delete(n.listeners, addr)
			l.stop()
		}
	}
	for addr, p := range n.packets {
		if p.host == name {
			delete(n.packets, addr)
			p.stop()
		}
	}
	n.resetConns(func(c *conn) bool { return c.in.from == name || c.in.to == name })
}

// ResetLink breaks the connections between two hosts; new ones can be made.
func (n *Net) ResetLink(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.resetConns(func(c *conn) bool {
		return c.in.from == a && c.in.to == b || c.in.from == b && c.in.to == a
	})
}

// Close resets everything.
func (n *Net) Close() {
	n.mu.Lock()
	names := map[string]bool{}
	for _, l := range n.listeners {
		names[l.host] = true
	}
	for _, p := range n.packets {
		names[p.host] = true
	}
	for c := range n.conns {
		names[c.in.to] = true
	}
	n.mu.Unlock()
	for name := range names {
		n.Reset(name)
	}
}

func (n *Net) resetConns(match func(*conn) bool) {
	for c := range n.conns {
		if match(c) {
			delete(n.conns, c)
			c.in.fail(syscall.ECONNRESET)
			c.out.fail(syscall.ECONNRESET)
		}
	}
}

func (n *Net) delay(from, to string) time.Duration {
	if l := n.links[link{from, to}]; l != nil && l.set {
		return l.latency
	}
	return n.latency
}

type host struct {
	n    *Net
	name string
}

func (h host) resolve(addr string) string {
	if strings.HasSuffix(addr, ":0") {
		h.n.port++
		return strings.TrimSuffix(addr, "0") + strconv.Itoa(h.n.port)
	}
	return addr
}

// Listen accepts connections at addr.
func (h host) Listen(addr string) (net.Listener, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	addr = h.resolve(addr)
	if h.n.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Addr: Addr(addr), Err: syscall.EADDRINUSE}
	}
	l := &listener{n: h.n, host: h.name, addr: addr, queue: make(chan *conn, 256), done: make(chan struct{})}
	h.n.listeners[addr] = l
	return l, nil
}

// Dial connects to addr; across a cut it waits until the cut heals or ctx ends.
func (h host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: Addr(addr), Err: err}
	}
	for {
		wait, d, c, err := h.tryDial(addr)
		if err != nil {
			return fail(err)
		}
		if wait == nil {
			if err := sleep(ctx, 2*d); err != nil { // SYN and SYN-ACK
				_ = c.Close()
				return fail(err)
			}
			return c, nil
		}
		select {
		case <-ctx.Done():
			return fail(ctx.Err())
		case <-wait:
		}
	}
}

func (h host) tryDial(addr string) (wait chan struct{}, d time.Duration, c *conn, err error) {
	n := h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	name, port, _ := strings.Cut(addr, ":")
	if to := n.routes[name]; to != "" {
		name, addr = to, to+":"+port
	}
	l := n.listeners[addr]
	if l != nil {
		name = l.host
	}
	for _, k := range []link{{h.name, name}, {name, h.name}} {
		if s := n.links[k]; s != nil && s.cut {
			return s.healed, 0, nil, nil
		}
	}
	if l == nil {
		return nil, 0, nil, syscall.ECONNREFUSED
	}
	n.port++
	here, there := h.newConns(l, fmt.Sprintf("%s:%d", h.name, n.port))
	select {
	case l.queue <- there:
	default:
		return nil, 0, nil, syscall.ECONNREFUSED
	}
	n.conns[here], n.conns[there] = struct{}{}, struct{}{}
	return nil, n.delay(h.name, name), here, nil
}

func (h host) newConns(l *listener, from string) (here, there *conn) {
	forth := newPipe(h.n, h.name, l.host)
	back := newPipe(h.n, l.host, h.name)
	return &conn{n: h.n, in: back, out: forth, local: Addr(from), remote: Addr(l.addr)},
		&conn{n: h.n, in: forth, out: back, local: Addr(l.addr), remote: Addr(from)}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Addr is an address of the network.
type Addr string

// Network names the kind of network.
func (Addr) Network() string { return "mem" }

// String returns host and port.
func (a Addr) String() string { return string(a) }

type listener struct {
	n     *Net
	host  string
	addr  string
	queue chan *conn
	once  sync.Once
	done  chan struct{}
}

func (l *listener) stop() { l.once.Do(func() { close(l.done) }) }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "mem", Addr: Addr(l.addr), Err: net.ErrClosed}
	}
}

func (l *listener) Close() error {
	l.n.mu.Lock()
	if l.n.listeners[l.addr] == l {
		delete(l.n.listeners, l.addr)
	}
	l.n.mu.Unlock()
	l.stop()
	for {
		select {
		case c := <-l.queue:
			_ = c.Close()
		default:
			return nil
		}
	}
}

func (l *listener) Addr() net.Addr { return Addr(l.addr) }
