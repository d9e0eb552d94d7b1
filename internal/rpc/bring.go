package rpc

import (
	"context"

	"google.golang.org/protobuf/proto"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// bring notes the commands in a call that goes to the leader. What is returned takes the
// leader's answer, in which single commands of a batch may be refused.
func (s *Server) bring(r route, req any) func(context.Context, proto.Message, error) error {
	rooms := s.rooms.Load()
	if rooms == nil || rooms.Brought == nil {
		return func(_ context.Context, _ proto.Message, err error) error { return err }
	}
	var answered []func(context.Context, error) error
	for _, c := range carriedBy(r.caller.principal, req) {
		if c == nil {
			answered = append(answered, func(_ context.Context, err error) error { return err })
			continue
		}
		answered = append(answered, rooms.Brought(c))
	}
	return func(ctx context.Context, reply proto.Message, err error) error {
		if batch, ok := reply.(*tetradv1.SignBatchResponse); ok && err == nil {
			judgeItems(ctx, batch, answered)
			return nil
		}
		for _, a := range answered {
			err = a(ctx, err)
		}
		return err
	}
}

// carriedBy are the commands of a call that its caller may submit; nil in the place of
// others, which the leader refuses.
func carriedBy(who identity.Fingerprint, req any) []*command.Command {
	one := func(c *command.Command, err error) *command.Command {
		if err != nil {
			return nil
		}
		return c
	}
	switch q := req.(type) {
	case *tetradv1.SubmitRequest:
		return []*command.Command{one(decodeOf(who, q.Command))}
	case *tetradv1.SignRequest:
		return []*command.Command{one(requestOf(who, q.Command))}
	case *tetradv1.SignBatchRequest:
		var out []*command.Command
		for _, b := range q.Commands[:min(len(q.Commands), batchMax)] {
			out = append(out, one(requestOf(who, b)))
		}
		return out
	}
	return nil
}

// judgeItems judges the refusals in a batch, one by one.
func judgeItems(ctx context.Context, batch *tetradv1.SignBatchResponse, answered []func(context.Context, error) error) {
	for i, it := range batch.Items {
		if i < len(answered) && it.GetFault() != nil {
			it.Fault = showFault(answered[i](ctx, readFault(it.Fault)))
		}
	}
}
