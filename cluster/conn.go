package cluster

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/network"
)

// alpn keeps a raft connection from being taken for any other.
const alpn = "tetrad-raft/1"

// remote is who is at the other end of a connection.
type remote struct {
	region identity.RegionID
	server raft.ServerID
}

// conn is an authenticated connection. Its handshake is finished before anybody else
// sees it. One goroutine reads; writers take turns.
type conn struct {
	net.Conn
	r    *bufio.Reader
	peer remote
	told told
	turn chan struct{} // held while writing: a channel, because a write may wait
}

func newConn(c *tls.Conn, peer remote) *conn {
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 32<<10), peer: peer, turn: make(chan struct{}, 1),
		told: told{sessions: map[seat]bool{}}}
}

// send writes one frame within the timeout.
func (c *conn) send(b []byte, timeout time.Duration) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}

// dialer makes and accepts connections between regions and knows all open ones.
type dialer struct {
	network network.Network
	cluster identity.ClusterID
	session *identity.Session
	pins    identity.Pins
	older   identity.Pins                // may be nil
	names   map[identity.RegionID]string // region name: what a server id must begin with

	mu     sync.Mutex
	open   map[*conn]struct{}
	client map[identity.RegionID]*tls.Config
	roster *roster
	closed bool
}

// stands judges a certificate that came outside TLS: it must carry its region's name and
// the signature of one of its pinned identity keys.
func (d *dialer) stands(cert *identity.SessionCert) standing {
	switch {
	case d.checkName(cert) != nil:
	case signedBy(d.pins, d.cluster, cert):
		return present
	case d.older != nil && signedBy(d.older, d.cluster, cert):
		return older
	}
	return strange
}

func signedBy(pins identity.Pins, cluster identity.ClusterID, cert *identity.SessionCert) bool {
	return slices.ContainsFunc(pins(cert.Region), func(k identity.PublicKey) bool { return cert.Verify(cluster, k) == nil })
}

func (d *dialer) checkName(cert *identity.SessionCert) error {
	name, ok := d.names[cert.Region]
	if !ok || regionName(cert.ServerID) != name {
		return errs.New(errs.Unauthenticated, "region %d calls itself %q", cert.Region, cert.ServerID)
	}
	return nil
}

// regionName is a server id without its incarnation.
func regionName(serverID string) string {
	if i := strings.LastIndexByte(serverID, '-'); i > 0 {
		return serverID[:i]
	}
	return serverID
}

func (d *dialer) regionOf(id raft.ServerID) identity.RegionID {
	for region, name := range d.names {
		if name == regionName(string(id)) {
			return region
		}
	}
	return 0
}

// identify checks what TLS left open: that the server id in the session certificate
// is one of its region's.
func (d *dialer) identify(c *tls.Conn) (remote, error) {
	p, err := identity.PeerOf(c.ConnectionState())
	if err != nil {
		return remote{}, err
	}
	if p.Cert == nil {
		return remote{}, errs.New(errs.Unauthenticated, "peer is no region")
	}
	if err := d.checkName(p.Cert); err != nil {
		return remote{}, err
	}
	d.roster.add(p.Cert)
	return remote{p.Cert.Region, raft.ServerID(p.Cert.ServerID)}, nil
}

func (d *dialer) clientConfig(region identity.RegionID) *tls.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.client[region]
	if c == nil {
		c = identity.ClientTLS(d.session, region, d.pins, d.cluster)
		c.NextProtos = []string{alpn}
		d.client[region] = c
	}
	return c
}

func (d *dialer) serverConfig() *tls.Config {
	c := identity.ServerTLS(d.session, d.pins, d.cluster, false)
	c.NextProtos = []string{alpn}
	return c
}

// dial connects to exactly the server id.
func (d *dialer) dial(ctx context.Context, id raft.ServerID, addr string) (*conn, error) {
	raw, err := d.network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, d.clientConfig(d.regionOf(id)))
	peer, err := d.handshake(ctx, c)
	if err == nil && peer.server != id {
		err = errs.New(errs.Unauthenticated, "server %s answers at the address of %s", peer.server, id)
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return d.track(newConn(c, peer), c)
}

func (d *dialer) accept(ctx context.Context, raw net.Conn, cfg *tls.Config) (*conn, error) {
	c := tls.Server(raw, cfg)
	peer, err := d.handshake(ctx, c)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return d.track(newConn(c, peer), c)
}

func (d *dialer) handshake(ctx context.Context, c *tls.Conn) (remote, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return remote{}, err
	}
	if c.ConnectionState().NegotiatedProtocol != alpn {
		return remote{}, errs.New(errs.Unauthenticated, "peer does not speak %s", alpn)
	}
	return d.identify(c)
}

// track enters a connection, unless the identity it was made under was replaced meanwhile:
// dropOf would not have seen it.
func (d *dialer) track(c *conn, over *tls.Conn) (*conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = c.Conn.Close()
		return nil, net.ErrClosed
	}
	if p, err := identity.PeerOf(over.ConnectionState()); err != nil || p.Cert == nil || !signedBy(d.pins, d.cluster, p.Cert) {
		_ = over.NetConn().Close()
		return nil, errs.New(errs.Unauthenticated, "region %d has another identity now", c.peer.region)
	}
	d.open[c] = struct{}{}
	return c, nil
}

// drop closes a connection without waiting for the peer.
func (d *dialer) drop(c *conn) {
	d.mu.Lock()
	delete(d.open, c)
	d.mu.Unlock()
	_ = c.Conn.(*tls.Conn).NetConn().Close() // not Close: its alert may wait behind a write
}

// dropAll closes all connections.
func (d *dialer) dropAll() { d.dropOf(func(identity.RegionID) bool { return true }) }

// dropOf closes the connections to regions.
func (d *dialer) dropOf(which func(identity.RegionID) bool) {
	d.mu.Lock()
	all := make([]*conn, 0, len(d.open))
	for c := range d.open {
		if which(c.peer.region) {
			all = append(all, c)
		}
	}
	d.mu.Unlock()
	for _, c := range all {
		d.drop(c)
	}
}

// close ends all connections for good.
func (d *dialer) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.dropAll()
}
