package coded

import (
	"context"

	"google.golang.org/grpc"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Invoke makes one unary call and returns a coded error. A call that changes things
// and broke after it may have left is OutcomeUnknown; one that certainly did not
// leave is Unavailable.
func Invoke(ctx context.Context, cc grpc.ClientConnInterface, method string, req, reply any, changes bool, opts ...grpc.CallOption) error {
	// The stream form of a unary call tells "no connection" from "lost connection".
	s, err := cc.NewStream(ctx, &grpc.StreamDesc{}, method, opts...)
	if err != nil {
		return FromError(err)
	}
	// A failed send says only EOF; the reason comes from the receive.
	_ = s.SendMsg(req)
	if err = s.CloseSend(); err == nil {
		err = s.RecvMsg(reply)
	}
	if err != nil && changes && Ambiguous(err) {
		was := FromError(err)
		if errs.CodeOf(was) == errs.OutcomeUnknown {
			return was
		}
		return errs.Wrap(errs.OutcomeUnknown, was, "the connection ended before the answer").
			WithHint("send the same command again: its id makes that safe")
	}
	return FromError(err)
}
