package vault_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

var errNoLease = errs.New(errs.NotReady, "acks are older than a second")

func (n *node) setLease(lease func() error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lease = lease
}

func noLease() error { return errNoLease }

// TestNothingLeavesWithoutALease takes the lease away at each moment of a question, and
// wants a signed "not now" and no signature; then gives it back and wants the signature.
func TestNothingLeavesWithoutALease(t *testing.T) {
	for name, lose := range map[string]func(w *world, n *node, q *vault.Question) (hsmCalls int){
		"from the start": func(_ *world, n *node, _ *vault.Question) int {
			n.setLease(noLease)
			return 0
		},
		"before the HSM": func(_ *world, n *node, _ *vault.Question) int {
			var looks atomic.Int32
			n.setLease(func() error {
				if looks.Add(1) > 1 { // the first look is the judge's
					return errNoLease
				}
				return nil
			})
			return 0
		},
		"in the HSM": func(_ *world, n *node, _ *vault.Question) int {
			n.token.set(func(t *token) { t.before = func(string, []byte) { n.setLease(noLease) } })
			return 1
		},
		"at the last look": func(_ *world, n *node, _ *vault.Question) int {
			var looks atomic.Int32
			n.setLease(func() error {
				if looks.Add(1) > 3 { // judge, HSM, release
					return errNoLease
				}
				return nil
			})
			return 1
		},
		"with a cached answer": func(w *world, n *node, q *vault.Question) int {
			_, err := n.ask(q)
			w.ok(err)
			n.setLease(noLease)
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				k := w.key(p256, 2)
				q, drawn := w.question(w.abandoned(w.request(k, "no lease")))
				n := w.nodes[drawn[0]]
				want := lose(w, n, q)
				before, _ := n.token.signatures()
				a, err := n.ask(q)
				w.ok(err)
				if it := a.Items[0]; it.Code != errs.NotReady || it.Signatures != nil {
					t.Errorf("answered %s with %d signatures", it.Code, len(it.Signatures))
				}
				if !n.session.Public().Verify(a.SignedBytes(w.kit.Cluster()), a.Sig) {
					t.Error("the refusal is not signed")
				}
				if now, _ := n.token.signatures(); now-before != want {
					t.Errorf("the HSM was called %d times, want %d", now-before, want)
				}
				ask := &vault.Ask{Kind: command.WordRefused, About: n.id, Items: q.Items}
				if _, err := n.vault.HandleWord(t.Context(), 4, ask.Encode()); errs.CodeOf(err) != errs.BadState {
					t.Errorf("want of a lease became a word for another draw: %v", err)
				}
				n.setLease(nil)
				n.token.set(func(t *token) { t.before = nil })
				if a, err = n.ask(q); err != nil || a.Items[0].Code != errs.OK {
					t.Errorf("with the lease back: %v, %v", a, err)
				}
				w.consistent()
			})
		})
	}
}

// TestLeaseIsWaitedFor: acks that are renewed a moment late cost no request.
func TestLeaseIsWaitedFor(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		for _, n := range w.all() {
			var since atomic.Int64
			n.setLease(func() error {
				now := time.Now().UnixMilli()
				since.CompareAndSwap(0, now)
				if now-since.Load() < 100 {
					return errNoLease
				}
				return nil
			})
		}
		c := w.request(k, "idle until now")
		begun := time.Now()
		w.verify(k, c, w.sign(c))
		if took := time.Since(begun); took < 100*time.Millisecond || took > 200*time.Millisecond {
			t.Errorf("took %s, want the 100 ms the lease took and little more", took)
		}
		if s := w.leading().vault.Stats(); s.Refusals != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestFrozenBetweenLookAndAnswer: what is frozen while the signatures wait for a lease
// does not leave once the lease is back.
func TestFrozenBetweenLookAndAnswer(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		q, drawn := w.question(w.abandoned(w.request(k, "late freeze")))
		n := w.nodes[drawn[0]]
		n.token.set(func(t *token) { t.before = func(string, []byte) { n.setLease(noLease) } })
		time.AfterFunc(100*time.Millisecond, func() {
			w.apply(w.command(&command.FreezeKey{Key: k.ID, Reason: "meanwhile"}, time.Minute, w.admin[0]))
			n.setLease(nil)
		})
		a, err := n.ask(q)
		w.ok(err)
		if a.Items[0].Code != errs.Frozen {
			t.Errorf("answered %s", a.Items[0].Code)
		}
		time.Sleep(time.Second) // the freeze is committed by then
	})
}

// TestStarvedRegionIsNotDrawnAnew: a leader keeps acks, or entries, from a region it would
// rather not see sign. That region's signed "not now" is no ground for another draw, not
// for the leader and not for a witness; when it is served again, the same pair signs.
func TestStarvedRegionIsNotDrawnAnew(t *testing.T) {
	for name, starve := range map[string]func(n *node, yes bool){
		"no lease": func(n *node, yes bool) {
			if n.setLease(nil); yes {
				n.setLease(noLease)
			}
		},
		"no entries": func(n *node, yes bool) {
			n.mu.Lock()
			n.paused = yes
			n.mu.Unlock()
			n.catchUp()
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				k := w.key(p256, 2)
				starve(w.nodes[3], true)
				req, drawn := w.drawing(k, 3)
				q, _ := w.question(req)
				w.lead(drawn[0])
				time.Sleep(30 * time.Second)
				idle := slices.DeleteFunc([]identity.RegionID{1, 2, 4}, func(r identity.RegionID) bool { return slices.Contains(drawn, r) })
				ask := &vault.Ask{Kind: command.WordUnreachable, About: 3, Items: q.Items, Question: q.Encode()}
				if _, err := w.nodes[idle[0]].vault.HandleWord(t.Context(), drawn[0], ask.Encode()); errs.CodeOf(err) != errs.BadState {
					t.Errorf("a word on a region that was starved: %v", err)
				}
				if row, _ := w.nodes[1].View().Request(req.ID); row.Open() == nil || row.Open().Number != 1 {
					t.Errorf("request %s, %d attempts: the leader had another pair drawn", row.State, len(row.Attempts))
				}
				starve(w.nodes[3], false)
				if row := w.row(1, req.ID); len(row.Attempts) != 1 || row.Results[0].Region != drawn[0] || row.Results[1].Region != drawn[1] {
					t.Errorf("%d attempts, signed by %v, drawn %v", len(row.Attempts), row.Results, drawn)
				}
				w.consistent()
			})
		})
	}
}

// TestSameBytesForEveryLeader: whichever region asks, and whenever, gets the same
// signatures; only the answer's time is new.
func TestSameBytesForEveryLeader(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.Secp256k1, 2)
		q, drawn := w.question(w.abandoned(w.request(k, "asked by all")))
		n := w.nodes[drawn[0]]
		var first *command.Answer
		for round := range 3 {
			for from := identity.RegionID(1); from <= 4; from++ {
				raw, err := n.vault.HandleCoSign(context.Background(), from, q.Encode())
				w.ok(err)
				a, err := command.DecodeAnswer(raw)
				w.ok(err)
				if first == nil {
					first = a
				}
				if !reflect.DeepEqual(a.Items, first.Items) || a.Value != first.Value {
					t.Fatalf("region %d in round %d got another answer", from, round)
				}
			}
			if round == 1 {
				n.kill()
				n.restart()
				w.apply(w.command(&command.RegisterSession{Cert: n.session.Cert.Encode(), Curves: []byte{1, 2, 3}}, time.Minute, w.kit.Region(n.id).Identity))
			}
		}
		w.consistent()
	})
}

// TestEveryHiddenReleaseIsFiled: a leader that hides the completions of a whole batch for
// good is shown up by both co-signers, each once, each with what it gave.
func TestEveryHiddenReleaseIsFiled(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		leader := w.nodes[1]
		w.set(func() {
			w.withhold = func(c *command.Command) bool {
				return c.Type == command.TypeComplete && c.Principal == leader.session.Public().Fingerprint()
			}
		})
		released := map[identity.RegionID]map[command.RequestID][][]byte{}
		for i := range 8 {
			c := w.request(k, "hidden "+string(rune('a'+i)))
			req := w.sign(c)
			for _, s := range req.Results {
				if released[s.Region] == nil {
					released[s.Region] = map[command.RequestID][][]byte{}
				}
				released[s.Region][req.ID] = s.Signatures
			}
		}
		delete(released, leader.id) // the liar files nothing about itself either
		filed := func() int {
			w.mu.Lock()
			defer w.mu.Unlock()
			n := 0
			for _, in := range w.log {
				for _, c := range in.Entry.Commands {
					body, _ := c.Body()
					b, ok := body.(*command.Complete)
					if !ok {
						continue
					}
					a, err := command.DecodeAnswer(b.Answers[0])
					w.ok(err)
					for _, it := range a.Items {
						if it.Code != errs.OK {
							continue
						}
						n++
						if !reflect.DeepEqual(it.Signatures, released[a.Region][it.Request]) {
							t.Errorf("region %d filed other signatures than it released", a.Region)
						}
					}
				}
			}
			return n
		}
		want := 0
		for _, of := range released {
			want += len(of)
		}
		time.Sleep(time.Minute)
		if got := filed(); got != want || want == 0 {
			t.Errorf("%d statements of released signatures in the log, want %d", got, want)
		}
	})
}

// TestOverloadIsNoGround: a leader that asks for so much at once that the HSM cannot keep
// up gets a signed "not now" for the rest, never a word for another draw.
func TestOverloadIsNoGround(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		n, witness := w.nodes[3], w.nodes[4]
		var questions []*vault.Question
		for i := 0; len(questions) < 12; i++ {
			q, drawn := w.question(w.abandoned(w.request(k, fmt.Sprint("flood ", i))))
			if slices.Contains(drawn, 3) {
				questions = append(questions, q)
			}
		}
		n.token.set(func(t *token) { t.delay = 400 * time.Millisecond })
		codes := make([]errs.Code, len(questions))
		var asking sync.WaitGroup
		for i, q := range questions {
			asking.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				raw, err := n.vault.HandleCoSign(ctx, 1, q.Encode())
				if err != nil {
					t.Errorf("no answer in time: %v", err)
					return
				}
				a, _ := command.DecodeAnswer(raw)
				codes[i] = a.Items[0].Code
			})
		}
		asking.Wait()
		late := slices.Index(codes, errs.NotReady)
		if late < 0 || !slices.Contains(codes, errs.OK) {
			t.Fatalf("answered %v, want some signed and some not now", codes)
		}
		for _, code := range codes {
			if code != errs.OK && code != errs.NotReady {
				t.Errorf("answered %s", code)
			}
		}
		q := questions[late]
		ask := &vault.Ask{Kind: command.WordRefused, About: 3, Items: q.Items}
		if _, err := n.vault.HandleWord(t.Context(), 1, ask.Encode()); errs.CodeOf(err) != errs.BadState {
			t.Errorf("overload became the region's own refusal: %v", err)
		}
		ask = &vault.Ask{Kind: command.WordUnreachable, About: 3, Items: q.Items, Question: q.Encode()}
		if _, err := witness.vault.HandleWord(t.Context(), 1, ask.Encode()); errs.CodeOf(err) != errs.BadState {
			t.Errorf("overload became a witness's word: %v", err)
		}
		w.consistent()
	})
}
