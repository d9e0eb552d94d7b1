package vault

import (
	"context"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Sign proposes a RequestSignature and waits for its verified signatures; it returns as
// soon as they are here, before the completion is committed. The same command again
// gets the same answer. When ctx ends or leadership is lost after the proposal, the
// error is errs.OutcomeUnknown: ask again.
func (v *Vault) Sign(ctx context.Context, c *command.Command) (*fsm.Request, error) {
	if c.Type != command.TypeRequestSignature {
		return nil, errs.New(errs.Invalid, "command %s is %s, not %s", c.ID, c.Type, command.TypeRequestSignature)
	}
	id := command.RequestIDOf(c.Principal, c.ID)
	call, err := v.waiting.join(id) // first, so that no answer is missed
	if err != nil {
		return nil, err
	}
	defer v.waiting.leave(id, call)
	out, err := v.submitted(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := out.Err(); err != nil {
		return nil, err
	}
	return v.wait(ctx, id, call)
}

// submitted proposes a request until it is decided. One that found too few regions with
// nonces left is sent again: their pools are filled within moments, and the log remembers
// no refusal for that.
func (v *Vault) submitted(ctx context.Context, c *command.Command) (out fsm.Outcome, err error) {
	end := time.Now().Add(v.cfg.Timing.Propose)
	for pause, first := v.cfg.Timing.Retry/4, uint64(0); ; pause = min(2*pause, v.cfg.Timing.RetryMost) {
		out, err = v.Submit(ctx, c)
		if err != nil || out.Code != errs.NoEligiblePair || out.Index == first || time.Now().Add(pause).After(end) {
			return out, err
		}
		if first = out.Index; !sleep(ctx, pause) {
			return out, nil
		}
	}
}

// Result is what became of one command of a batch.
type Result struct {
	Request *fsm.Request
	Err     error
}

// SignBatch is Sign for many commands at once, with a result for each, in order. They
// go into as few log entries as there is room for.
func (v *Vault) SignBatch(ctx context.Context, cs []*command.Command) []Result {
	results := make([]Result, len(cs))
	if len(cs) > maxBatch {
		for i := range results {
			results[i].Err = errs.New(errs.TooLarge, "batch of %d requests, limit %d", len(cs), maxBatch)
		}
		return results
	}
	workers(len(cs), maxBatch, func(i int) {
		results[i].Request, results[i].Err = v.Sign(ctx, cs[i])
	})
	return results
}

// Submit proposes somebody else's command and returns what Apply decided.
//
// Apply counts answers; of the signatures in them it verifies only the author's, since who
// files a completion has verified those of others. Therefore only the leader's own completions, which do not come through here, may
// complete something; another region files its statement, one answer. A drawn region
// could else end a request with its partner's true answer beside its own false one.
func (v *Vault) Submit(ctx context.Context, c *command.Command) (fsm.Outcome, error) {
	if err := MaySubmit(c); err != nil {
		return fsm.Outcome{}, err
	}
	return v.cfg.Proposer.Propose(ctx, c)
}

// MaySubmit refuses what only the leader may propose by itself.
func MaySubmit(c *command.Command) error {
	if c.Type != command.TypeComplete {
		return nil
	}
	body, err := c.Body()
	if err != nil {
		return err
	}
	if b, ok := body.(*command.Complete); !ok || len(b.Answers) > 1 {
		return errs.New(errs.Denied, "a completion is the leader's to file, who verified its answers")
	}
	return nil
}

// Await waits until a request is final, and returns it; the error says why it has no
// signatures. errs.NotFound if the request is unknown here.
func (v *Vault) Await(ctx context.Context, id command.RequestID) (*fsm.Request, error) {
	if _, ok := v.cfg.Replica.View().Request(id); !ok {
		return nil, errs.New(errs.NotFound, "request %s is not known", id)
	}
	call, err := v.waiting.join(id)
	if err != nil {
		return nil, err
	}
	defer v.waiting.leave(id, call)
	return v.wait(ctx, id, call)
}

// recheck is how often a waiting caller looks at the state itself, in case it changed
// by a snapshot, which tells nobody.
const recheck = time.Second

func (v *Vault) wait(ctx context.Context, id command.RequestID, c *call) (*fsm.Request, error) {
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return c.req, c.err
		default:
		}
		if req, ok := v.cfg.Replica.View().Request(id); ok && req.State != fsm.RequestOpen {
			return v.final(req)
		}
		v.leader.attend(id)
		select {
		case <-c.done:
			return c.req, c.err
		case <-ctx.Done():
			return nil, unknown(id)
		case <-tick.C:
		}
	}
}

// final returns a request that is final in the committed state, or why it has no
// signatures: of a threshold key, its parts must add up to some.
func (v *Vault) final(req *fsm.Request) (*fsm.Request, error) {
	if err := verdict(req); err != nil {
		return req, err
	}
	_, err := v.Signatures(req)
	return req, err
}
