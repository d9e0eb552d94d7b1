package chaos

import (
	"fmt"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// lasting checks invariant 5: what was acknowledged is in the final log, carried out
// exactly once, and the same id always got the same answer; what was refused for good
// never happened.
//
// One exception stands in the design: a leader answers before the completion is in the
// log, so if it is lost in that moment, and a drawn region with it, a further attempt may
// give the same id a second pair of signatures over the same messages.
func lasting(l *ledger, f *findings) {
	answers := map[slot][]*Op{}
	for i := range l.history.Ops {
		o := &l.history.Ops[i]
		if o.Kind == OpRead {
			continue
		}
		at := slot{o.Command.Principal, o.Command.ID}
		done, where := l.carriedOut(at)
		switch {
		case o.OK() && done != 1:
			f.add("%s was acknowledged to client %s, and the log holds it carried out %d times", describe(o.Command), o.Client, done)
		case o.OK() && o.Kind == OpSubmit && o.Index != where:
			f.add("%s was acknowledged at index %d and stands at %d", describe(o.Command), o.Index, where)
		case o.Refused() && done > 0:
			f.add("%s was refused (%s), and the log holds it carried out", describe(o.Command), errs.CodeOf(o.Err))
		}
		if !o.OK() {
			continue
		}
		for _, before := range answers[at] {
			if !sameAnswer(before, o) && !l.redrawn(before, o) {
				f.add("%s got two answers: at %d %x, and at %d %x", describe(o.Command), before.Index, before.Signed, o.Index, o.Signed)
			}
		}
		answers[at] = append(answers[at], o)
	}
	for at, leaves := range l.commands {
		switch l.leaves[leaves[0]].Command.Type {
		case command.TypeComplete, command.TypeTick:
			continue // ride in every entry, and are judged by the state alone
		}
		if done, _ := l.carriedOut(at); done > 1 {
			f.add("command %s of %s was carried out %d times", at.id, at.by.Short(), done)
		}
	}
}

// carriedOut counts the leaves in which a command was carried out, not merely repeated or
// refused, and returns the index of the last.
func (l *ledger) carriedOut(at slot) (n int, index uint64) {
	for _, i := range l.commands[at] {
		leaf := &l.leaves[i]
		if e, err := audit.DecodeEffect(leaf.Effect); err == nil && !e.Repeated && leaf.Code == errs.OK {
			n, index = n+1, leaf.Meta.Index
		}
	}
	return n, index
}

func describe(c *command.Command) string {
	return fmt.Sprintf("%s %s of %s", c.Type, c.ID, c.Principal.Short())
}

func sameAnswer(a, b *Op) bool {
	return a.Index == b.Index && fmt.Sprint(a.Signed) == fmt.Sprint(b.Signed)
}

// redrawn reports whether two answers are the pairs of two attempts, the later one opened
// because a region of the earlier was out of reach.
func (l *ledger) redrawn(a, b *Op) bool {
	q := l.requests[command.RequestIDOf(a.Command.Principal, a.Command.ID)]
	if q == nil {
		return false
	}
	i, j := q.attemptOf(a), q.attemptOf(b)
	if i > j {
		i, j = j, i
	}
	return i >= 0 && i < j && q.unreachable(i+1, j)
}

// attemptOf returns the number of the first attempt, from 0, that drew who answered.
func (q *request) attemptOf(o *Op) int {
	return slices.IndexFunc(q.attempts, func(t attempt) bool {
		return slices.EqualFunc(t.drawn, o.Signed, func(r identity.RegionID, s SignatureSet) bool { return r == s.Region })
	})
}

func (q *request) unreachable(from, to int) bool {
	for _, t := range q.attempts[from : to+1] {
		for _, raw := range t.words {
			if w, err := command.DecodeWord(raw); err == nil && (w.Kind == command.WordUnreachable || w.Kind == command.WordWrong) {
				return true
			}
		}
	}
	return false
}
