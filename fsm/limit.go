package fsm

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Limit is how many requests of a key may be opened within any window of the committed
// clock. Immutable: what changes it makes a copy.
//
// Charges are counted by slot, a 64th of the window long. All of a slot count as if
// charged in its last millisecond: a charge counts for the window and up to a slot longer,
// never less, so that no window holds more than Requests, wherever it begins.
type Limit struct {
	Requests uint32
	Window   time.Duration
	Since    uint64  // index at which the key began to be limited
	Slots    []Slots // ascending
}

// Slots is what one slot was charged.
type Slots struct {
	Slot  uint64 // the time since 1970, in slots
	Count uint32
}

// Charge says whether a request counts against the limit of its key.
type Charge uint8

// The charges.
const (
	ChargeNone     Charge = 0 // its key had no limit
	ChargeHeld     Charge = 1
	ChargeRefunded Charge = 2 // regions showed that no signature can exist
)

const (
	chargeShift = 4  // in the byte of the state: rows without a charge are what they were
	slotsWindow = 64 // of one window
	maxSlots    = 2*slotsWindow + 2
)

func newLimit(b *command.LimitKey, since uint64) *Limit {
	return &Limit{Requests: b.Requests, Window: b.Window, Since: since}
}

// width is the length of a slot in milliseconds, rounded up.
func (l *Limit) width() uint64 { return (millis(l.Window) + slotsWindow - 1) / slotsWindow }

func millis(d time.Duration) uint64 { return uint64(d.Milliseconds()) }

// at is a time in milliseconds since 1970.
func at(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 0)) }

func (l *Limit) slot(t time.Time) uint64 { return at(t) / l.width() }

// end is the last millisecond of a slot.
func (l *Limit) end(slot uint64) uint64 { return (slot+1)*l.width() - 1 }

func (l *Limit) counts(slot uint64, now time.Time) bool {
	return l.end(slot)+millis(l.Window) > at(now)
}

// Used returns how many charges count at a time.
func (l *Limit) Used(now time.Time) (n uint64) {
	for _, s := range l.Slots {
		if l.counts(s.Slot, now) {
			n += uint64(s.Count)
		}
	}
	return n
}

// Room returns the earliest time, from now on, at which one more request has room.
func (l *Limit) Room(now time.Time) time.Time {
	used := l.Used(now)
	for _, s := range l.Slots {
		if used < uint64(l.Requests) {
			break
		}
		if l.counts(s.Slot, now) {
			used -= uint64(s.Count)
			if used < uint64(l.Requests) {
				return time.UnixMilli(int64(l.end(s.Slot) + millis(l.Window))).UTC()
			}
		}
	}
	return now
}

// charged returns the limit with one charge more, and without what counts no more.
func (l *Limit) charged(now time.Time) *Limit {
	n := l.fresh(now)
	n.add(n.slot(now), 1)
	return n
}

// fresh returns a copy without the slots that count no more.
func (l *Limit) fresh(now time.Time) *Limit {
	n := *l
	n.Slots = make([]Slots, 0, len(l.Slots)+1)
	for _, s := range l.Slots {
		if l.counts(s.Slot, now) {
			n.Slots = append(n.Slots, s)
		}
	}
	return &n
}

// add counts charges in a slot. When a clock set back left more slots than there is room
// for, the first is counted as part of the second: longer, never shorter.
func (l *Limit) add(slot uint64, count uint32) {
	i, found := slices.BinarySearchFunc(l.Slots, slot, func(s Slots, slot uint64) int {
		return int(min(max(int64(s.Slot)-int64(slot), -1), 1))
	})
	if found {
		l.Slots[i].Count += count
	} else {
		l.Slots = slices.Insert(l.Slots, i, Slots{slot, count})
	}
	if len(l.Slots) > maxSlots {
		l.Slots[1].Count += l.Slots[0].Count
		l.Slots = l.Slots[1:]
	}
}

// adjusted returns the limit with other numbers. What is charged stays charged, each slot
// as of its last millisecond.
func (l *Limit) adjusted(b *command.LimitKey, now time.Time) *Limit {
	n, old := newLimit(b, l.Since), l.fresh(now)
	for _, s := range old.Slots {
		n.add(n.slot(time.UnixMilli(int64(l.end(s.Slot)))), s.Count)
	}
	return n
}

// refunded returns the limit with one charge less, of the time a request was opened. It is
// taken from the youngest slot that is no younger: what stays counts at least as long as
// the charges that stay. False if nothing is charged there any more.
func (l *Limit) refunded(opened, now time.Time) (*Limit, bool) {
	n := l.fresh(now)
	for i := len(n.Slots) - 1; i >= 0; i-- {
		if n.Slots[i].Slot > n.slot(opened) {
			continue
		}
		if n.Slots[i].Count--; n.Slots[i].Count == 0 {
			n.Slots = slices.Delete(n.Slots, i, i+1)
		}
		return n, true
	}
	return nil, false
}

// write ends a key's row.
func (l *Limit) write(w *wire.Writer) {
	w.U32(l.Requests)
	w.U64(millis(l.Window))
	w.U64(l.Since)
	w.U8(uint8(len(l.Slots)))
	for _, s := range l.Slots {
		w.U64(s.Slot)
		w.U32(s.Count)
	}
}

func (k *Key) readLimit(r *wire.Reader) {
	l := &Limit{Requests: r.U32(), Window: readMillis(r), Since: r.U64()}
	if err := (&command.LimitKey{Requests: l.Requests, Window: l.Window}).Check(); r.Err() == nil && (err != nil || l.Requests == 0) {
		r.Fail("a limit of %d requests in %s", l.Requests, l.Window)
	}
	for range r.Few(maxSlots) {
		s := Slots{r.U64(), r.U32()}
		if n := len(l.Slots); s.Count == 0 || s.Slot > uint64(never.UnixMilli())/l.width() || n > 0 && l.Slots[n-1].Slot >= s.Slot {
			r.Fail("slot %d of a limit, charged %d, is out of order or empty", s.Slot, s.Count)
			break
		}
		l.Slots = append(l.Slots, s)
	}
	k.Limit = l
}

func (q *Request) readState(r *wire.Reader) {
	b := r.U8()
	q.State, q.Charge = RequestState(b&(1<<chargeShift-1)), Charge(b>>chargeShift)
	if q.Charge > ChargeRefunded {
		r.Fail("charge %d of a request", q.Charge)
	}
}
