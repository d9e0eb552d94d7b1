package vault_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

// TestCoSignerRefuses asks a drawn region directly, as a leader might who lies or is
// wrong. Nothing may be signed.
func TestCoSignerRefuses(t *testing.T) {
	other := func(w *world, drawn []identity.RegionID) *node {
		for _, n := range w.all() {
			if !slices.Contains(drawn, n.id) {
				return n
			}
		}
		return nil
	}
	for _, c := range []struct {
		name string
		do   func(w *world, k *fsm.Key, n *node, q *vault.Question, drawn []identity.RegionID) *node // nil: ask n
		want errs.Code
	}{
		{"region not drawn", func(w *world, _ *fsm.Key, _ *node, _ *vault.Question, drawn []identity.RegionID) *node {
			return other(w, drawn)
		}, errs.Denied},
		{"unknown request", func(_ *world, _ *fsm.Key, _ *node, q *vault.Question, _ []identity.RegionID) *node {
			q.Items[0].Request[0] ^= 1
			return nil
		}, errs.NotFound},
		{"attempt not open", func(_ *world, _ *fsm.Key, _ *node, q *vault.Question, _ []identity.RegionID) *node {
			q.Items[0].Attempt = 2
			return nil
		}, errs.BadState},
		{"other chain", func(_ *world, _ *fsm.Key, _ *node, q *vault.Question, _ []identity.RegionID) *node {
			q.Meta.Chain[3] ^= 1
			return nil
		}, errs.BadState},
		{"earlier entry", func(_ *world, _ *fsm.Key, _ *node, q *vault.Question, _ []identity.RegionID) *node {
			q.Meta.Index--
			return nil
		}, errs.BadState},
		{"wrong value", func(_ *world, _ *fsm.Key, _ *node, q *vault.Question, _ []identity.RegionID) *node {
			q.Value[0] ^= 1
			return nil
		}, errs.Unverified},
		{"forged partial", func(_ *world, _ *fsm.Key, n *node, q *vault.Question, _ []identity.RegionID) *node {
			for i := range q.Partials {
				q.Partials[i][len(q.Partials[i])-1] ^= 1
			}
			return nil
		}, errs.Unverified},
		{"too few partials", func(_ *world, _ *fsm.Key, _ *node, q *vault.Question, _ []identity.RegionID) *node {
			q.Partials = [][]byte{q.Partials[0], q.Partials[0], q.Partials[0]}
			return nil
		}, errs.Unverified},
		{"item twice", func(_ *world, _ *fsm.Key, _ *node, q *vault.Question, _ []identity.RegionID) *node {
			q.Items = append(q.Items, q.Items[0])
			return nil
		}, errs.Malformed},
		{"expired by its own clock", func(*world, *fsm.Key, *node, *vault.Question, []identity.RegionID) *node {
			time.Sleep(6 * time.Minute) // nobody leads, so the committed clock stands still
			return nil
		}, errs.Expired},
		{"replica not ready", func(_ *world, _ *fsm.Key, n *node, _ *vault.Question, _ []identity.RegionID) *node {
			n.mu.Lock()
			n.unready = errs.New(errs.NotReady, "behind its mark")
			n.mu.Unlock()
			return nil
		}, errs.NotReady},
		{"leaves cannot be stored", func(_ *world, _ *fsm.Key, n *node, _ *vault.Question, _ []identity.RegionID) *node {
			n.mu.Lock()
			n.leaves = errs.New(errs.DiskFull, "no space")
			n.mu.Unlock()
			return nil
		}, errs.DiskFull},
		{"HSM fails", func(_ *world, _ *fsm.Key, n *node, _ *vault.Question, _ []identity.RegionID) *node {
			n.token.fail(errs.New(errs.HSMFailed, "device removed"))
			return nil
		}, errs.HSMFailed},
		{"HSM hangs", func(_ *world, _ *fsm.Key, n *node, _ *vault.Question, _ []identity.RegionID) *node {
			n.token.set(func(t *token) { t.delay = time.Minute })
			return nil
		}, errs.HSMTimeout},
		{"disk full", func(_ *world, _ *fsm.Key, n *node, _ *vault.Question, _ []identity.RegionID) *node {
			n.disk.SetCapacity(n.disk.Used() + 8)
			return nil
		}, errs.DiskFull},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				k := w.key(command.P256, 2)
				made := 0
				for _, n := range w.all() {
					all, _ := n.token.signatures()
					made += all
				}
				req := w.abandoned(w.request(k, "refuse me"))
				q, drawn := w.question(req)
				n := w.nodes[drawn[0]]
				if to := c.do(w, k, n, q, drawn); to != nil {
					n = to
				}
				a, err := n.ask(q)
				got := errs.CodeOf(err)
				if err == nil {
					got = a.Items[0].Code
					if len(a.Items[0].Signatures) != 0 {
						t.Error("signatures beside a refusal")
					}
				}
				if got != c.want {
					t.Errorf("got %s (%v), want %s", got, err, c.want)
				}
				for _, n := range w.all() {
					all, _ := n.token.signatures()
					made -= all
				}
				if made != 0 && c.name != "disk full" && c.name != "HSM hangs" {
					t.Errorf("the HSMs signed %d times", -made)
				}
			})
		})
	}
}

// TestRefusesWhatIsFrozen freezes before the question, while the HSM works, and after an
// answer was cached.
func TestRefusesWhatIsFrozen(t *testing.T) {
	freeze := map[string]func(w *world, k *fsm.Key) *command.Command{
		"key": func(w *world, k *fsm.Key) *command.Command {
			return w.command(&command.FreezeKey{Key: k.ID, Reason: "drill"}, time.Minute, w.admin[0])
		},
		"vault": func(w *world, _ *fsm.Key) *command.Command {
			return w.command(&command.FreezeVault{Reason: "drill"}, time.Minute, w.admin[0])
		},
		"author removed": func(w *world, _ *fsm.Key) *command.Command {
			return w.dual(&command.RemovePrincipal{Principal: w.client.Public().Fingerprint()})
		},
		"author's role": func(w *world, _ *fsm.Key) *command.Command {
			return w.dual(&command.PutPrincipal{Name: "service", Tenant: "acme", Key: w.client.Public(), Roles: command.RoleAuditor})
		},
	}
	for what, command := range freeze {
		for _, when := range []string{"before", "in the HSM", "cached"} {
			t.Run(what+" "+when, func(t *testing.T) {
				simulate(t, func(t *testing.T, w *world) {
					k := w.key(p256, 2)
					req := w.abandoned(w.request(k, "stop me"))
					q, drawn := w.question(req)
					n := w.nodes[drawn[1]]
					var once sync.Once
					switch when {
					case "before":
						w.apply(command(w, k))
					case "in the HSM":
						n.token.set(func(t *token) {
							t.before = func(string, []byte) { once.Do(func() { w.apply(command(w, k)) }) }
						})
					case "cached":
						a, err := n.ask(q)
						w.ok(err)
						if a.Items[0].Code != errs.OK {
							t.Fatalf("refused before the freeze: %s", a.Items[0].Text)
						}
						w.apply(command(w, k))
					}
					a, err := n.ask(q)
					w.ok(err)
					if it := a.Items[0]; it.Code == errs.OK || len(it.Signatures) != 0 {
						t.Errorf("signed against the freeze: %s", it.Code)
					}
				})
			})
		}
	}
}

const p256 = command.P256

// TestConflictingQuestions asks one region a thousand times at once: one signature is
// made, and all get it.
func TestConflictingQuestions(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		req := w.abandoned(w.request(k, "a thousand times"))
		q, drawn := w.question(req)
		n := w.nodes[drawn[0]]
		n.token.set(func(t *token) { t.delay = 2 * time.Millisecond })
		var mu sync.Mutex
		var wg sync.WaitGroup
		seen := map[string]int{}
		for range 1000 {
			wg.Go(func() {
				for {
					a, err := n.ask(q)
					if errs.CodeOf(err) == errs.Throttled {
						time.Sleep(time.Millisecond)
						continue
					}
					w.ok(err)
					mu.Lock()
					seen[string(bytes.Join(a.Items[0].Signatures, nil))]++
					mu.Unlock()
					return
				}
			})
		}
		wg.Wait()
		if len(seen) != 1 {
			t.Errorf("%d different answers to one question", len(seen))
		}
		w.consistent()
	})
}

func TestAnswersSurviveTheProcess(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		req := w.abandoned(w.request(k, "remember me"))
		q, drawn := w.question(req)
		n := w.nodes[drawn[0]]
		first, err := n.ask(q)
		w.ok(err)
		n.kill()
		n.restart()
		// Its new session must be registered before it signs anything.
		if _, err := n.ask(q); errs.CodeOf(err) != errs.NotReady {
			t.Errorf("answered with an unregistered session: %v", err)
		}
		waited := make(chan error, 1)
		go func() { _, err := n.ask(q); waited <- err }()
		synctest.Wait()
		w.apply(w.command(&command.RegisterSession{Cert: n.session.Cert.Encode(), Curves: []byte{1, 2, 3}}, time.Minute, w.kit.Region(n.id).Identity))
		if err := <-waited; err != nil {
			t.Errorf("asked just before the session was known: %v", err)
		}
		again, err := n.ask(q)
		w.ok(err)
		if !bytes.Equal(first.Items[0].Signatures[0], again.Items[0].Signatures[0]) {
			t.Error("another signature after a restart")
		}
		w.consistent()
	})
}

func TestNoWordWithoutARefusal(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		req := w.abandoned(w.request(k, "no excuse"))
		q, drawn := w.question(req)
		n := w.nodes[drawn[0]]
		ask := &vault.Ask{Kind: command.WordRefused, About: n.id, Items: q.Items}
		if _, err := n.vault.HandleWord(t.Context(), 4, ask.Encode()); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a region that refused nothing gave its word: %v", err)
		}
		for _, about := range []identity.RegionID{drawn[1], n.id%4 + 1} {
			if about == n.id {
				continue
			}
			ask := &vault.Ask{Kind: command.WordUnreachable, About: about, Items: q.Items}
			if _, err := n.vault.HandleWord(t.Context(), 4, ask.Encode()); errs.CodeOf(err) != errs.BadState {
				t.Errorf("region %d is reachable, yet the word was given: %v", about, err)
			}
		}
		a, err := n.ask(q)
		w.ok(err)
		if a.Items[0].Code != errs.OK {
			t.Fatal(a.Items[0].Text)
		}
		if _, err := n.vault.HandleWord(t.Context(), 4, ask.Encode()); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a region that signed gave its word that it will not: %v", err)
		}
	})
}

// TestWitnessAsksForItself: a word that a question stays unanswered is given only if the
// question is right, and the region does not answer the witness either.
func TestWitnessAsksForItself(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		req := w.abandoned(w.request(k, "ask for yourself"))
		q, drawn := w.question(req)
		idle := slices.DeleteFunc([]identity.RegionID{1, 2, 3, 4}, func(r identity.RegionID) bool { return slices.Contains(drawn, r) })
		word := func(about identity.RegionID, q *vault.Question) error {
			ask := &vault.Ask{Kind: command.WordUnreachable, About: about, Items: q.Items, Question: q.Encode()}
			_, err := w.nodes[idle[0]].vault.HandleWord(t.Context(), 4, ask.Encode())
			return err
		}
		if err := word(drawn[0], q); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a word on a region that answers: %v", err)
		}
		if err := word(idle[1], q); errs.CodeOf(err) != errs.Denied {
			t.Errorf("a word on a region that is not drawn: %v", err)
		}
		// Questions that an honest region rightly leaves unanswered.
		wrong, other := *q, *q
		wrong.Value[0] ^= 1
		if err := word(drawn[0], &wrong); errs.CodeOf(err) != errs.Unverified {
			t.Errorf("a word on a question with a wrong value: %v", err)
		}
		other.Items = []vault.Item{{Request: req.ID, Attempt: 2}}
		if err := word(drawn[0], &other); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a word on an attempt that is not open: %v", err)
		}
		other = *q
		other.Meta.Chain[0] ^= 1
		if err := word(drawn[0], &other); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a word on an entry of another log: %v", err)
		}
	})
}

// TestNoWordsInAdvance: whoever collects words on attempts that are not open, while a
// region happens to be away, could use them later to pick the regions that sign.
func TestNoWordsInAdvance(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.nodes[3].kill()
		req, drawn := w.drawing(k, 3)
		later := w.request(k, "not yet asked")
		q, _ := w.question(req)
		witness := w.nodes[drawn[0]%2+1] // neither drawn region
		words := func(items ...vault.Item) int {
			question := *q
			question.Items = items
			ask := &vault.Ask{Kind: command.WordUnreachable, About: 3, Items: items, Question: question.Encode()}
			raw, err := witness.vault.HandleWord(t.Context(), 4, ask.Encode())
			w.ok(err)
			list, err := vault.DecodeWords(raw)
			w.ok(err)
			n := 0
			for _, v := range list {
				if v.Attempt != 0 {
					n++
				}
			}
			if n == len(list) {
				t.Error("no word on health")
			}
			return n
		}
		if n := words(vault.Item{Request: req.ID, Attempt: 1}); n != 1 {
			t.Errorf("%d words on an open attempt", n)
		}
		for _, it := range []vault.Item{{Request: req.ID, Attempt: 2}, {Request: command.RequestIDOf(later.Principal, later.ID), Attempt: 1}} {
			if n := words(it); n != 0 {
				t.Errorf("%d words on an attempt that is not open", n)
			}
		}
	})
}

// TestNoWordOnARegionThatIsNotDrawn: a region that happens to be away is no reason to have
// another pair drawn where it was not drawn, or where nobody shows that it was.
func TestNoWordOnARegionThatIsNotDrawn(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.nodes[3].kill()
		var q *vault.Question
		for i, drawn := 0, []identity.RegionID{3}; slices.Contains(drawn, 3); i++ {
			q, drawn = w.question(w.abandoned(w.request(k, fmt.Sprint("others sign ", i))))
		}
		for name, question := range map[string][]byte{"not drawn": q.Encode(), "nothing shown": nil, "nonsense": []byte("x")} {
			ask := &vault.Ask{Kind: command.WordUnreachable, About: 3, Items: q.Items, Question: question}
			raw, err := w.nodes[2].vault.HandleWord(t.Context(), 4, ask.Encode())
			w.ok(err)
			words, err := vault.DecodeWords(raw)
			w.ok(err)
			if len(words) != 1 || words[0].Attempt != 0 {
				t.Errorf("%s: %d words, want one on health", name, len(words))
			}
		}
	})
}

// TestOnlyTheLeaderCompletes: a drawn region that adds a false answer to its partner's
// true one cannot end the request with it.
func TestOnlyTheLeaderCompletes(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		req := w.abandoned(w.request(k, "spoil me"))
		q, drawn := w.question(req)
		liar, partner := w.nodes[drawn[0]], w.nodes[drawn[1]]
		c := &command.Complete{Index: q.Meta.Index, Partials: q.Partials}
		for _, n := range []*node{liar, partner} {
			a, err := n.ask(q)
			w.ok(err)
			if n == liar {
				a.Items[0].Signatures[0][7] ^= 1
				w.ok(a.Sign(t.Context(), w.kit.Cluster(), liar.session))
			}
			c.Answers = append(c.Answers, a.Encode())
		}
		leader := w.nodes[liar.id%4+1]
		_, err := leader.vault.Submit(t.Context(), w.command(c, time.Minute, liar.session))
		if errs.CodeOf(err) != errs.Denied {
			t.Errorf("took a completion of another region: %v", err)
		}
		if row, _ := w.nodes[1].View().Request(req.ID); row.State != fsm.RequestOpen {
			t.Errorf("request is %s", row.State)
		}
	})
}

// TestLeaderHangingUpIsNoRefusal has a leader ask and hang up while the HSM works, then
// claim a refusal: the region signs in its own time and gives no word.
func TestLeaderHangingUpIsNoRefusal(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		req := w.abandoned(w.request(k, "hang up"))
		q, drawn := w.question(req)
		n := w.nodes[drawn[0]]
		n.token.set(func(t *token) { t.delay = 100 * time.Millisecond })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, _ = n.vault.HandleCoSign(ctx, 4, q.Encode())
		ask := &vault.Ask{Kind: command.WordRefused, About: n.id, Items: q.Items}
		if _, err := n.vault.HandleWord(t.Context(), 4, ask.Encode()); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a word on a refusal that was the leader's doing: %v", err)
		}
	})
}

func TestRegionIsBoundByItsWord(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		req := w.abandoned(w.request(k, "never"))
		q, drawn := w.question(req)
		n := w.nodes[drawn[0]]
		n.token.fail(errs.New(errs.HSMFailed, "gone"))
		_, err := n.ask(q)
		w.ok(err)
		n.token.fail(nil)
		ask := &vault.Ask{Kind: command.WordRefused, About: n.id, Items: q.Items}
		raw, err := n.vault.HandleWord(t.Context(), 4, ask.Encode())
		w.ok(err)
		words, err := vault.DecodeWords(raw)
		w.ok(err)
		if len(words) != 1 || words[0].Kind != command.WordRefused || words[0].By != n.id || words[0].Request != req.ID ||
			!n.session.Public().Verify(words[0].SignedBytes(w.kit.Cluster()), words[0].Sig) {
			t.Errorf("bad word %+v", words)
		}
		n.kill()
		n.restart()
		w.apply(w.command(&command.RegisterSession{Cert: n.session.Cert.Encode(), Curves: []byte{1, 2, 3}}, time.Minute, w.kit.Region(n.id).Identity))
		a, err := n.ask(q)
		w.ok(err)
		if a.Items[0].Code != errs.BadState {
			t.Errorf("signed against its word: %s", a.Items[0].Code)
		}
	})
}

// TestPartialOnlyForAppliedDraws: nobody may learn a value of an entry that is not, or
// not yet, in the log.
func TestPartialOnlyForAppliedDraws(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		req := w.abandoned(w.request(k, "beacon"))
		meta := req.Open().Meta
		for _, n := range w.all() {
			p, err := n.vault.HandlePartial(t.Context(), 4, meta)
			w.ok(err)
			if len(p) == 0 {
				t.Error("empty partial")
			}
		}
		forged := meta
		forged.Chain = sha256.Sum256([]byte("another history"))
		if _, err := w.nodes[2].vault.HandlePartial(t.Context(), 4, forged); errs.CodeOf(err) != errs.Denied {
			t.Errorf("a partial for another history: %v", err)
		}
		earlier := command.Meta{Index: 2, Term: 1}
		if _, err := w.nodes[2].vault.HandlePartial(t.Context(), 4, earlier); errs.CodeOf(err) != errs.Denied {
			t.Errorf("a partial for an entry without a draw: %v", err)
		}
		future := meta
		future.Index += 5
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.nodes[2].vault.HandlePartial(ctx, 4, future); err == nil {
			t.Error("a partial for an entry that is not in the log")
		}
	})
}

// TestNeverSignsAHandedDigest: there is no way to say what is to be signed, only which
// request; what is signed follows from the committed payload.
func TestNeverSignsAHandedDigest(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		c := w.request(k, "the committed message")
		req := w.abandoned(c)
		q, drawn := w.question(req)
		var asked [][]byte
		n := w.nodes[drawn[0]]
		n.token.set(func(t *token) { t.before = func(_ string, m []byte) { asked = append(asked, m) } })
		raw := append(q.Encode(), []byte("digest of something else")...)
		if _, err := n.vault.HandleCoSign(t.Context(), 4, raw); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("trailing bytes accepted: %v", err)
		}
		a, err := n.ask(q)
		w.ok(err)
		want := sha256.Sum256([]byte("the committed message"))
		if len(asked) != 1 || !bytes.Equal(asked[0], want[:]) {
			t.Errorf("the HSM was asked to sign %x", asked)
		}
		if !intent.Verify(k.Curve, k.Attested(n.id).PublicKey, want[:], a.Items[0].Signatures[0]) {
			t.Error("signature does not verify")
		}
	})
}

// TestReleaseCannotBeHidden: a leader that gets signatures and files no completion is
// shown up by the co-signer's own statement.
func TestReleaseCannotBeHidden(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		req := w.abandoned(w.request(k, "in secret"))
		q, drawn := w.question(req)
		n := w.nodes[drawn[0]]
		a, err := n.ask(q)
		w.ok(err)
		w.set(func() {
			w.withhold = func(c *command.Command) bool {
				return c.Type == command.TypeComplete && c.Principal != n.session.Public().Fingerprint()
			}
		})
		w.lead(drawn[1])
		var filed *command.Complete
		w.eventually("the statement is in the log", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, in := range w.log {
				for _, c := range in.Entry.Commands {
					if body, err := c.Body(); err == nil && c.Type == command.TypeComplete && c.Principal == n.session.Public().Fingerprint() {
						filed = body.(*command.Complete)
					}
				}
			}
			return filed != nil
		})
		back, err := command.DecodeAnswer(filed.Answers[0])
		w.ok(err)
		if !bytes.Equal(back.Items[0].Signatures[0], a.Items[0].Signatures[0]) || len(filed.Partials) != 3 {
			t.Error("the statement is not what was released")
		}
		w.mu.Lock()
		before := len(w.log)
		w.mu.Unlock()
		time.Sleep(time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := len(w.log) - before; n > 2 {
			t.Errorf("%d entries after the one statement", n)
		}
	})
}
