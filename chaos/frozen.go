package chaos

import (
	"bytes"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// residue is how long after an acknowledged freeze an HSM may still be asked: what was on
// its way. Leases will bring it down to what the design says.
const residue = 5 * time.Second

// frozen checks invariant 2 as far as it holds without leases: after an acknowledged
// freeze, until somebody asks for the end of it, nothing is signed with the key.
func frozen(l *ledger, f *findings) {
	type span struct{ from, to time.Time }
	spans := map[command.KeyID][]span{}
	for _, o := range l.history.acknowledged(OpSubmit) {
		body, err := o.Command.Body()
		if b, ok := body.(*command.FreezeKey); ok && err == nil {
			spans[b.Key] = append(spans[b.Key], span{o.Return, l.thawed(b.Key, o)})
		}
	}
	uses := l.uses()
	for i := range uses {
		m := &uses[i]
		k := l.keyOf(m.Label)
		if k == nil || bytes.Equal(m.Data, l.possession(k, m.Region)) {
			continue
		}
		for _, s := range spans[k.id] {
			if m.Asked.After(s.from.Add(residue)) && (s.to.IsZero() || m.Asked.Before(s.to)) {
				f.add("region %d signed with key %s %s after its freeze was acknowledged", m.Region, k.id, m.Asked.Sub(s.from))
			}
		}
	}
}

// thawed returns when somebody first asked to unfreeze a key after a freeze was asked for;
// the zero time if nobody did.
func (l *ledger) thawed(id command.KeyID, freeze *Op) (at time.Time) {
	for i := range l.history.Ops {
		o := &l.history.Ops[i]
		if o.Kind != OpSubmit || o.Call.Before(freeze.Call) {
			continue
		}
		body, err := o.Command.Body()
		if b, ok := body.(*command.UnfreezeKey); ok && err == nil && b.Key == id && (at.IsZero() || o.Call.Before(at)) {
			at = o.Call
		}
	}
	return at
}
