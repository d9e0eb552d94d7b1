package fsm

import (
	"math"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// schedule is where the refresh of all threshold keys by Settings.RefreshEvery stands, by
// the committed clock. It is there exactly while that is set. Immutable once in a state.
type schedule struct {
	since   time.Time // the period counts from here: the last refresh of all was due then, or it was set
	index   uint64    // of the entry that began the last refresh of all; 0: none since it was set
	asked   bool      // that one was commanded
	wrap    uint32    // under which it is to bring every key; 0: there was no room for an epoch
	began   time.Time // the last refresh of all or its last repetition
	retries uint8     // repetitions so far
	retry   time.Time // when it is looked whether every key came along; zero: no more
}

// Schedule is where the refresh of all threshold keys by schedule stands.
type Schedule struct {
	Every   time.Duration
	Since   time.Time // the period counts from here: the last refresh of all was due then, or the schedule was set
	Last    time.Time // the last refresh of all or its repetition; zero: none since the schedule was set
	Index   uint64    // of the entry that began the last refresh of all; 0: none since it was set
	Asked   bool      // it was commanded
	Due     time.Time // when the next one begins
	Wrap    uint32    // epoch under which the last one is to bring every key; 0: none, or no room for it
	Retries uint8
	Retry   time.Time // when what lies under an older epoch is tried again; zero: not before Due
	Lagging uint64    // sharings under older epochs
}

func (s *schedule) encode() []byte {
	w := wire.NewWriter(64)
	w.Time(s.since)
	w.U64(s.index)
	w.Bool(s.asked)
	w.U32(s.wrap)
	w.U8(s.retries)
	w.Time(s.began)
	w.Bool(!s.retry.IsZero())
	if !s.retry.IsZero() {
		w.Time(s.retry)
	}
	return w.Bytes()
}

func decodeSchedule(b []byte) (*schedule, error) {
	r := wire.NewReader(b)
	s := &schedule{since: r.Time(), index: r.U64(), asked: r.Bool(), wrap: r.U32(), retries: r.U8(), began: r.Time()}
	if r.Bool() {
		s.retry = r.Time()
	}
	if s.retries > MaxRetries {
		r.Fail("%d repetitions of a refresh, at most %d", s.retries, MaxRetries)
	}
	return s, r.Done()
}

// reschedule follows a change of the settings. A period that only got another length goes
// on counting.
func (h *head) reschedule() {
	switch {
	case h.settings.RefreshEvery == 0:
		h.schedule = nil
	case h.schedule == nil:
		h.schedule = &schedule{since: h.clock, began: h.clock}
	}
}

// broughtForward returns the schedule after the clock was set back: nothing is due later
// than if it were counted from now.
func (s *schedule) broughtForward(now time.Time) *schedule {
	if s == nil {
		return nil
	}
	n := *s
	for _, at := range []*time.Time{&n.since, &n.began} {
		if at.After(now) {
			*at = now
		}
	}
	if limit := now.Add(MaxRetry); n.retry.After(limit) {
		n.retry = limit
	}
	return &n
}

// retryTime is how long after a refresh by schedule it is looked who did not come along.
func retryTime(every time.Duration) time.Duration {
	return min(max(every/refreshParts, MinRetry), MaxRetry).Truncate(time.Millisecond)
}

// noteRefresh counts the period from a commanded refresh of all.
func (t *task) noteRefresh(wrap uint32) {
	if t.head.schedule == nil {
		return
	}
	now := t.head.clock
	t.head.schedule = &schedule{since: now, began: now, index: t.meta.Index, asked: true, wrap: wrap, retry: now.Add(retryTime(t.head.settings.RefreshEvery))}
}

// followSchedule begins the refresh of all threshold keys when the period is over, and
// again when some did not come along. A period is never made up for: the next one counts
// from now.
func (w *work) followSchedule() {
	s := w.head.schedule
	if s == nil || w.head.rollout != nil {
		return
	}
	now, n := w.head.clock, *s
	switch {
	case !now.Before(s.since.Add(w.head.settings.RefreshEvery)):
		n.since, n.retries, n.wrap = now, 0, 0
		if w.sealedBelow(math.MaxUint32) == 0 { // there is no key
			n.retry = time.Time{}
			w.head.schedule = &n
			return
		}
	case s.retry.IsZero() || now.Before(s.retry):
		return
	case s.wrap != 0 && w.sealedBelow(s.wrap) == 0:
		n.retry = time.Time{}
		w.head.schedule = &n
		return
	default:
		n.retries++
	}
	n.retry = now.Add(retryTime(w.head.settings.RefreshEvery))
	if n.retries >= MaxRetries {
		n.retry = time.Time{}
	}
	w.refreshBySchedule(&n)
}

// refreshBySchedule begins the refresh of all as a command would, unless there is no room
// for another wrapping epoch.
func (w *work) refreshBySchedule(n *schedule) {
	w.head.schedule = n
	if n.wrap == 0 {
		e, ok := w.wraps.get(w.head.newest)
		switch {
		case ok && e.Live == 0:
			n.wrap = e.Epoch
		case w.mayOpenWrap() != nil:
			return
		default:
			n.wrap = w.openWrap()
		}
		n.index, n.asked = w.meta.Index, false
	}
	n.began, w.head.rollout = w.head.clock, &rollout{wrap: n.wrap}
	w.effect.Schedule = &audit.ScheduledRefresh{Wrap: n.wrap, Retry: n.retries}
}

// sealedBelow counts what lies under wrapping epochs before one.
func (w *work) sealedBelow(epoch uint32) (n uint64) {
	for _, e := range w.wraps.all(func(e *Wrap) uint32 { return e.Epoch }) {
		if e.Epoch < epoch {
			n += uint64(e.Live)
		}
	}
	return n
}

func (r *rollout) scheduled() bool { return r.author == identity.Fingerprint{} }

// fitFor returns why a refresh of all passes a key by: tries are numbered, and must not be
// used up where a holder is ill, or has no wrapping key to receive a share with (NotReady:
// it may offer one yet). The schedule leaves some tries to people.
func (w *work) fitFor(k *Key, holders []identity.RegionID, scheduled bool) error {
	if c := k.Ceremony; scheduled && c != nil && c.ID.Try >= ScheduleTries {
		return errs.New(errs.BadState, "%d tries at the next sharing of key %s failed: the schedule leaves it to people", c.ID.Try, k.ID)
	}
	e, _ := w.wraps.get(w.head.newest)
	for _, id := range holders {
		if r, ok := w.roster.region(id); !ok || !r.Healthy {
			return errs.New(errs.Unavailable, "region %d, which is to hold key %s, is ill", id, k.ID)
		}
	}
	for _, id := range holders {
		if e.Key(id) == nil {
			return errs.New(errs.NotReady, "region %d, which is to hold key %s, has offered no wrapping key of epoch %d", id, k.ID, e.Epoch)
		}
	}
	return nil
}

// Schedule tells when threshold keys are refreshed by themselves; false if they are not.
func (v View) Schedule() (Schedule, bool) {
	s := v.s.head.schedule
	if s == nil {
		return Schedule{}, false
	}
	out := Schedule{Every: v.s.head.settings.RefreshEvery, Since: s.since, Index: s.index, Asked: s.asked, Wrap: s.wrap,
		Retries: s.retries, Retry: s.retry}
	if out.Due = s.since.Add(out.Every); s.index != 0 {
		out.Last = s.began
	}
	for _, e := range v.Wraps() {
		if e.Epoch < s.wrap {
			out.Lagging += uint64(e.Live)
		}
	}
	return out, true
}
