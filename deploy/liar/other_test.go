//go:build liar

package liar_test

import (
	"bytes"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// Lies about other keys, old commands and the shares of the beacon key.

// beaconRefreshed renews the shares of the beacon key: the genesis's are of no use then.
func beaconRefreshed(w *world) {
	w.dual(&command.RefreshKey{Key: command.BeaconKey, Reason: "a liar about"})
	for end := time.Now().Add(ceremonyWithin); ; time.Sleep(100 * time.Millisecond) {
		k, err := w.boss.Key(w.t.Context(), command.BeaconKey)
		if err == nil && k.Sharing.GetEpoch() > 0 {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("the beacon key is not refreshed: %v", err)
		}
	}
}

// anotherPublic has a refresh end although the liar finishes it with a key of its own, for a
// while.
func anotherPublic(w *world) {
	point := bytes.Clone(w.row().Point)
	w.refresh()
	w.wantTold()
	if !w.lowered && !w.await("refresh-other-key: refused", goesOnWithin) {
		w.t.Error("another key was not refused")
	}
	w.script("")
	if w.lowered {
		w.until(goesOnWithin, live(2))
	} else if !w.until(ceremonyWithin, live(2)) {
		w.saw("the refresh does not end")
	}
	if !bytes.Equal(w.row().Point, point) {
		w.saw("the key became another one, which the liar has")
	}
}

// refusedFinish wants what the liar said in the log, under its name.
func refusedFinish(w *world) {
	refused := 0
	w.spoken(func(r identity.RegionID, l *audit.Leaf, body command.Body) {
		if _, ok := body.(*command.FinishShare); ok && l.Code == errs.Unverified && int(r) == w.liar+1 {
			refused++
			w.name("a finish message refused as unverified")
		}
	})
	if refused == 0 {
		w.t.Error("no message of the liar was refused")
	}
}

// forbidsAgain allows imports, forbids them, and wants that to stay so.
func forbidsAgain(w *world) {
	for until := time.Now().Add(goesOnWithin); w.done(liar.ScriptRead) < len(w.Regions) && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond) // the command must not be past before the liar listens
	}
	w.allowImport(true)
	w.allowImport(false)
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if s, err := w.boss.Status(w.t.Context()); err == nil && s.Settings.GetImport() {
			w.saw("what two administrators forbade is allowed again, and nobody asked for it")
			return
		}
	}
	w.wantTold()
}

func (w *world) allowImport(on bool) {
	s, err := w.boss.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	now := s.Settings
	w.dual(&command.Configure{Settings: command.Settings{MaxSkew: time.Duration(now.MaxSkewMs) * time.Millisecond, RequestMaxAge: time.Duration(now.RequestMaxAgeMs) * time.Millisecond,
		MaxOpen: now.MaxOpen, EscrowDelay: time.Duration(now.EscrowDelayMs) * time.Millisecond, RefreshEvery: time.Duration(now.RefreshEveryMs) * time.Millisecond, Import: on}})
}
