package chaos

import (
	"fmt"
	"slices"
)

// Violation is one observation that must not be. Invariant is its number in the design,
// 0 for a run that could not be judged or did not recover.
type Violation struct {
	Invariant int
	Text      string
}

// String returns one line.
func (v Violation) String() string { return fmt.Sprintf("invariant %d: %s", v.Invariant, v.Text) }

// findings collects what one checker finds, up to a bound: a broken vault breaks a rule
// thousands of times.
type findings struct {
	invariant int
	list      []Violation
	more      int
}

const findingsMax = 20

func (f *findings) add(format string, args ...any) {
	if len(f.list) == findingsMax {
		f.more++
		return
	}
	f.list = append(f.list, Violation{f.invariant, fmt.Sprintf(format, args...)})
}

// Check judges a complete history by every invariant.
func Check(h *History) []Violation {
	sound := &findings{invariant: 0}
	if len(h.Exports) == 0 {
		sound.add("no region served its audit log")
		return sound.list
	}
	longest := h.longest()
	l, err := readLedger(h, longest)
	if err != nil {
		sound.add("the audit log of region %d cannot be read: %v", longest.Region, err)
		return sound.list
	}
	var out []Violation
	for _, c := range []struct {
		invariant int
		check     func(*ledger, *findings)
	}{{1, released}, {2, frozen}, {4, nonces}, {5, lasting}, {6, replicas}, {7, limited}, {8, current}, {9, selection}} {
		f := &findings{invariant: c.invariant}
		c.check(l, f)
		if f.more > 0 {
			f.list = append(f.list, Violation{c.invariant, fmt.Sprintf("and %d more", f.more)})
		}
		out = append(out, f.list...)
	}
	return out
}

func (h *History) longest() Export {
	return slices.MaxFunc(h.Exports, func(a, b Export) int { return len(a.Leaves) - len(b.Leaves) })
}

// Broken returns the invariants that violations are about, ascending.
func Broken(vs []Violation) (out []int) {
	for _, v := range vs {
		if !slices.Contains(out, v.Invariant) {
			out = append(out, v.Invariant)
		}
	}
	slices.Sort(out)
	return out
}
