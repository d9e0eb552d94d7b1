package vault_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

func (n *node) ack(c *command.Command, nonce byte, wait time.Duration) (*command.OutcomeWord, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	raw, err := n.vault.OutcomeWord(ctx, vault.Inquiry{Author: c.Principal, Command: c.ID, Nonce: [16]byte{nonce}})
	if err != nil {
		return nil, err
	}
	return command.DecodeOutcomeWord(raw)
}

func TestAcknowledge(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		c := w.command(&command.FreezeVault{Reason: "drill"}, time.Minute, w.admin[0])
		if _, err := w.nodes[1].ack(c, 1, time.Second); errs.CodeOf(err) != errs.NotReady {
			t.Errorf("acknowledged before it was in the log: %v", err)
		}
		lag := w.nodes[3]
		lag.mu.Lock()
		lag.paused = true
		lag.mu.Unlock()
		o := w.must(c)
		cm := c.Commitment()
		for _, n := range w.all() {
			if n == lag {
				continue
			}
			a, err := n.ack(c, 7, time.Second)
			w.ok(err)
			if err := a.Verify(w.kit.Cluster(), n.session.Public()); err != nil || a.Region != n.id || a.Meta.Index != o.Index ||
				a.Command != cm.Hash(w.kit.Cluster()) || a.Nonce != [16]byte{7} || a.Applied < o.Index || a.Skew != n.View().Settings().MaxSkew {
				t.Errorf("region %d: %+v, %v", n.id, a, err)
			}
			if err := a.Verify(w.kit.Cluster(), w.nodes[n.id%4+1].session.Public()); err == nil {
				t.Error("verifies under another region's session")
			}
		}
		if _, err := lag.ack(c, 7, time.Second); errs.CodeOf(err) != errs.NotReady {
			t.Errorf("a region acknowledged what it has not applied: %v", err)
		}
		lag.mu.Lock()
		lag.paused = false
		lag.mu.Unlock()
		lag.catchUp()
		_, err := lag.ack(c, 7, time.Second)
		w.ok(err)
		// What was refused, or takes nothing away, has a word too: of this outcome, without place.
		refused := w.command(&command.FreezeKey{Key: command.KeyID{9}}, time.Minute, w.admin[0])
		if o, err := w.nodes[1].Propose(context.Background(), refused); err != nil || o.Code != errs.NotFound {
			t.Fatalf("%v, %v", o, err)
		}
		if a, err := w.nodes[1].ack(refused, 1, time.Second); err != nil || a.Code != errs.NotFound || a.Placed() || a.Request != (command.RequestID{}) {
			t.Errorf("a refused command: %+v, %v", a, err)
		}
		lifted := w.dual(&command.UnfreezeVault{})
		w.must(lifted)
		if a, err := w.nodes[1].ack(lifted, 1, time.Second); err != nil || a.Code != errs.OK || a.Placed() {
			t.Errorf("an unfreezing: %+v, %v", a, err)
		}
	})
}

// TestWordsOnRequests: what regions say of a request is one thing everywhere, is what
// whoever leads shows, and outlives a restart.
func TestWordsOnRequests(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		c := w.request(w.key(command.P256, 2), "m")
		req := w.sign(c)
		shown := req.Standing()
		ask := vault.Inquiry{Author: c.Principal, Command: c.ID, Nonce: [16]byte{3}, Final: true}
		words := func(when string) {
			var first *command.OutcomeWord
			for _, n := range w.all() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				raw, err := n.vault.OutcomeWord(ctx, ask)
				cancel()
				w.ok(err)
				o, err := command.DecodeOutcomeWord(raw)
				w.ok(err)
				w.ok(o.Verify(w.kit.Cluster(), n.session.Public()))
				if first == nil {
					first = o
				}
				if !o.Agrees(first) || !o.Placed() || o.Meta != req.Attempts[0].Meta || o.Request != req.ID || o.Standing != shown.Hash() {
					t.Errorf("%s: region %d: %+v, want %x", when, n.id, o, shown.Hash())
				}
			}
		}
		words("at once")
		w.nodes[3].kill()
		w.nodes[3].restart()
		words("after a restart")
		shown.Results[0].Signatures[0][0] ^= 1
		if o, err := w.nodes[1].ack(c, 3, time.Second); err != nil || o.Standing == shown.Hash() {
			t.Errorf("binds no signatures: %v", err)
		}
	})
}

// TestWordOnTheEnd: who asks for the end of a request gets no word on less.
func TestWordOnTheEnd(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.P256, 2)
		w.set(func() { w.withhold = func(c *command.Command) bool { return c.Type == command.TypeComplete } })
		c := w.request(k, "m")
		w.sign(c)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := w.nodes[2].vault.OutcomeWord(ctx, vault.Inquiry{Author: c.Principal, Command: c.ID, Final: true}); errs.CodeOf(err) != errs.NotReady {
			t.Errorf("a word on the end of an open request: %v", err)
		}
		if o, err := w.nodes[2].ack(c, 1, time.Second); err != nil || o.Request != command.RequestIDOf(c.Principal, c.ID) {
			t.Errorf("as it stands: %+v, %v", o, err)
		}
	})
}

func TestBrakeOfARegion(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.P256, 2)
		c, o, err := w.nodes[3].vault.Brake(context.Background(), k.ID, "intruder")
		w.ok(err)
		w.ok(o.Err())
		if _, err := w.nodes[2].ack(c, 1, time.Second); err != nil {
			t.Error(err)
		}
		if _, err := w.leading().vault.Sign(context.Background(), w.request(k, "no")); errs.CodeOf(err) != errs.Frozen {
			t.Errorf("signing under a region's freeze: %v", err)
		}
		w.must(w.dual(&command.MuteRegion{Region: 3, Muted: true}))
		_, o, err = w.nodes[3].vault.Brake(context.Background(), command.KeyID{}, "again")
		w.ok(err)
		if o.Code != errs.Denied {
			t.Errorf("a muted region froze: %s", o.Code)
		}
	})
}

// TestStopHere: a stopped region gives nothing, also after a restart, until two
// administrators lift this very stop; the others go on without it.
func TestStopHere(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(command.P256, 2)
		n, ctx := w.nodes[3], context.Background()
		w.sever(3, true) // also without quorum
		s, err := n.vault.StopHere(ctx, w.admin[0].Public().Fingerprint(), "intruder in the room")
		w.ok(err)
		if again, err := n.vault.StopHere(ctx, identity.Fingerprint{1}, "other"); err != nil || again.ID != s.ID {
			t.Errorf("stopped twice: %v, %v", again, err)
		}
		w.sever(3, false)
		silent := func(when string) {
			meta := n.View().Meta()
			_, partial := n.vault.Evaluate(meta)
			_, asked := n.vault.HandlePartial(ctx, 1, meta)
			_, word := n.vault.HandleWord(ctx, 1, reachable(3))
			for what, err := range map[string]error{"partial with an ack": partial, "partial": asked, "word": word} {
				if errs.CodeOf(err) != errs.Frozen {
					t.Errorf("%s: %s of a stopped region: %v", when, what, err)
				}
			}
			for range 12 {
				c := w.request(k, when)
				req := w.sign(c)
				for _, r := range req.Results {
					if r.Region == 3 {
						t.Fatalf("%s: a stopped region signed", when)
					}
				}
			}
		}
		silent("stopped")
		n.kill()
		n.restart()
		if got := n.vault.Stopped(); got == nil || got.ID != s.ID || got.Reason != s.Reason || !got.At.Equal(s.At) {
			t.Fatalf("after a restart: %+v", got)
		}
		silent("after a restart")
		w.must(w.dual(&command.LiftStop{Region: 3, Stop: command.StopID{1}}))
		w.must(w.dual(&command.LiftStop{Region: 2, Stop: s.ID}))
		if n.vault.Stopped() == nil {
			t.Fatal("another stop's lifting was obeyed")
		}
		w.must(w.dual(&command.LiftStop{Region: 3, Stop: s.ID}))
		if n.vault.Stopped() != nil {
			t.Fatal("not lifted")
		}
		w.eventually("healthy again", func() bool { r, _ := n.View().Region(3); return r.Healthy })
		n.kill()
		n.restart()
		if n.vault.Stopped() != nil {
			t.Fatal("a lifted stop came back")
		}
	})
}

func reachable(about identity.RegionID) []byte {
	ask := vault.Ask{Kind: command.WordReachable, About: about}
	return ask.Encode()
}

// TestDamagedStopIsNotForgotten: a damaged note keeps the region from starting.
func TestDamagedStopIsNotForgotten(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		n := w.nodes[3]
		_, err := n.vault.StopHere(context.Background(), identity.Fingerprint{}, "x")
		w.ok(err)
		b, err := n.disk.ReadFile("local-stop")
		w.ok(err)
		b[len(b)-1] ^= 1
		w.ok(n.disk.WriteFile("local-stop", b))
		if _, err := n.open(); errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("opened over a damaged note: %v", err)
		}
	})
}

func TestClockWord(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		n := w.nodes[2]
		if _, err := n.vault.ClockWord(context.Background()); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a word that a true clock is wrong: %v", err)
		}
	})
}

// TestEarlyStamp: a stamp ahead of the clocks, should it ever be committed, brings nothing
// early: no region signs under it, and with the words of two regions it is taken back.
func TestEarlyStamp(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k, ctx := w.key(command.P256, 2), context.Background()
		skew := w.nodes[1].View().Settings().MaxSkew
		w.sign(w.request(k, "before"))
		w.set(func() { w.ahead = skew + 30*time.Second }) // short of the request's expiry, so that only clocks can tell
		held := w.request(k, "under a wrong clock")
		if req, err := w.leading().vault.Sign(ctx, held); errs.CodeOf(err) != errs.Skewed {
			t.Fatalf("signed under a clock that is ahead: %v, %v", req, err)
		}
		w.set(func() { w.ahead = 0 })
		if _, err := w.leading().vault.Sign(ctx, w.request(k, "still")); errs.CodeOf(err) != errs.Skewed {
			t.Fatalf("the wrong stamp was forgotten: %v", err)
		}
		var words [][]byte
		for _, id := range []identity.RegionID{2, 4} {
			word, err := w.nodes[id].vault.ClockWord(ctx)
			w.ok(err)
			words = append(words, word)
		}
		now := time.Now().Truncate(time.Millisecond)
		w.must(w.dual(&command.RepairClock{To: now, Words: words, Reason: "a wrong stamp"}))
		if clock := w.nodes[3].View().Clock(); !clock.Equal(now) {
			t.Fatalf("the clock stands at %s, want %s", clock, now)
		}
		c := w.request(k, "after")
		w.verify(k, c, w.sign(c))
		if _, err := w.nodes[2].vault.ClockWord(ctx); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a word on a clock that is right: %v", err)
		}
	})
}

// TestClockStandingStill: a leader that commits nothing is noticed by the others.
func TestClockStandingStill(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		var offered [5]atomic.Int32
		w.set(func() {
			w.withhold = func(c *command.Command) bool {
				for _, n := range w.nodes {
					if c.Type == command.TypeTick && c.Principal == n.session.Public().Fingerprint() {
						offered[n.id].Add(1)
					}
				}
				return c.Type == command.TypeTick
			}
		})
		time.Sleep(150 * time.Minute) // the world's Tick is an hour
		for id := identity.RegionID(1); id <= 4; id++ {
			if offered[id].Load() == 0 {
				t.Errorf("region %d offered no clock entry", id)
			}
			if w.nodes[id].vault.Idle() < 2*time.Hour {
				t.Errorf("region %d was idle for %s", id, w.nodes[id].vault.Idle())
			}
		}
		w.set(func() { w.withhold = nil })
		time.Sleep(time.Minute)
		if idle := w.nodes[4].vault.Idle(); idle > 2*time.Minute {
			t.Errorf("still idle for %s", idle)
		}
	})
}
