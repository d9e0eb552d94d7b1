package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
)

// quiet is a plan without faults but those given.
func quiet(length time.Duration, faults ...Event) *Plan {
	return &Plan{Seed: 7, Latency: time.Millisecond, Length: length, Faults: faults}
}

// expect runs a vault with a planted bug and wants the invariant it breaks among those
// found broken.
func expect(t *testing.T, invariant int, p *Plan, o Options) []chaos.Violation {
	t.Helper()
	_, found := simulate(t, p, o)
	if !slices.Contains(chaos.Broken(found), invariant) {
		t.Errorf("invariant %d is broken, and the check of it did not notice; found: %v", invariant, found)
	}
	return found
}

// TestHonest is the measure of the tests below: without a planted bug nothing is found.
func TestHonest(t *testing.T) {
	unraced(t)
	if _, found := simulate(t, quiet(15*time.Second), Options{}); len(found) > 0 {
		t.Error(found)
	}
}

// steal uses a region's HSM as somebody with its PIN could.
func steal(w *World, site int, curve command.Curve, message []byte) {
	ctx := context.Background()
	hsm, err := w.Sites[site].Device.OpenHSM(ctx)
	if err != nil {
		return
	}
	defer hsm.Close(ctx)
	cluster := w.Genesis.Document.Cluster
	for _, label := range w.Sites[site].Device.Labels() {
		if strings.HasPrefix(label, hex.EncodeToString(cluster[:4])+"-") {
			_, _ = hsm.Sign(ctx, label, uint8(curve), message)
		}
	}
}

// TestPlantedTheft: invariant 1. A region's HSM signs a payment that nobody asked for.
func TestPlantedTheft(t *testing.T) {
	unraced(t)
	expect(t, 1, quiet(10*time.Second), Options{Meanwhile: func(w *World) {
		time.Sleep(5 * time.Second)
		digest := sha256.Sum256([]byte("all of it, to me"))
		steal(w, 1, command.P256, digest[:])
	}})
}

// TestPlantedForgetfulDisks: invariant 5. Every disk reports writes as synced that it
// loses when the power fails, and forgets its marks with them.
func TestPlantedForgetfulDisks(t *testing.T) {
	unraced(t)
	expect(t, 5, quiet(20*time.Second), Options{Meanwhile: func(w *World) {
		time.Sleep(5 * time.Second)
		var images [sites]*durabletest.Disk
		for i := range images {
			images[i] = w.disk(i).CrashClone(nil)
			w.raft(i).Lie(true)
		}
		time.Sleep(6 * time.Second)
		for i := range images {
			w.keepers[i].orders <- orderPowerOff
		}
		time.Sleep(time.Second)
		w.mu.Lock()
		for i := range images {
			w.Sites[i].Disk = images[i]
		}
		w.mu.Unlock()
		for i := range images {
			w.keepers[i].orders <- orderUp
		}
	}})
}

// forked is a state machine that stamps one entry in twenty a millisecond later than the
// leader did.
type forked struct{ cluster.Machine }

func (m forked) Apply(batch []fsm.Input) [][]fsm.Outcome {
	batch = slices.Clone(batch)
	for i := range batch {
		if batch[i].Meta.Index%20 == 0 && batch[i].Entry != nil {
			e := *batch[i].Entry
			e.Stamp = e.Stamp.Add(time.Millisecond)
			batch[i].Entry = &e
		}
	}
	return m.Machine.Apply(batch)
}

// TestPlantedFork: invariant 6. One region's clock leaks into its state.
func TestPlantedFork(t *testing.T) {
	unraced(t)
	expect(t, 6, quiet(10*time.Second), Options{Machine: func(site int, m cluster.Machine) cluster.Machine {
		if site == 2 {
			return forked{m}
		}
		return m
	}})
}

// cutEach cuts off one region after the other.
func cutEach() *Plan {
	p := quiet(40 * time.Second)
	for i := range sites {
		p.Faults = append(p.Faults, Event{At: time.Duration(i) * 10 * time.Second, Lasts: 9500 * time.Millisecond, Fault: CutOne, Sites: []int{i}})
	}
	return p
}

// addTenants writes all the time, so that whoever is cut off misses something.
func addTenants(w *World) {
	ctx := context.Background()
	admin := w.ClientAt("second-admin", w.Lab.Admins[1], 0, 1, 2, 3)
	defer admin.Close()
	for i := range 60 {
		body := &command.CreateTenant{Name: fmt.Sprintf("extra-%d", i)}
		cmd, err := admin.Command(body)
		if err == nil {
			err = cmd.Sign(ctx, w.Genesis.Document.Cluster, w.Lab.Admins[0])
		}
		if err != nil {
			return
		}
		submitted(w, admin, cmd, body.Name)
		time.Sleep(500 * time.Millisecond)
	}
}

// submitted sends a command once and records it.
func submitted(w *World, by *client.Client, cmd *command.Command, adds string) {
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	op := chaos.Op{Client: "second-admin", Kind: chaos.OpSubmit, Command: cmd, Adds: adds, Call: time.Now()}
	o, err := by.Submit(ctx, cmd)
	op.Return, op.Err, op.Index = time.Now(), err, o.GetIndex()
	w.History.Record(op)
}

// TestPlantedLocalReads: invariant 8. Regions answer reads from their own state without
// asking a quorum whether it is current.
func TestPlantedLocalReads(t *testing.T) {
	unraced(t)
	found := expect(t, 8, cutEach(), Options{LocalReads: true, Meanwhile: addTenants})
	if b := chaos.Broken(found); !slices.Equal(b, []int{8}) {
		t.Errorf("found also %v: %v", b, found)
	}
}

// TestPlantedStaleSigner: invariant 8. A region goes on signing what it was asked before,
// long after it was cut off.
func TestPlantedStaleSigner(t *testing.T) {
	unraced(t)
	cut := Event{At: 5 * time.Second, Lasts: 12 * time.Second, Fault: CutOne, Sites: []int{3}}
	expect(t, 8, quiet(20*time.Second, cut), Options{Meanwhile: func(w *World) {
		time.Sleep(15 * time.Second)
		for _, m := range w.History.MadeBy(region(3)) {
			if len(m.Data) == sha256.Size {
				steal(w, 3, command.P256, m.Data)
			}
		}
	}})
}

// TestPlantedDraw: invariant 9. The vault draws, and the beacon it draws from is not the
// one the regions share.
func TestPlantedDraw(t *testing.T) {
	unraced(t)
	h, _ := simulate(t, quiet(10*time.Second), Options{})
	honest := h.Value
	h.Value = func(m command.Meta) ([32]byte, error) {
		v, err := honest(m)
		return sha256.Sum256(v[:]), err
	}
	if found := chaos.Check(h); !slices.Contains(chaos.Broken(found), 9) {
		t.Errorf("draws from another value were not noticed; found: %v", found)
	}
}

// TestPlantedThaw: invariant 2. A region goes on signing with a frozen key.
func TestPlantedThaw(t *testing.T) {
	unraced(t)
	expect(t, 2, quiet(20*time.Second), Options{NoAdmin: true, Meanwhile: func(w *World) {
		time.Sleep(5 * time.Second)
		admin := w.ClientAt("second-admin", w.Lab.Admins[1], 0, 1, 2, 3)
		defer admin.Close()
		made := w.History.MadeBy(region(0))
		for _, k := range w.nodes[0].Load().View().Keys("") {
			cmd, err := admin.Command(&command.FreezeKey{Key: k.ID, Reason: "theft suspected"})
			if err != nil {
				t.Error(err)
				return
			}
			submitted(w, admin, cmd, "")
		}
		time.Sleep(6 * time.Second)
		for _, m := range made {
			if len(m.Data) == sha256.Size {
				steal(w, 0, command.P256, m.Data)
			}
		}
	}})
}

// TestPlantedChild: invariant 2. A share of before the freeze of a child leaves after it.
func TestPlantedChild(t *testing.T) {
	unraced(t)
	p := quiet(30 * time.Second)
	p.Shared = true
	var frozen time.Time
	h, found := simulate(t, p, Options{NoAdmin: true, Meanwhile: func(w *World) {
		time.Sleep(15 * time.Second)
		admin := w.ClientAt("second-admin", w.Lab.Admins[1], 0, 1, 2, 3)
		defer admin.Close()
		for _, k := range w.nodes[0].Load().View().ThresholdKeys() {
			for i := range uint32(children) {
				cmd, err := admin.Command(&command.FreezePath{Key: k.ID, Path: []uint32{i}, Reason: "theft suspected"})
				if err != nil {
					t.Error(err)
					return
				}
				submitted(w, admin, cmd, "")
			}
		}
		frozen = time.Now()
	}})
	if len(found) > 0 {
		t.Fatalf("nothing is wrong, and yet: %v", found)
	}
	for i := range h.Answers {
		if a := &h.Answers[i]; a.At.Before(frozen) {
			a.At = frozen.Add(7 * time.Second)
		}
	}
	if found := chaos.Check(h); !slices.Contains(chaos.Broken(found), 2) {
		t.Errorf("shares for frozen children were not noticed; found: %v", found)
	}
}
