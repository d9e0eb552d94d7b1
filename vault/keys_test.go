package vault_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func (w *world) createKey(name string) command.KeyID {
	return w.must(w.dual(&command.CreateKey{Name: name, Tenant: "acme", Scheme: command.SchemeMultisig, Curve: p256, Signers: 2, AllowBlind: true})).Key
}

func (w *world) keyState(id command.KeyID) fsm.KeyState {
	k, ok := w.leading().View().Key(id)
	if !ok {
		return 0
	}
	return k.State
}

// TestKeyMakingSurvivesDeath kills a region at every step of making its half of a key:
// the key becomes active all the same, with one private key in each HSM.
func TestKeyMakingSurvivesDeath(t *testing.T) {
	for _, step := range []command.Type{command.TypeCreateKey, command.TypeAttestKey, command.TypeConfirmKey} {
		t.Run(step.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				n := w.nodes[3]
				session := n.session.Public().Fingerprint()
				var seen atomic.Bool
				w.set(func() {
					w.withhold = func(c *command.Command) bool { // its next step never gets into the log
						hit := c.Principal == session && (c.Type == step || step == command.TypeCreateKey && c.Type == command.TypeAttestKey)
						if hit {
							seen.Store(true)
						}
						return hit
					}
				})
				id := w.createKey("hot")
				w.eventually("the step is reached", seen.Load)
				n.kill()
				w.set(func() { w.withhold = nil })
				n.restart()
				w.eventually("key active", func() bool { return w.keyState(id) == fsm.KeyActive })
				for _, n := range w.all() {
					if len(n.token.keys) != 1 {
						t.Errorf("region %d holds %d private keys", n.id, len(n.token.keys))
					}
				}
			})
		})
	}
}

// TestKeyWaitsForEveryRegion: an absent region, or one whose HSM fails, holds the key
// back; nothing else.
func TestKeyWaitsForEveryRegion(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.nodes[2].token.fail(errs.New(errs.HSMFailed, "no"))
		id := w.createKey("hot")
		time.Sleep(time.Minute)
		if s := w.keyState(id); s != fsm.KeyPending {
			t.Errorf("key is %s without region 2", s)
		}
		w.nodes[2].token.fail(nil)
		w.eventually("key active", func() bool { return w.keyState(id) == fsm.KeyActive })
	})
}

// TestBadAttestationIsNeverConfirmed: three regions see that the fourth proves nothing.
func TestBadAttestationIsNeverConfirmed(t *testing.T) {
	for name, attest := range map[string]func(w *world, id command.KeyID) *command.AttestKey{
		"possession of another region": func(w *world, id command.KeyID) *command.AttestKey {
			return w.attestation(id, 3)
		},
		"no possession": func(w *world, id command.KeyID) *command.AttestKey {
			a := w.attestation(id, 4)
			a.Possession[0] ^= 1
			return a
		},
		"attributes the policy refuses": func(w *world, id command.KeyID) *command.AttestKey {
			a := w.attestation(id, 4)
			a.Attributes = []byte("extractable")
			return w.vouch(a, id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.nodes[4].kill() // the liar speaks in its place
				id := w.createKey("hot")
				out, err := w.nodes[1].vault.Submit(t.Context(), w.command(attest(w, id), time.Minute, w.nodes[4].session))
				w.ok(err)
				w.ok(out.Err())
				time.Sleep(time.Minute)
				k, _ := w.nodes[1].View().Key(id)
				if len(k.Attestations) != 4 || k.State != fsm.KeyPending {
					t.Fatalf("key is %s with %d attestations", k.State, len(k.Attestations))
				}
				for _, a := range k.Attestations {
					if a.Confirmed {
						t.Errorf("region %d confirmed", a.Region)
					}
				}
			})
		})
	}
}

// attestation is what a dishonest region 4 files, with a proof made for region as.
func (w *world) attestation(id command.KeyID, as identity.RegionID) *command.AttestKey {
	key := generate(p256)
	possession := signWith(key, digest(command.PossessionBytes(w.kit.Cluster(), id, as)))
	return w.vouch(&command.AttestKey{Key: id, PublicKey: public(key), Possession: possession, Attributes: []byte(goodAttributes)}, id)
}

func (w *world) vouch(a *command.AttestKey, id command.KeyID) *command.AttestKey {
	sig, err := w.kit.Region(4).Identity.Sign(context.Background(), command.AttestationBytes(w.kit.Cluster(), id, 4, a.PublicKey, a.Attributes))
	w.ok(err)
	a.Identity = sig
	return a
}

func TestManyKeysAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		var ids []command.KeyID
		for i := range 12 {
			ids = append(ids, w.createKey(fmt.Sprintf("key-%d", i)))
		}
		for _, id := range ids {
			w.eventually("key active", func() bool { return w.keyState(id) == fsm.KeyActive })
		}
	})
}

func digest(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}
