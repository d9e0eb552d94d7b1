package rpc

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// vaultService serves clients. The guard has placed every call but Status at the
// leader and put a live principal into its context.
type vaultService struct {
	tetradv1.UnimplementedVaultServer
	server *Server
}

// decode parses a command its caller may submit: one that the caller itself signed.
// Whether signatures verify and what they allow is for Apply to judge.
func decode(ctx context.Context, b []byte) (*command.Command, error) {
	return decodeOf(callerOf(ctx).principal, b)
}

func decodeOf(who identity.Fingerprint, b []byte) (*command.Command, error) {
	c, err := command.Decode(b)
	if err != nil {
		return nil, err
	}
	if c.Type.ByRegion() {
		return nil, errs.New(errs.Denied, "%s is a command of regions", c.Type)
	}
	for _, s := range c.Signatures {
		if s.Principal == who {
			return c, nil
		}
	}
	return nil, errs.New(errs.Denied, "command %s is not signed by the caller %s", c.ID, who.Short())
}

func decodeRequest(ctx context.Context, b []byte) (*command.Command, error) {
	return requestOf(callerOf(ctx).principal, b)
}

func requestOf(who identity.Fingerprint, b []byte) (*command.Command, error) {
	c, err := decodeOf(who, b)
	if err == nil && c.Type != command.TypeRequestSignature {
		return nil, errs.New(errs.Invalid, "command %s is %s, not %s", c.ID, c.Type, command.TypeRequestSignature)
	}
	return c, err
}

// Submit proposes one command.
func (v *vaultService) Submit(ctx context.Context, req *tetradv1.SubmitRequest) (*tetradv1.SubmitResponse, error) {
	rooms, err := v.server.attached()
	if err != nil {
		return nil, err
	}
	c, err := decode(ctx, req.Command)
	if err != nil {
		return nil, err
	}
	o, err := rooms.Vault.Submit(ctx, c)
	if err != nil {
		return nil, err
	}
	out := showOutcome(o)
	out.Certified = v.certified(ctx, o.Index)
	return &tetradv1.SubmitResponse{Outcome: out}, nil
}

// Sign proposes one signature request.
func (v *vaultService) Sign(ctx context.Context, req *tetradv1.SignRequest) (*tetradv1.SignResponse, error) {
	r, err := v.sign(ctx, req.Command, req.Wait)
	if err != nil {
		return nil, err
	}
	return &tetradv1.SignResponse{Request: v.answer(ctx, r)}, nil
}

func (v *vaultService) sign(ctx context.Context, b []byte, wait bool) (*fsm.Request, error) {
	rooms, err := v.server.attached()
	if err != nil {
		return nil, err
	}
	c, err := decodeRequest(ctx, b)
	if err != nil {
		return nil, err
	}
	if wait {
		return rooms.Vault.Sign(ctx, c)
	}
	o, err := rooms.Vault.Submit(ctx, c)
	if err == nil {
		err = o.Err()
	}
	if err != nil {
		return nil, err
	}
	r, ok := rooms.Reader.Local().Request(o.Request)
	if !ok {
		return nil, errs.New(errs.NotFound, "request %s is no longer remembered", o.Request)
	}
	return r, nil
}

// SignBatch is Sign for each command, several at once, with a result for each.
func (v *vaultService) SignBatch(ctx context.Context, req *tetradv1.SignBatchRequest) (*tetradv1.SignBatchResponse, error) {
	if n := len(req.Commands); n == 0 || n > batchMax {
		return nil, errs.New(errs.TooLarge, "a batch has 1 to %d commands, not %d", batchMax, n)
	}
	items := make([]*tetradv1.SignItem, len(req.Commands))
	var g errgroup.Group
	g.SetLimit(batchParallel)
	for i, b := range req.Commands {
		g.Go(func() (err error) {
			defer func() {
				if err != nil {
					items[i] = &tetradv1.SignItem{Fault: showFault(err)}
				}
			}()
			defer v.server.recovered(tetradv1.Vault_SignBatch_FullMethodName, &err)
			r, err := v.sign(ctx, b, req.Wait)
			if err == nil {
				items[i] = &tetradv1.SignItem{Request: v.answer(ctx, r)}
			}
			return err
		})
	}
	_ = g.Wait() // each item carries its own error
	shareProofs(items)
	return &tetradv1.SignBatchResponse{Items: items}, nil
}

// Await waits for a request to become final.
func (v *vaultService) Await(ctx context.Context, req *tetradv1.AwaitRequest) (*tetradv1.AwaitResponse, error) {
	rooms, err := v.server.attached()
	if err != nil {
		return nil, err
	}
	r, err := v.request(ctx, req.RequestId)
	if err != nil {
		return nil, err
	}
	if r.State == fsm.RequestOpen {
		if r, err = rooms.Vault.Await(ctx, r.ID); err != nil {
			return nil, err
		}
	}
	return &tetradv1.AwaitResponse{Request: v.answer(ctx, r)}, nil
}

// plainFault is the text of an error that callers may see.
func plainFault(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return errs.CodeOf(err).String()
}
