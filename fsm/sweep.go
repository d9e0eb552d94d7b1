package fsm

import (
	"slices"
	"time"
)

// sweep does what time alone does, before the first command of an entry: open requests
// past their grace expire, rows past their retention are forgotten, tries of ceremonies
// fail at their deadline. Each entry does a bounded part; the rest waits for the next.
func (w *work) sweep() {
	horizon := second(w.head.clock.Add(-CompletionGrace))
	for _, b := range w.dueBuckets(w.head.expired, horizon) {
		for _, slot := range b.slots {
			if q, ok := w.open.get(slot); ok {
				w.finish(q, RequestExpired)
			}
		}
		w.head.expired = b.key
	}
	w.prune()
	for _, k := range w.dueKeys(w.head.clock, sweepKeys) {
		w.timeOut(k)
	}
	w.followSchedule()
}

// prune forgets rows of buckets that hold nothing open any more.
func (w *work) prune() {
	old := second(w.head.clock.Add(-Retention))
	for _, b := range w.dueBuckets(w.head.pruned, w.head.expired.second) {
		if b.key.compare(w.head.expired) > 0 || b.key.second > old && w.settled.count+w.memos.count <= MaxRetained {
			return
		}
		for _, slot := range b.slots {
			if s, ok := w.settled.get(slot); ok {
				w.settled.remove(slot, s)
			} else if m, ok := w.memos.get(slot); ok {
				w.memos.remove(slot, m)
			}
		}
		w.buckets.remove(b.key, b)
		w.head.pruned = b.key
	}
}

func second(t time.Time) uint64 { return uint64(max(t.Unix(), 0)) }

// dueBuckets returns the first buckets after a key, up to and including a second, in
// order, until they hold sweepSlots rows.
func (w *work) dueBuckets(after bucketKey, through uint64) []*bucket {
	var due []*bucket
	n := 0
	from := bucketKey{after.second, after.index + 1}.bytes()
	scan(w.base, bucketTable, from[:], func(b *bucket) bool {
		if b.key.second > through || n >= sweepSlots {
			return false
		}
		if _, written := w.buckets.rows[b.key]; written {
			return true // removed in this batch, before the clock was set back
		}
		due = append(due, b)
		n += len(b.slots)
		return true
	})
	for k, b := range w.buckets.rows {
		if !b.gone && k.second <= through && k.compare(after) > 0 {
			due = append(due, b.row)
		}
	}
	slices.SortFunc(due, func(a, b *bucket) int { return a.key.compare(b.key) })
	n = 0
	for i, b := range due {
		if n >= sweepSlots {
			return due[:i]
		}
		n += len(b.slots)
	}
	return due
}
