//go:build liar

package liar_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/internal/liar"
)

const processes = "processes" // this world, in the table of make liar

// tell tells one lie in a lab of its own. What must not be comes back as harm.
func tell(t *testing.T, l *lie, lowered bool) (harm []string, first time.Duration) {
	w := found(t, l, lowered)
	w.choose()
	if l.joint {
		w.learn()
	}
	if l.before != nil {
		l.before(w)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	if l.idle > 0 {
		w.begin() // before anybody asks for anything
		w.work(ctx, &working)
	} else {
		w.work(ctx, &working)
		time.Sleep(500 * time.Millisecond) // under load
		w.begin()
	}
	working.Go(func() { w.watch(ctx) })
	w.lying()
	w.script("")
	if l.after != nil && !(lowered && w.harmed()) {
		l.after(w)
	}
	if l.names != nil && !lowered {
		l.names(w)
	}
	cancel()
	working.Wait()
	if !lowered || !w.harmed() {
		w.judge()
	}
	answers, first := w.answers()
	t.Logf("%s: told %d times, %d answers, the first after %s; files of evidence: %d%s", l.name, w.done(l.name), answers, first.Round(time.Millisecond), w.evidence(), w.culprit())
	return w.harm, first
}

func (w *world) work(ctx context.Context, working *sync.WaitGroup) {
	for i := range 3 {
		working.Go(func() { w.sign(ctx, i) })
	}
}

// lying waits until the lie is told and enough was signed after it.
func (w *world) lying() {
	l, end := w.lie, time.After(goesOnWithin+5*time.Second)
	if l.during != nil {
		l.during(w)
		end = time.After(goesOnWithin)
	}
	for until := time.Now().Add(goesOnWithin); w.done(l.name) == 0 && l.during == nil && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond)
	}
	if l.during == nil && w.done(l.name) == 0 {
		w.t.Errorf("%s was never told", l.name)
	}
	if l.anew {
		w.countAnew()
	}
	if l.silent {
		time.Sleep(100 * time.Millisecond)
		w.Regions[w.liar].Kill()
	}
	if w.lowered && l.soon {
		w.script("")
	}
	if w.lowered && (l.watch != nil || l.stays) {
		w.untilHarmed(goesOnWithin)
	}
	select {
	case <-w.enough:
	case <-end:
	}
	if n, first := w.answers(); n == 0 {
		w.saw("nothing is signed any more")
	} else if first > goesOnWithin {
		w.saw("the first signature came after %s", first)
	} else if n < enough && !w.lowered { // the same lie may slow down a vault that defends itself
		w.saw("%d answers to what was asked after the lie", n)
	}
	if w.lowered {
		w.untilHarmed(500 * time.Millisecond)
	} else {
		time.Sleep(500 * time.Millisecond)
	}
}

func (w *world) untilHarmed(within time.Duration) {
	for end := time.Now().Add(within); !w.harmed() && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
}

// judge looks at what the honest regions hold when the lie is over.
func (w *world) judge() {
	w.look()
	if err := w.agree(); err != nil {
		w.saw("%v", err)
	}
	if err := w.audited(); err != nil {
		w.saw("%v", err)
	}
	w.look()
	w.crashed()
}

// TestLies tells every lie to four real processes; the short form a few of them.
func TestLies(t *testing.T) {
	for i := range lies {
		l := &lies[i]
		t.Run(l.name, func(t *testing.T) {
			if testing.Short() && !l.short {
				t.Skip("told in the long form: make liar")
			}
			t.Parallel()
			harm, first := tell(t, l, false)
			for _, h := range harm {
				t.Error(h)
			}
			if t.Failed() && len(harm) == 0 {
				harm = []string{"failed"}
			}
			liar.Result(processes, l.name, "held", strings.Join(harm, "; "))
			liar.Result(processes, l.name, "first", first.Round(time.Millisecond).String())
		})
	}
}

// TestDefencesOff takes down what stands in the way of lies: the processes must be seen
// to suffer, or the test above shows nothing.
func TestDefencesOff(t *testing.T) {
	for i := range lies {
		l := &lies[i]
		if len(l.lower) == 0 {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			if testing.Short() && !l.short {
				t.Skip("told in the long form: make liar")
			}
			t.Parallel()
			var harm []string
			for range 3 { // some have to win a race
				if harm, _ = tell(t, l, true); len(harm) > 0 {
					break
				}
			}
			if len(harm) == 0 {
				t.Error("the lie did no harm without the defence")
				harm = []string{"NO HARM"}
			}
			liar.Result(processes, l.name, "without", harm[0])
			if l.starves {
				unwilling := *l
				unwilling.lower = ds(liar.Willing)
				harm, _ := tell(t, &unwilling, true)
				if !slices.Contains(harm, "nothing is signed any more") {
					t.Error("signing went on although nobody left the leader: ", harm)
				}
			}
			for _, h := range harm {
				t.Logf("harm: %s", h)
			}
		})
	}
}
