package vault_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

func (w *world) refreshEvery(every time.Duration) {
	s := w.leading().View().Settings()
	s.RefreshEvery = every
	w.must(w.dual(&command.Configure{Settings: s}))
}

func (w *world) schedule() fsm.Schedule {
	w.t.Helper()
	s, ok := w.leading().View().Schedule()
	if !ok {
		w.t.Fatal("there is no schedule")
	}
	return s
}

// TestRefreshBySchedule: nobody does anything for three periods but sign. Keys get new
// shares in each, the wrapping keys of the one before are destroyed in every HSM.
func TestRefreshBySchedule(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		keys := []*fsm.Key{w.ready(ed25519Curve, 2), w.ready(taproot, 3)}
		w.refreshEvery(2 * time.Hour)
		for period := uint32(1); period <= 3; period++ {
			time.Sleep(time.Until(w.schedule().Due) - time.Minute)
			w.both(keys, fmt.Sprint("before period ", period))
			if k := w.keyRow(keys[0].ID); k.Sharing.Epoch != period {
				t.Fatalf("refreshed before its time: sharing %d", k.Sharing.Epoch)
			}
			time.Sleep(2 * time.Hour) // idle: the clock entries of the leader alone move time
			for _, k := range keys {
				w.live(k.ID, period+1)
			}
			w.both(keys, fmt.Sprint("after period ", period))
			w.eventually("the old wrapping keys destroyed", func() bool { return w.wrap(period) == nil })
			for _, n := range w.all() {
				if n.has(period) || !n.has(period+1) {
					t.Errorf("region %d, period %d: epoch before in its HSM %v, epoch after %v", n.id, period, n.has(period), n.has(period+1))
				}
			}
		}
		if s := w.schedule(); s.Lagging != 0 || s.Asked || s.Index == 0 {
			t.Errorf("%+v", s)
		}
		w.neverMixed()
		w.oneNonceOneMessage()
		w.consistent()
	})
}

func (w *world) both(keys []*fsm.Key, message string) {
	w.t.Helper()
	for _, k := range keys {
		c := w.joint(w.keyRow(k.ID), message, 3)
		w.proven(w.keyRow(k.ID), c, w.sign(c))
	}
}

// TestScheduleMissesARegion: a region that is away for a period keeps its keys as they
// were, and uses no tries up; once it is back they are refreshed before the next period.
func TestScheduleMissesARegion(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.ready(ed25519Curve, 2)
		w.refreshEvery(24 * time.Hour)
		time.Sleep(23 * time.Hour)
		w.nodes[4].kill()
		time.Sleep(3 * time.Hour)
		if now := w.keyRow(k.ID); now.Sharing.Epoch != 1 || now.Ceremony != nil {
			t.Fatalf("sharing %d, ceremony %+v", now.Sharing.Epoch, now.Ceremony)
		}
		if s := w.schedule(); s.Lagging != 1 || s.Wrap != 2 || s.Retry.IsZero() {
			t.Fatalf("%+v", s)
		}
		c := w.joint(k, "while a region is away")
		w.proven(k, c, w.sign(c))
		w.nodes[4].restart()
		due := w.schedule().Due
		time.Sleep(4 * time.Hour)
		w.live(k.ID, 2)
		w.eventually("the old wrapping keys destroyed", func() bool { return w.wrap(1) == nil })
		if s := w.schedule(); !s.Due.Equal(due) || s.Lagging != 0 {
			t.Errorf("%+v, was due %s", s, due)
		}
		w.consistent()
	})
}
