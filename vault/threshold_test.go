package vault_test

import (
	"bytes"
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

var jointCurves = []command.Curve{command.Ed25519, command.Secp256k1}

// TestThresholdSigns signs until every pair of regions has signed, under the key and under
// children of it, and every region tells the same signatures.
func TestThresholdSigns(t *testing.T) {
	for _, curve := range jointCurves {
		t.Run(curve.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				k := w.ready(curve, 2)
				pairs := map[[2]identity.RegionID]bool{}
				for i := 0; len(pairs) < 6 && i < 200; i++ {
					c := w.joint(k, fmt.Sprint("pay the baker ", i), [][]uint32{nil, {0}, {1, 7}}[i%3]...)
					req := w.sign(c)
					sums := w.proven(k, c, req)
					at, err := w.leading().vault.Signatures(req)
					w.ok(err)
					if !reflect.DeepEqual(at, sums) {
						t.Error("the leader tells other signatures")
					}
					row := w.row(3, req.ID)
					if got := w.proven(k, c, row); !reflect.DeepEqual(got, sums) {
						t.Error("the committed completion gives other signatures")
					}
					if again := w.sign(c); !reflect.DeepEqual(again.Results, req.Results) {
						t.Error("asked again: another answer")
					}
					pair := []identity.RegionID{req.Results[0].Region, req.Results[1].Region}
					slices.Sort(pair)
					pairs[[2]identity.RegionID{pair[0], pair[1]}] = true
				}
				if len(pairs) != 6 {
					t.Errorf("only %d pairs signed", len(pairs))
				}
				w.oneNonceOneMessage()
				w.consistent()
			})
		})
	}
}

func TestThresholdOfThreeAndFour(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		for _, signers := range []uint8{3, 4} {
			k := w.ready(command.Ed25519, signers)
			c := w.joint(k, "more of us")
			w.proven(k, c, w.sign(c))
		}
		w.oneNonceOneMessage()
	})
}

// TestThresholdBatch: what one entry carries is one question a region, of both schemes.
func TestThresholdBatch(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k, m := w.ready(command.Secp256k1, 2), w.key(command.P256, 2)
		var cs []*command.Command
		for i := range 40 {
			if i%4 == 0 {
				cs = append(cs, w.request(m, fmt.Sprint("message ", i)))
			} else {
				cs = append(cs, w.joint(k, fmt.Sprint("message ", i)))
			}
		}
		before := w.count("cosign")
		for i, r := range w.leading().vault.SignBatch(context.Background(), cs) {
			w.ok(r.Err)
			if i%4 == 0 {
				w.verify(m, cs[i], r.Request)
				if s, err := vault.Signatures(w.nodes[1].View(), r.Request); s != nil || err != nil {
					t.Errorf("signatures of a multisig request: %x, %v", s, err)
				}
			} else {
				w.proven(k, cs[i], r.Request)
			}
		}
		if n := w.count("cosign") - before; n > 6 {
			t.Errorf("%d questions over the network for one batch", n)
		}
		w.oneNonceOneMessage()
	})
}

// TestCrashBeforeTheAnswer: a drawn region dies after it used its nonce and before its
// answer is written down. Started again it has no nonces of before, says so, and another
// draw signs.
func TestCrashBeforeTheAnswer(t *testing.T) {
	i := 0
	for _, curve := range jointCurves {
		for which := range 2 {
			t.Run(fmt.Sprintf("%s, drawn %d", curve, which), func(t *testing.T) {
				sample(t, &i, 3)
				simulate(t, func(t *testing.T, w *world) {
					k := w.ready(curve, 2)
					c := w.joint(k, "interrupted")
					req := w.abandoned(c)
					q, drawn := w.question(req)
					victim := w.nodes[drawn[which]]
					victim.disk.SetCapacity(victim.disk.Used() + 4)
					held, _ := victim.vault.Nonces(curve)
					if a, err := victim.ask(q); err != nil || a.Items[0].Code != errs.DiskFull {
						t.Fatalf("answer %+v, %v: want that the disk is full", a, err)
					}
					if now, _ := victim.vault.Nonces(curve); now != held-1 {
						t.Fatalf("%d nonces, then %d: none was used", held, now)
					}
					victim.kill()
					victim.disk.SetCapacity(0)
					victim.restart()
					w.lead(victim.id%4 + 1)
					row := w.row(victim.id%4+1, req.ID)
					w.proven(k, c, row)
					if len(row.Attempts) != 2 {
						t.Errorf("%d attempts, want 2", len(row.Attempts))
					}
					w.stocked(curve)
					w.oneNonceOneMessage()
					w.consistent()
				})
			})
		}
	}
}

// TestThresholdAnswerSurvivesTheProcess: what was written down is given again, verbatim, by a
// region that has none of its nonces any more.
func TestThresholdAnswerSurvivesTheProcess(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		c := w.joint(k, "written down")
		req := w.abandoned(c)
		q, drawn := w.question(req)
		n := w.nodes[drawn[0]]
		first, err := n.ask(q)
		w.ok(err)
		n.kill()
		n.restart()
		w.lead(n.id%4 + 1)
		row := w.row(1, req.ID)
		w.proven(k, c, row)
		if !reflect.DeepEqual(row.Results[0].Signatures, first.Items[0].Signatures) {
			t.Error("another share than the one written down")
		}
		if len(row.Attempts) != 1 {
			t.Errorf("%d attempts, want 1", len(row.Attempts))
		}
		w.oneNonceOneMessage()
	})
}

// TestThresholdLeaderChanges: the leader goes while the drawn regions sign; the next one
// asks the same regions and gets the same shares.
func TestThresholdLeaderChanges(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Secp256k1, 2)
		var cs []*command.Command
		for i := range 20 {
			cs = append(cs, w.joint(k, fmt.Sprint("flap ", i)))
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 30 {
				w.lead(identity.RegionID(i%4 + 1))
				time.Sleep(7 * time.Millisecond)
			}
		}()
		for _, c := range cs {
			for {
				req, err := w.leading().vault.Sign(context.Background(), c)
				if err == nil {
					w.proven(k, c, req)
					break
				}
				if !slices.Contains([]errs.Code{errs.OutcomeUnknown, errs.NoLeader}, errs.CodeOf(err)) {
					t.Fatal(err)
				}
			}
		}
		<-done
		for _, c := range cs {
			w.proven(k, c, w.row(2, command.RequestIDOf(c.Principal, c.ID)))
		}
		w.oneNonceOneMessage()
		w.consistent()
	})
}

// TestWrongShare: a region answers with a share that is none. It is named, another region
// sees it too, and the next draw signs without it.
func TestWrongShare(t *testing.T) {
	i := 0
	for _, curve := range jointCurves {
		t.Run(curve.String(), func(t *testing.T) {
			sample(t, &i, 2)
			simulate(t, func(t *testing.T, w *world) {
				k := w.ready(curve, 2)
				w.set(func() { w.tamper = w.spoil(3) })
				for i := range 12 {
					c := w.joint(k, fmt.Sprint("spoiled ", i))
					req := w.sign(c)
					w.proven(k, c, req)
					if slices.ContainsFunc(req.Results, func(s fsm.SignatureSet) bool { return s.Region == 3 }) {
						t.Error("a liar's share is in the result")
					}
				}
				w.eventually("completions", func() bool { return len(w.nodes[1].View().OpenRequests()) == 0 })
				if s := w.leading().vault.Stats(); s.BadAnswers == 0 || s.SecondAttempts == 0 {
					t.Errorf("%d bad answers and %d further attempts counted", s.BadAnswers, s.SecondAttempts)
				}
				words := w.wordsOn(3)
				if len(words) == 0 {
					t.Error("no region's word on the liar stands in the log")
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				for _, v := range words {
					if v.Kind != command.WordWrong || !w.lied[v.Answer] {
						t.Errorf("the log says that the liar %s, answer %x", v.Kind, v.Answer[:4])
					}
				}
			})
		})
	}
}

// spoil has a region's shares replaced by ones that decode and are wrong.
func (w *world) spoil(liar identity.RegionID) func(from, to identity.RegionID, m *message) {
	return func(_, to identity.RegionID, m *message) {
		if to != liar || m.kind != "cosign" || m.answer == nil {
			return
		}
		a, err := command.DecodeAnswer(m.answer)
		w.ok(err)
		for i := range a.Items {
			for j, s := range a.Items[i].Signatures {
				s = bytes.Clone(s)
				if curve := s[1]; curve == 1 {
					s[len(s)-32] ^= 1 // little-endian scalar
				} else {
					s[len(s)-1] ^= 1
				}
				a.Items[i].Signatures[j] = s
			}
		}
		w.ok(a.Sign(context.Background(), w.kit.Cluster(), w.nodes[liar].session))
		m.answer = a.Encode()
		w.mu.Lock()
		w.lied[a.Hash()] = true
		w.mu.Unlock()
	}
}

// wordOn reports whether an attempt was opened on another region's word on one.
func (w *world) wordOn(about identity.RegionID) bool { return len(w.wordsOn(about)) > 0 }

// wordsOn returns the words of other regions on one that attempts were opened on.
func (w *world) wordsOn(about identity.RegionID) (words []*command.Word) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, in := range w.log {
		for _, c := range in.Entry.Commands {
			body, err := c.Body()
			if err != nil || c.Type != command.TypeOpenAttempt {
				continue
			}
			for _, raw := range body.(*command.OpenAttempt).Words {
				if v, err := command.DecodeWord(raw); err == nil && v.About == about && v.By != about {
					words = append(words, v)
				}
			}
		}
	}
	return words
}

// TestWithheldShare: a region says nothing, the others draw anew.
func TestWithheldShare(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		w.set(func() {
			w.tamper = func(_, to identity.RegionID, m *message) {
				if to == 2 && m.kind == "cosign" {
					<-m.ctx.Done()
					m.err = errs.New(errs.Unavailable, "nothing heard")
				}
			}
		})
		for i := range 8 {
			c := w.joint(k, fmt.Sprint("withheld ", i))
			w.proven(k, c, w.sign(c))
		}
		if words := w.wordsOn(2); len(words) == 0 || slices.ContainsFunc(words, func(v *command.Word) bool { return v.Kind != command.WordUnreachable }) {
			t.Errorf("a region that says nothing is not said to be unreachable: %+v", words)
		}
		w.oneNonceOneMessage()
	})
}

// TestDrainedPools: regions whose offers do not get into the log run out; who asks is told
// that nobody can sign, and signs with a new request once the pools are filled again.
func TestDrainedPools(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		w.countsTurnedAway(func(n int) bool { return n == 0 })
		w.set(func() { w.withhold = func(c *command.Command) bool { return c.Type == command.TypeOfferNonces } })
		dry := false
		for i := 0; i < 300 && !dry; i++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := w.leading().vault.Sign(ctx, w.joint(k, fmt.Sprint("drain ", i)))
			cancel()
			dry = errs.CodeOf(err) == errs.NoEligiblePair
			if err != nil && !dry {
				t.Fatal(err)
			}
		}
		if !dry {
			t.Fatal("the pools were never empty")
		}
		w.countsTurnedAway(func(n int) bool { return n > 0 })
		w.set(func() { w.withhold = nil })
		w.stocked(command.Ed25519)
		c := w.joint(k, "refilled")
		w.proven(k, c, w.sign(c))
		w.eventually("larger pools", func() bool { return w.pool(2, command.Ed25519) > poolAtRest })
		w.oneNonceOneMessage()
	})
}

// countsTurnedAway: each region has counted what the outcomes say, and as many as expected.
func (w *world) countsTurnedAway(expected func(n int) bool) {
	w.t.Helper()
	n := w.turnedAway()
	if !expected(n) {
		w.t.Errorf("%d commands were turned away", n)
	}
	for id, node := range w.nodes {
		if got := node.vault.Stats().TurnedAway; got != uint64(n) {
			w.t.Errorf("region %d counted %d commands turned away, there were %d", id, got, n)
		}
	}
}

// TestNoncesAreBounded: what no attempt can ask for any more is burned, and an idle pool
// shrinks to its least.
func TestNoncesAreBounded(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		var cs []*command.Command
		for i := range 300 {
			cs = append(cs, w.joint(k, fmt.Sprint("many ", i)))
		}
		for len(cs) > 0 {
			n := min(32, len(cs))
			for i, r := range w.leading().vault.SignBatch(context.Background(), cs[:n]) {
				if code := errs.CodeOf(r.Err); code != errs.OK && code != errs.NoEligiblePair {
					t.Fatal(i, r.Err)
				}
			}
			cs = cs[n:]
		}
		time.Sleep(20 * time.Minute)
		for _, n := range w.all() {
			held, target := n.vault.Nonces(command.Ed25519)
			if listed := w.pool(n.id, command.Ed25519); held != listed || target != poolAtRest {
				t.Errorf("region %d holds %d nonces, the log lists %d of them, at a target of %d", n.id, held, listed, target)
			}
		}
	})
}

// TestOldQuestionAfterRestart: a question of before about an attempt that is not open any
// more, asked of a region that started anew, gets nothing.
func TestOldQuestionAfterRestart(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		req := w.abandoned(w.joint(k, "long ago"))
		q, drawn := w.question(req)
		n := w.nodes[drawn[0]]
		w.lead(drawn[1])
		w.row(drawn[1], req.ID)
		n.kill()
		n.restart()
		w.eventually("its session stands", func() bool {
			a, err := n.ask(q)
			return err == nil && a.Items[0].Code == errs.BadState
		})
		w.oneNonceOneMessage()
	})
}

// TestThresholdFreeze: a freeze after the first look at the permit comes in time: before
// the nonce is used it spares the nonce, afterwards it keeps the share in.
func TestThresholdFreeze(t *testing.T) {
	for what, freeze := range map[string]func(command.KeyID) command.Body{
		"key": func(id command.KeyID) command.Body { return &command.FreezeKey{Key: id, Reason: "in between"} },
		"path": func(id command.KeyID) command.Body {
			return &command.FreezePath{Key: id, Path: []uint32{0}, Reason: "in between"}
		},
	} {
		for _, c := range []struct {
			name       string
			look, used int // at which look at the lease it comes; nonces used by then
		}{{"before the question", 1, 0}, {"before the nonce is used", 2, 0}, {"before the answer leaves", 3, 1}} {
			t.Run(what+" "+c.name, func(t *testing.T) {
				simulate(t, func(t *testing.T, w *world) {
					k := w.ready(command.Secp256k1, 2)
					req := w.abandoned(w.joint(k, "frozen", 0, 5))
					q, drawn := w.question(req)
					n := w.nodes[drawn[0]]
					looks := 0
					n.setLease(func() error {
						if looks++; looks == c.look {
							w.apply(w.command(freeze(k.ID), time.Minute, w.admin[0]))
						}
						return nil
					})
					held, _ := n.vault.Nonces(k.Curve)
					a, err := n.ask(q)
					if err != nil || a.Items[0].Code != errs.Frozen || len(a.Items[0].Signatures) != 0 {
						t.Errorf("answer %+v, %v", a, err)
					}
					if now, _ := n.vault.Nonces(k.Curve); now != held-c.used {
						t.Errorf("%d nonces, then %d: want %d used", held, now, c.used)
					}
				})
			})
		}
	}
}

// TestSignsAcrossARefresh: an attempt opened under the sharing before is answered with the
// shares of before until its time is over, and never after.
func TestSignsAcrossARefresh(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		w.set(func() {
			w.tamper = func(_, _ identity.RegionID, m *message) { m.err = errs.New(errs.Unavailable, "cut") }
		})
		early, late := w.joint(k, "just before"), w.joint(k, "too late")
		w.apply(early)
		w.apply(late)
		w.set(func() { w.tamper = nil })
		w.refresh(k.ID)
		fresh := w.live(k.ID, 2)
		if fresh.Sharing.Epoch != 2 || !bytes.Equal(fresh.Point, k.Point) {
			t.Fatalf("sharing %d of key %x", fresh.Sharing.Epoch, fresh.Point)
		}
		w.proven(k, early, w.sign(early))
		c := w.joint(k, "after")
		req := w.sign(c)
		w.proven(k, c, req)
		if e := req.Attempts[0].Epoch; e != 2 {
			t.Errorf("signed with sharing %d", e)
		}
		w.oneNonceOneMessage()
	})
}

func TestRetiredSharingSignsNothing(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(command.Ed25519, 2)
		c := w.joint(k, "too late")
		w.set(func() { w.withhold = func(c *command.Command) bool { return c.Type == command.TypeComplete } })
		req := w.abandoned(c)
		q, drawn := w.question(req)
		w.lead(0)
		w.mu.Lock()
		w.leader = 1 // proposals are taken, but nobody works on requests
		w.mu.Unlock()
		w.refresh(k.ID)
		w.live(k.ID, 2)
		if a, err := w.nodes[drawn[0]].ask(q); err != nil || a.Items[0].Code != errs.OK {
			t.Fatalf("answer %+v, %v: the sharing before still signs", a, err)
		}
		time.Sleep(90 * time.Second)
		w.apply(w.command(&command.Tick{}, time.Minute, w.nodes[1].session))
		for _, r := range drawn {
			if a, err := w.nodes[r].ask(q); err != nil || a.Items[0].Code != errs.Stale {
				t.Errorf("answer %+v, %v", a, err)
			}
		}
	})
}

// TestNoncesLostByAll: where too few others hold the key, those that lost the nonces of an
// attempt because they started anew are drawn again, with fresh ones.
func TestNoncesLostByAll(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		first := w.ready(command.Ed25519, 2)
		w.refresh(first.ID, 1, 2, 3)
		k := w.live(first.ID, 2)
		c := w.joint(k, "both started anew")
		req := w.abandoned(c)
		_, drawn := w.question(req)
		for _, r := range drawn {
			w.nodes[r].kill()
			w.nodes[r].restart()
		}
		w.lead(4)
		w.stocked(k.Curve)
		w.eventually("signed", func() bool { return w.now(req.ID).State == fsm.RequestComplete })
		w.proven(k, c, w.now(req.ID))
		w.oneNonceOneMessage()
		w.consistent()
	})
}

// now is how a request stands.
func (w *world) now(id command.RequestID) *fsm.Request {
	req, ok := w.nodes[1].View().Request(id)
	if !ok {
		w.t.Fatalf("no request %s", id)
	}
	return req
}
