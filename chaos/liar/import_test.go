//go:build liar

package liar_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// view is the state as an honest region has it.
func (w *world) view() fsm.View { return w.Sites[w.honest[0]].Node.View() }

// dual has two administrators do something, by way of the honest regions.
func (w *world) dual(b command.Body) *command.Command {
	cmd, err := w.admin.Command(b)
	if err == nil {
		err = cmd.Sign(w.ctx, w.Genesis.Document.Cluster, w.Lab.Admins[1])
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for range 10 {
		ctx, cancel := context.WithTimeout(w.ctx, callWithin)
		_, err = w.admin.Submit(ctx, cmd)
		cancel()
		if err == nil {
			return cmd
		} else if !unsure(err) {
			break
		}
		time.Sleep(time.Second)
	}
	w.t.Fatal(err)
	return nil
}

// allowImport allows whole keys to be brought in, or forbids it.
func (w *world) allowImport(on bool) {
	s := w.view().Settings()
	s.Import = on
	w.dual(&command.Configure{Settings: s})
}

func importing(w *world) { w.allowImport(true) }

// bring imports a key that was whole.
func (w *world) bring(name string, secret []byte) (client.KeyID, *command.ImportKey) {
	everyone := []identity.RegionID{1, 2, 3, 4}
	split, shares, err := frost.SplitSecret(rand.Reader, frost.BIP340, secret, 2, []uint8{1, 2, 3, 4})
	if err != nil {
		w.t.Fatal(err)
	}
	public, err := split.Key([]uint8{1, 2, 3, 4})
	if err != nil {
		w.t.Fatal(err)
	}
	wraps := w.view().Wraps()
	e := wraps[len(wraps)-1]
	b := &command.ImportKey{Name: name, Tenant: "desk", Curve: command.Secp256k1, Signers: 2, AllowBlind: true, Regions: everyone, Wrap: e.Epoch,
		Point: public.Compressed(), Chain: [32]byte{7}, Split: split.Encode()}
	for i, r := range everyone {
		sealed, err := box.Seal(e.Key(r).Public, command.ImportInfo(w.Genesis.Document.Cluster, r, e.Epoch, b.Split), shares[i].Encode())
		if err != nil {
			w.t.Fatal(err)
		}
		b.Boxes = append(b.Boxes, sealed)
	}
	cmd := w.dual(b)
	return command.KeyIDOf(cmd.Principal, cmd.ID), b
}

// became waits for a key's state.
func (w *world) became(id client.KeyID, s fsm.KeyState, within time.Duration) *fsm.Key {
	for end := time.Now().Add(within); ; time.Sleep(200 * time.Millisecond) {
		if k, ok := w.view().Key(id); ok && k.State == s {
			return k
		} else if time.Now().After(end) {
			return nil
		}
	}
}

// accusedImport wants an import to end by the liar's word, under the liar's name.
func accusedImport(w *world) {
	id, _ := w.bring("brought", bytes.Repeat([]byte{9}, 32))
	k := w.became(id, fsm.KeyRetired, 30*time.Second)
	switch {
	case k == nil:
		w.t.Error("the import did not end")
	case !strings.Contains(k.Reason, fmt.Sprintf("the importer by the word of [%d]", region(w.liar))):
		w.t.Errorf("the import ended, and nobody is named: %s", k.Reason)
	case k.Import != nil || k.Sharing != nil:
		w.saw("a key stays of an import that ended")
	}
}

// broughtAfter ends the lie, and wants the same key to be brought in under the same name.
func broughtAfter(w *world) {
	liar.Tell(region(w.liar), liar.Lie{})
	id, b := w.bring("brought", bytes.Repeat([]byte{9}, 32))
	if k := w.became(id, fsm.KeyActive, time.Minute); k == nil || !bytes.Equal(k.Point, b.Point) {
		w.saw("a key cannot be brought in although nobody lies")
	}
}

// bringsOther has a key brought in that the liar finishes as another one, and then as it is.
func bringsOther(w *world) {
	id, b := w.bring("brought", bytes.Repeat([]byte{9}, 32))
	w.finishes(id, b.Point)
}

// refreshesOther does the same with a refresh.
func refreshesOther(w *world) {
	point := bytes.Clone(w.row().Point)
	w.begin()
	w.finishes(w.key, point)
}

func (w *world) finishes(id client.KeyID, point []byte) {
	name := liar.Told(region(w.liar)).Name
	for n := 0; liar.Done(name) == 0 && n < 300; n++ {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(3 * time.Second)
	if liar.Defends(liar.SameKey) && (liar.Done(name+": refused") == 0 || !w.refusedOf(region(w.liar))) {
		w.t.Error("another key was not refused, under the liar's name")
	}
	liar.Tell(region(w.liar), liar.Lie{})
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		k, ok := w.view().Key(id)
		switch {
		case ok && len(k.Point) > 0 && k.State == fsm.KeyActive && !bytes.Equal(k.Point, point):
			w.saw("a key became another one, which the liar has")
			return
		case ok && k.State == fsm.KeyActive && !k.Ceremony.Running():
			return
		case time.Now().After(end):
			w.saw("the ceremony does not end although nobody lies")
			return
		}
	}
}

// forbidsAgain allows imports, forbids them, and looks whether that is so.
func forbidsAgain(w *world) {
	w.allowImport(true)
	time.Sleep(time.Second)
	w.allowImport(false)
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if slices.ContainsFunc(w.honest, func(i int) bool { return w.Sites[i].Node.View().Settings().Import }) && w.view().Settings().Import {
			w.saw("what two administrators forbade is allowed again, and nobody asked for it")
			return
		}
	}
	if liar.Done("import-replayed") == 0 {
		w.t.Error("nothing was replayed")
	}
}

// refusedOf looks in the log for a finish message of a region that was refused.
func (w *world) refusedOf(r identity.RegionID) bool {
	e, err := w.export(w.honest[0])
	if err != nil {
		w.saw("%v", err)
	}
	for i := range e.Leaves {
		l := &e.Leaves[i]
		if l.Command.Type != command.TypeFinishShare || l.Code != errs.Unverified {
			continue
		}
		if row, _, ok := w.view().RegionBySession(l.Command.Principal); ok && row.ID == r {
			return true
		}
	}
	return false
}
