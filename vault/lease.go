package vault

import (
	"context"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// lease waits a moment for a lease: a region whose acks are just being renewed must not
// lose the request.
func (s *cosigner) lease(ctx context.Context) *errs.Error {
	for end := time.Now().Add(s.cfg.Timing.Lease); ; {
		err := s.cfg.Replica.Lease()
		if err == nil {
			return nil
		}
		if !time.Now().Before(end) || !sleep(ctx, leasePause) {
			return errs.Wrap(errs.NotReady, err, "region %d holds no lease", s.cfg.Region)
		}
	}
}

// refuse refuses what still stands.
func refuse(tasks []*task, why *errs.Error) {
	for _, t := range standing(tasks) {
		t.refusal = why
	}
}

// allowed is the last word before an HSM is called or a signature leaves: a lease, and
// then, by what is applied under it and by both clocks, the permit. A freeze or an expiry
// that came meanwhile still counts. Its refusals are no faults of this region.
func (s *cosigner) allowed(ctx context.Context, tasks ...*task) {
	tasks = standing(tasks)
	if len(tasks) == 0 {
		return
	}
	if late := s.lease(ctx); late != nil {
		refuse(tasks, late)
		return
	}
	s.permitted(tasks)
}

func (s *cosigner) permitted(tasks []*task) {
	view, now := s.cfg.Replica.View(), s.cfg.Clock.Now() // after the lease was looked at
	for _, t := range tasks {
		if !liar.Defends(liar.Permits) {
			continue
		}
		_, t.refusal = permit(view, t.item, t.meta, now)
	}
}

// release judges every item once more, after the HSM and right before anything leaves,
// cached signatures like fresh ones. The last look is at the finished answer: what may
// not leave by then is taken out, and the answer made anew.
func (s *cosigner) release(ctx context.Context, q *Question, tasks []*task) (*command.Answer, error) {
	if err := s.cfg.Replica.Ready(); err != nil {
		return nil, err
	}
	s.allowed(ctx, tasks...)
	for {
		if err := s.cfg.halted(); err != nil {
			return nil, err
		}
		a := &command.Answer{Region: s.cfg.Region, Index: q.Meta.Index, Value: q.Value, At: s.cfg.Clock.Now(), Items: make([]command.AnswerItem, len(tasks))}
		for i, t := range tasks {
			a.Items[i] = t.answer()
		}
		if err := a.Sign(ctx, s.cfg.Replica.View().Cluster(), s.cfg.Session); err != nil {
			return nil, err
		}
		leaving := standing(tasks)
		if s.allowed(ctx, leaving...); len(standing(leaving)) < len(leaving) {
			continue
		}
		if err := s.cfg.halted(); err != nil { // after the last look at everything else
			return nil, err
		}
		s.stats.questions.Add(1)
		s.stats.refusals.Add(uint64(len(tasks) - len(leaving)))
		s.statements.add(a, q.Partials)
		return a, nil
	}
}
