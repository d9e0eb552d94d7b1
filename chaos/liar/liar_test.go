//go:build liar

package liar_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/internal/liar"
)

// lie is one row of the table in docs/design/liar.md.
type lie struct {
	name     string
	tries    string         // what it is after
	lower    []liar.Defence // what stands in its way; switched off together
	hides    []liar.Defence // what would show nothing of the first line's worth: told without it too
	bare     string         // why nothing can be switched off
	follower bool           // told by a region that does not lead
	stay     time.Duration  // how long it goes on, at least the time in which signing must
	early    bool           // told before anybody asks for anything
	silent   bool           // the liar falls silent once it lied
	marks    uint64         // entries between two snapshots
	before   func(*world)
	during   func(*world) // in the middle of it
	watch    func(*world) // what must not be, besides what look finds
	after    func(*world) // likewise, when the lie is over and all defences are up
	starves  bool         // without liar.Willing nothing is signed while it is told; the row's own defence is another
	joint    bool         // signed is with a threshold key, which is refreshed meanwhile
	first    bool         // told by region 1, which does not lead: the first of all holders
	convicts bool         // the liar's own signatures convict it
	idle     bool         // nobody asks for anything before during has it so
	prompt   bool         // every request is answered in time, whomever it draws
}

// tell runs one lie; the world is judged afterwards.
func tell(t *testing.T, l *lie, lower ...liar.Defence) (harm []string, goesOn time.Duration) {
	defer watchdog(t)()
	liar.Reset()
	defer liar.Reset()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := found(t, ctx, l)
		defer time.Sleep(time.Minute) // what libraries leave behind must be over
		defer w.Close()
		defer cancel()
		w.choose(l.follower)
		if l.first {
			w.firstLies()
		}
		if l.before != nil {
			l.before(w)
		}
		liar.Lower(lower...)
		if l.early {
			w.tell(l.name)
		}
		if !l.idle {
			w.work()
		}
		w.sample(l)
		if !l.early {
			time.Sleep(time.Second)
			w.tell(l.name)
		}
		w.lying(l)
		harm, goesOn = w.reckon(l, len(lower) > 0)
		_ = w.admin.Close()
	})
	return harm, goesOn
}

// lying waits until the lie is told, lets it go on, and ends it.
func (w *world) lying(l *lie) {
	until := time.Now().Add(max(l.stay, goesOnWithin+2*time.Second))
	if l.silent {
		for liar.Done(l.name) == 0 && time.Now().Before(until) {
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond)
		w.silence()
	}
	if l.during != nil {
		l.during(w)
	}
	time.Sleep(time.Until(until))
	close(w.quit)
	w.working.Wait()
}

// silence cuts the liar off from everybody.
func (w *world) silence() {
	var hosts []string
	for _, s := range w.Sites {
		hosts = append(hosts, s.Host())
	}
	w.Net.Isolate(w.Sites[w.liar].Host(), hosts...)
}

// reckon ends the lie and returns what must not be.
func (w *world) reckon(l *lie, lowered bool) (harm []string, goesOn time.Duration) {
	if liar.Done(l.name) == 0 {
		w.t.Errorf("%s was never told", l.name)
	}
	liar.Raise()
	if l.after != nil {
		l.after(w)
	}
	convicted := false
	for _, i := range w.honest {
		convicted = convicted || slices.Contains(w.clusterOf(i).Convicted(), region(w.liar))
		if n := w.clusterOf(i).BadCertificates(w.index); n > 0 {
			w.saw("region %d holds %d certificates that do not verify", region(i), n)
		}
		if n := w.clusterOf(i).Unsigned(); n > 0 {
			w.saw("region %d holds %d entries that nobody signed", region(i), n)
		}
	}
	if l.convicts && !convicted && !lowered {
		w.t.Errorf("%s: nobody convicts the liar", l.name)
	}
	if first := w.first.Load(); first == 0 {
		w.saw("nothing is signed any more")
	} else if goesOn = time.Duration(first - max(w.told.Load(), w.thawed.Load())); goesOn > goesOnWithin {
		w.saw("the first signature came after %s", goesOn)
	}
	liar.Tell(region(w.liar), liar.Lie{})
	if err := w.calm(); err != nil {
		w.saw("%v", err)
	}
	for _, v := range w.judge() {
		w.saw("%s", v)
	}
	w.t.Logf("%s: told %d times, %d answers, the first after %s, the longest wait %s; evidence: %s", l.name, liar.Done(l.name), w.after.Load(),
		goesOn.Round(time.Millisecond), time.Duration(w.worst.Load()).Round(time.Millisecond), w.evidence())
	for h := range w.harm {
		harm = append(harm, h)
	}
	slices.Sort(harm)
	return harm, goesOn
}

// evidence names what the honest regions hold against the liar.
func (w *world) evidence() string {
	var kinds []string
	for _, i := range w.honest {
		for _, e := range w.clusterOf(i).Evidence() {
			if k := e.Kind.String(); e.Accused == region(w.liar) && !slices.Contains(kinds, k) {
				kinds = append(kinds, k)
			}
		}
	}
	slices.Sort(kinds)
	return strings.Join(kinds, ", ")
}

const simulated = "simulated" // this world, in the table of make liar

// brief are the lies of the short form: one of each kind.
var brief = []string{"equivocation-silence", "rivals-certified", "stamp-idle-backward", "forged-value"}

func skips(l *lie) bool {
	return testing.Short() && !slices.Contains(brief, l.name)
}

// TestLies tells every lie to a vault with all its defences.
func TestLies(t *testing.T) {
	for i := range lies {
		l := &lies[i]
		if skips(l) {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			harm, goesOn := tell(t, l)
			if len(l.hides) > 0 {
				more, _ := tell(t, l, l.hides...)
				harm = append(harm, more...)
			}
			for _, h := range harm {
				t.Error(h)
			}
			if t.Failed() && len(harm) == 0 {
				harm = []string{"failed"}
			}
			liar.Result(simulated, l.name, "held", strings.Join(harm, "; "))
			liar.Result(simulated, l.name, "first", goesOn.Round(time.Millisecond).String())
		})
	}
}

// TestDefencesOff tells every lie again with what stands in its way switched off: then it
// must do harm, or the test above shows nothing.
func TestDefencesOff(t *testing.T) {
	for i := range lies {
		l := &lies[i]
		if len(l.lower) == 0 {
			if l.bare == "" {
				t.Errorf("%s: no defence, and no reason", l.name)
			}
			liar.Result(simulated, l.name, "without", "nothing to switch off")
			continue
		}
		if skips(l) {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			off := append(slices.Clone(l.lower), l.hides...)
			harm, _ := tell(t, l, off...)
			for range 9 { // some lies have to win a race, which about half of their tellings do
				if len(harm) == 0 {
					harm, _ = tell(t, l, off...)
				}
			}
			if len(harm) == 0 {
				t.Error("the lie did no harm without the defence")
				harm = []string{"NO HARM"}
			}
			liar.Result(simulated, l.name, "without", harm[0])
			if l.starves {
				unwilling := *l
				unwilling.lower = ds(liar.Willing)
				harm, _ := tell(t, &unwilling, unwilling.lower...)
				if !slices.Contains(harm, "nothing is signed any more") {
					t.Error("signing went on although nobody left the leader: ", harm)
				}
			}
			for _, h := range harm {
				t.Log("harm: ", h)
			}
		})
	}
}
