package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/api/coded"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// route is where a call goes once it has passed the guard.
type route struct {
	caller caller
	leader identity.RegionID // forward there; 0: serve here
}

// guard decides who calls and where the call is served.
func (s *Server) guard(ctx context.Context, method string) (route, error) {
	switch service(method) {
	case healthpb.Health_ServiceDesc.ServiceName:
		return route{}, nil // a key that nobody knows may ask too: probes have no principal
	case tetradv1.Peer_ServiceDesc.ServiceName:
		return s.guardPeer(ctx)
	case tetradv1.Vault_ServiceDesc.ServiceName:
		return s.guardVault(ctx, method)
	}
	return s.guardOther(ctx)
}

func (s *Server) guardPeer(ctx context.Context) (route, error) {
	c, err := identify(ctx)
	if err != nil {
		return route{}, err
	}
	if c.region == 0 || c.forwarded {
		return route{}, errs.New(errs.Denied, "the peer service is for regions")
	}
	rooms, err := s.attached()
	if err != nil {
		return route{}, err
	}
	return route{caller: c}, member(rooms.Reader.Local(), c)
}

func (s *Server) guardVault(ctx context.Context, method string) (route, error) {
	c, err := identify(ctx)
	if err != nil {
		return route{}, err
	}
	if method == tetradv1.Vault_Status_FullMethodName && !c.forwarded {
		return route{caller: c}, nil
	}
	if c.principal.IsZero() {
		return route{}, errs.New(errs.Denied, "region %d may use the vault service only for a principal", c.region)
	}
	if here[method] {
		return s.guardHere(method, c)
	}
	rooms, err := s.attached()
	if err != nil {
		return route{}, err
	}
	if err := s.cfg.Node.Ready(); err != nil {
		return route{}, err
	}
	return s.place(rooms, c)
}

// place serves the call here or at the leader. An unknown principal is for the leader
// to judge, who knows of it first; a removed one is refused by everybody.
func (s *Server) place(rooms *Rooms, c caller) (route, error) {
	view := rooms.Reader.Local()
	p, known := view.Principal(c.principal)
	leader, ok := rooms.Leader.Leader()
	switch {
	case known && p.Removed:
		_, err := principal(view, c.principal)
		return route{}, err
	case !ok:
		return route{}, errs.New(errs.NoLeader, "no region leads now").WithHint("try again; see vaultctl status if it lasts")
	case leader == s.cfg.Region:
		if c.forwarded {
			if err := member(view, c); err != nil {
				return route{}, err
			}
		}
		_, err := principal(view, c.principal)
		return route{caller: c}, err
	case c.forwarded:
		return route{}, errs.New(errs.NotLeader, "region %d does not lead; it believes region %d does", s.cfg.Region, leader)
	}
	return route{caller: c, leader: leader}, nil
}

// guardOther is for reflection: known callers only.
func (s *Server) guardOther(ctx context.Context) (route, error) {
	c, err := identify(ctx)
	if err != nil || c.region != 0 {
		return route{caller: c}, err
	}
	rooms, err := s.attached()
	if err != nil {
		return route{}, err
	}
	_, err = principal(rooms.Reader.Local(), c.principal)
	return route{caller: c}, err
}

// known tells the rate limiter whether a key belongs to a principal. Before the rooms
// are attached everybody is strange.
func (s *Server) known(a auth) bool {
	rooms := s.rooms.Load()
	if rooms == nil {
		return false
	}
	p, ok := rooms.Reader.Local().Principal(a.fp)
	return ok && !p.Removed
}

func service(method string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return name
}

func (s *Server) guardUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.UnaryTimeout)
	defer cancel()
	r, err := s.guard(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	if r.leader != 0 {
		return s.forwardUnary(ctx, r, info.FullMethod, req)
	}
	return handler(withCaller(ctx, r.caller), req)
}

func (s *Server) guardStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := context.WithTimeout(ss.Context(), s.cfg.Limits.StreamLifetime)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	r, err := s.guard(ctx, info.FullMethod)
	if err != nil {
		return err
	}
	if r.leader != 0 {
		return s.forwardStream(ctx, r, info.FullMethod, ss)
	}
	return s.stopping(handler(srv, &stream{ss, withCaller(ctx, r.caller)}))
}

// stopping gives the end of streams by Shutdown its reason.
func (s *Server) stopping(err error) error {
	if err != nil && s.ctx.Err() != nil {
		return errs.New(errs.Unavailable, "region %d is shutting down", s.cfg.Region)
	}
	return err
}

// stream is a server stream with our context.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *Server) observeUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	reply, err := handler(ctx, req)
	return reply, s.observed(info.FullMethod, err, start, true)
}

func (s *Server) observeStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	return s.observed(info.FullMethod, handler(srv, ss), start, false)
}

// observed counts and logs one answered call and turns its error into a status.
// Nothing that a caller sent is logged.
func (s *Server) observed(method string, err error, start time.Time, unary bool) error {
	if err != nil {
		err = plainGRPC(err)
	}
	s.metrics.answered(method, err, start, unary)
	if code := errs.CodeOf(err); code == errs.Internal || code == errs.Corrupt {
		s.log.Error("call failed", slog.String("method", method), slog.String("code", code.String()), slog.Any("error", err))
	} else {
		s.log.Debug("call", slog.String("method", method), slog.String("code", code.String()),
			slog.Duration("took", time.Since(start)))
	}
	return coded.ToStatus(err)
}

func (s *Server) recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
	defer s.recovered(info.FullMethod, &err)
	return handler(ctx, req)
}

func (s *Server) recoverStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer s.recovered(info.FullMethod, &err)
	return handler(srv, ss)
}

// recovered turns a panic into an Internal error. Only the runtime's own panics are
// printed: another value may hold what a caller sent.
func (s *Server) recovered(method string, err *error) {
	v := recover()
	if v == nil {
		return
	}
	what := fmt.Sprintf("%T", v)
	if re, ok := v.(runtime.Error); ok {
		what = re.Error()
	}
	s.log.Error("panic in a call", slog.String("method", method), slog.String("panic", what), slog.String("stack", string(debug.Stack())))
	*err = errs.New(errs.Internal, "internal error")
}
