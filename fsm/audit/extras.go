package audit

import "github.com/tetrad-vault/tetrad/internal/wire"

// Extras are what few effects have: tagged, in order, at the end of format 3.
const extraSchedule = 1

func (e *Effect) extra() bool { return e.Schedule != nil }

func (e *Effect) writeExtras(w *wire.Writer) {
	if s := e.Schedule; s != nil {
		x := wire.NewWriter(8)
		x.U32(s.Wrap)
		x.U8(s.Retry)
		w.U8(extraSchedule)
		w.Blob(x.Bytes())
	}
}

func (e *Effect) readExtras(r *wire.Reader) {
	for last := uint8(0); r.More(); {
		tag := r.U8()
		if tag <= last {
			r.Fail("extra %d after %d", tag, last)
		}
		last = tag
		x := wire.NewReader(r.Blob(maxExtra))
		switch tag {
		case extraSchedule:
			e.Schedule = &ScheduledRefresh{Wrap: x.U32(), Retry: x.U8()}
		default:
			r.Fail("extra %d is unknown", tag)
		}
		if err := x.Done(); err != nil {
			r.Fail("extra %d: %v", tag, err)
		}
	}
}
