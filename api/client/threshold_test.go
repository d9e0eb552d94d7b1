package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

var cold = fsm.Key{ID: command.KeyID{2}, Name: "cold", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2, State: fsm.KeyPending,
	Ceremony: &fsm.Ceremony{Step: fsm.StepHash, ID: command.CeremonyID{Epoch: 1, Try: 1}}}

// A key is yielded once for each change, as often as it is read.
func TestWatchKey(t *testing.T) {
	c := start(t, 2)
	c.State.PutKey(cold)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	moving := func(*client.Key) bool { return true }
	var steps []int32
	for k, err := range cl.WatchKey(within(t, 20*time.Second), cold.ID, moving) {
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, int32(k.GetCeremony().GetStep()))
		next := cold
		switch len(steps) {
		case 1:
			time.AfterFunc(250*time.Millisecond, func() { // the same is read again meanwhile
				next.Ceremony = &fsm.Ceremony{Step: fsm.StepDeal, ID: cold.Ceremony.ID}
				c.State.PutKey(next)
			})
		case 2:
			next.Ceremony, next.State = nil, fsm.KeyActive
			c.State.PutKey(next)
		}
		if len(steps) == 3 {
			break
		}
	}
	if len(steps) != 3 || steps[0] != 2 || steps[1] != 3 || steps[2] != 0 {
		t.Errorf("steps %v, want 2, 3 and none", steps)
	}
}

func TestWatchKeyEnds(t *testing.T) {
	t.Parallel() // it waits for what does not come
	c := start(t, 2)
	c.State.PutKey(cold)
	cl := dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	ended := func(ctx context.Context, id client.KeyID) (last error) {
		for _, err := range cl.WatchKey(ctx, id, func(*client.Key) bool { return true }) {
			last = err
		}
		return last
	}
	want(t, ended(within(t, 2*time.Second), cold.ID), errs.DeadlineExceeded)
	want(t, ended(within(t, 10*time.Second), client.KeyID{99}), errs.NotFound)
}

func TestWrapsAndNoncePools(t *testing.T) {
	c := start(t, 2)
	c.State.PutWrap(fsm.Wrap{Epoch: 3, Keys: []fsm.WrapKey{{Region: 2}}})
	c.State.PutPool(fsm.NoncePool{Region: 1, Curve: command.Ed25519, Commitments: make([]byte, 79*2)})
	cl := dial(t, config(c, c.Principal("", command.RoleOperator)))
	wraps, err := cl.Wraps(within(t, 10*time.Second))
	if err != nil || len(wraps) != 1 || wraps[0].Epoch != 3 {
		t.Errorf("%v, %v", wraps, err)
	}
	pools, err := cl.NoncePools(within(t, 10*time.Second))
	if err != nil || len(pools) != 4 || pools[1].Left != 2 {
		t.Errorf("%v, %v", pools, err)
	}
	cl = dial(t, config(c, c.Principal("acme", command.RoleSigner)))
	_, err = cl.NoncePools(within(t, 10*time.Second))
	want(t, err, client.Denied)
}
