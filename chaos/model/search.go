package model

import (
	"fmt"
	"hash/maphash"
	"time"
)

// move names a transition, for the schedule that is printed.
type move struct{ kind, region, term, chain, other uint8 }

// system is a transition system. Successors are given in plain form; canon maps a state to
// the one that stands for all that differ only by a symmetry.
type system[S comparable] interface {
	initial() []S
	next(s S, emit func(S, move))
	canon(s S) S
	flaw(s S) string // "" if none
	say(m move) string
	show(s S) string
}

// Result says what a search saw.
type Result struct {
	States   int
	Depth    int
	Complete bool // every reachable state was seen
	Flaw     string
	Schedule []string // shortest one to the flaw
	Took     time.Duration
}

func (r Result) String() string {
	how := "exhaustive"
	if !r.Complete {
		how = "not exhaustive"
	}
	s := fmt.Sprintf("%d states, depth %d, %s, %v", r.States, r.Depth, how, r.Took.Round(time.Millisecond))
	if r.Flaw == "" {
		return s + ": no flaw"
	}
	for _, l := range r.Schedule {
		s += "\n    " + l
	}
	return s + "\n  FLAW: " + r.Flaw
}

// seen is a set of 128-bit fingerprints: with 10^9 states the chance that two of them
// collide, so that one is missed, is below 10^-20.
type seen struct {
	a, b maphash.Seed
	slot [][2]uint64
	used int
}

func newSeen() *seen {
	return &seen{a: maphash.MakeSeed(), b: maphash.MakeSeed(), slot: make([][2]uint64, 1<<12)}
}

func (t *seen) add(k [2]uint64) bool {
	if t.used*4 >= len(t.slot)*3 {
		old := t.slot
		t.slot, t.used = make([][2]uint64, 2*len(old)), 0
		for _, o := range old {
			if o != ([2]uint64{}) {
				t.add(o)
			}
		}
	}
	n := uint64(len(t.slot) - 1)
	for i := k[0] & n; ; i = (i + 1) & n {
		switch t.slot[i] {
		case k:
			return false
		case [2]uint64{}:
			t.slot[i] = k
			t.used++
			return true
		}
	}
}

func addState[S comparable](t *seen, s S) bool {
	return t.add([2]uint64{maphash.Comparable(t.a, s), maphash.Comparable(t.b, s) | 1})
}

// Limit bounds a search.
type Limit struct {
	States int           // 0: no bound
	Time   time.Duration // 0: no bound
	Trace  bool          // keep what is needed to print a schedule (memory)
	Every  func(states, depth, width int)
}

// search goes breadth first, so the first flaw has a shortest schedule.
func search[S comparable](sys system[S], lim Limit) Result {
	start := time.Now()
	known := newSeen()
	var level, after []S
	var path []step[S] // with Trace: every state with its parent
	var at, atAfter []uint32
	res := Result{Complete: true}
	visit := func(s S, from uint32) bool {
		c := sys.canon(s)
		if !addState(known, c) {
			return true
		}
		res.States++
		after = append(after, c)
		if lim.Trace {
			path = append(path, step[S]{c, from})
			atAfter = append(atAfter, uint32(len(path)-1))
		}
		if f := sys.flaw(c); f != "" {
			res.Flaw = f
			return false
		}
		return true
	}
	for _, s := range sys.initial() {
		if !visit(s, noStep) {
			break
		}
	}
	over := func() bool {
		return lim.States > 0 && res.States > lim.States || lim.Time > 0 && time.Since(start) > lim.Time
	}
	for len(after) > 0 && res.Flaw == "" && res.Complete {
		level, after, at, atAfter = after, level[:0], atAfter, at[:0]
		if lim.Every != nil {
			lim.Every(res.States, res.Depth, len(level))
		}
		res.Depth++
		for i := range level {
			from := noStep
			if lim.Trace {
				from = at[i]
			}
			sys.next(level[i], func(r S, _ move) {
				if res.Flaw == "" {
					visit(r, from)
				}
			})
			if res.Flaw != "" {
				break
			}
			if i&1023 == 0 && over() {
				res.Complete = false
				break
			}
		}
	}
	if res.Flaw != "" {
		res.Complete = false
		if lim.Trace {
			res.Schedule = retrace(sys, path)
		}
	}
	res.Took = time.Since(start)
	return res
}

type step[S any] struct {
	state S
	from  uint32
}

const noStep = ^uint32(0)

// retrace walks from the start to the last state found, in plain (not canonical) states, so
// that a region keeps its name through the schedule.
func retrace[S comparable](sys system[S], path []step[S]) []string {
	var way []S
	for i := uint32(len(path) - 1); i != noStep; i = path[i].from {
		way = append(way, path[i].state)
	}
	var now S
	for _, s := range sys.initial() {
		if sys.canon(s) == way[len(way)-1] {
			now = s
		}
	}
	out := []string{fmt.Sprintf("%-66s %s", "start", sys.show(now))}
	for k := len(way) - 2; k >= 0; k-- {
		found := false
		var to S
		var by move
		sys.next(now, func(r S, m move) {
			if !found && sys.canon(r) == way[k] {
				found, to, by = true, r, m
			}
		})
		if !found {
			return append(out, "schedule lost: the symmetry is not one")
		}
		now = to
		out = append(out, fmt.Sprintf("%-66s %s", sys.say(by), sys.show(now)))
	}
	return out
}
