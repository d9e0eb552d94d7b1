package audit

import "github.com/tetrad-vault/tetrad/internal/wire"

// Extras are what few effects have: tagged, in order, at the end of format 3.
const extraSchedule = 1

func (e *Effect) extra() bool { return e.Schedule != nil }

func (e *Effect) writeExtras(w *wire.Writer) {
	if s := e.Schedule; s != nil {
		w.Extra(extraSchedule, func(x *wire.Writer) {
			x.U32(s.Wrap)
			x.U8(s.Retry)
		})
	}
}

func (e *Effect) readExtras(r *wire.Reader) {
	r.Extras(maxExtra, func(tag uint8, x *wire.Reader) bool {
		if tag != extraSchedule {
			return false
		}
		e.Schedule = &ScheduledRefresh{Wrap: x.U32(), Retry: x.U8()}
		return true
	})
}
