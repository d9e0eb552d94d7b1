package rpc

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// ConnsConfig of a pool. TLS returns the configuration that dials exactly that region
// (identity.ClientTLS); Address its API address now.
type ConnsConfig struct {
	TLS     func(identity.RegionID) *tls.Config
	Address func(identity.RegionID) (string, bool)
	Dial    func(ctx context.Context, addr string) (net.Conn, error)
}

// Conns holds one connection to each region, made at first use and again when the
// region's address changed.
type Conns struct {
	cfg    ConnsConfig
	mu     sync.Mutex
	open   map[identity.RegionID]*conn
	closed bool
}

type conn struct {
	*grpc.ClientConn
	addr string
}

// NewConns returns an empty pool.
func NewConns(cfg ConnsConfig) *Conns {
	return &Conns{cfg: cfg, open: map[identity.RegionID]*conn{}}
}

// Conn returns the connection to a region. It does not wait for it to be up.
func (c *Conns) Conn(region identity.RegionID) (grpc.ClientConnInterface, error) {
	addr, ok := c.cfg.Address(region)
	if !ok {
		return nil, errs.New(errs.Unavailable, "region %d has no known address", region)
	}
	fresh, stale, err := c.take(region, addr)
	if err != nil {
		return nil, err
	}
	if stale != nil {
		_ = stale.Close()
	}
	return fresh, nil
}

// take returns the connection to use, and one to an older address to close.
func (c *Conns) take(region identity.RegionID, addr string) (fresh, stale *conn, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errs.New(errs.Unavailable, "connections to regions are closed")
	}
	have := c.open[region]
	if have != nil && have.addr == addr {
		return have, nil, nil
	}
	cc, err := dial(addr, c.cfg.TLS(region), c.cfg.Dial)
	if err != nil {
		return nil, nil, errs.Wrap(errs.Unavailable, err, "connection to region %d", region)
	}
	c.open[region] = &conn{cc, addr}
	return c.open[region], have, nil
}

// Reset drops the connection to a region, so that the next call dials afresh.
func (c *Conns) Reset(region identity.RegionID) {
	c.mu.Lock()
	have := c.open[region]
	delete(c.open, region)
	c.mu.Unlock()
	if have != nil {
		_ = have.Close()
	}
}

// Close closes every connection; Conn fails from here on.
func (c *Conns) Close() {
	c.mu.Lock()
	open := c.open
	c.open, c.closed = map[identity.RegionID]*conn{}, true
	c.mu.Unlock()
	for _, cc := range open {
		_ = cc.Close()
	}
}

func dial(addr string, tc *tls.Config, d func(context.Context, string) (net.Conn, error)) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(credentials.NewTLS(tc)),
		grpc.WithContextDialer(d),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0), // a region is wanted always
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(2*messageBytesMax), grpc.MaxCallSendMsgSize(messageBytesMax)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			// All four fields: a zero backoff redials without pause.
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 3 * time.Second,
		}))
}
