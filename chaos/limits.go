package chaos

import (
	"cmp"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// limit is what a key was limited to from some place in the log on.
type limit struct {
	seq      uint64
	at       time.Time // committed clock
	requests int
	window   time.Duration
}

// clocked follows the committed clock as anybody can who reads the log.
func (l *ledger) clocked(leaf *audit.Leaf) {
	if leaf.Stamp.After(l.clock) {
		l.clock = leaf.Stamp
	}
	if body, err := leaf.Body(); err == nil && leaf.Code == errs.OK {
		if b, ok := body.(*command.RepairClock); ok {
			l.clock = b.To
		}
	}
}

// limited checks invariant 7: of a limited key no more is released, in any window of the
// committed clock, than the limit allows. It counts what was released, by when it was
// opened, and looks at no charge or refund: those are the vault's own books.
func limited(l *ledger, f *findings) {
	got := l.released()
	for _, k := range l.keys {
		if len(k.limits) > 0 {
			k.limited(l.opened(k, got), f)
		}
	}
}

// released returns the requests of which something is known to have left: signatures that
// a client has, or an answer that a region filed.
func (l *ledger) released() map[command.RequestID]bool {
	got := map[command.RequestID]bool{}
	for _, o := range l.history.acknowledged(OpSign) {
		got[command.RequestIDOf(o.Command.Principal, o.Command.ID)] = true
	}
	for id, q := range l.requests {
		for _, a := range q.answers {
			got[id] = got[id] || a.item.Code == errs.OK && len(a.item.Signatures) > 0
		}
	}
	return got
}

// opened returns those of a key's requests, in the order of the log.
func (l *ledger) opened(k *key, got map[command.RequestID]bool) (out []*request) {
	for id, q := range l.requests {
		if q.key == k && got[id] {
			out = append(out, q)
		}
	}
	slices.SortFunc(out, func(a, b *request) int { return cmp.Compare(a.attempts[0].seq, b.attempts[0].seq) })
	return out
}

func (k *key) limited(requests []*request, f *findings) {
	var now limit
	var counted []*request
	left := k.limits
	for _, q := range requests {
		for ; len(left) > 0 && left[0].seq < q.attempts[0].seq; left = left[1:] {
			counted = carried(counted, now, left[0])
			now = left[0]
		}
		counted = append(counted, q)
		if n := within(counted, q.at.Add(-now.window)); now.requests > 0 && n > now.requests {
			f.add("key %s: %d requests were signed within %s of request %s, its limit is %d", k.id, n, now.window, q.id, now.requests)
		}
	}
}

// carried returns what still counts when a limit is changed: nothing if there was none,
// or is none from now on; else what counted under the one before.
func carried(counted []*request, was, now limit) []*request {
	if was.requests == 0 || now.requests == 0 {
		return nil
	}
	return slices.DeleteFunc(counted, func(q *request) bool { return !q.at.After(now.at.Add(-was.window)) })
}

func within(counted []*request, after time.Time) (n int) {
	for _, q := range counted {
		if q.at.After(after) {
			n++
		}
	}
	return n
}
