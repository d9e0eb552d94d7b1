package vault_test

import (
	"context"
	"fmt"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestThresholdMixed lets clients sign with keys on both curves while regions die and come
// back, leaders change, links break, a refresh runs, and one region has a copy with the
// same nonces. Whatever comes out verifies, and no nonce ever makes two shares.
func TestThresholdMixed(t *testing.T) {
	i := 0
	for seed := range int64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			sample(t, &i, 4)
			simulate(t, func(t *testing.T, w *world) {
				w.cloned(3)
				keys := []*fsm.Key{w.ready(command.Ed25519, 2), w.ready(command.Secp256k1, 2)}
				done, stop := make(chan struct{}), make(chan struct{})
				go func() { defer close(done); w.unrest(rand.New(rand.NewSource(seed)), stop) }()
				var clients sync.WaitGroup
				for c := range 6 {
					clients.Go(func() {
						for i := range 8 {
							w.persist(keys[i%2], w.joint(keys[i%2], fmt.Sprint("client ", c, " message ", i)))
						}
					})
				}
				clients.Wait()
				close(stop)
				<-done
				w.eventually("all final", func() bool { return len(w.nodes[1].View().OpenRequests()) == 0 })
				w.oneNonceOneMessage()
				w.consistent()
				if len(w.sharings.made) < 96 {
					t.Errorf("only %d shares were seen", len(w.sharings.made))
				}
			})
		})
	}
}

// persist asks for a signature until there is one, by the same command.
func (w *world) persist(k *fsm.Key, c *command.Command) {
	for range 400 {
		n := w.leading()
		if n == nil || n.isDown() {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		req, err := n.vault.Sign(ctx, c)
		cancel()
		switch errs.CodeOf(err) {
		case errs.OK:
			w.proven(k, c, req)
			return
		case errs.OutcomeUnknown, errs.NoLeader, errs.NoEligiblePair, errs.Throttled, errs.NotReady:
			time.Sleep(50 * time.Millisecond)
		case errs.BadState, errs.Expired, errs.Stale: // three draws in a row met regions that died
			return
		default:
			w.t.Errorf("%s: %v", errs.CodeOf(err), err)
			return
		}
	}
	w.t.Error("never signed")
}

// unrest breaks things, one at a time, until stop; then everything is whole again.
func (w *world) unrest(rng *rand.Rand, stop chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(20+rng.Intn(120)) * time.Millisecond):
		}
		victim := w.nodes[identity.RegionID(1+rng.Intn(4))]
		switch what := rng.Intn(4); {
		case i == 5:
			w.leading().vault.Submit(context.Background(), w.dual(&command.RefreshKey{Reason: "in the middle"})) //nolint:errcheck // it may come at a bad moment
		case what == 0:
			w.lead(victim.id)
		case what == 1 && victim.id != 3: // the copied one keeps its session
			victim.kill()
			time.Sleep(time.Duration(rng.Intn(50)) * time.Millisecond)
			victim.restart()
			w.lead(victim.id%4 + 1)
		case what == 2:
			w.sever(victim.id, true)
			time.Sleep(time.Duration(rng.Intn(200)) * time.Millisecond)
			w.sever(victim.id, false)
		}
	}
}
