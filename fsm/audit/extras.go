package audit

import (
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Extras are what few effects have: tagged, in order, at the end of format 3.
const (
	extraSchedule = 1
	extraGiven    = 2
)

func (e *Effect) extra() bool { return e.Schedule != nil || e.Given != nil }

func (e *Effect) writeExtras(w *wire.Writer) {
	if s := e.Schedule; s != nil {
		w.Extra(extraSchedule, func(x *wire.Writer) {
			x.U32(s.Wrap)
			x.U8(s.Retry)
		})
	}
	if e.Given != nil {
		w.Extra(extraGiven, e.Given.write)
	}
}

func (e *Effect) readExtras(r *wire.Reader) {
	r.Extras(maxExtra, func(tag uint8, x *wire.Reader) bool {
		switch tag {
		case extraSchedule:
			e.Schedule = &ScheduledRefresh{Wrap: x.U32(), Retry: x.U8()}
		case extraGiven:
			e.Given = readGiven(x)
		default:
			return false
		}
		return true
	})
}

func (g *GivenAddresses) write(w *wire.Writer) {
	w.Fixed(g.Key[:])
	w.Blob(command.EncodePath(g.Branch))
	w.U32(g.First)
	w.U32(g.Count)
}

func readGiven(r *wire.Reader) *GivenAddresses {
	g := &GivenAddresses{}
	r.Fixed(g.Key[:])
	var err error
	g.Branch, err = command.DecodePath(r.Blob(4 * (command.MaxDepth - 1)))
	g.First, g.Count = r.U32(), r.U32()
	if err != nil || g.Count == 0 || g.Count > command.MaxAddresses || g.First > 1<<31-g.Count {
		r.Fail("%d addresses from %d on of a branch, or a branch that is none", g.Count, g.First)
	}
	return g
}
