package chaos

import (
	"bytes"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// residue is how long after an acknowledged freeze an HSM may still be asked: what was on
// its way. Leases will bring it down to what the design says.
const residue = 5 * time.Second

// span is the time of one acknowledged freeze, of a key or of a child of it.
type span struct {
	key      command.KeyID
	path     []uint32 // nil: the key
	from, to time.Time
}

// during reports whether something that was asked for at a time must not be.
func (s *span) during(t time.Time) bool {
	return t.After(s.from.Add(residue)) && (s.to.IsZero() || t.Before(s.to))
}

// frozen checks invariant 2 as far as it holds without leases: after an acknowledged
// freeze, until somebody asks for the end of it, nothing is signed with the key, or for a
// request one of whose messages is the frozen child's or one's below it.
func frozen(l *ledger, f *findings) {
	spans := l.freezes()
	uses := l.uses()
	for i := range uses {
		m := &uses[i]
		k := l.keyOf(m.Label)
		if k == nil || bytes.Equal(m.Data, l.possession(k, m.Region)) {
			continue
		}
		for _, s := range spans {
			if s.path == nil && s.key == k.id && s.during(m.Asked) {
				f.add("region %d signed with key %s %s after its freeze was acknowledged", m.Region, k.id, m.Asked.Sub(s.from))
			}
		}
	}
	for i := range l.shares {
		h := &l.shares[i]
		for _, s := range spans {
			if s.path != nil && s.key == h.request.key.id && s.during(h.at) && h.request.under(s.path) {
				f.add("region %d signed request %s %s after the freeze of child %s of key %s was acknowledged",
					h.region, h.request.id, h.at.Sub(s.from), command.PathText(s.path), s.key)
			}
		}
	}
}

// under reports whether any message of a request is a child's, or one's below it.
func (q *request) under(path []uint32) bool {
	for i := range q.spends {
		if at := q.spends[i].Path; len(at) >= len(path) && slices.Equal(at[:len(path)], path) {
			return true
		}
	}
	return false
}

// freezes lists the acknowledged freezes of keys and children.
func (l *ledger) freezes() (spans []span) {
	for _, o := range l.history.acknowledged(OpSubmit) {
		body, err := o.Command.Body()
		if err != nil {
			continue
		}
		switch b := body.(type) {
		case *command.FreezeKey:
			spans = append(spans, span{b.Key, nil, o.Return, l.thawed(b.Key, nil, o)})
		case *command.FreezePath:
			spans = append(spans, span{b.Key, b.Path, o.Return, l.thawed(b.Key, b.Path, o)})
		}
	}
	return spans
}

// thawed returns when somebody first asked to unfreeze a key, or a child of it, after a
// freeze of it was asked for; the zero time if nobody did.
func (l *ledger) thawed(id command.KeyID, path []uint32, freeze *Op) (at time.Time) {
	for i := range l.history.Ops {
		o := &l.history.Ops[i]
		if o.Kind != OpSubmit || o.Call.Before(freeze.Call) || !at.IsZero() && !o.Call.Before(at) {
			continue
		}
		body, err := o.Command.Body()
		if err != nil {
			continue
		}
		switch b := body.(type) {
		case *command.UnfreezeKey:
			if b.Key == id && path == nil {
				at = o.Call
			}
		case *command.UnfreezePath:
			if b.Key == id && slices.Equal(b.Path, path) {
				at = o.Call
			}
		}
	}
	return at
}
