//go:build liar

package liar_test

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/seal"
)

// createJoint makes a threshold key and waits until all regions have nonces for it.
func (w *world) createJoint(ctx context.Context, c *client.Client) client.KeyID {
	cmd, err := c.Command(&command.CreateKey{Name: "joint", Tenant: "desk", Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Signers: 2})
	if err != nil {
		w.t.Fatal(err)
	}
	k, err := c.CreateKey(ctx, cmd)
	if err != nil || k.State != tetradv1.KeyState_KEY_STATE_ACTIVE {
		w.t.Fatalf("key is %s: %v", k.GetState(), err)
	}
	time.Sleep(2 * time.Second)
	return client.KeyID(k.Id)
}

// firstLies makes region 1 the liar, and has another lead.
func (w *world) firstLies() {
	for w.Sites[0].Node.Leads() {
		w.Stop(0)
		time.Sleep(3 * time.Second)
		if err := w.Start(0); err != nil {
			w.t.Fatal(err)
		}
		if err := w.Sites[0].Node.WaitReady(w.ctx); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
	}
	_ = w.admin.Close()
	w.liar, w.honest = 0, []int{1, 2, 3}
	w.admin = w.ClientAt("admin", w.Lab.Admins[0], w.honest...)
}

func (w *world) row() *fsm.Key {
	k, ok := w.Sites[w.honest[0]].Node.View().Key(w.key)
	if !ok {
		w.t.Fatal("no key")
	}
	return k
}

// begin asks for a refresh until it is begun.
func (w *world) begin() {
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(time.Second) {
		cmd, err := w.admin.Command(&command.RefreshKey{Key: w.key, Reason: "a liar about"})
		if err == nil {
			err = cmd.Sign(w.ctx, w.Genesis.Document.Cluster, w.Lab.Admins[1])
		}
		if err != nil {
			w.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(w.ctx, callWithin)
		_, err = w.admin.Submit(ctx, cmd)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			w.saw("no refresh begins: %v", err)
			return
		}
	}
}

// begun begins a refresh; what becomes of it is up to the lie.
func begun(w *world) { w.begin() }

// refreshed wants a refresh to end although one region lies, within the tries it has.
func refreshed(epoch uint32) func(*world) {
	return func(w *world) {
		w.begin()
		for end := time.Now().Add(130 * time.Second); w.row().Sharing.Epoch < epoch; time.Sleep(time.Second) {
			if time.Now().After(end) {
				w.saw("the refresh does not end")
				return
			}
		}
	}
}

// refreshedAfter ends the lie, and wants the key to be refreshed then.
func refreshedAfter(w *world) {
	liar.Tell(region(w.liar), liar.Lie{})
	before := w.row().Sharing.Epoch
	for end := time.Now().Add(4 * time.Minute); w.row().Ceremony.Running() && time.Now().Before(end); {
		time.Sleep(time.Second)
	}
	if w.row().Sharing.Epoch == before {
		w.begin()
	}
	for end := time.Now().Add(2 * time.Minute); w.row().Sharing.Epoch == before; time.Sleep(time.Second) {
		if time.Now().After(end) {
			w.saw("the key is not refreshed although nobody lies")
			return
		}
	}
}

// agreed looks for a live sharing of which a holder said something else, and then refreshes.
func agreed(w *world) {
	live := w.row().Sharing
	e, err := w.export(w.honest[0])
	if err != nil {
		w.saw("%v", err)
		return
	}
	for i := range e.Leaves {
		body, err := e.Leaves[i].Body()
		b, ok := body.(*command.FinishShare)
		if err == nil && ok && e.Leaves[i].Code == errs.OK && b.Ceremony.Epoch == live.Epoch && b.Transcript == live.Transcript && !bytes.Equal(b.Public, live.Public) {
			w.saw("a sharing went live that the holders do not agree on")
			return
		}
	}
	refreshedAfter(w)
}

// framed looks for an honest region that is blamed on the liar's word alone.
func framed(w *world) {
	if c := w.row().Ceremony; c != nil {
		for _, f := range c.Faults {
			if f.Region != 0 && f.Region != region(w.liar) && slices.Equal(f.By, []identity.RegionID{region(w.liar)}) {
				w.saw("region %d is blamed on the word of the liar", f.Region)
			}
		}
	}
}

// hardWraps looks for shares under a wrapping key that its region's HSM does not keep.
func hardWraps(w *world) {
	view := w.Sites[w.honest[0]].Node.View()
	k := w.row()
	if k.Sharing == nil {
		return
	}
	if e, ok := view.Wrap(k.Sharing.Wrap); ok {
		for i := range e.Keys {
			if seal.AttributesOK(e.Keys[i].Attributes, seal.Profile{Name: "any", LocalNotReported: true, NoGenMechanism: true}) != nil && k.Sharing.Share(e.Keys[i].Region) != nil {
				w.saw("a share of region %d lies under a key outside its HSM", e.Keys[i].Region)
			}
		}
	}
}
