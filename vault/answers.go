package vault

import (
	"context"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// answers is what this region has answered, one slot an attempt. Whoever asks again, as
// whichever leader, gets the same signatures; two who ask at once make one signature.
// An attempt is either signed or, by the region's word, never will be.
//
// A request's id may come again once its expiry has passed and the log forgot it. The
// expiry, which is later then, tells the requests apart: no answer serves another payload.
type answers struct {
	cfg  *Config
	book *journal

	mu       sync.Mutex
	slots    map[Item]*slot
	refusals map[Item]time.Time // faults of this region's own, the ground for a word, with the request's expiry
	order    []Item             // of refusals, oldest first
	past     past
}

// slot is the answer for one attempt, settled when done is closed. Its other fields
// are written by its claimant before that and by nobody afterwards.
type slot struct {
	record
	done chan struct{}
	err  error // no answer after all; the slot is gone and may be claimed anew
}

func openAnswers(cfg *Config) (*answers, error) {
	a := &answers{cfg: cfg, slots: map[Item]*slot{}, refusals: map[Item]time.Time{}, past: past{given: map[Item]time.Time{}}}
	book, old, err := openJournal(cfg)
	if err != nil {
		return nil, err
	}
	a.book = book
	now := cfg.Clock.Now()
	for _, r := range old {
		if !r.spent(now) && len(a.slots) < maxAnswers {
			s := &slot{record: r, done: make(chan struct{})}
			close(s.done)
			a.slots[r.Item] = s
		}
	}
	return a, book.rotate(a.live())
}

// claim returns the slot of an attempt. If mine, the caller must settle or abandon it;
// else it waits for done.
func (a *answers) claim(it Item, expiry time.Time) (s *slot, mine bool, err *errs.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.claimHere(it, expiry)
}

// claimHere is claim for who holds the lock.
func (a *answers) claimHere(it Item, expiry time.Time) (s *slot, mine bool, err *errs.Error) {
	if s, ok := a.slots[it]; ok && s.Expiry.Equal(expiry) {
		return s, false, nil
	} else if ok && !s.settled() {
		return nil, false, errs.New(errs.Throttled, "an earlier request with id %s is being signed still", it.Request)
	}
	if len(a.slots) >= maxAnswers {
		return nil, false, errs.New(errs.Throttled, "this region holds %d answers whose requests are not final", maxAnswers)
	}
	s = &slot{record: record{Item: it, Expiry: expiry}, done: make(chan struct{})}
	a.slots[it] = s
	return s, true, nil
}

// earlier returns what this region signed for an earlier attempt of the same request, if
// it did: the payload is the same, so a region drawn twice signs once.
func (a *answers) earlier(it Item, expiry time.Time) [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n := uint8(1); n < it.Attempt; n++ {
		if s, ok := a.slots[Item{it.Request, n}]; ok && s.settled() && !s.Refused && s.Expiry.Equal(expiry) {
			return s.Signatures
		}
	}
	return nil
}

// settled reports whether the slot's fields may be read.
func (s *slot) settled() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// settle writes the slots' records to disk and only then lets anyone see them.
func (a *answers) settle(ctx context.Context, slots []*slot) error {
	if len(slots) == 0 {
		return nil
	}
	records := make([]record, len(slots))
	for i, s := range slots {
		records[i] = s.record
	}
	if err := a.book.append(ctx, records, a.live); err != nil {
		for _, s := range slots {
			a.abandon(s, err)
		}
		return err
	}
	a.mu.Lock()
	for _, s := range slots {
		delete(a.refusals, s.Item)
	}
	a.mu.Unlock()
	for _, s := range slots {
		close(s.done)
	}
	return nil
}

// abandon frees a claimed slot that came to nothing.
func (a *answers) abandon(s *slot, why error) {
	a.mu.Lock()
	delete(a.slots, s.Item)
	a.mu.Unlock()
	s.err = why
	close(s.done)
}

// refused remembers that this region could not sign an attempt it was rightly drawn
// for. Without such a memory no word is given: a leader cannot talk a healthy region
// into a redraw.
func (a *answers) refused(it Item, expiry time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.refusals[it]; !ok {
		if len(a.order) >= maxRefusals {
			delete(a.refusals, a.order[0])
			a.order = a.order[1:]
		}
		a.order = append(a.order, it)
	}
	a.refusals[it] = expiry
}

// renounce binds the region never to sign an attempt it has refused. Without a refusal it
// takes no slot: a question that comes at this moment must find it free.
func (a *answers) renounce(ctx context.Context, it Item, expiry time.Time) error {
	s, grounds := a.held(it, expiry)
	switch {
	case s == nil && !grounds:
		return errs.New(errs.BadState, "attempt %d of request %s was not refused here", it.Attempt, it.Request)
	case s == nil:
		claimed, mine, fault := a.claim(it, expiry)
		if fault != nil {
			return fault
		}
		if s = claimed; mine {
			s.Refused = true
			return a.settle(ctx, []*slot{s})
		}
	}
	return s.refusal(ctx)
}

// held returns the slot of an attempt, nil without one, and whether it was refused here.
func (a *answers) held(it Item, expiry time.Time) (s *slot, refused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s = a.slots[it]; s != nil && !s.Expiry.Equal(expiry) {
		s = nil
	}
	of, ok := a.refusals[it]
	return s, ok && of.Equal(expiry)
}

// live returns the records still worth keeping.
func (a *answers) live() []record {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]record, 0, len(a.slots))
	for _, s := range a.slots {
		if s.settled() {
			out = append(out, s.record)
		}
	}
	return out
}

// forget drops the answers of requests that are final; of those that ended without
// signatures it remembers that there were some.
func (a *answers) forget(ids []command.RequestID, complete bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		for n := uint8(1); n <= maxAttempts; n++ {
			if !complete {
				a.note(Item{id, n})
			}
			a.drop(Item{id, n})
		}
	}
}

// prune drops the answers of requests that expired unfinished.
func (a *answers) prune(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for it, s := range a.slots {
		if s.spent(now) {
			a.note(it)
			a.drop(it)
		}
	}
	a.prunePast(now)
}

// drop forgets a settled slot; one still being signed stays its claimant's.
func (a *answers) drop(it Item) {
	if s, ok := a.slots[it]; ok && s.settled() {
		delete(a.slots, it)
	}
}
