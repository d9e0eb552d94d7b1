package rpc_test

import (
	"context"
	"sync"
	"testing"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// brought is what a node was told of commands that it forwards.
type brought struct {
	mu      sync.Mutex
	ids     []command.ID
	answers []errs.Code
}

// note judges refusals by Denied as ones that nothing bears out.
func (b *brought) note(c *command.Command) func(context.Context, error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids = append(b.ids, c.ID)
	return func(_ context.Context, err error) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.answers = append(b.answers, errs.CodeOf(err))
		if errs.CodeOf(err) == errs.Denied {
			return errs.New(errs.OutcomeUnknown, "so it says")
		}
		return err
	}
}

// TestForwardedCommandsAreWatched: the node that forwards notes every command its caller
// may submit, and decides what is said of the leader's refusals.
func TestForwardedCommandsAreWatched(t *testing.T) {
	c := start(t, 2)
	b := &brought{}
	c.Nodes[1].Brought = b.note
	c.Nodes[1].Attach()
	k, other := c.Principal("acme", signer), c.Principal("acme", signer)
	refuse := errs.New(errs.Denied, "not you")
	c.Nodes[0].OnSubmit(func(context.Context, *command.Command) (fsm.Outcome, error) { return fsm.Outcome{}, refuse })
	c.Nodes[0].OnSign(func(context.Context, *command.Command) (*fsm.Request, error) { return nil, refuse })
	v, ctx := vaultOf(t, c, k, 1), within(t)
	request := func() *command.Command {
		return signed(t, c, k, &command.RequestSignature{Key: acmeKey.ID, Kind: command.KindMessage, Hash: command.HashSHA256, Payload: []byte("x")})
	}

	freeze, sign, one, two := signed(t, c, k, &command.FreezeKey{Key: acmeKey.ID}), request(), request(), request()
	_, err := v.Submit(ctx, &tetradv1.SubmitRequest{Command: freeze.Encode()})
	want(t, err, errs.OutcomeUnknown)
	_, err = v.Sign(ctx, &tetradv1.SignRequest{Command: sign.Encode(), Wait: true})
	want(t, err, errs.OutcomeUnknown)
	batch, err := v.SignBatch(ctx, &tetradv1.SignBatchRequest{Commands: [][]byte{one.Encode(), []byte("junk"), two.Encode()}, Wait: true})
	if err != nil || len(batch.Items) != 3 {
		t.Fatalf("batch: %v, %v", batch, err)
	}
	for i, code := range []errs.Code{errs.OutcomeUnknown, errs.Malformed, errs.OutcomeUnknown} {
		if got := errs.Code(batch.Items[i].GetFault().GetCode()); got != code {
			t.Errorf("item %d: %s, want %s", i, got, code)
		}
	}
	var ids []command.ID
	for _, cmd := range []*command.Command{freeze, sign, one, two} {
		ids = append(ids, cmd.ID)
	}
	if len(b.ids) != 4 || [4]command.ID(b.ids) != [4]command.ID(ids) || len(b.answers) != 4 {
		t.Errorf("%d commands noted, %d answers", len(b.ids), len(b.answers))
	}

	// Nobody brings in what another signed, nor a request where none may stand.
	_, err = v.Submit(ctx, &tetradv1.SubmitRequest{Command: signed(t, c, other, &command.FreezeKey{Key: acmeKey.ID}).Encode()})
	want(t, err, errs.Denied)
	_, err = v.Sign(ctx, &tetradv1.SignRequest{Command: freeze.Encode()})
	want(t, err, errs.Invalid)
	_, err = v.ListKeys(ctx, &tetradv1.ListKeysRequest{Tenant: "acme"})
	want(t, err, errs.OK)
	if len(b.ids) != 4 {
		t.Errorf("%d commands noted that their callers may not submit", len(b.ids)-4)
	}
}
