package command

// Level counts the releases that added something to the language of the log or to what
// Apply makes of it: a type, a field, a rule. It is the highest this release understands.
// Whoever adds something adds one, and enters new types in levels: until the vault's own
// level is raised that far nothing of it is proposed, and so no older release ever meets
// an entry it cannot decode. Level 0 is the first release.
const Level uint32 = 0

// levels holds the types that came after the first release.
var levels = map[Type]uint32{}

// Level returns the level from which on a type may be used.
func (t Type) Level() uint32 { return levels[t] }

// RaiseLevel lets the vault use what came up to a level, for good: releases that do not
// know it stop. Two administrators, and every active region must have announced it.
type RaiseLevel struct {
	Level  uint32
	Reason string
}

func (*RaiseLevel) Type() Type { return TypeRaiseLevel }

func (b *RaiseLevel) fields(f *fields) {
	f.u32("level", &b.Level)
	f.text("reason", &b.Reason, MaxNote)
	if f.decoding && f.err == nil && b.Level == 0 {
		f.fail("level", "0: every vault has it")
	}
}
