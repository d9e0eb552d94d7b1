package vault_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

// TestDeadRegion signs through the death of a region: what drew it is drawn again on
// another's word, and soon it is not drawn any more; when it is back it is.
func TestDeadRegion(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.nodes[4].kill()
		again := 0
		for i := range 12 {
			c := w.request(k, fmt.Sprint("without four ", i))
			req := w.sign(c)
			w.verify(k, c, req)
			if len(req.Attempts) > 1 {
				again++
				if slices.Contains(req.Attempts[1].Eligible, 4) {
					t.Error("the dead region is among the second draw's")
				}
			}
		}
		if row, _ := w.nodes[1].View().Region(4); row.Healthy {
			t.Error("the dead region counts as healthy still")
		}
		if again == 0 || again > 1 {
			t.Errorf("%d of 12 requests were drawn again, want the first that drew the dead region alone", again)
		}
		w.nodes[4].restart()
		w.eventually("region 4 is back", func() bool {
			row, _ := w.nodes[1].View().Region(4)
			return row.Healthy
		})
		c := w.request(k, "with four")
		req := w.sign(c)
		if !slices.Contains(req.Attempts[0].Eligible, 4) {
			t.Error("the region that came back is not drawn among")
		}
		w.row(4, req.ID)
		w.consistent()
	})
}

// TestRedrawWithoutACaller: an attempt that is opened while its round still runs is worked
// on at once, also if nobody waits for the request any more.
func TestRedrawWithoutACaller(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.nodes[2].token.fail(errs.New(errs.HSMFailed, "gone"))
		for i := range 8 {
			w.must(w.request(k, fmt.Sprint("gone away ", i)))
			time.Sleep(500 * time.Millisecond)
			if n := len(w.nodes[1].View().OpenRequests()); n != 0 {
				t.Fatalf("request %d is open still", i)
			}
		}
		if s := w.leading().vault.Stats(); s.SecondAttempts == 0 {
			t.Error("nothing was drawn again")
		}
		w.consistent()
	})
}

// TestLyingWitness: a forged word about a dead region does not stand in the way of a
// true one.
func TestLyingWitness(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.nodes[4].kill()
		w.set(func() {
			w.tamper = func(_, to identity.RegionID, m *message) {
				if to == 3 && m.kind == "word" && m.answer == nil {
					time.Sleep(100 * time.Millisecond) // the liar is first
				}
				if to == 2 && m.kind == "word" && m.answer != nil {
					m.answer[len(m.answer)-1] ^= 1
				}
			}
		})
		for i := range 16 {
			c := w.request(k, fmt.Sprint("witness ", i))
			w.verify(k, c, w.sign(c))
		}
		if s := w.leading().vault.Stats(); s.SecondAttempts == 0 || s.BadAnswers == 0 {
			t.Errorf("want a second attempt beside a lie: %+v", s)
		}
		w.consistent()
	})
}

// TestSilentRegion: connections stand, nothing answers.
func TestSilentRegion(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		hang := func(from, to identity.RegionID, m *message) {
			if to == 3 && m.answer == nil {
				<-m.ctx.Done()
				m.err = m.ctx.Err()
			}
		}
		w.set(func() { w.tamper = hang })
		for i := range 6 {
			c := w.request(k, fmt.Sprint("silence ", i))
			w.verify(k, c, w.sign(c))
		}
		w.set(func() { w.tamper = nil })
		w.eventually("region 3 says that it is well", func() bool {
			row, _ := w.nodes[1].View().Region(3)
			return row.Healthy
		})
		w.consistent()
	})
}

// TestNoRedrawOfAReachableRegion: a leader that cannot reach a drawn region, but others
// can, gets no word, and so no other pair.
func TestNoRedrawOfAReachableRegion(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 4) // all are drawn
		w.set(func() { w.cut[[2]identity.RegionID{1, 2}] = true })
		c := w.request(k, "only by this four")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := w.nodes[1].vault.Sign(ctx, c); errs.CodeOf(err) != errs.OutcomeUnknown {
			t.Errorf("got %v", err)
		}
		row, _ := w.nodes[1].View().Request(command.RequestIDOf(c.Principal, c.ID))
		if len(row.Attempts) != 1 {
			t.Errorf("%d attempts without a valid reason", len(row.Attempts))
		}
		if r, _ := w.nodes[1].View().Region(2); !r.Healthy {
			t.Error("a reachable region was reported ill")
		}
		w.set(func() { clear(w.cut) })
		w.verify(k, c, w.sign(c))
		w.consistent()
	})
}

// TestBrokenHSM: the region refuses, gives its word, another pair is drawn, and the
// region takes itself out until its HSM works again.
func TestBrokenHSM(t *testing.T) {
	for _, code := range []errs.Code{errs.HSMFailed, errs.HSMTimeout} {
		t.Run(code.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				k := w.key(p256, 2)
				w.nodes[2].token.fail(errs.New(code, "device gone"))
				w.nodes[1].token.fail(errs.New(code, "device gone")) // the leader's own too
				for i := range 8 {
					c := w.request(k, fmt.Sprint("without that HSM ", i))
					req := w.sign(c)
					w.verify(k, c, req)
					for _, s := range req.Results {
						if s.Region <= 2 {
							t.Error("a broken HSM signed")
						}
					}
				}
				w.eventually("both take themselves out", func() bool {
					a, _ := w.nodes[3].View().Region(1)
					b, _ := w.nodes[3].View().Region(2)
					return !a.Healthy && !b.Healthy
				})
				w.nodes[1].token.fail(nil)
				w.nodes[2].token.fail(nil)
				w.eventually("both are back", func() bool {
					a, _ := w.nodes[3].View().Region(1)
					b, _ := w.nodes[3].View().Region(2)
					return a.Healthy && b.Healthy
				})
				w.consistent()
			})
		})
	}
}

// TestNobodyElse: while too few others could sign, no attempt is spent on another draw
// among the same regions; the pair is asked again until it can.
func TestNobodyElse(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		for _, id := range []identity.RegionID{3, 4} {
			w.nodes[id].token.fail(errs.New(errs.HSMFailed, "device gone"))
			w.eventually("a broken HSM is reported", func() bool {
				row, _ := w.nodes[1].View().Region(id)
				return !row.Healthy
			})
		}
		w.nodes[2].token.set(func(t *token) { t.delay = time.Minute }) // Health still passes
		c := w.request(k, "only these two")
		w.must(c)
		time.Sleep(15 * time.Second)
		w.nodes[2].token.set(func(t *token) { t.delay = 0 })
		req := w.sign(c)
		w.verify(k, c, req)
		if len(req.Attempts) != 1 {
			t.Errorf("%d attempts were spent on one pair", len(req.Attempts))
		}
		w.consistent()
	})
}

// TestFaultyHSM: what a token signs wrongly never leaves its region, which refuses and is
// drawn no more for that request. A faulty signature could tell the key.
func TestFaultyHSM(t *testing.T) {
	for _, curve := range []command.Curve{command.Secp256k1, command.P256, command.Ed25519} {
		t.Run(curve.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				k := w.key(curve, 2)
				for _, id := range []identity.RegionID{1, 2} { // the leader's own too
					w.nodes[id].token.set(func(t *token) { t.wrong = true })
				}
				for i := range 4 {
					c := w.request(k, fmt.Sprint("faulty ", i))
					w.verify(k, c, w.sign(c))
				}
				if s := w.leading().vault.Stats(); s.BadAnswers != 0 || s.SecondAttempts == 0 {
					t.Errorf("wrong signatures left their region: %+v", s)
				}
				w.consistent()
			})
		})
	}
}

// TestGivesUp: when no draw can be honoured, the request fails after three.
func TestGivesUp(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		for _, n := range w.all() {
			n.token.set(func(t *token) { t.delay = time.Minute }) // Health still passes
		}
		c := w.request(k, "hopeless")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		_, err := w.leading().vault.Sign(ctx, c)
		if errs.CodeOf(err) != errs.BadState {
			t.Errorf("got %v", err)
		}
		row := w.row(3, command.RequestIDOf(c.Principal, c.ID))
		if row.State != fsm.RequestFailed || len(row.Attempts) != 3 {
			t.Errorf("request is %s after %d attempts", row.State, len(row.Attempts))
		}
	})
}

// TestBadPayload: what no co-signer can decode is refused before it is asked.
func TestBadPayload(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.Secp256k1, 2)
		c := w.command(&command.RequestSignature{Key: k.ID, Kind: command.KindPSBT, Payload: []byte("psbt\xffnot one")}, time.Minute, w.client)
		_, err := w.leading().vault.Sign(t.Context(), c)
		if code := errs.CodeOf(err); code != errs.PayloadRejected && code != errs.Malformed {
			t.Errorf("got %v", err)
		}
		if all, _ := w.nodes[2].token.signatures(); all > 1 { // its proof of possession
			t.Error("something was signed")
		}
	})
}

// TestLateRegion: what the quick regions complete is handed out and filed without the
// slow one; the rest follows.
func TestLateRegion(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.nodes[3].token.set(func(t *token) { t.delay = 150 * time.Millisecond })
		var cs []*command.Command
		for i := range 16 {
			cs = append(cs, w.request(k, fmt.Sprint("late ", i)))
		}
		begun := time.Now()
		done := make(chan []vault.Result, 1)
		go func() { done <- w.leading().vault.SignBatch(t.Context(), cs) }()
		time.Sleep(150 * time.Millisecond)
		complete := 0
		for _, c := range cs {
			if r, ok := w.nodes[2].View().Request(command.RequestIDOf(c.Principal, c.ID)); ok && r.State == fsm.RequestComplete {
				complete++
			}
		}
		if complete == 0 || complete == 16 {
			t.Errorf("%d of 16 committed after %s, want those without the slow region", complete, time.Since(begun))
		}
		for i, r := range <-done {
			w.ok(r.Err)
			w.verify(k, cs[i], r.Request)
			if row := w.row(1, r.Request.ID); !reflect.DeepEqual(row.Results, r.Request.Results) {
				t.Error("another completion than the answer")
			}
		}
		w.consistent()
	})
}

// TestUnwillingCoSigner: a region that is there and well, says so to everybody who asks,
// and yet gives no signatures, holds up nothing for longer than one more draw.
func TestUnwillingCoSigner(t *testing.T) {
	for name, unwilling := range map[string]func(w *world, m *message){
		"hangs": func(_ *world, m *message) {
			<-m.ctx.Done()
			m.err = m.ctx.Err()
		},
		"errs": func(_ *world, m *message) { m.err = errs.New(errs.NotReady, "not today") },
		"refuses, without its word": func(w *world, m *message) {
			if m.answer == nil {
				return
			}
			a, err := command.DecodeAnswer(m.answer)
			w.ok(err)
			for i := range a.Items {
				a.Items[i].Code, a.Items[i].Signatures = errs.HSMFailed, nil
			}
			w.ok(a.Sign(context.Background(), w.kit.Cluster(), w.nodes[2].session))
			m.answer = a.Encode()
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				k := w.key(p256, 2)
				w.set(func() {
					w.tamper = func(_, to identity.RegionID, m *message) {
						if to == 2 && m.kind == "cosign" {
							unwilling(w, m)
						}
					}
				})
				for i := range 8 {
					c := w.request(k, fmt.Sprint("unwilling ", i))
					w.verify(k, c, w.sign(c))
				}
				if s := w.leading().vault.Stats(); s.SecondAttempts == 0 {
					t.Errorf("region 2 was never drawn: %+v", s)
				}
				if r, _ := w.nodes[1].View().Region(2); !r.Healthy {
					t.Error("a region that answers probes was reported ill")
				}
				w.consistent()
			})
		})
	}
}

// TestForgedPartialOnAppendReply: a region that sends nonsense delays nothing.
func TestForgedPartialOnAppendReply(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.set(func() { w.partials = func(from identity.RegionID) bool { return from != 2 } })
		w.set(func() {
			w.forged = func(meta command.Meta) (identity.RegionID, []byte) {
				p, _ := w.nodes[2].vault.Evaluate(meta)
				p = slices.Clone(p)
				p[len(p)-1] ^= 1
				return 2, p
			}
		})
		for i := range 4 {
			c := w.request(k, fmt.Sprint("forged ", i))
			w.verify(k, c, w.sign(c))
		}
		if n := w.count("partial"); n != 0 {
			t.Errorf("%d partials asked for: three good ones were there", n)
		}
	})
}

// TestFloodOfPartials: a region that sends partials on entries that do not exist pushes
// out nobody else's.
func TestFloodOfPartials(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		p, err := w.nodes[4].vault.Evaluate(command.Meta{Index: 1 << 40})
		w.ok(err)
		w.set(func() {
			w.partials = func(from identity.RegionID) bool {
				for i := range uint64(2000) {
					if from == 4 {
						w.nodes[1].vault.Deliver(4, command.Meta{Index: 1<<40 + i}, p)
					}
				}
				return from != 4
			}
		})
		for i := range 4 {
			c := w.request(k, fmt.Sprint("flood ", i))
			w.verify(k, c, w.sign(c))
		}
		if n := w.count("partial"); n != 0 {
			t.Errorf("%d partials asked for: the others' were pushed out", n)
		}
	})
}

func TestQuorumOfPartialsLost(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.set(func() { w.partials = func(from identity.RegionID) bool { return from == 1 } })
		w.sever(2, true)
		w.sever(3, true)
		c := w.request(k, "two are not enough")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := w.nodes[1].vault.Sign(ctx, c); errs.CodeOf(err) != errs.OutcomeUnknown {
			t.Errorf("got %v", err)
		}
		w.sever(2, false)
		w.sever(3, false)
		w.verify(k, c, w.sign(c))
		w.consistent()
	})
}

// TestExpiresWithoutLeader: a request nobody could sign in time ends with its own code.
func TestExpiresUnsigned(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		for _, n := range w.all() {
			n.mu.Lock()
			n.unready = errs.New(errs.NotReady, "catching up")
			n.mu.Unlock()
		}
		c := w.request(k, "too late")
		if _, err := w.leading().vault.Sign(t.Context(), c); errs.CodeOf(err) != errs.Expired {
			t.Errorf("got %v", err)
		}
	})
}

func TestFrozenWhileWaiting(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.slowHSMs(400 * time.Millisecond)
		failed := make(chan error, 1)
		go func() {
			_, err := w.leading().vault.Sign(t.Context(), w.request(k, "stop"))
			failed <- err
		}()
		time.Sleep(100 * time.Millisecond)
		w.must(w.command(&command.FreezeKey{Key: k.ID, Reason: "drill"}, time.Minute, w.admin[0]))
		if err := <-failed; errs.CodeOf(err) != errs.Frozen {
			t.Errorf("got %v", err)
		}
		if _, err := w.leading().vault.Sign(t.Context(), w.request(k, "still frozen")); errs.CodeOf(err) != errs.Frozen {
			t.Errorf("got %v", err)
		}
	})
}
