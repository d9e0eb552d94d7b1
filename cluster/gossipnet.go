package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/tetrad-vault/tetrad/internal/errs"

	"github.com/tetrad-vault/tetrad/internal/network"
)

// gossipTransport is memberlist's transport over the node's network. memberlist
// thinks in IP addresses; names are given one made up from their hash, and turned
// back here before anything is sent.
type gossipTransport struct {
	net     network.Network
	addr    string
	hints   *hints
	packets chan *memberlist.Packet
	streams chan net.Conn
	udp     net.PacketConn
	tcp     net.Listener
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu       sync.Mutex
	visitors *guests           // streams others opened
	calls    *guests           // streams of our own
	names    map[string]string // made-up "ip:port" to address
}

var _ memberlist.NodeAwareTransport = (*gossipTransport)(nil)

func newGossipTransport(n network.Network, cfg *Gossip, h *hints) (*gossipTransport, error) {
	udp, err := n.ListenPacket(cfg.Addr)
	if err != nil {
		return nil, err
	}
	tcp, err := n.Listen(cfg.Addr)
	if err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &gossipTransport{net: n, addr: cfg.Addr, hints: h, udp: udp, tcp: tcp, ctx: ctx, cancel: cancel,
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), names: map[string]string{}, visitors: newGuests(maxGossip), calls: newGuests(maxGossip)}
	t.wg.Go(t.readPackets)
	t.wg.Go(t.accept)
	return t, nil
}

// madeUp returns the IP and port memberlist knows an address by.
func madeUp(addr string) (net.IP, int) {
	host, p, err := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(p)
	if ip := net.ParseIP(host); err == nil && ip != nil {
		return ip, port
	}
	h := sha256.Sum256([]byte(addr))
	return net.IPv4(10, h[0], h[1], h[2]), port
}

// key returns "ip:port" for an address and remembers what it stands for.
func (t *gossipTransport) key(addr string) string {
	ip, port := madeUp(addr)
	k := net.JoinHostPort(ip.String(), strconv.Itoa(port))
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.names) < 4*maxServers {
		t.names[k] = addr
	}
	return k
}

func (t *gossipTransport) real(a memberlist.Address) string {
	if m, ok := t.hints.get(a.Name); ok {
		return m.Gossip
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if addr, ok := t.names[a.Addr]; ok {
		return addr
	}
	return a.Addr
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *gossipTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	t.key(t.addr)
	ip, port := madeUp(t.addr)
	return ip, port, nil
}

type textAddr string

func (textAddr) Network() string  { return "udp" }
func (a textAddr) String() string { return string(a) }

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *gossipTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	addr := t.real(a)
	var to net.Addr = textAddr(addr)
	if _, ok := t.udp.(*net.UDPConn); ok {
		u, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return time.Time{}, err
		}
		to = u
	}
	_, err := t.udp.WriteTo(b, to)
	return time.Now(), err
}

// WriteTo implements memberlist.Transport.
func (t *gossipTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *gossipTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	c, err := t.net.Dial(ctx, t.real(a))
	if err != nil {
		return nil, err
	}
	v := &visit{Conn: c, left: maxGossipRead, of: t.calls}
	t.calls.add(v)
	return v, nil
}

// DialTimeout implements memberlist.Transport.
func (t *gossipTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// PacketCh and StreamCh implement memberlist.Transport.
func (t *gossipTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *gossipTransport) StreamCh() <-chan net.Conn           { return t.streams }

func (t *gossipTransport) interrupt() {
	t.cancel()
	_ = t.udp.Close()
	_ = t.tcp.Close()
	t.visitors.close()
	t.calls.close() // memberlist would wait for their time-outs
}

// visit is a gossip stream: who is at the other end shows only in what it sends.
type visit struct {
	net.Conn
	left int
	of   *guests
}

func (v *visit) Read(b []byte) (int, error) {
	if v.left <= 0 {
		return 0, errs.New(errs.TooLarge, "gossip stream exceeds %d bytes", maxGossipRead)
	}
	n, err := v.Conn.Read(b[:min(len(b), v.left)])
	v.left -= n
	return n, err
}

func (v *visit) Close() error {
	v.of.remove(v)
	return v.Conn.Close()
}

// Shutdown implements memberlist.Transport.
func (t *gossipTransport) Shutdown() error {
	t.interrupt()
	t.wg.Wait()
	return nil
}

func (t *gossipTransport) readPackets() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := t.udp.ReadFrom(buf)
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			sleep(t.ctx, 10*time.Millisecond, nil)
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()}
		select {
		case t.packets <- p:
		case <-t.ctx.Done():
			return
		}
	}
}

func (t *gossipTransport) accept() {
	for {
		c, err := t.tcp.Accept()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			sleep(t.ctx, 10*time.Millisecond, nil)
			continue
		}
		c = &visit{Conn: c, left: maxGossipRead, of: t.visitors}
		t.visitors.add(c)
		select {
		case t.streams <- c:
		case <-t.ctx.Done():
			_ = c.Close()
			return
		}
	}
}
