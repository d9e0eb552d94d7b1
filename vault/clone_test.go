package vault_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// noLuck is the randomness of a region that was copied with all its memory: the seeds of
// its nonces come out alike in both copies.
type noLuck struct{}

func (noLuck) Read(b []byte) (int, error) {
	const nonceSeed = 64
	if len(b) == nonceSeed {
		clear(b)
		return len(b), nil
	}
	return rand.Read(b)
}

func (w *world) copies() []*node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.twins)
}

// cloned starts a region anew together with a copy of it, that has the same session, the
// same nonces, and a replica of its own.
func (w *world) cloned(id identity.RegionID) (original, twin *node) {
	w.t.Helper()
	n := w.nodes[id]
	n.kill()
	n.random = noLuck{}
	n.kit.NewSession(n.kit.Region(id), time.Now())
	n.session = n.kit.Region(id).Session
	twin = &node{world: w, id: id, token: n.token, epochs: n.epochs, opened: n.opened, disk: durabletest.New(), session: n.session, random: noLuck{}, news: make(chan struct{})}
	var err error
	twin.machine, err = fsm.New(w.kit.Genesis, fsm.Options{Verify: fsm.NewVerifier(1 << 10).Verify})
	w.ok(err)
	w.set(func() { w.twins = append(w.twins, twin) })
	twin.start()
	n.start()
	twin.catchUp()
	n.catchUp()
	return n, twin
}

// fork takes a copy off the common log and gives it an entry of its own.
func (n *node) fork(c *command.Command) *fsm.Request {
	n.t.Helper()
	meta := n.View().Meta()
	meta.Index++
	meta.Chain = sha256.Sum256(append([]byte("fork"), meta.Chain[:]...))
	n.mu.Lock()
	n.paused = true // it hears no more of the common log
	results := n.machine.Apply([]fsm.Input{{Meta: meta, Entry: &command.Entry{Stamp: time.Now().Truncate(time.Millisecond), Commands: []*command.Command{c}}}})
	n.vault.Applied(results)
	n.mu.Unlock()
	req, ok := n.View().Request(command.RequestIDOf(c.Principal, c.ID))
	if !ok || req.Open() == nil {
		n.t.Fatalf("not open in the fork: %+v", results[0].Outcomes)
	}
	return req
}

// nonceOf is the commitment an attempt gave a region for its first message.
func nonceOf(req *fsm.Request, region identity.RegionID) []byte {
	for _, s := range req.Open().Nonces {
		if s.Region == region {
			return s.Commitments[0]
		}
	}
	return nil
}

// TestClonedMemory: two copies of a region, with the same nonces, answer whoever asks.
// The log gave each nonce to one message, so they give the same shares or none.
func TestClonedMemory(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		n, twin := w.cloned(2)
		k := w.ready(command.Ed25519, 2)
		w.eventually("the copy has nonces too", func() bool { held, _ := twin.vault.Nonces(k.Curve); return held >= poolAtRest })
		both := 0
		for i := range 16 {
			req := w.abandoned(w.joint(k, fmt.Sprint("for the copies ", i)))
			q, drawn := w.question(req)
			if !slices.Contains(drawn, n.id) {
				continue
			}
			a, err := n.ask(q)
			w.ok(err)
			b, err := twin.ask(q)
			w.ok(err)
			w.emitted("original", n.id, a.Items)
			w.emitted("copy", n.id, b.Items)
			if a.Items[0].Code == errs.OK && b.Items[0].Code == errs.OK {
				both++
				if !bytes.Equal(a.Items[0].Signatures[0], b.Items[0].Signatures[0]) {
					t.Error("one attempt, two shares")
				}
			}
		}
		if both == 0 {
			t.Error("the copy never answered: this test shows nothing")
		}
		w.lead(1)
		w.oneNonceOneMessage()
	})
}

// TestForkedClone: on two branches of a log one nonce goes to two messages, and whoever
// gets shares of both comes to the region's share of the key (frost, where a share is
// really extracted so). A copy on a branch that no lease covers gives nothing: its nonce
// stays where it is.
func TestForkedClone(t *testing.T) {
	for _, leased := range []bool{true, false} {
		t.Run(fmt.Sprintf("leased %t", leased), func(t *testing.T) {
			for range 4 { // of a thousand worlds one never draws the region on both branches
				shown := false
				simulate(t, func(_ *testing.T, w *world) { shown = w.forkedClone(leased) })
				if shown {
					return
				}
			}
			t.Fatal("never drawn on both branches: this test shows nothing")
		})
	}
}

// forkedClone asks a region and its copy about the requests that have one nonce of it, and
// reports whether there were such.
func (w *world) forkedClone(leased bool) bool {
	w.t.Helper()
	n, twin := w.cloned(2)
	k := w.ready(command.Ed25519, 2)
	w.eventually("the copy has nonces too", func() bool { held, _ := twin.vault.Nonces(k.Curve); return held >= poolAtRest })
	w.lead(0)
	twin.catchUp()
	if !leased {
		twin.setLease(func() error { return errs.New(errs.NotReady, "nobody acknowledges this branch") })
	}
	mine, theirs := w.bothDrawn(k, n, twin)
	if mine == nil {
		return false
	}
	if !bytes.Equal(nonceOf(mine, n.id), nonceOf(theirs, n.id)) {
		w.t.Fatal("the branches give different nonces: this test shows nothing")
	}
	held, _ := twin.vault.Nonces(k.Curve)
	qm, _ := w.question(mine)
	qt, _ := w.question(theirs)
	a, err := n.ask(qm)
	w.ok(err)
	b, err := twin.ask(qt)
	w.ok(err)
	now, _ := twin.vault.Nonces(k.Curve)
	switch {
	case a.Items[0].Code != errs.OK:
		w.t.Errorf("the region itself: %s", a.Items[0].Text)
	case leased && (b.Items[0].Code != errs.OK || bytes.Equal(a.Items[0].Signatures[0], b.Items[0].Signatures[0])):
		w.t.Errorf("one nonce should have made two shares here: %s", b.Items[0].Text)
	case !leased && (b.Items[0].Code == errs.OK || len(b.Items[0].Signatures) > 0 || now != held):
		w.t.Errorf("a copy without a lease gave a share, or used a nonce: %+v", b.Items[0])
	}
	return true
}

// bothDrawn opens a request on each branch at one place of the pools, until the region is
// drawn for both; nil if it is not before the pools are filled up again.
func (w *world) bothDrawn(k *fsm.Key, n, twin *node) (mine, theirs *fsm.Request) {
	for i := range poolAtRest/2 - 8 {
		theirs = twin.fork(w.joint(k, fmt.Sprint("on the branch ", i)))
		mine = w.abandoned(w.joint(k, fmt.Sprint("on the trunk ", i)))
		_, a := w.question(mine)
		_, b := w.question(theirs)
		if slices.Contains(a, n.id) && slices.Contains(b, n.id) {
			return mine, theirs
		}
	}
	return nil, nil
}
