package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Limits of the client.
const (
	messageBytesMax = 4 << 20
	windowBytes     = 2 << 20 // what a node may have under way unread; fixed, since measuring it costs a ping a call
	addressesMax    = 64
	retryPauseMin   = 20 * time.Millisecond
	retryPauseMax   = 250 * time.Millisecond
)

// Config says whom to trust and whom to be. Zero durations take the defaults.
type Config struct {
	Addresses []string                 // of the nodes' API, in order of preference
	Cluster   ClusterID                // from the genesis
	Regions   map[RegionID][]PublicKey // identity keys of the regions, from the genesis; the last one of each counts, if others say it was replaced
	Lineage   [32]byte                 // hash of the genesis: what answers must be certified in
	Signer    *KeySigner               // the principal

	// Unproven takes answers without proof that they are certified: the word of the one
	// node that answers. For clusters of before there were proofs.
	Unproven bool

	Dial     func(ctx context.Context, addr string) (net.Conn, error) // nil: TCP
	Random   io.Reader                                                // ids and salts; nil: crypto/rand
	Timeout  time.Duration                                            // of a call whose context has no deadline: 30 s
	Attempt  time.Duration                                            // before another node is asked: 5 s
	Lifetime time.Duration                                            // of a command: 10 min
}

// Client speaks for one principal. It is safe for concurrent use.
type Client struct {
	cfg    Config
	trust  *trust
	proof  *prover
	nodes  []*node
	mu     sync.Mutex
	closed atomic.Bool
	first  int // node to ask first
}

// node is one address. Its region is known after the first answer.
type node struct {
	addr   string
	cc     atomic.Pointer[grpc.ClientConn]
	region RegionID // guarded by Client.mu
}

// Dial prepares connections to all addresses; they are made at first use.
func Dial(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	c.trust = newTrust(&c.cfg)
	c.proof = newProver(&c.cfg, c.trust)
	for _, addr := range cfg.Addresses {
		n := &node{addr: addr}
		if err := c.connect(n); err != nil {
			_ = c.Close()
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	return c, nil
}

// connect prepares the connection to a node, which is made at first use.
func (c *Client) connect(n *node) error {
	tc := identity.PrincipalTLS(c.cfg.Signer, 0, c.trust.speak, c.cfg.Cluster)
	verify := tc.VerifyConnection
	tc.VerifyConnection = func(cs tls.ConnectionState) error {
		err := verify(cs)
		if err != nil {
			c.trust.doubts()
		}
		return err
	}
	cc, err := grpc.NewClient("passthrough:///"+n.addr,
		grpc.WithTransportCredentials(credentials.NewTLS(tc)),
		grpc.WithContextDialer(c.cfg.Dial),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // ours knows ids and the other nodes
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytesMax), grpc.MaxCallSendMsgSize(messageBytesMax)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}))
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "address %q", n.addr)
	}
	if old := n.cc.Swap(cc); old != nil {
		_ = old.Close()
	}
	return nil
}

// redial leaves a connection whose other end may be nobody any more.
func (c *Client) redial(n *node) {
	if c.closed.Load() || c.connect(n) != nil {
		return
	}
	if c.closed.Load() { // meanwhile
		_ = n.cc.Load().Close()
	}
}

func (cfg *Config) check() error {
	switch {
	case len(cfg.Addresses) == 0 || len(cfg.Addresses) > addressesMax:
		return errs.New(errs.Invalid, "a client needs 1 to %d addresses", addressesMax)
	case cfg.Signer == nil:
		return errs.New(errs.Invalid, "a client needs the key of a principal")
	case len(cfg.Regions) == 0:
		return errs.New(errs.Invalid, "a client needs the identity keys of the regions").WithHint("they stand in the genesis document")
	}
	if !cfg.Unproven && cfg.Lineage == ([32]byte{}) {
		return errs.New(errs.Invalid, "a client needs the hash of the genesis, or takes answers on a node's word").WithHint("Lineage, or Unproven")
	}
	for id, keys := range cfg.Regions {
		for _, k := range keys {
			if err := k.Check(); err != nil {
				return errs.Wrap(errs.Invalid, err, "identity key of region %d", id)
			}
		}
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	for p, v := range map[*time.Duration]time.Duration{&cfg.Timeout: 30 * time.Second, &cfg.Attempt: 5 * time.Second, &cfg.Lifetime: 10 * time.Minute} {
		if *p <= 0 {
			*p = v
		}
	}
	return nil
}

// Close closes every connection.
func (c *Client) Close() error {
	c.closed.Store(true)
	for _, n := range c.nodes {
		_ = n.cc.Load().Close()
	}
	return nil
}

// Fingerprint identifies the principal.
func (c *Client) Fingerprint() Fingerprint { return c.cfg.Signer.Public().Fingerprint() }

// Command builds and signs a command with a fresh id. Keep it until its outcome is
// known: sending it again is how to ask.
func (c *Client) Command(body command.Body) (*Command, error) {
	var id command.ID
	if _, err := io.ReadFull(c.cfg.Random, id[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "reading a command id")
	}
	return c.CommandWith(body, id, time.Now().Add(c.cfg.Lifetime))
}

// CommandWith is Command with an id and expiry of the caller's choice.
func (c *Client) CommandWith(body command.Body, id command.ID, expiry time.Time) (*Command, error) {
	cmd, err := command.New(body, c.Fingerprint(), id, expiry, c.cfg.Random)
	if err != nil {
		return nil, err
	}
	return cmd, c.AddSignature(cmd)
}

// AddSignature signs a command of somebody else, the second administrator's part in
// dual control. Look at its body first.
func (c *Client) AddSignature(cmd *Command) error {
	return cmd.Sign(context.Background(), c.cfg.Cluster, c.cfg.Signer)
}
