//go:build liar

package liar_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

// What is done with four processes before or while a lie is told that needs more than
// requests for signatures.

// await waits until something was told so often.
func (w *world) await(what string, within time.Duration) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if w.done(what) > 0 {
			return true
		}
	}
	return false
}

func (w *world) restart(i int) {
	r := w.Regions[i]
	if err := r.Stop(10 * time.Second); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := w.Start(r); err != nil {
		w.t.Fatal(err)
	}
	if err := r.AwaitReady(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// reboot starts the liar again; the key of its last session is not forgotten.
func reboot(w *world) {
	w.script(fmt.Sprintf("lie keep-session %d 0 0\n", w.liar+1))
	if !w.await("keep-session", patience) {
		w.t.Fatal("the liar keeps no session")
	}
	w.script("")
	w.restart(w.liar)
}

// rebootVictim starts the region again whose new session the liar is after. It is back in
// its place, or takes no part in any signature.
func rebootVictim(w *world) {
	w.restart(w.honest[0])
	if !w.await("foreign-session-first", goesOnWithin) {
		w.t.Error("foreign-session-first was never told")
	}
	time.Sleep(2 * time.Second)
	if w.done("foreign-session-first: registered") > 0 {
		w.saw("the session of a starting region was registered as the liar's")
		return // and it is kept out by that
	}
	s, err := w.boss.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range s.Regions {
		if int(r.Id) == w.honest[0]+1 && !r.Healthy {
			w.t.Errorf("region %d is back and takes no part: %v", r.Id, r)
		}
	}
}

// dual has two administrators submit a command that has to be carried out; nil when it is not.
func (w *world) dual(body command.Body) *client.Outcome {
	o, err := w.submit(body)
	if err != nil {
		w.saw("a command of two administrators: %v", err)
		return nil
	}
	return o
}

// submit has two administrators submit a command until its outcome is known.
func (w *world) submit(body command.Body) (*client.Outcome, error) {
	second, err := lab.LoadKey(w.KeyFile(lab.Admins[1]))
	if err != nil {
		w.t.Fatal(err)
	}
	g, err := w.Document()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd, err := w.boss.Command(body)
	if err == nil {
		err = cmd.Sign(w.t.Context(), g.Document.Cluster, second)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), w.patience())
	defer cancel()
	return w.boss.Submit(ctx, cmd)
}

// anotherKey makes a key while the liar attests another region's as its own: it stays
// pending.
func anotherKey(w *world) {
	o := w.dual(&command.CreateKey{Name: "second", Tenant: "desk", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2})
	if !w.await("foreign-key", goesOnWithin) {
		w.t.Error("foreign-key was never told")
	}
	if o == nil {
		return
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Second)
	defer cancel()
	if k, err := w.boss.AwaitKey(ctx, client.KeyID(o.KeyId)); err == nil {
		w.saw("a key with another region's as the liar's is %s", k.State)
	}
}

// freezeOnceHeld freezes the key once the liar holds a question back, and thaws it when
// that was put to a region that was kept from hearing of the freeze.
func freezeOnceHeld(w *world) {
	if !w.await("freeze-starved", goesOnWithin) {
		w.t.Error("freeze-starved was never told")
	}
	w.dual(&command.FreezeKey{Key: w.key, Reason: "theft"})
	if !w.await("freeze-starved: asked", patience) {
		w.t.Error("the question that was held back was never put")
	}
	time.Sleep(3 * time.Second)
	if w.done("freeze-starved: signed") > 0 {
		w.saw("a region signed against a freeze it was kept from hearing of")
	}
	w.script("")
	w.dual(&command.UnfreezeKey{Key: w.key, Reason: "over"})
}

// collude gets signatures by way of the liar, which then is never heard of again: what
// honest regions released must be in the log all the same.
func collude(w *world) {
	c, err := w.Client(w.service, w.Regions[w.liar].API)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	var released [][]byte
	for n := range 8 {
		cmd, err := c.Command(client.NewSignMessage(w.key, client.HashSHA256, []byte{byte(n)}, "colluder"))
		if err != nil {
			w.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 8*time.Second)
		r, err := c.Sign(ctx, cmd)
		cancel()
		if err != nil {
			w.t.Logf("colluder: %v", err)
			continue
		}
		for _, s := range r.Results {
			if int(s.Region) != w.liar+1 {
				released = append(released, s.Signatures...)
			}
		}
	}
	if len(released) == 0 || !w.await("completion-hidden", goesOnWithin) {
		w.t.Errorf("%d signatures of honest regions came by way of the liar, which hid %d completions", len(released), w.done("completion-hidden"))
	}
	time.Sleep(2 * time.Second)
	w.Regions[w.liar].Kill()
	var missing int
	for end := time.Now().Add(45 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		if missing, err = w.unfiled(released); err == nil && missing == 0 {
			return
		}
	}
	w.saw("%d of %d signatures were released and are in no log (%v)", missing, len(released), err)
}

// unfiled counts the signatures that stand in no answer of the audit log.
func (w *world) unfiled(released [][]byte) (missing int, err error) {
	filed := map[string]bool{}
	err = w.leaves(func(l *audit.Leaf) error {
		body, err := l.Body()
		b, ok := body.(*command.Complete)
		if err != nil || !ok {
			return nil
		}
		for _, raw := range b.Answers {
			a, err := command.DecodeAnswer(raw)
			if err != nil {
				return err
			}
			for _, it := range a.Items {
				for _, s := range it.Signatures {
					filed[string(s)] = true
				}
			}
		}
		return nil
	})
	for _, s := range released {
		if !filed[string(s)] {
			missing++
		}
	}
	return missing, err
}

// stolen signs with one administrator's key, alone or beside a forged signature.
func stolen(w *world) {
	thief := w.as(lab.Admins[0], w.Regions[w.liar].API)
	defer thief.Close()
	cmd, err := thief.Command(&command.PutPrincipal{Name: "eve", Key: w.service.Public(), Roles: command.RoleAdmin})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.lie.name == "forged-second" {
		second, err := lab.LoadKey(w.KeyFile(lab.Admins[1]))
		if err != nil {
			w.t.Fatal(err)
		}
		cmd.Signatures = append(cmd.Signatures, command.Signature{Principal: second.Public().Fingerprint(), Sig: make([]byte, 64)})
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	if _, err := thief.Submit(ctx, cmd); err == nil {
		w.saw("one administrator made another")
	}
}

// freezeThroughLiar wants no outcome of a freeze that only the liar speaks of.
func freezeThroughLiar(w *world) {
	w.brakeThroughLiar(&command.FreezeKey{Key: w.key, Reason: "theft"})
}

// freezeChildThroughLiar does the same with a child of the key.
func freezeChildThroughLiar(w *world) {
	w.brakeThroughLiar(&command.FreezePath{Key: w.key, Path: []uint32{0, 5}, Reason: "theft"})
}

func (w *world) brakeThroughLiar(b command.Body) {
	admin := w.as(lab.Admins[0], w.Regions[w.liar].API)
	defer admin.Close()
	cmd, err := admin.Command(b)
	if err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(readWithin) // before that the leader carries it out, as an honest one
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	switch _, err = admin.Submit(ctx, cmd); {
	case err == nil && w.done(w.lie.name) == 0:
		w.t.Fatal("no lie was told: an honest leader carried the freeze out")
	case err == nil:
		w.saw("a freeze was called carried out that was never proposed")
	}
}

// framed looks for a region convicted by what the liar shows: nobody signed it.
func framed(w *world) {
	for _, i := range w.honest {
		if w.metric(i, "convicted_regions") > 0 {
			w.saw("a region is convicted, and honest")
		}
	}
}

// left looks for an honest leader that was left.
func left(w *world) {
	for _, i := range w.honest {
		if w.metric(i, "leaders_left") > 0 {
			w.saw("an honest leader was left")
		}
	}
}

// standing looks for a committed clock that commands hold back for long. (Entries of elections
// carry none, and move no clock.)
func standing(w *world) {
	const longest = 4 * time.Second
	nodes, err := w.nodes()
	if err != nil || len(nodes) != len(w.Regions) {
		return
	}
	for _, i := range w.honest {
		was := w.stood[i]
		switch n := nodes[i]; {
		case n.Clock.IsZero() || !n.Clock.Equal(was.clock):
			w.stood[i] = stand{n.Clock, n.Leaves, time.Now()}
		case n.Leaves > was.leaves+5 && time.Since(was.since) > longest:
			w.saw("the committed clock of region %d stands still while commands are carried out", i+1)
		}
	}
}

// stand is since when a committed clock is what it is.
type stand struct {
	clock  time.Time
	leaves uint64
	since  time.Time
}
