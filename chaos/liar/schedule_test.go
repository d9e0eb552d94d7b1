//go:build liar

package liar_test

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// scheduled has the refresh of all keys fall due every hour, and lets most of the first one
// pass with all regions down.
func scheduled(w *world) {
	s := w.view().Settings()
	s.RefreshEvery = command.MinRefreshEvery
	w.dual(&command.Configure{Settings: s})
	w.sleep(command.MinRefreshEvery - 40*time.Second)
}

// sleep stops all regions for so long.
func (w *world) sleep(d time.Duration) {
	for i := range w.Sites {
		w.Stop(i)
	}
	time.Sleep(d)
	for i := range w.Sites {
		w.history.Record(chaos.Boot{Region: region(i), At: time.Now()})
	}
	w.StartAll(w.ctx)
	w.choose(false)
}

// refreshedBySchedule asks for nothing until the refresh was due for long, and wants it done.
func refreshedBySchedule(w *world) {
	due, _ := w.view().Schedule()
	for end := due.Due.Add(2 * time.Minute); w.row().Sharing.Epoch < 2; time.Sleep(time.Second) {
		if time.Now().After(end) {
			w.saw("the refresh that is due does not come")
			break
		}
	}
	if s, _ := w.view().Schedule(); s.Index != 0 {
		w.t.Logf("due at %s, began at %s", due.Due.Format(time.TimeOnly), s.Last.Format(time.TimeOnly))
	}
	w.thawed.Store(time.Now().UnixNano())
	w.work()
	time.Sleep(goesOnWithin + 2*time.Second)
}

// keptWrap refreshes twice; the epochs of wrapping keys that are given up stay, as those
// that the liar says nothing of.
func keptWrap(w *world) {
	refreshed(2)(w)
	refreshed(3)(w)
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(time.Second) {
		doomed, others := 0, true
		for _, e := range w.view().Wraps() {
			if e.Doomed == 0 {
				continue
			}
			doomed++
			for _, i := range w.honest {
				others = others && slices.Contains(e.Dropped, region(i))
			}
			if slices.Contains(e.Dropped, region(w.liar)) {
				w.t.Error("the liar said that it destroyed its key")
			}
		}
		switch {
		case doomed == 2 && others:
			return
		case time.Now().After(end):
			w.saw("%d epochs wait, and not for the liar alone", doomed)
			return
		}
	}
}

// droppedAfter ends the lie, and wants the old epochs to go.
func droppedAfter(w *world) {
	liar.Tell(region(w.liar), liar.Lie{})
	for end := time.Now().Add(2 * time.Minute); len(w.view().Wraps()) > 1; time.Sleep(time.Second) {
		if time.Now().After(end) {
			w.saw("old wrapping keys stay although nobody lies")
			return
		}
	}
}

// held wants the liar to have been left as leader.
func held(w *world) {
	refreshedBySchedule(w)
	left := slices.ContainsFunc(w.honest, func(i int) bool { return slices.Contains(w.clusterOf(i).LeftLeaders(), region(w.liar)) })
	if liar.Defends(liar.Willing) && !left {
		w.t.Error("nobody left the leader that holds time")
	}
}
