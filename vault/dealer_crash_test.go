package vault_test

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

// dealingSteps are what a region files for a key ceremony, in order.
var dealingSteps = []command.Type{command.TypeOfferWrap, command.TypeHashDealing, command.TypeDeal, command.TypeDealShares, command.TypeFinishShare}

// gate lets a test stop a region at a step: seen is set when it wants to file it, and
// nothing of it gets into the log while hold is set.
type gate struct {
	seen atomic.Bool
	hold atomic.Bool
}

func (w *world) gate(region identity.RegionID, step command.Type) *gate {
	g := &gate{}
	g.hold.Store(true)
	w.set(func() {
		w.rewrite = func(from identity.RegionID, body command.Body) command.Body {
			if from == region && body.Type() == step {
				g.seen.Store(true)
				if g.hold.Load() {
					return nil
				}
			}
			return body
		}
	})
	return g
}

// long tells the long form of these tests (make test-long) from the sample that is part of
// make test: each case is a world of its own.
var long = os.Getenv("TETRAD_LONG") != ""

// sample leaves out all but every nth case in the short form.
func sample(t *testing.T, i *int, n int) {
	if *i++; !long && *i%n != 1 {
		t.Skip("in the long form: TETRAD_LONG=1")
	}
}

// TestCeremonySurvivesDeath kills a region at every step, before what it wanted to say is
// in the log and right after: the same try goes on.
func TestCeremonySurvivesDeath(t *testing.T) {
	i := 0
	for _, step := range dealingSteps {
		for region := identity.RegionID(1); region <= 4; region++ {
			for _, logged := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", step, region, logged), func(t *testing.T) {
					sample(t, &i, 13)
					simulate(t, func(t *testing.T, w *world) { w.dieAt(step, region, logged) })
				})
			}
		}
	}
}

func (w *world) dieAt(step command.Type, region identity.RegionID, logged bool) {
	g := w.gate(region, step)
	g.hold.Store(!logged)
	id := w.newThreshold([]command.Curve{ed25519Curve, taproot}[region%2], 2)
	w.eventually("the step is reached", g.seen.Load)
	n := w.nodes[region]
	if n == w.leading() {
		w.lead(region%4 + 1)
	}
	n.kill()
	time.Sleep(time.Second)
	w.set(func() { w.rewrite = nil })
	n.restart()
	k := w.live(id, 1)
	w.untroubled(id)
	w.neverMixed()
	if k.Sharing.Threshold != 2 {
		w.t.Errorf("threshold %d", k.Sharing.Threshold)
	}
}

// untroubled checks that the log never began a second try for a key.
func (w *world) untroubled(id command.KeyID) {
	w.t.Helper()
	for _, tries := range filed[*command.FinishShare](w) {
		for _, b := range tries {
			if b.Ceremony.Key == id && b.Ceremony.Try > 1 {
				w.t.Errorf("the key needed try %d", b.Ceremony.Try)
			}
		}
	}
}

// TestRefreshSurvivesDeath is the same with old shares to be opened again.
func TestRefreshSurvivesDeath(t *testing.T) {
	i := 0
	for _, step := range dealingSteps {
		t.Run(step.String(), func(t *testing.T) {
			sample(t, &i, 5)
			simulate(t, func(t *testing.T, w *world) {
				id := w.threshold(taproot, 3).ID
				g := w.gate(3, step)
				w.refresh(id)
				w.eventually("the step is reached", g.seen.Load)
				w.nodes[3].kill()
				w.set(func() { w.rewrite = nil })
				w.nodes[3].restart()
				w.live(id, 2)
				w.untroubled(id)
				w.neverMixed()
			})
		})
	}
}

// TestAllRegionsDie: the whole vault is switched off at each step and on again.
func TestAllRegionsDie(t *testing.T) {
	i := 0
	for _, step := range dealingSteps {
		t.Run(step.String(), func(t *testing.T) {
			sample(t, &i, 5)
			simulate(t, func(t *testing.T, w *world) {
				g := w.gate(2, step)
				id := w.newThreshold(ed25519Curve, 3)
				w.eventually("the step is reached", g.seen.Load)
				for _, n := range w.all() {
					n.kill()
				}
				w.set(func() { w.rewrite = nil })
				time.Sleep(5 * time.Second)
				for _, n := range w.all() {
					n.restart()
				}
				w.lead(1)
				w.live(id, 1)
				w.untroubled(id)
				w.neverMixed()
			})
		})
	}
}

// TestRacingSeeds: what a dead process filed is committed after all, before what its
// successor says. The successor deals what was committed, not what it drew itself.
func TestRacingSeeds(t *testing.T) {
	for _, kind := range []string{"new", "refresh"} {
		t.Run(kind, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				var id command.KeyID
				if kind == "refresh" {
					id = w.threshold(ed25519Curve, 2).ID
				}
				var first, second atomic.Pointer[command.HashDealing]
				w.set(func() {
					w.rewrite = func(from identity.RegionID, body command.Body) command.Body {
						b, ok := body.(*command.HashDealing)
						switch {
						case !ok || from != 3:
							return body
						case first.CompareAndSwap(nil, b):
							return nil
						case first.Load().Hash == b.Hash:
							return nil
						}
						second.Store(b)
						return first.Load()
					}
				})
				epoch := uint32(1)
				if kind == "refresh" {
					w.refresh(id)
					epoch = 2
				} else {
					id = w.newThreshold(ed25519Curve, 2)
				}
				w.eventually("a seed is drawn", func() bool { return first.Load() != nil })
				w.nodes[3].kill()
				w.nodes[3].restart()
				w.live(id, epoch)
				w.untroubled(id)
				w.neverMixed()
				if b := second.Load(); b == nil || b.Hash == first.Load().Hash {
					t.Error("no second seed was drawn")
				}
				for _, b := range filed[*command.HashDealing](w)[3] {
					if b.Ceremony.Epoch == epoch && b.Hash != first.Load().Hash {
						t.Error("the second seed got into the log")
					}
				}
			})
		})
	}
}

// TestSaysTheSameAgain: a message that nobody answers is filed again after a while, and it is
// the same one.
func TestSaysTheSameAgain(t *testing.T) {
	i := 0
	for _, step := range dealingSteps[1:] {
		t.Run(step.String(), func(t *testing.T) {
			sample(t, &i, 4)
			simulate(t, func(t *testing.T, w *world) {
				var mu sync.Mutex
				said, bodies := map[command.ID]bool{}, map[string]bool{}
				w.set(func() {
					w.withhold = func(c *command.Command) bool {
						if c.Type != step || c.Principal != w.nodes[2].session.Public().Fingerprint() {
							return false
						}
						var values []byte
						for _, f := range c.Fields {
							values = append(values, f.Value...)
						}
						mu.Lock()
						defer mu.Unlock()
						said[c.ID], bodies[string(values)] = true, true
						return true
					}
				})
				id := w.newThreshold(taproot, 2)
				time.Sleep(vault.DefaultTiming().KeyStep + 5*time.Second)
				w.set(func() { w.withhold = nil })
				w.live(id, 1)
				w.untroubled(id)
				mu.Lock()
				defer mu.Unlock()
				if len(said) < 2 || len(bodies) != 1 {
					t.Errorf("%d commands said %d things", len(said), len(bodies))
				}
			})
		})
	}
}

// TestLeaderChangesInACeremony: every step is led by another region.
func TestLeaderChangesInACeremony(t *testing.T) {
	i := 0
	for _, step := range dealingSteps {
		t.Run(step.String(), func(t *testing.T) {
			sample(t, &i, 5)
			simulate(t, func(t *testing.T, w *world) {
				g := w.gate(1, step)
				id := w.newThreshold(taproot, 2)
				w.eventually("the step is reached", g.seen.Load)
				w.lead(0)
				time.Sleep(3 * time.Second)
				w.set(func() { w.rewrite = nil })
				w.lead(3)
				w.live(id, 1)
				w.untroubled(id)
				w.neverMixed()
			})
		})
	}
}

// TestSnapshotInACeremony: a region that comes back gets the others' state, not their log,
// both dead and alive.
func TestSnapshotInACeremony(t *testing.T) {
	i := 0
	for _, step := range dealingSteps {
		for _, alive := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", step, alive), func(t *testing.T) {
				sample(t, &i, 5)
				simulate(t, func(t *testing.T, w *world) {
					n := w.nodes[3]
					g := w.gate(2, step)
					if alive {
						n.set(func() { n.paused = true })
					} else {
						n.kill()
					}
					id := w.newThreshold(ed25519Curve, 2)
					time.Sleep(2 * time.Second)
					n.restore(w.nodes[1])
					if alive {
						n.set(func() { n.paused = false })
					} else {
						n.restart()
					}
					w.eventually("the step is reached", g.seen.Load)
					w.set(func() { w.rewrite = nil })
					w.live(id, 1)
					w.untroubled(id)
					w.neverMixed()
				})
			})
		}
	}
}

// TestWithheldStep: a region that does not deliver a step is named at the deadline, and the
// next try makes the key.
func TestWithheldStep(t *testing.T) {
	i := 0
	for _, step := range dealingSteps {
		for _, kind := range []string{"new", "refresh"} {
			t.Run(step.String()+"/"+kind, func(t *testing.T) {
				sample(t, &i, 5)
				simulate(t, func(t *testing.T, w *world) {
					var id command.KeyID
					epoch := uint32(1)
					if kind == "refresh" {
						id, epoch = w.threshold(ed25519Curve, 2).ID, 2
					}
					w.gate(4, step)
					if kind == "refresh" {
						w.refresh(id)
					} else {
						id = w.newThreshold(ed25519Curve, 2)
					}
					w.eventually("the try failed", func() bool { return len(w.faults(id)) > 0 })
					f := w.faults(id)[0]
					if f.Region != 4 || f.Try != 1 || len(f.By) != 0 {
						t.Errorf("fault %+v", f)
					}
					w.eventually("counted", func() bool { return w.nodes[1].vault.Stats().FailedTries == 1 })
					w.set(func() { w.rewrite = nil })
					w.live(id, epoch)
					w.neverMixed()
				})
			})
		}
	}
}

// faults are what the state remembers of a key's failed tries.
func (w *world) faults(id command.KeyID) []fsm.Fault {
	if k := w.keyRow(id); k != nil && k.Ceremony != nil {
		return slices.Clone(k.Ceremony.Faults)
	}
	return nil
}

// TestFailedForGood: after the last try nothing is filed any more, and a live key goes on.
// Each try's fault names the region that let it run out, and at which step.
func TestFailedForGood(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.threshold(ed25519Curve, 2)
		w.gate(4, command.TypeFinishShare)
		w.refresh(k.ID)
		w.eventually("given up", func() bool {
			c := w.keyRow(k.ID).Ceremony
			return c != nil && c.Step == fsm.StepFailed
		})
		faults := w.faults(k.ID)
		if len(faults) != 4 {
			t.Errorf("%d faults of four tries: %+v", len(faults), faults)
		}
		for i, f := range faults {
			if f.Region != 4 || f.Step != fsm.StepFinish || int(f.Try) != i+1 || len(f.By) != 0 {
				t.Errorf("fault %d: %+v", i, f)
			}
		}
		w.eventually("counted", func() bool {
			s := w.nodes[2].vault.Stats()
			return s.Ceremonies == 0 && s.FailedTries == 4
		})
		if now := w.live(k.ID, 1); now.Retiring != nil {
			t.Error("a sharing retires for nothing")
		}
		w.set(func() { w.rewrite = nil })
		w.refresh(k.ID)
		w.live(k.ID, 2)
		w.neverMixed()
	})
}
