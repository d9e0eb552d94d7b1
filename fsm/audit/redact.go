package audit

import (
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// CheckFields reports whether the fields, shown and withheld, are the ones the
// command's signatures cover: their hashes give the committed root.
func (l *Leaf) CheckFields() error {
	var tree Frontier // command.Root is an RFC 6962 root too
	for i := range l.Fields {
		if h, ok := l.Withheld[uint8(i)]; ok {
			tree.Append(h)
			continue
		}
		tree.Append(command.HashField(i, l.Fields[i]))
	}
	if tree.Root() != l.Command.Root {
		return errs.New(errs.Unverified, "audit leaf %d: its fields are not those of command %s", l.Seq, l.Command.ID)
	}
	return nil
}

// Redact returns a copy that shows only the fields keep allows. The hash of the leaf,
// and so every proof about it, stays the same.
func (l *Leaf) Redact(keep func(field int) bool) Leaf {
	out := *l
	out.Fields = make([]command.Field, len(l.Fields))
	out.Withheld = map[uint8]FieldHash{}
	for i, f := range l.Fields {
		h, hidden := l.Withheld[uint8(i)]
		switch {
		case hidden:
			out.Withheld[uint8(i)] = h
		case keep(i):
			out.Fields[i] = f
		default:
			out.Withheld[uint8(i)] = command.HashField(i, f)
		}
	}
	if len(out.Withheld) == 0 {
		out.Withheld = nil
	}
	return out
}

// Shown reports whether all fields are there, so that Body can be read.
func (l *Leaf) Shown() bool { return len(l.Withheld) == 0 }

// Body decodes the command's body; Invalid when fields are withheld.
func (l *Leaf) Body() (command.Body, error) {
	if !l.Shown() {
		return nil, errs.New(errs.Invalid, "audit leaf %d: %d of %d fields are withheld", l.Seq, len(l.Withheld), len(l.Fields))
	}
	c := command.Command{Format: l.Command.Format, Type: l.Command.Type, Fields: l.Fields}
	return c.Body()
}
