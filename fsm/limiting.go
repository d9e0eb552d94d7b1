package fsm

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// limitKey sets, changes or takes away a key's limit.
func (t *task) limitKey(b *command.LimitKey) (deed, error) {
	k, ok := t.keys.get(b.Key)
	if !ok || t.principal.Tenant != "" && t.principal.Tenant != k.Tenant {
		return nil, errs.New(errs.NotFound, "there is no key %s", b.Key)
	}
	if err := ordinary(k); err != nil {
		return nil, err
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	if err := t.mayLimit(k.Limit, b); err != nil {
		return nil, err
	}
	switch {
	case k.State == KeyRetired:
		return nil, errs.New(errs.BadState, "key %s is retired", k.ID)
	case b.Requests == 0 && k.Limit == nil:
		return nil, errs.New(errs.BadState, "key %s has no limit", k.ID)
	}
	return func(*Outcome) {
		n := *k
		switch {
		case b.Requests == 0:
			n.Limit = nil
		case k.Limit == nil:
			n.Limit = newLimit(b, t.meta.Index)
		default:
			n.Limit = k.Limit.adjusted(b, t.head.clock)
		}
		t.putKey(&n)
	}, nil
}

// mayLimit lets two administrators do anything, and whoever may freeze a key alone tighten
// its limit.
func (t *task) mayLimit(l *Limit, b *command.LimitKey) error {
	tighter := l != nil && b.Requests > 0 && b.Requests <= l.Requests && b.Window >= l.Window
	switch {
	case tighter && t.principal.Roles&(command.RoleAdmin|command.RoleOperator) != 0, t.admins >= 2:
		return nil
	case !t.principal.admin():
		return t.denied()
	case liar.Defends(liar.DualControl):
		return errs.New(errs.NeedsSecondAdmin, "a limit is set, loosened or taken away with the signatures of two administrators; one alone may tighten it")
	}
	return nil
}

// charge returns the limit as it is once a request of k is opened now.
func (t *task) charge(k *Key) (*Limit, Charge, error) {
	l, now := k.Limit, t.head.clock
	switch {
	case l == nil:
		return nil, ChargeNone, nil
	case l.Used(now) >= uint64(l.Requests):
		return nil, ChargeNone, errs.New(errs.OverLimit, "key %s may open %d requests in %s and has: there is room again at %s, for a new command",
			k.ID, l.Requests, l.Window, l.Room(now).Format(time.RFC3339Nano))
	}
	return l.charged(now), ChargeHeld, nil
}

// putLimit notes a charge or refund. It changes nothing that anybody waits for.
func (w *work) putLimit(k *Key, l *Limit) {
	if l == nil {
		return
	}
	n := *k
	n.Limit = l
	w.keys.put(n.ID, &n)
}

// refundRequest takes a charge back where no signature can have come of it.
func (t *task) refundRequest(b *command.RefundRequest) (deed, error) {
	q, k, err := t.refundable(b.Request)
	if err != nil {
		return nil, err
	}
	said, err := t.nothings(q, b.Words)
	if err == nil && !EnoughNothing(q, k, said) {
		err = errs.New(errs.Unverified, "request %s: too few regions say that they released nothing", q.ID)
	}
	if err != nil && liar.Defends(liar.Refunds) {
		return nil, err
	}
	l, ok := k.Limit.refunded(q.Attempts[0].Stamp, t.head.clock)
	if !ok {
		return nil, errs.New(errs.BadState, "request %s was opened too long ago to count against the limit of key %s", q.ID, k.ID)
	}
	return func(*Outcome) {
		d := *q
		d.Charge = ChargeRefunded
		t.settled.put(d.ID, settle(&d))
		t.putLimit(k, l)
	}, nil
}

// refundable finds a request that ended without signatures and is charged still. One that
// was charged to a limit taken away since has nothing to get back from the present one.
func (t *task) refundable(id command.RequestID) (*Request, *Key, error) {
	s, ok := t.settled.get(id)
	if !ok {
		return nil, nil, errs.New(errs.NotFound, "request %s is not known as one that ended", id)
	}
	q := s.request()
	if !q.Refundable() {
		return nil, nil, errs.New(errs.BadState, "request %s is %s and holds no charge to give back", id, q.State)
	}
	k, ok := t.keys.get(q.Key)
	if !ok || k.Limit == nil || q.Opened <= k.Limit.Since {
		return nil, nil, errs.New(errs.BadState, "key %s has no limit that request %s was charged to", q.Key, id)
	}
	return q, k, nil
}

// Refundable reports whether the charge of a request may be given back, if regions show
// that no signature came of it.
func (q *Request) Refundable() bool {
	return q.Charge == ChargeHeld && (q.State == RequestFailed || q.State == RequestExpired) && len(q.Attempts) > 0
}

// nothings verifies words of kind WordNothing and returns the attempts each region spoke
// of. One bad word spoils them all.
func (t *task) nothings(q *Request, words [][]byte) (Said, error) {
	said := Said{}
	for _, raw := range words {
		v, err := t.word(raw)
		if err != nil {
			return said, err
		}
		if !said.Take(q, v) {
			return said, errs.New(errs.Unverified, "a word of region %d is none on an attempt of request %s", v.By, q.ID)
		}
	}
	return said, nil
}

// Said is the attempts, by region, of which the region said that it released nothing.
type Said map[identity.RegionID][]uint8

// Take adds a word, if it is one on an attempt of q the region was eligible for. It does
// not verify the signature.
func (s Said) Take(q *Request, v *command.Word) bool {
	if v.Kind != command.WordNothing || v.By != v.About {
		return false
	}
	for i := range q.Attempts {
		a := &q.Attempts[i]
		if a.Number == v.Attempt && v.Request == command.NothingOf(q.ID, a.Number, a.Meta) && slices.Contains(a.Eligible, v.By) {
			s[v.By] = append(s[v.By], a.Number)
			return true
		}
	}
	return false
}

// EnoughNothing reports whether no k regions can have signed q. A region is out of
// question once it spoke of every attempt it was eligible for: what regions released for
// different attempts adds up. One of those that spoke may lie, so one more has to speak
// than arithmetic alone wants: the others and the liar are still fewer than k. Of two
// signers, all that were eligible.
func EnoughNothing(q *Request, k *Key, said Said) bool {
	var doubtful []identity.RegionID
	for i := range q.Attempts {
		a := &q.Attempts[i]
		for _, r := range a.Eligible {
			if !slices.Contains(said[r], a.Number) && !slices.Contains(doubtful, r) {
				doubtful = append(doubtful, r)
			}
		}
	}
	return len(doubtful)+1 < int(k.Signers)
}
