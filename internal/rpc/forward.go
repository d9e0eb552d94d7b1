package rpc

import (
	"context"
	"errors"
	"io"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/api/coded"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// messages makes the messages of one method.
type messages struct{ in, out protoreflect.MessageType }

// vaultMethods maps the full names of the Vault service's methods to their messages.
func vaultMethods() (map[string]messages, error) {
	methods := map[string]messages{}
	services := tetradv1.File_tetrad_v1_vault_proto.Services()
	for i := range services.Len() {
		sd := services.Get(i)
		for j := range sd.Methods().Len() {
			md := sd.Methods().Get(j)
			in, err := protoregistry.GlobalTypes.FindMessageByName(md.Input().FullName())
			if err != nil {
				return nil, errs.Wrap(errs.Internal, err, "input of %s", md.FullName())
			}
			out, err := protoregistry.GlobalTypes.FindMessageByName(md.Output().FullName())
			if err != nil {
				return nil, errs.Wrap(errs.Internal, err, "output of %s", md.FullName())
			}
			methods["/"+string(sd.FullName())+"/"+string(md.Name())] = messages{in, out}
		}
	}
	return methods, nil
}

// changes reports whether a method may change state: a lost answer is then unknown.
func changes(method string) bool {
	switch method {
	case tetradv1.Vault_Submit_FullMethodName, tetradv1.Vault_Sign_FullMethodName, tetradv1.Vault_SignBatch_FullMethodName:
		return true
	}
	return false
}

// onBehalf is the outgoing context of a forwarded call: nothing of the caller's
// metadata but who it is.
func onBehalf(ctx context.Context, r route) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(principalKey, string(r.caller.principal[:])))
}

func (s *Server) leaderConn(r route) (grpc.ClientConnInterface, error) {
	if s.cfg.Dialer == nil {
		return nil, errs.New(errs.NotLeader, "region %d does not lead and cannot forward", s.cfg.Region)
	}
	return s.cfg.Dialer.Conn(r.leader)
}

func leaderHint(r route) metadata.MD {
	return metadata.Pairs(leaderKey, strconv.Itoa(int(r.leader)))
}

func (s *Server) forwardUnary(ctx context.Context, r route, method string, req any) (any, error) {
	cc, err := s.leaderConn(r)
	if err != nil {
		return nil, err
	}
	_ = grpc.SetHeader(ctx, leaderHint(r)) // a hint: without it the client asks here again
	reply := s.methods[method].out.New().Interface()
	answered := s.bring(r, req)
	err = coded.Invoke(onBehalf(ctx, r), cc, method, req, reply, changes(method))
	err = answered(ctx, reply, err)
	s.metrics.forwards.WithLabelValues(errs.CodeOf(err).String()).Inc()
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// forwardStream copies the leader's stream. One message is in hand at a time, so a
// slow caller slows the leader's sender and is dropped there.
func (s *Server) forwardStream(ctx context.Context, r route, method string, ss grpc.ServerStream) error {
	m := s.methods[method]
	req := m.in.New().Interface()
	if err := ss.RecvMsg(req); err != nil {
		return err
	}
	cc, err := s.leaderConn(r)
	if err != nil {
		return err
	}
	_ = ss.SetHeader(leaderHint(r))
	err = s.stopping(s.copyStream(onBehalf(ctx, r), cc, method, m, req, ss))
	s.metrics.forwards.WithLabelValues(errs.CodeOf(err).String()).Inc()
	return err
}

func (s *Server) copyStream(ctx context.Context, cc grpc.ClientConnInterface, method string, m messages, req proto.Message, ss grpc.ServerStream) error {
	ctx, cancel := context.WithCancel(ctx) // ends the leader's stream when the caller is gone
	defer cancel()
	up, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return coded.FromError(err)
	}
	_ = up.SendMsg(req) // its error comes from the receive
	_ = up.CloseSend()
	for {
		msg := m.out.New().Interface()
		if err := up.RecvMsg(msg); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return coded.FromError(err)
		}
		if err := ss.SendMsg(msg); err != nil {
			return err
		}
	}
}

// plainGRPC reads a status of gRPC itself as a coded error.
func plainGRPC(err error) error {
	if _, ok := status.FromError(err); ok {
		return coded.FromError(err)
	}
	return err
}
