package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Config of a Server. TLS is identity.ServerTLS with clients true.
type Config struct {
	Region  identity.RegionID
	Session *identity.SessionCert // shown in Status; nil in tests
	TLS     *tls.Config
	Node    Node
	Dialer  Dialer
	Limits  Limits
	Metrics prometheus.Registerer // nil: none
	Logger  *slog.Logger          // nil: discard
}

// Server serves the API of one node.
type Server struct {
	cfg     Config
	rooms   atomic.Pointer[Rooms]
	grpc    *grpc.Server
	health  *health.Server
	hub     *hub
	metrics *metrics
	log     *slog.Logger
	cancel  context.CancelFunc // ends every stream that follows
	ctx     context.Context
	conns   *connLimiter
	methods map[string]messages
	stopped sync.Once
}

// New returns a server that answers health and Status only, until Attach.
func New(cfg Config) (*Server, error) {
	if cfg.TLS == nil || cfg.Node == nil || cfg.Region == 0 {
		return nil, errs.New(errs.Invalid, "rpc server needs TLS, a node and a region")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Limits = cfg.Limits.withDefaults()
	s := &Server{cfg: cfg, health: health.NewServer(), hub: newHub(), log: cfg.Logger}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	s.metrics = m
	s.conns = newConnLimiter(cfg.Limits, m)
	if s.methods, err = vaultMethods(); err != nil {
		return nil, err
	}
	s.grpc = grpc.NewServer(s.options()...)
	tetradv1.RegisterVaultServer(s.grpc, &vaultService{server: s})
	tetradv1.RegisterPeerServer(s.grpc, &peerService{server: s})
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.SetReady(false)
	return s, nil
}

func (s *Server) options() []grpc.ServerOption {
	l := s.cfg.Limits
	return []grpc.ServerOption{
		grpc.Creds(creds{credentials.NewTLS(s.cfg.TLS), s.known}),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxRecvMsgSize(messageBytesMax),
		grpc.MaxSendMsgSize(2 * messageBytesMax),
		grpc.MaxHeaderListSize(headerBytesMax),
		grpc.MaxConcurrentStreams(uint32(l.Streams)),
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMin, PermitWithoutStream: true}),
		grpc.InTapHandle(newRateLimiter(l, s.metrics, s.known).tap),
		grpc.ChainUnaryInterceptor(s.observeUnary, s.recoverUnary, s.guardUnary),
		grpc.ChainStreamInterceptor(s.observeStream, s.recoverStream, s.guardStream),
	}
}

// Attach gives the server the rooms it serves; calls are answered from here on as far
// as Node.Ready allows.
func (s *Server) Attach(r Rooms) { s.rooms.Store(&r) }

// attached returns the rooms, or Sealed or NotReady.
func (s *Server) attached() (*Rooms, error) {
	if r := s.rooms.Load(); r != nil {
		return r, nil
	}
	if err := s.cfg.Node.Ready(); errs.CodeOf(err) == errs.Sealed {
		return nil, err
	}
	return nil, errs.New(errs.NotReady, "region %d is starting", s.cfg.Region)
}

// SetReady drives the health service.
func (s *Server) SetReady(ready bool) {
	st := healthpb.HealthCheckResponse_NOT_SERVING
	if ready {
		st = healthpb.HealthCheckResponse_SERVING
	}
	for _, name := range []string{"", tetradv1.Vault_ServiceDesc.ServiceName, tetradv1.Peer_ServiceDesc.ServiceName} {
		s.health.SetServingStatus(name, st)
	}
}

// Notify tells followers what was applied: call it once Reader and Leaves hold the
// results. It does not block.
func (s *Server) Notify(results []fsm.Result) {
	rooms := s.rooms.Load()
	if rooms == nil {
		return
	}
	s.hub.notify(results, func() lookup { return rooms.Reader.Local().Request })
}

// SetLeader ends the streams of followers when this node stops leading: they begin
// again at the new leader.
func (s *Server) SetLeader(leading bool) {
	if !leading {
		s.hub.drop(errs.New(errs.NotLeader, "region %d no longer leads", s.cfg.Region))
	}
}

// Serve accepts connections until Shutdown. The listener speaks plain bytes; TLS is ours.
func (s *Server) Serve(l net.Listener) error {
	err := s.grpc.Serve(s.conns.wrap(l))
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Shutdown says NOT_SERVING, ends streams, lets unary calls finish until ctx ends,
// and then cuts what is left.
func (s *Server) Shutdown(ctx context.Context) {
	s.stopped.Do(func() {
		s.health.Shutdown()
		s.cancel()
		s.hub.close(errs.New(errs.Unavailable, "region %d is shutting down", s.cfg.Region))
		done := make(chan struct{})
		go func() { defer close(done); s.grpc.GracefulStop() }()
		select {
		case <-done:
		case <-ctx.Done():
			s.grpc.Stop()
			<-done
		}
	})
}
