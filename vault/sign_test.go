package vault_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// keyInfo is what a client knows of a key.
func keyInfo(k *fsm.Key) intent.KeyInfo {
	info := intent.KeyInfo{Curve: k.Curve, Signers: k.Signers, AllowBlind: k.AllowBlind}
	for _, a := range k.Attestations {
		info.PublicKeys = append(info.PublicKeys, intent.PublicKey{Region: a.Region, Key: a.PublicKey})
	}
	return info
}

// verify checks a result as a distrustful client would: k regions, drawn as the beacon's
// value says, each signature over what the command asked for.
func (w *world) verify(k *fsm.Key, c *command.Command, req *fsm.Request) {
	w.t.Helper()
	body, err := c.Body()
	w.ok(err)
	b := body.(*command.RequestSignature)
	in, err := intent.Decode(b.Kind, b.Hash, b.Payload, keyInfo(k))
	w.ok(err)
	if req.State != fsm.RequestComplete || len(req.Results) != int(k.Signers) {
		w.t.Fatalf("request is %s with %d results, want %d", req.State, len(req.Results), k.Signers)
	}
	last := req.Attempts[len(req.Attempts)-1]
	var eligible []uint8
	for _, r := range last.Eligible {
		eligible = append(eligible, uint8(r))
	}
	order := draw.Permutation(req.Value, req.ID, last.Number, eligible)
	for i, set := range req.Results {
		if uint8(set.Region) != order[i] {
			w.t.Errorf("signer %d is region %d, drawn %d", i, set.Region, order[i])
		}
		for j, m := range in.Messages {
			if !intent.Verify(k.Curve, k.Attested(set.Region).PublicKey, m, set.Signatures[j]) {
				w.t.Errorf("signature %d of region %d does not verify", j, set.Region)
			}
		}
	}
}

// consistent checks that all regions applied the same and nothing was signed twice.
func (w *world) consistent() {
	w.t.Helper()
	digest := w.nodes[1].View().Digest()
	for _, n := range w.all() {
		if n.View().Meta() != w.nodes[1].View().Meta() {
			continue
		}
		if n.View().Digest() != digest {
			w.t.Errorf("region %d: another state at the same index", n.id)
		}
	}
	for _, n := range w.all() {
		if _, most := n.token.signatures(); most > 1 {
			w.t.Errorf("region %d signed one message %d times", n.id, most)
		}
	}
}

func TestSignsOnEveryCurve(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		for _, curve := range []command.Curve{command.P256, command.Secp256k1, command.Ed25519} {
			for _, signers := range []uint8{2, 3, 4} {
				k := w.key(curve, signers)
				c := w.request(k, "pay the baker")
				req := w.sign(c)
				w.verify(k, c, req)
				row := w.row(3, req.ID)
				w.verify(k, c, row)
				if !reflect.DeepEqual(row.Results, req.Results) {
					t.Error("the committed completion differs from what the client got")
				}
			}
		}
		w.consistent()
	})
}

func TestSignsPayments(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.Secp256k1, 2)
		wallet, err := intent.NewWallet(keyInfo(k))
		w.ok(err)
		for _, version := range []uint32{0, 2} {
			funds := intenttest.Fund(wallet, version, 50_000, 70_000)
			psbt := intenttest.PSBT(version, wallet, funds, intenttest.To(1, 90_000), intenttest.Change(wallet, 29_000))
			c := w.command(&command.RequestSignature{Key: k.ID, Kind: command.KindPSBT, Payload: psbt}, time.Minute, w.client)
			req := w.sign(c)
			w.verify(k, c, req)
			var sets []intent.SignatureSet
			for _, s := range req.Results {
				sets = append(sets, intent.SignatureSet(s))
			}
			signed, err := wallet.Combine(psbt, sets)
			w.ok(err)
			raw, err := wallet.Finalize(signed)
			w.ok(err)
			w.ok(intenttest.Accepted(raw, funds))
		}
	})
}

func TestBatchIsOneQuestionARegion(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.P256, 2)
		var cs []*command.Command
		for i := range 60 {
			cs = append(cs, w.request(k, fmt.Sprint("message ", i)))
		}
		cs[7] = w.command(&command.RequestSignature{Key: command.KeyID{1}, Kind: command.KindMessage, Hash: command.HashSHA256, Payload: []byte("x")}, time.Minute, w.client)
		before := w.count("cosign")
		results := w.leading().vault.SignBatch(context.Background(), cs)
		for i, r := range results {
			if i == 7 {
				if errs.CodeOf(r.Err) != errs.NotFound {
					t.Errorf("unknown key: got %v", r.Err)
				}
				continue
			}
			w.ok(r.Err)
			w.verify(k, cs[i], r.Request)
		}
		// One entry for all, or two if some came in after the first was closed.
		if n := w.count("cosign") - before; n > 6 {
			t.Errorf("%d questions over the network for one batch", n)
		}
		if n := w.count("partial"); n > 0 {
			t.Errorf("%d partials asked for although all came with the append replies", n)
		}
		last := results[59].Request.ID
		w.row(2, last)
		w.consistent()
	})
}

func TestSameIDSameAnswer(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.P256, 2)
		c := w.request(k, "once")
		first := w.sign(c)
		if again := w.sign(c); !reflect.DeepEqual(again.Results, first.Results) {
			t.Error("asked again at once: another answer")
		}
		w.row(1, first.ID)
		again := w.sign(c)
		if !reflect.DeepEqual(again.Results, first.Results) {
			t.Error("asked again after completion: another answer")
		}
		awaited, err := w.nodes[4].vault.Await(context.Background(), first.ID)
		w.ok(err)
		if !reflect.DeepEqual(awaited.Results, first.Results) {
			t.Error("another region tells another answer")
		}
		if _, err := w.nodes[4].vault.Await(context.Background(), command.RequestID{9}); errs.CodeOf(err) != errs.NotFound {
			t.Errorf("unknown request: %v", err)
		}
		w.consistent()
	})
}

func TestPartialsAreAskedForWhenTheyDoNotCome(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.P256, 2)
		w.set(func() { w.partials = func(identity.RegionID) bool { return false } })
		c := w.request(k, "late partials")
		w.verify(k, c, w.sign(c))
		if w.count("partial") == 0 {
			t.Error("no partial was asked for")
		}
	})
}

func TestNewLeaderGivesTheSameAnswer(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.P256, 2)
		var held atomic.Int32
		w.set(func() {
			w.withhold = func(c *command.Command) bool { return c.Type == command.TypeComplete && held.Add(1) > 0 }
		})
		c := w.request(k, "across leaders")
		first := w.sign(c) // the client has its answer; its completion never gets into the log
		w.eventually("completion proposed", func() bool { return held.Load() > 0 })
		w.set(func() { w.withhold = nil })
		w.lead(2)
		row := w.row(1, first.ID)
		if !reflect.DeepEqual(row.Results, first.Results) {
			t.Error("the new leader got other signatures")
		}
		if again := w.sign(c); !reflect.DeepEqual(again.Results, first.Results) {
			t.Error("asked again at the new leader: another answer")
		}
		w.consistent()
	})
}

func TestLostLeadershipIsOutcomeUnknown(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.P256, 2)
		w.slowHSMs(300 * time.Millisecond)
		c := w.request(k, "interrupted")
		failed := make(chan error, 1)
		go func() {
			_, err := w.nodes[1].vault.Sign(context.Background(), c)
			failed <- err
		}()
		time.Sleep(100 * time.Millisecond)
		w.lead(3)
		if err := <-failed; errs.CodeOf(err) != errs.OutcomeUnknown || errs.HintOf(err) == "" {
			t.Errorf("got %v with hint %q", err, errs.HintOf(err))
		}
		w.verify(k, c, w.sign(c))
		w.row(1, command.RequestIDOf(c.Principal, c.ID))
		w.consistent()
	})
}

func TestCallersDeadlineIsOutcomeUnknown(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.P256, 2)
		w.slowHSMs(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		c := w.request(k, "impatient")
		if _, err := w.leading().vault.Sign(ctx, c); errs.CodeOf(err) != errs.OutcomeUnknown {
			t.Errorf("got %v", err)
		}
		w.verify(k, c, w.sign(c))
		w.consistent()
	})
}

func TestLeaderFlapping(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.P256, 2)
		w.slowHSMs(7 * time.Millisecond)
		var cs []*command.Command
		for i := range 20 {
			cs = append(cs, w.request(k, fmt.Sprint("flap ", i)))
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 30 {
				w.lead(identity.RegionID(i%4 + 1))
				time.Sleep(11 * time.Millisecond)
			}
		}()
		got := map[command.RequestID]*fsm.Request{}
		for _, c := range cs {
			for {
				req, err := w.leading().vault.Sign(context.Background(), c)
				if err == nil {
					got[req.ID] = req
					break
				}
				if !slices.Contains([]errs.Code{errs.OutcomeUnknown, errs.NoLeader}, errs.CodeOf(err)) {
					t.Fatal(err)
				}
			}
		}
		<-done
		for id, req := range got {
			if row := w.row(1, id); !reflect.DeepEqual(row.Results, req.Results) {
				t.Error("an answer given differs from the committed one")
			}
		}
		w.consistent()
	})
}

func TestIdleLeaderMovesTheClock(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		before := w.nodes[2].View().Clock()
		time.Sleep(3 * time.Hour)
		if moved := w.nodes[2].View().Clock().Sub(before); moved < 2*time.Hour || moved > 3*time.Hour+time.Minute {
			t.Errorf("the clock moved by %s in three idle hours with ticks every hour", moved)
		}
	})
}
