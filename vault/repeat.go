package vault

import (
	"context"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// repeat is the witness's check on a region that is there, yet is said to leave a question
// unanswered: this region puts the same question and judges the answer as a leader does.
// It returns the attempts without good signatures, and for which of them it was answered
// wrongly, under that region's signature. "Not now" under a region's signature is no silence: it may be the leader
// that keeps entries or acks from it.
func (c *coordinator) repeat(ctx context.Context, about identity.RegionID, q *Question, items []*item) (finding, error) {
	b := &bundle{round: &round{coordinator: c, meta: q.Meta}, drawn: c.beacon.at(q.Meta).known()}
	r := b.ask(ctx, about, items)
	if errs.CodeOf(r.err) == errs.Throttled {
		return finding{}, r.err // of too many questions, maybe ours: nothing was learnt
	}
	var v finding
	for _, it := range items {
		c.plan(it)
	}
	b.checkShares(r)
	if r.wrong != nil {
		v.answer = r.wrong.Hash()
	}
	for _, it := range items {
		code, refused := r.refused[it]
		switch {
		case it.bad != about && (r.good[it] != nil || notNow(code) || everywhere(code)):
		case r.wrong != nil && !refused && it.bad != about:
			v.wrong = append(v.wrong, it.Item)
		default:
			v.silent = append(v.silent, it.Item)
		}
	}
	return v, nil
}

// finding is what a witness finds of a region it put another's question to.
type finding struct {
	silent []Item   // not answered, or refused for a reason of its own
	wrong  []Item   // answered, under its signature, with what does not hold
	answer [32]byte // hash of that answer
}

func (v *finding) nothing() bool { return len(v.silent)+len(v.wrong) == 0 }

// rightly returns the question an Ask is about, and its items, if by the own state it may
// be put to that region: else a leader could have an honest region refuse a wrong one,
// and choose another pair. Nothing without a question.
func (c *coordinator) rightly(ctx context.Context, ask *Ask) (*Question, []*item, error) {
	if len(ask.Question) == 0 {
		return nil, nil, nil
	}
	q, err := DecodeQuestion(ask.Question)
	if err != nil {
		return nil, nil, err
	}
	items, err := c.rightful(ctx, q, ask.About)
	return q, items, err
}

func (c *coordinator) rightful(ctx context.Context, q *Question, about identity.RegionID) ([]*item, error) {
	view, now := c.cfg.Replica.View(), c.cfg.Clock.Now()
	var items []*item
	for _, named := range q.Items {
		g, fault := permit(view, named, q.Meta, now)
		if fault != nil {
			return nil, fault
		}
		it := &item{Item: named, ground: g}
		var err error
		if it.messages, it.spends, err = g.messages(); err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	if len(items) == 0 {
		return nil, errs.New(errs.Invalid, "a question about nothing")
	}
	if err := c.beacon.verify(ctx, q); err != nil {
		return nil, err
	}
	for _, it := range items {
		if it.draw(q.Value); !slices.Contains(it.signers, about) {
			return nil, errs.New(errs.Denied, "region %d is not drawn for attempt %d of request %s", about, it.Attempt, it.Request)
		}
	}
	return items, nil
}
