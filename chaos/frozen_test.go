package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestFrozenChildren: a share that leaves under a frozen child is found, and no other one.
func TestFrozenChildren(t *testing.T) {
	kit := fsmtest.New()
	freeze := func(path ...uint32) command.Body { return &command.FreezePath{Key: command.KeyID{5}, Path: path} }
	thaw := func(path ...uint32) command.Body { return &command.UnfreezePath{Key: command.KeyID{5}, Path: path} }
	type op struct {
		at   int // seconds
		body command.Body
		err  error
	}
	for name, c := range map[string]struct {
		ops    []op
		share  int        // when it left
		paths  [][]uint32 // of the request
		broken bool
	}{
		"the child":            {[]op{{at: 10, body: freeze(0, 5)}}, 20, [][]uint32{{0, 5}}, true},
		"below it":             {[]op{{at: 10, body: freeze(0, 5)}}, 20, [][]uint32{{0, 5, 9}}, true},
		"one of several":       {[]op{{at: 10, body: freeze(1)}}, 20, [][]uint32{{0, 5}, nil, {1, 0}}, true},
		"beside it":            {[]op{{at: 10, body: freeze(0, 5)}}, 20, [][]uint32{{0, 6}, {0}, {5}, nil}, false},
		"before it":            {[]op{{at: 10, body: freeze(0, 5)}}, 9, [][]uint32{{0, 5}}, false},
		"on its way":           {[]op{{at: 10, body: freeze(0, 5)}}, 12, [][]uint32{{0, 5}}, false},
		"not acknowledged":     {[]op{{at: 10, body: freeze(0, 5), err: errs.New(errs.OutcomeUnknown, "lost")}}, 20, [][]uint32{{0, 5}}, false},
		"once it ended":        {[]op{{at: 10, body: freeze(0, 5)}, {at: 18, body: thaw(0, 5)}}, 20, [][]uint32{{0, 5}}, false},
		"another freeze ended": {[]op{{at: 10, body: freeze(0, 5)}, {at: 18, body: thaw(0)}}, 20, [][]uint32{{0, 5}}, true},
		"an earlier one ended": {[]op{{at: 1, body: freeze(0, 5)}, {at: 2, body: thaw(0, 5)}, {at: 10, body: freeze(0, 5)}}, 20, [][]uint32{{0, 5}}, true},
		"the key's, not its":   {[]op{{at: 10, body: freeze(0, 5)}, {at: 18, body: &command.UnfreezeKey{Key: command.KeyID{5}}}}, 20, [][]uint32{{0, 5}}, true},
		"the key":              {[]op{{at: 10, body: &command.FreezeKey{Key: command.KeyID{5}}}}, 20, [][]uint32{nil}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShared(t)
			q := s.ask(1, 0, 11, 1)
			q.spends[0].Path = c.paths[0]
			for _, p := range c.paths[1:] {
				q.spends = append(q.spends, intent.Spend{Path: p})
			}
			for _, o := range c.ops {
				s.history.Record(Op{Kind: OpSubmit, Command: kit.Command(o.body, kit.Start.Add(time.Hour), kit.Admins[0]), Call: at(o.at), Return: at(o.at), Err: o.err})
			}
			s.answer(q, 0, 0, 1, at(c.share))
			s.collect()
			f := &findings{}
			if frozen(s.ledger, f); len(f.list) > 0 != c.broken || c.broken && !strings.Contains(f.list[0].Text, "freeze") {
				t.Errorf("found %v", f.list)
			}
		})
	}
}
