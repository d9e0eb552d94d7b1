package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/cluster"
)

// Options of a run. The zero value is an honest one.
type Options struct {
	Log io.Writer // what nodes and schedule say; nil: nothing

	// Planted bugs, each of which a checker must find.
	Machine    func(site int, m cluster.Machine) cluster.Machine // wraps a region's state machine
	Meanwhile  func(w *World)                                    // runs beside the workload
	NoAdmin    bool                                              // administrators do nothing during the run
	LocalReads bool                                              // reads are answered by the region asked, whatever it missed
}

const (
	shedOf        = 3           // of so many runs one waits until all that was refreshed is destroyed
	readyWithin   = time.Minute // from the founding to four regions that may sign
	recoverWithin = time.Minute // for each step from the end of all faults to a vault that does all its work
	lingering     = time.Minute // time stops with the run: what libraries leave behind must be over by then
)

// Run carries out a plan inside a synctest bubble and returns what was seen, and what went
// wrong with the run itself: a vault that does not recover is a finding too.
func Run(t testing.TB, p *Plan, o Options) (*chaos.History, []chaos.Violation) {
	t.Helper()
	w := newWorld(t, p, o)
	defer time.Sleep(lingering)
	defer w.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, k := range w.keepers {
		k.orders <- orderUp
	}
	if !await(ctx, readyWithin, w.allReady) {
		return w.History, []chaos.Violation{{Text: "the regions did not become ready after the founding"}}
	}
	load, err := newWorkload(ctx, w, o)
	if err != nil {
		return w.History, []chaos.Violation{{Text: fmt.Sprintf("the workload cannot be prepared: %v", err)}}
	}
	defer load.close()
	load.start(ctx)
	var beside sync.WaitGroup
	if o.Meanwhile != nil {
		beside.Go(func() { o.Meanwhile(w) })
	}
	w.inflict()
	beside.Wait() // nothing may happen after the logs are exported
	load.stop()
	return w.History, w.recover(ctx, load)
}

// inflict carries out the schedule and heals everything at its end.
func (w *World) inflict() {
	type step struct {
		at time.Duration
		do func()
	}
	var steps []step
	ends := make([]func(), len(w.plan.Faults))
	for i := range w.plan.Faults {
		e := &w.plan.Faults[i]
		steps = append(steps, step{e.At, func() {
			w.log.Info("chaos: fault", slog.String("fault", e.String()))
			ends[i] = w.begin(e)
		}}, step{e.At + e.Lasts, func() {
			w.log.Info("chaos: over", slog.String("fault", e.String()))
			ends[i]()
		}})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	began := time.Now()
	for _, s := range append(steps, step{w.plan.Length, func() {}}) {
		time.Sleep(time.Until(began.Add(s.at)))
		s.do()
	}
	w.Net.HealAll()
}

func (w *World) allReady() bool {
	for i := range w.nodes {
		if n := w.nodes[i].Load(); n == nil || n.Ready() != nil {
			return false
		}
	}
	return true
}

// settled reports whether all regions stand at one index with nothing left to do.
func (w *World) settled() bool {
	index := uint64(0)
	for i := range w.nodes {
		n := w.nodes[i].Load()
		if n == nil || n.Ready() != nil {
			return false
		}
		v := n.View()
		if len(v.OpenRequests()) > 0 || index != 0 && v.Meta().Index != index {
			return false
		}
		index = v.Meta().Index
	}
	return true
}

// recover wants the healed vault to do everything again: all regions ready, new writes and
// signatures, answers to what was asked before, equal replicas, complete audit logs.
func (w *World) recover(ctx context.Context, load *workload) (found []chaos.Violation) {
	lacking := func(format string, args ...any) {
		found = append(found, chaos.Violation{Text: "no recovery after the last fault: " + fmt.Sprintf(format, args...)})
	}
	if !await(ctx, recoverWithin, w.allReady) {
		lacking("%s", w.states())
		return found
	}
	w.log.Info("chaos: all regions are ready")
	if err := load.finish(ctx); err != nil {
		lacking("%v; %s", err, w.states())
	}
	w.log.Info("chaos: everything asked for is answered")
	if w.plan.Shared {
		err := load.ceremoniesOver(ctx)
		if err == nil && w.plan.Seed%shedOf == 0 {
			err = load.shed(ctx)
		}
		if err != nil {
			lacking("%v; %s", err, w.states())
		}
	}
	if !await(ctx, recoverWithin, w.settled) {
		lacking("regions do not settle: %s", w.states())
	}
	for i := range w.nodes {
		e, err := load.export(ctx, i)
		if err != nil {
			lacking("region %d does not serve its audit log: %v", region(i), err)
			continue
		}
		w.History.Record(e)
	}
	return found
}

// states says how the regions stand, for a run that does not end well.
func (w *World) states() (s string) {
	for i := range w.nodes {
		n := w.nodes[i].Load()
		if n == nil {
			s += fmt.Sprintf("region %d is down; ", region(i))
			continue
		}
		v := n.View()
		s += fmt.Sprintf("region %d is at %d, leads %t, open requests %d, ready: %v; ", region(i), v.Meta().Index, n.Leads(), len(v.OpenRequests()), n.Ready())
	}
	return s
}
