package client

import (
	"context"
	"iter"
	"sync"
	"time"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// batchBytesMax keeps a batch within one message of the server.
const batchBytesMax = 1 << 20

// Submit sends a command and returns its outcome; a refusal is also an error. An outcome
// that two regions do not say too, or whose entry is not certified, is OutcomeUnknown.
// Refusals that regions do not remember rest on the word of one node: who gets one sends
// the same command again, or lets it expire.
func (c *Client) Submit(ctx context.Context, cmd *Command) (*Outcome, error) {
	o, _, err := c.SubmitProven(ctx, cmd)
	return o, err
}

// SubmitProven is Submit, and says what the outcome rests on.
func (c *Client) SubmitProven(ctx context.Context, cmd *Command) (*Outcome, Proof, error) {
	reply := &tetradv1.SubmitResponse{}
	var proof Proof
	unknown, err := c.attempts(ctx, tetradv1.Vault_Submit_FullMethodName, &tetradv1.SubmitRequest{Command: cmd.Encode()}, reply, true,
		func(ctx context.Context) (err error) { proof, err = c.outcome(ctx, cmd, reply.Outcome); return err })
	if err != nil {
		return nil, Proof{}, err
	}
	o := reply.Outcome
	switch code := errs.Code(o.GetCode()); {
	case unknown != nil && silent(code):
		return nil, Proof{}, unknown
	case code != errs.OK:
		return o, proof, &errs.Error{Code: code, Msg: o.GetText()}
	}
	return o, proof, nil
}

// Do builds, signs and submits a command that one principal alone may issue.
func (c *Client) Do(ctx context.Context, body command.Body) (*Outcome, error) {
	cmd, err := c.Command(body)
	if err != nil {
		return nil, err
	}
	return c.Submit(ctx, cmd)
}

// Sign sends a signature request and returns it with its signatures, proven like an
// outcome; a refusal is proven too, except what a node refuses at the door. If it returns
// OutcomeUnknown, call it again with the same command, or Await.
func (c *Client) Sign(ctx context.Context, cmd *Command) (*Request, error) {
	r, _, err := c.sign(ctx, cmd, true)
	return r, err
}

// SignProven is Sign, and says what the answer rests on.
func (c *Client) SignProven(ctx context.Context, cmd *Command) (*Request, Proof, error) {
	return c.sign(ctx, cmd, true)
}

// Open sends a signature request and returns as soon as it is accepted.
func (c *Client) Open(ctx context.Context, cmd *Command) (*Request, error) {
	r, _, err := c.sign(ctx, cmd, false)
	return r, err
}

// OpenProven is Open, and says what the answer rests on.
func (c *Client) OpenProven(ctx context.Context, cmd *Command) (*Request, Proof, error) {
	return c.sign(ctx, cmd, false)
}

func (c *Client) sign(ctx context.Context, cmd *Command, wait bool) (*Request, Proof, error) {
	reply := &tetradv1.SignResponse{}
	req := &tetradv1.SignRequest{Command: cmd.Encode(), Wait: wait}
	var proof Proof
	_, err := c.attempts(ctx, tetradv1.Vault_Sign_FullMethodName, req, reply, true,
		func(ctx context.Context) (err error) {
			proof, err = c.request(ctx, RequestIDOf(cmd), cmd, reply.Request)
			return err
		})
	if err != nil {
		return c.refused(ctx, cmd, err)
	}
	return reply.Request, proof, nil
}

// refused does not believe an error that says what became of a request: that is the word
// of one node, and the request may have been signed. The outcome of the command is
// proven; if it says that the request was accepted, so must be what ended it.
func (c *Client) refused(ctx context.Context, cmd *Command, said error) (*Request, Proof, error) {
	if c.cfg.Unproven || elsewhere(errs.CodeOf(said)) {
		return nil, Proof{}, said
	}
	o, err := c.Submit(ctx, cmd)
	switch {
	case err != nil && o == nil && errs.CodeOf(err) != errs.OutcomeUnknown:
		return nil, Proof{}, said // at the door, as before: nothing was proposed, the node says
	case err != nil && o != nil && errs.CodeOf(err) == errs.CodeOf(said):
		return nil, Proof{}, said // as it is proven; said first, it tells why
	case err != nil:
		return nil, Proof{}, err
	}
	r, proof, err := c.AwaitProven(ctx, RequestIDOf(cmd))
	switch {
	case err == nil && r.State == tetradv1.RequestState_REQUEST_STATE_COMPLETE:
		return r, proof, nil
	case err == nil && r.State != tetradv1.RequestState_REQUEST_STATE_OPEN:
		return nil, Proof{}, said
	}
	return nil, Proof{}, errs.Wrap(errs.OutcomeUnknown, said, "the request was accepted, and its end is not proven").
		WithHint("wait for it, or send the same command again")
}

// Result is one item of a batch: a request or an error.
type Result struct {
	Request *Request
	Err     error
}

// SignBatch is Sign for many requests in one call; each has its own result, in order.
// It splits what does not fit into one message. An item's fault is the word of the node
// that answers: Submit of the same command proves it. An error concerns the batch whole:
// then no result is known, and sending it again is safe.
func (c *Client) SignBatch(ctx context.Context, cmds []*Command) ([]Result, error) {
	var out []Result
	for len(cmds) > 0 {
		req := &tetradv1.SignBatchRequest{Wait: true}
		size := 0
		for _, cmd := range cmds[:min(len(cmds), 256)] {
			b := cmd.Encode()
			if size += len(b) + 8; size > batchBytesMax && len(req.Commands) > 0 {
				break
			}
			req.Commands = append(req.Commands, b)
		}
		results, err := c.batch(ctx, req, cmds)
		if err != nil {
			return out, err
		}
		out = append(out, results...)
		cmds = cmds[len(req.Commands):]
	}
	return out, nil
}

// batch sends one message of the first of cmds.
func (c *Client) batch(ctx context.Context, req *tetradv1.SignBatchRequest, cmds []*Command) ([]Result, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	reply := &tetradv1.SignBatchResponse{}
	if err := c.call(ctx, tetradv1.Vault_SignBatch_FullMethodName, req, reply, true); err != nil {
		return nil, err
	}
	if len(reply.Items) != len(req.Commands) {
		return nil, errs.New(errs.Malformed, "%d results for %d requests", len(reply.Items), len(req.Commands))
	}
	shared(reply.Items)
	out := make([]Result, len(reply.Items))
	var asking sync.WaitGroup
	places := make(chan struct{}, wordsAtOnce)
	for i, it := range reply.Items {
		if it.Request == nil || len(it.Request.GetCertified().GetCover()) > 0 {
			out[i] = c.result(ctx, it, cmds[i])
			continue
		}
		places <- struct{}{}
		asking.Go(func() {
			out[i] = c.result(ctx, it, cmds[i])
			<-places
		})
	}
	asking.Wait()
	return out, nil
}

func (c *Client) result(ctx context.Context, it *tetradv1.SignItem, cmd *Command) Result {
	err := faultOf(it)
	if err == nil {
		_, err = c.request(ctx, RequestIDOf(cmd), cmd, it.Request)
	}
	if err != nil {
		return Result{Err: err}
	}
	return Result{Request: it.Request}
}

func faultOf(it *tetradv1.SignItem) error {
	if f := it.Fault; f != nil {
		return &errs.Error{Code: errs.Code(f.Code), Msg: f.Text, Hint: f.Hint}
	}
	if it.Request == nil {
		return errs.New(errs.Malformed, "a result with neither request nor fault")
	}
	return nil
}

// Await waits until a request is final, or the context ends.
func (c *Client) Await(ctx context.Context, id RequestID) (*Request, error) {
	r, _, err := c.AwaitProven(ctx, id)
	return r, err
}

// AwaitProven is Await, and says what the answer rests on.
func (c *Client) AwaitProven(ctx context.Context, id RequestID) (*Request, Proof, error) {
	reply := &tetradv1.AwaitResponse{}
	var proof Proof
	_, err := c.attempts(ctx, tetradv1.Vault_Await_FullMethodName, &tetradv1.AwaitRequest{RequestId: id[:]}, reply, false,
		func(ctx context.Context) (err error) { proof, err = c.request(ctx, id, nil, reply.Request); return err })
	if err != nil {
		return nil, Proof{}, err
	}
	return reply.Request, proof, nil
}

// Request shows one request.
func (c *Client) Request(ctx context.Context, id RequestID) (*Request, error) {
	reply := &tetradv1.GetRequestResponse{}
	err := c.call(ctx, tetradv1.Vault_GetRequest_FullMethodName, &tetradv1.GetRequestRequest{RequestId: id[:]}, reply, false)
	return reply.Request, err
}

// RequestIDOf returns the id of the request a command opens.
func RequestIDOf(cmd *Command) RequestID { return command.RequestIDOf(cmd.Principal, cmd.ID) }

// Requests lists the requests of a tenant ("": the caller's own, or all).
func (c *Client) Requests(ctx context.Context, tenant string) iter.Seq2[*Request, error] {
	return pages(func(token []byte) ([]*Request, []byte, error) {
		reply := &tetradv1.ListRequestsResponse{}
		err := c.call(ctx, tetradv1.Vault_ListRequests_FullMethodName, &tetradv1.ListRequestsRequest{Tenant: tenant, PageToken: token}, reply, false)
		return reply.Requests, reply.NextPageToken, err
	})
}

// Keys lists the keys of a tenant ("": the caller's own, or all).
func (c *Client) Keys(ctx context.Context, tenant string) iter.Seq2[*Key, error] {
	return pages(func(token []byte) ([]*Key, []byte, error) {
		reply := &tetradv1.ListKeysResponse{}
		err := c.call(ctx, tetradv1.Vault_ListKeys_FullMethodName, &tetradv1.ListKeysRequest{Tenant: tenant, PageToken: token}, reply, false)
		return reply.Keys, reply.NextPageToken, err
	})
}

// Principals lists the principals of a tenant ("": the caller's own, or all).
func (c *Client) Principals(ctx context.Context, tenant string) iter.Seq2[*Principal, error] {
	return pages(func(token []byte) ([]*Principal, []byte, error) {
		reply := &tetradv1.ListPrincipalsResponse{}
		err := c.call(ctx, tetradv1.Vault_ListPrincipals_FullMethodName, &tetradv1.ListPrincipalsRequest{Tenant: tenant, PageToken: token}, reply, false)
		return reply.Principals, reply.NextPageToken, err
	})
}

// pages walks all pages of a list, row by row. An error ends it.
func pages[R any](get func(token []byte) (rows []R, next []byte, err error)) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		var token []byte
		for {
			rows, next, err := get(token)
			if err != nil {
				var zero R
				yield(zero, err)
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
			if len(next) == 0 {
				return
			}
			token = next
		}
	}
}

// Tenants lists the tenants the caller may read.
func (c *Client) Tenants(ctx context.Context) ([]string, error) {
	reply := &tetradv1.ListTenantsResponse{}
	err := c.call(ctx, tetradv1.Vault_ListTenants_FullMethodName, &tetradv1.ListTenantsRequest{}, reply, false)
	return reply.Tenants, err
}

// Key shows one key.
func (c *Client) Key(ctx context.Context, id KeyID) (*Key, error) {
	return c.key(ctx, &tetradv1.GetKeyRequest{KeyId: id[:]})
}

// KeyByName shows a tenant's key ("": the caller's own tenant).
func (c *Client) KeyByName(ctx context.Context, tenant, name string) (*Key, error) {
	return c.key(ctx, &tetradv1.GetKeyRequest{Tenant: tenant, Name: name})
}

func (c *Client) key(ctx context.Context, req *tetradv1.GetKeyRequest) (*Key, error) {
	reply := &tetradv1.GetKeyResponse{}
	err := c.call(ctx, tetradv1.Vault_GetKey_FullMethodName, req, reply, false)
	return reply.Key, err
}

// CreateKey submits the command of a new key and waits until the regions have made
// and verified it. The command may carry a second administrator's signature.
func (c *Client) CreateKey(ctx context.Context, cmd *Command) (*Key, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	o, err := c.Submit(ctx, cmd)
	if err != nil {
		return nil, err
	}
	var id KeyID
	if copy(id[:], o.KeyId) != len(id) {
		return nil, errs.New(errs.Malformed, "the outcome of command %s names no key", cmd.ID)
	}
	return c.AwaitKey(ctx, id)
}

// AwaitKey waits until a key is no longer pending.
func (c *Client) AwaitKey(ctx context.Context, id KeyID) (*Key, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		k, err := c.Key(ctx, id)
		if err != nil || k.State != tetradv1.KeyState_KEY_STATE_PENDING {
			return k, err
		}
		select {
		case <-ctx.Done():
			return k, errs.New(errs.DeadlineExceeded, "key %s is still pending", id).
				WithHint("a region may be down: vaultctl status shows it")
		case <-t.C:
		}
	}
}

// FollowRequests yields each request of a tenant when it changes, until the context
// ends or the loop is left. First it yields nil once: from then on no change is missed,
// so that is the moment to list what there is. Following is broken by a change of leader: list
// the requests and follow again.
func (c *Client) FollowRequests(ctx context.Context, tenant string) iter.Seq2[*Request, error] {
	return func(yield func(*Request, error) bool) {
		req := &tetradv1.FollowRequestsRequest{Tenant: tenant}
		err := stream(ctx, c, tetradv1.Vault_FollowRequests_FullMethodName, req, func(m *tetradv1.FollowRequestsResponse) bool {
			return yield(m.Request, nil)
		})
		if err != nil {
			yield(nil, err)
		}
	}
}
