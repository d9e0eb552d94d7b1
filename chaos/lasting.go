package chaos

import (
	"fmt"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// lasting checks invariant 5: what was acknowledged is in the final log, carried out
// exactly once, and the same id always got the same answer; what was refused for good
// never happened.
func lasting(l *ledger, f *findings) {
	answers := map[slot]string{}
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
		answer := fmt.Sprintf("%d %x", o.Index, o.Signed)
		if before, known := answers[at]; known && before != answer {
			f.add("%s got two answers: %s and %s", describe(o.Command), before, answer)
		}
		answers[at] = answer
	}
	for at := range l.commands {
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
