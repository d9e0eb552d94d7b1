//go:build liar

package liar_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Lies about threshold keys. A step of a ceremony has thirty seconds by the committed
// clock; where it has to run out, the clocks of all regions are moved ahead.
const (
	stepOver       = fsm.StepTime + time.Second
	ceremonyWithin = 90 * time.Second // four HSMs make an RSA key each, which on a busy machine takes several tries
)

// learn reads what signatures are judged by, and waits until all regions have nonces.
func (w *world) learn() {
	k := w.row()
	w.info = intent.KeyInfo{Curve: command.Curve(k.Curve), Signers: uint8(k.Signers), Threshold: true, Point: k.Point, Network: intent.Mainnet}
	copy(w.info.Chain[:], k.ChainCode)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		pools, err := w.boss.NoncePools(w.t.Context())
		full := 0
		for _, p := range pools {
			if p.Curve == k.Curve && p.Left > 0 {
				full++
			}
		}
		if full == len(w.Regions) {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%d regions have nonces: %v", full, err)
		}
	}
}

// row is the key as the honest regions show it, once they do.
func (w *world) row() *client.Key {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		k, err := w.boss.Key(w.t.Context(), w.key)
		if err == nil {
			return k
		}
		if time.Now().After(end) {
			w.t.Fatal(err)
		}
	}
}

// until looks at the key until it is as wanted, and notes who is blamed meanwhile.
func (w *world) until(within time.Duration, want func(*client.Key) bool) bool {
	for end := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		k := w.row()
		for _, f := range k.Ceremony.GetFaults() {
			w.fault(f)
		}
		if want(k) {
			return true
		}
		if time.Now().After(end) || w.lowered && w.harmed() {
			return false
		}
	}
}

func (w *world) fault(f *tetradv1.CeremonyFault) {
	switch liar := uint32(w.liar + 1); {
	case f.Region == liar:
		w.name(fmt.Sprintf("fault at step %d by %v: %s", f.Step, f.By, f.Note))
	case f.Region != 0 && slices.Equal(f.By, []uint32{liar}):
		w.saw("region %d is blamed on the word of the liar", f.Region)
	}
}

// name notes how the vault names the liar.
func (w *world) name(how string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.named[how] = true
}

func (w *world) culprit() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.named) == 0 {
		return ""
	}
	return "; named by " + strings.Join(slices.Sorted(maps.Keys(w.named)), ", ")
}

func live(epoch uint32) func(*client.Key) bool {
	return func(k *client.Key) bool { return k.Sharing.GetEpoch() >= epoch }
}

// owes reports whether a step of the ceremony waits for one region alone.
func owes(step tetradv1.CeremonyStep, site int) func(*client.Key) bool {
	return func(k *client.Key) bool {
		return k.Ceremony.GetStep() == step && slices.Equal(k.Ceremony.Missing, []uint32{uint32(site + 1)})
	}
}

func (w *world) refresh() { w.dual(&command.RefreshKey{Key: w.key, Reason: "a liar about"}) }

// refreshed wants a refresh to end although one region lies.
func refreshed(w *world) {
	w.refresh()
	if !w.until(ceremonyWithin, live(2)) {
		w.saw("the refresh does not end")
	}
	w.wantTold()
}

func (w *world) wantTold() {
	if !w.await(w.lie.name, ceremonyWithin) {
		w.t.Errorf("%s was never told", w.lie.name)
	}
}

// refreshedInTime lets steps of it run out that somebody cannot end. Regions make a
// wrapping key first, which takes some HSMs seconds.
func refreshedInTime(w *world) {
	w.refresh()
	last := uint32(0)
	stands := func(k *client.Key) bool {
		return k.Ceremony.GetTry() > last && owes(tetradv1.CeremonyStep_CEREMONY_STEP_FINISH, w.honest[0])(k)
	}
	for range fsm.MaxTries {
		w.until(ceremonyWithin, func(k *client.Key) bool { return live(2)(k) || stands(k) })
		if live(2)(w.row()) {
			break
		}
		last = w.row().Ceremony.GetTry()
		w.pass(stepOver)
	}
	if !w.until(ceremonyWithin, live(2)) {
		w.saw("the refresh does not end")
	}
	w.wantTold()
}

// unfinished lets a step run out that the liar does not end.
func unfinished(w *world) {
	w.refresh()
	if !w.until(ceremonyWithin, owes(tetradv1.CeremonyStep_CEREMONY_STEP_FINISH, w.liar)) {
		w.saw("the ceremony does not wait for the liar alone")
	}
	w.pass(stepOver)
	w.until(goesOnWithin, w.blames)
	w.wantTold()
}

func (w *world) blames(*client.Key) bool { return w.culprit() != "" }

// disagreed wants no sharing that the liar says something else of.
func disagreed(w *world) {
	w.refresh()
	over := func(k *client.Key) bool { return live(2)(k) || w.blames(k) }
	if w.until(ceremonyWithin, over) && live(2)(w.row()) {
		w.saw("a sharing went live that the holders do not agree on")
	}
	w.wantTold()
}

// wrapped wants nothing sealed to what the liar offers for a wrapping key.
func wrapped(w *world) {
	w.refresh()
	over := func(k *client.Key) bool { return live(2)(k) || w.blames(k) }
	if w.until(ceremonyWithin, over) && live(2)(w.row()) {
		w.saw("shares lie under a key outside its HSM")
	}
	w.wantTold()
}

// starved begins a refresh in which one region is not heard.
func starved(w *world) {
	w.refresh()
	w.wantTold()
	w.until(2*time.Second, live(2))
}

// refreshedAfter wants the key refreshed when nobody lies any more.
func refreshedAfter(w *world) { w.ends(nil) }

// refreshedWithout wants the key refreshed for the other three: what the liar offered to
// have shares sealed to stands in the state.
func refreshedWithout(w *world) {
	var holders []identity.RegionID
	for _, i := range w.honest {
		holders = append(holders, identity.RegionID(i+1))
	}
	w.ends(holders)
}

// ends has a refresh begun, by these holders, until one ends. Steps that cannot be ended
// any more run out.
func (w *world) ends(holders []identity.RegionID) {
	next := w.row().Sharing.Epoch + 1
	var why error
	for range 2 * fsm.MaxTries {
		if c := w.row().Ceremony; c == nil || c.Step == tetradv1.CeremonyStep_CEREMONY_STEP_FAILED {
			_, why = w.submit(&command.RefreshKey{Key: w.key, Holders: holders, Reason: "nobody lies any more"})
		}
		if w.until(5*time.Second, live(next)) {
			return
		}
		w.pass(stepOver)
	}
	w.saw("the key is not refreshed although nobody lies: %v", why)
}

// offered waits until the pools were filled again.
func offered(w *world) {
	if !w.await("nonces-twice", patience) {
		w.t.Error("nonces-twice was never told")
	}
}

// blamed wants the faults of the key to name the liar.
func blamed(w *world) {
	if w.culprit() == "" {
		w.t.Error("the faults of the key do not name the liar")
	}
}

// spoken shows what regions said in the log, with who said it.
func (w *world) spoken(show func(by identity.RegionID, l *audit.Leaf, body command.Body)) {
	s, err := w.boss.Status(w.t.Context())
	if err != nil {
		w.t.Error(err)
		return
	}
	err = w.leaves(func(l *audit.Leaf) error {
		for _, r := range s.Regions {
			if !bytes.Equal(r.Session, l.Command.Principal[:]) {
				continue
			}
			body, err := l.Body()
			if err != nil {
				return err
			}
			show(identity.RegionID(r.Id), l, body)
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

// accused wants so many honest regions to accuse the liar in the log.
func accused(least int) func(*world) {
	return func(w *world) {
		by := map[identity.RegionID]bool{}
		w.spoken(func(r identity.RegionID, l *audit.Leaf, body command.Body) {
			if b, ok := body.(*command.AccuseDealer); ok && l.Code == errs.OK && int(b.Against) == w.liar+1 && int(r) != w.liar+1 {
				by[r] = true
				w.name("accusation: " + b.Note)
			}
		})
		if len(by) < least {
			w.t.Errorf("%d regions accuse the liar in the log", len(by))
		}
	}
}

// accuses wants the liar's false word in the log under its own name, and no other.
func accuses(w *world) {
	own := 0
	w.spoken(func(r identity.RegionID, l *audit.Leaf, body command.Body) {
		if b, ok := body.(*command.AccuseDealer); ok && l.Code == errs.OK {
			if int(r) != w.liar+1 {
				w.saw("region %d accuses region %d", r, b.Against)
				return
			}
			own++
			w.name("its own accusation: " + b.Note)
		}
	})
	if own == 0 {
		w.t.Error("the liar's accusation stands in no log")
	}
}

// refusedOffers wants the offers refused that the liar made before, under its name.
func refusedOffers(w *world) {
	refused := 0
	w.spoken(func(r identity.RegionID, l *audit.Leaf, body command.Body) {
		if _, ok := body.(*command.OfferNonces); ok && l.Code == errs.Replayed && int(r) == w.liar+1 {
			refused++
			w.name("an offer refused as replayed")
		}
	})
	if refused == 0 {
		w.t.Error("no offer of the liar was refused")
	}
}

// namedByWords wants honest words about the liar for another draw in the log.
func namedByWords(w *world) {
	words := 0
	err := w.leaves(func(l *audit.Leaf) error {
		body, err := l.Body()
		b, ok := body.(*command.OpenAttempt)
		if err != nil || !ok || l.Code != errs.OK {
			return nil // the first leaf is no command
		}
		for _, raw := range b.Words {
			v, err := command.DecodeWord(raw)
			if err != nil {
				return err
			}
			if int(v.About) == w.liar+1 && int(v.By) != w.liar+1 {
				words++
				w.name(fmt.Sprintf("the word of region %d for another draw", v.By))
			}
		}
		return nil
	})
	if err != nil || words == 0 {
		w.t.Errorf("%d words about the liar in the log: %v", words, err)
	}
}

// namedByRefusal wants a completion of the liar's in the log, refused for its signature.
func namedByRefusal(w *world) {
	refused := 0
	err := w.leaves(func(l *audit.Leaf) error {
		if l.Command.Type == command.TypeComplete && l.Code == errs.Unverified {
			refused++
		}
		return nil
	})
	if err != nil || refused == 0 {
		w.t.Errorf("%d completions refused in the log: %v", refused, err)
		return
	}
	w.name("a completion of its own, refused by the log")
}
