package vault

import (
	"context"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// past is what a region must know of answers it gave before it may say that it gave none:
// those for requests that ended without signatures. Whatever it cannot know, because it
// started, or had to forget, since an attempt was opened, it says nothing about. So an old
// disk, a lost journal or a full memory costs a refund and never grants one.
type past struct {
	since uint64             // everything about attempts opened after this index is known; 0: nothing yet
	given map[Item]time.Time // answers that may have left, with the request's expiry
}

// knows says from when on everything is known: the first index at which the replica stands
// behind nothing that an earlier life of this region can have answered.
func (a *answers) knows(index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.past.since == 0 {
		a.past.since = index
	}
}

// forgets gives up all knowledge of attempts opened up to the present index.
func (a *answers) forgets() {
	if a.past.since != 0 {
		a.past.since = max(a.past.since, a.cfg.Replica.View().Meta().Index)
	}
}

// note remembers that an attempt whose answer is about to be dropped was answered.
func (a *answers) note(it Item) {
	s, ok := a.slots[it]
	if !ok || !s.settled() || s.Refused {
		return
	}
	if len(a.past.given) >= maxPast {
		clear(a.past.given)
		a.forgets()
	}
	a.past.given[it] = s.Expiry
}

// prunePast forgets answers that expired long ago.
func (a *answers) prunePast(now time.Time) {
	for it, expiry := range a.past.given {
		if (&record{Expiry: expiry}).spent(now) {
			delete(a.past.given, it)
			a.forgets()
		}
	}
}

// swear binds the region never to answer an attempt opened at an index, if it has not yet.
func (a *answers) swear(ctx context.Context, it Item, opened uint64, expiry time.Time) error {
	s, mine, err := a.swearing(it, opened, expiry)
	switch {
	case err != nil:
		return err
	case mine:
		s.Refused = true
		return a.settle(ctx, []*slot{s})
	}
	return s.refusal(ctx)
}

func (a *answers) swearing(it Item, opened uint64, expiry time.Time) (s *slot, mine bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.past.since == 0 || opened <= a.past.since {
		return nil, false, errs.New(errs.BadState, "this region cannot know what it answered for request %s: it started, or forgot, since", it.Request)
	}
	if given, ok := a.past.given[it]; ok && given.Equal(expiry) {
		return nil, false, errs.New(errs.BadState, "attempt %d of request %s was answered here", it.Attempt, it.Request)
	}
	s, mine, fault := a.claimHere(it, expiry)
	if fault != nil {
		return nil, false, fault
	}
	return s, mine, nil
}

// refusal waits for a slot and is nil if it is one that is never signed.
func (s *slot) refusal(ctx context.Context) error {
	select {
	case <-s.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.err == nil && s.Refused {
		return nil
	}
	return errs.New(errs.BadState, "attempt %d of request %s was answered here, not refused", s.Attempt, s.Request)
}
