package vault_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
	"github.com/tetrad-vault/tetrad/vault/draw"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// oracle computes the value of an entry from the shares of the genesis: it is the same under
// every sharing.
func (w *world) oracle(m command.Meta) [32]byte {
	shares, key := dealt()
	input := draw.Input(w.kit.Genesis.Document.Hash(), m.Term, m.Index, m.Chain)
	var ps []draw.Partial
	for _, s := range shares[:3] {
		p, err := s.Evaluate(draw.At(input))
		w.ok(err)
		ps = append(ps, p)
	}
	value, err := key.Combine(draw.At(input), ps)
	w.ok(err)
	return value
}

// drawsProven replays the log and checks every completion in it, as an auditor does: its
// partials are all of the epoch that was live when the entry they are on began, they verify
// under that epoch's public shares, and the value is the only one there is. It returns how
// many completions it saw by epoch.
func (w *world) drawsProven() map[uint32]int {
	w.t.Helper()
	machine, err := fsm.New(w.kit.Genesis, fsm.Options{Verify: fsm.NewVerifier(1 << 16).Verify})
	w.ok(err)
	w.mu.Lock()
	log := slices.Clone(w.log)
	w.mu.Unlock()
	seen, live, metas := map[uint32]int{}, map[uint64]*fsm.Sharing{}, map[uint64]command.Meta{}
	for _, in := range log {
		live[in.Meta.Index], metas[in.Meta.Index] = machine.View().BeaconKey().Sharing, in.Meta
		outcomes := machine.Apply([]fsm.Input{in})[0].Outcomes
		for i, c := range in.Entry.Commands {
			if body, err := c.Body(); err == nil && outcomes[i].Code == errs.OK && c.Type == command.TypeComplete {
				b := body.(*command.Complete)
				w.drawProven(b, live[b.Index], metas[b.Index])
				seen[live[b.Index].Epoch]++
			}
		}
	}
	return seen
}

func (w *world) drawProven(b *command.Complete, s *fsm.Sharing, m command.Meta) {
	w.t.Helper()
	public, err := frost.DecodePublicKey(s.Public)
	w.ok(err)
	key, err := draw.KeyOf(public)
	w.ok(err)
	var ps []draw.Partial
	for _, raw := range b.Partials {
		p, err := draw.DecodePartial(raw)
		w.ok(err)
		if p.Epoch != s.Epoch {
			w.t.Errorf("entry %d: a partial of region %d and epoch %d, the entry's is %d", m.Index, p.Region, p.Epoch, s.Epoch)
		}
		ps = append(ps, p)
	}
	value, err := key.CombineChecked(draw.At(draw.Input(w.kit.Genesis.Document.Hash(), m.Term, m.Index, m.Chain)), ps)
	if err != nil || value != w.oracle(m) {
		w.t.Errorf("entry %d, epoch %d: value %x: %v", m.Index, s.Epoch, value, err)
	}
}

// refreshBeacon asks for it and waits until a sharing is live everywhere.
func (w *world) refreshBeacon(epoch uint32, holders ...identity.RegionID) *fsm.Key {
	w.t.Helper()
	w.refresh(command.BeaconKey, holders...)
	return w.live(command.BeaconKey, epoch)
}

// through has a message signed and waits until that is in the log.
func (w *world) through(k *fsm.Key, message string) {
	w.t.Helper()
	c := w.request(k, message)
	req := w.sign(c)
	w.verify(k, c, req)
	w.row(w.leading().id, req.ID)
}

// steadily keeps signing until the function it returns is called, which tells how often.
func (w *world) steadily(k *fsm.Key) func() int {
	var done atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for who := range 3 {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				w.through(k, fmt.Sprint("meanwhile ", who, i))
				done.Add(1)
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	return func() int {
		close(stop)
		all.Wait()
		return int(done.Load())
	}
}

// TestBeaconRefreshWhileSigning: from the genesis's shares to epoch 1 and 2 while keys of both
// schemes sign: nothing waits or fails, and every draw is proven under its entry's epoch.
func TestBeaconRefreshWhileSigning(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k, shared := w.key(p256, 2), w.ready(ed25519Curve, 2)
		n := 0
		for epoch := uint32(1); epoch <= 2; epoch++ {
			stop := w.steadily(k)
			time.Sleep(time.Second)
			row := w.refreshBeacon(epoch)
			c := w.joint(shared, fmt.Sprint("shared ", epoch))
			w.proven(shared, c, w.sign(c))
			if row.Retiring == nil || row.Retiring.Epoch != epoch-1 {
				t.Fatalf("the sharing before does not stay: %+v", row)
			}
			n += stop()
			w.passes(2 * time.Minute)
			if row := w.keyRow(command.BeaconKey); row.Retiring != nil {
				t.Error("the sharing before stays for ever")
			}
			w.untroubled(command.BeaconKey)
		}
		seen := w.drawsProven()
		if seen[0] == 0 || seen[1] == 0 || seen[2] == 0 {
			t.Errorf("%d signatures, completions by epoch: %v", n, seen)
		}
		w.neverMixed()
		w.oneNonceOneMessage()
	})
}

// TestBeaconSurvivesDeath kills a region at every step of the beacon's first refresh and of
// the next one; what signs beside it does not notice.
func TestBeaconSurvivesDeath(t *testing.T) {
	i := 0
	for _, step := range dealingSteps {
		for _, logged := range []bool{false, true} {
			for first := uint32(1); first <= 2; first++ {
				t.Run(fmt.Sprintf("%s/%v/%d", step, logged, first), func(t *testing.T) {
					sample(t, &i, 6)
					simulate(t, func(t *testing.T, w *world) {
						k := w.key(p256, 2)
						for epoch := uint32(1); epoch < first; epoch++ {
							w.refreshBeacon(epoch)
							w.passes(2 * time.Minute)
						}
						g := w.gate(3, step)
						g.hold.Store(!logged)
						w.refresh(command.BeaconKey)
						w.eventually("the step is reached", g.seen.Load)
						w.nodes[3].kill()
						w.through(k, "while one is down")
						w.set(func() { w.rewrite = nil })
						w.nodes[3].restart()
						w.live(command.BeaconKey, first)
						w.untroubled(command.BeaconKey)
						w.through(k, "under the new one")
						w.drawsProven()
						w.neverMixed()
					})
				})
			}
		}
	}
}

// TestAllDieAsTheBeaconSwitches: the whole vault is off between the last word and the first
// draw, and on again with one sharing: the new one, and the old for what was open before.
func TestAllDieAsTheBeaconSwitches(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.refreshBeacon(1)
		for _, n := range w.all() {
			n.kill()
		}
		for _, n := range w.all() {
			n.shareless = true // the genesis's are not needed any more
			n.restart()
		}
		w.lead(2)
		w.through(k, "after all died")
		if seen := w.drawsProven(); seen[1] == 0 {
			t.Errorf("completions by epoch: %v", seen)
		}
	})
}

// TestBeaconLiar: a dealer that spoils what it deals is named, and the others go on without.
func TestBeaconLiar(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.set(func() {
			w.rewrite = func(from identity.RegionID, body command.Body) command.Body {
				if b, ok := body.(*command.Deal); ok && from == 4 {
					other := *b
					other.Dealing = slices.Clone(b.Dealing)
					other.Dealing[len(other.Dealing)-40] ^= 1
					return &other
				}
				return body
			}
		})
		w.refresh(command.BeaconKey)
		w.eventually("it is named", func() bool { return len(w.faults(command.BeaconKey)) > 0 })
		if f := w.faults(command.BeaconKey); f[0].Region != 4 || len(f[0].By) < 2 {
			t.Errorf("faults %+v", f)
		}
		k := w.live(command.BeaconKey, 1)
		if len(k.Sharing.Shares) != 4 {
			t.Errorf("%d holders", len(k.Sharing.Shares))
		}
		w.neverMixed(4)
	})
}

// TestBeaconLiarWithOneVictim: a dealer gives the same holder every time what does not open.
// Nobody else can see which of the two lies, and with both left out too few would deal: they
// are left out in turn.
func TestBeaconLiarWithOneVictim(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.set(func() {
			w.rewrite = func(from identity.RegionID, body command.Body) command.Body {
				if b, ok := body.(*command.DealShares); ok && from == 4 {
					other := *b
					other.Sealed = slices.Clone(b.Sealed)
					other.Sealed[0] = bytes.Repeat([]byte{7}, len(b.Sealed[0]))
					return &other
				}
				return body
			}
		})
		w.refresh(command.BeaconKey)
		w.eventually("both are named", func() bool { return len(w.faults(command.BeaconKey)) >= 2 })
		w.passes(3 * time.Minute)
		k := w.live(command.BeaconKey, 1)
		if len(k.Sharing.Shares) != 4 {
			t.Errorf("%d holders", len(k.Sharing.Shares))
		}
		w.neverMixed(4)
	})
}

// TestBeaconAfterALoss: a region loses disk and HSM. The other three sign, take its part over
// and then bring it in again, with a share it never had; it draws, leads and co-signs with
// it, and without.
func TestBeaconAfterALoss(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k, lost := w.key(p256, 2), w.nodes[4]
		lost.kill()
		row := w.refreshBeacon(1, 1, 2, 3)
		if len(row.Sharing.Shares) != 3 {
			t.Fatalf("%d holders", len(row.Sharing.Shares))
		}
		w.through(k, "by three holders")
		w.passes(2 * time.Minute)
		lost.replaceHSM()
		lost.shareless = true
		lost.restart()
		if _, err := lost.vault.Evaluate(command.Meta{Index: 1 << 40}); errs.CodeOf(err) != errs.Denied {
			t.Errorf("a region without a share evaluates: %v", err)
		}
		w.lead(4) // on others' partials alone
		for i := range 4 {
			w.through(k, fmt.Sprint("led by one without a share ", i))
		}
		row = w.refreshBeacon(2, everyone...)
		if len(row.Sharing.Shares) != 4 {
			t.Fatalf("%d holders", len(row.Sharing.Shares))
		}
		w.nodes[1].kill()
		w.through(k, "with its partial")
		if seen := w.drawsProven(); seen[2] == 0 {
			t.Errorf("completions by epoch: %v", seen)
		}
		w.neverMixed()
	})
}

// TestPartialsOfAnotherEpoch: what comes with an ack was made before the epoch was known
// there, or by a liar. It is named and dropped, counts for nothing, and the region's partial
// of the right epoch still does.
func TestPartialsOfAnotherEpoch(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		shares, _ := dealt()
		w.refreshBeacon(1)
		w.set(func() {
			w.partials = func(from identity.RegionID) bool { return from == 1 }
			w.forged = func(meta command.Meta) (identity.RegionID, []byte) {
				p, err := shares[2].Evaluate(draw.At(draw.Input(w.kit.Genesis.Document.Hash(), meta.Term, meta.Index, meta.Chain)))
				w.ok(err)
				return 3, p.Encode()
			}
		})
		w.nodes[4].kill()
		for i := range 4 {
			w.through(k, fmt.Sprint("old partial ", i))
		}
		if n := w.count("partial"); n == 0 {
			t.Error("no partial was asked for: the wrong ones counted")
		}
		w.drawsProven()
	})
}

// TestQuestionWithOldPartials: a leader that proves a draw by partials of another epoch is
// refused by whoever it asks, and told why.
func TestQuestionWithOldPartials(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.refreshBeacon(1)
		shares, _ := dealt()
		var asked atomic.Pointer[message]
		var drawn atomic.Int64
		w.set(func() {
			w.tamper = func(from, to identity.RegionID, m *message) {
				q, err := vault.DecodeQuestion(m.question)
				if m.kind != "cosign" || err != nil || m.answer != nil {
					m.err = errs.New(errs.Unavailable, "cut") // nobody learns the value otherwise
					return
				}
				q.Partials = nil
				for _, s := range shares[:3] {
					p, err := s.Evaluate(draw.At(draw.Input(w.kit.Genesis.Document.Hash(), q.Meta.Term, q.Meta.Index, q.Meta.Chain)))
					w.ok(err)
					q.Partials = append(q.Partials, p.Encode())
				}
				m.question = q.Encode()
				drawn.Store(int64(to))
				asked.Store(m)
			}
		})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := w.leading().vault.Sign(ctx, w.request(k, "by old partials")); err == nil {
			t.Error("signed by old partials")
		}
		_, err := w.nodes[identity.RegionID(drawn.Load())].vault.HandleCoSign(t.Context(), 1, asked.Load().question)
		if errs.CodeOf(err) != errs.Stale {
			t.Errorf("refused with %v", err)
		}
		w.set(func() { w.tamper = nil })
	})
}
