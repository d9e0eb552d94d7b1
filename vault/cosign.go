package vault

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// cosigner answers co-sign questions. A question only names attempts; whether and what
// to sign it finds in its own replica.
type cosigner struct {
	cfg        *Config
	beacon     *beacon
	answers    *answers
	statements *statements
	stats      *counters
	asked      [command.MaxRegions + 1]chan struct{} // by region, so that none can crowd out another
	hsm        chan struct{}                         // a place for each signature made at once
	keys       *keyring
	nonces     *nonces
	shares     *shares
	ailing     func() // HSM or disk failed: have the region's health looked at
}

func (s *cosigner) handle(ctx context.Context, from identity.RegionID, raw []byte) ([]byte, error) {
	q, err := DecodeQuestion(raw)
	if err != nil {
		return nil, err
	}
	a, err := s.answer(ctx, from, q)
	if err != nil {
		if errs.CodeOf(err) == errs.Unverified {
			s.cfg.Logger.Error("co-sign question refused", slog.Int("from", int(from)), slog.Uint64("index", q.Meta.Index), slog.Any("error", err))
		}
		return nil, err
	}
	return a.Encode(), nil
}

// answer is the whole path of a question. An error means that the region cannot judge
// it now; a refusal stands inside the answer.
func (s *cosigner) answer(ctx context.Context, from identity.RegionID, q *Question) (*command.Answer, error) {
	if int(from) >= len(s.asked) {
		return nil, errs.New(errs.Denied, "region %d is not a member", from)
	}
	select {
	case s.asked[from] <- struct{}{}:
		defer func() { <-s.asked[from] }()
	default:
		return nil, errs.New(errs.Throttled, "this region answers %d co-sign questions of region %d already", maxQuestions, from)
	}
	if err := s.cfg.halted(); err != nil {
		return nil, err
	}
	by := time.Now().Add(s.cfg.Timing.Question / 2)
	tasks := make([]*task, len(q.Items))
	for i, it := range q.Items {
		tasks[i] = &task{item: it, meta: q.Meta}
	}
	late, err := s.ready(ctx, q, by)
	switch {
	case err != nil:
		return nil, err
	case late != nil:
		refuse(tasks, late)
	default:
		if err := s.judge(ctx, q, tasks); err != nil {
			return nil, err
		}
		s.sign(ctx, tasks, by)
	}
	return s.release(ctx, q, tasks)
}

// ready waits until the own replica holds the attempts, and wants it fit to judge. It also
// waits for what the leader knew when it asked: a region that lags must not sign by a
// state from before a freeze that was acknowledged since.
//
// What only the leader may be to blame for, entries and acks that did not come, is late:
// a signed "not now", which is no ground for another draw. Waiting ends by half the
// question's time, so that this reaches whoever asked.
func (s *cosigner) ready(ctx context.Context, q *Question, by time.Time) (late *errs.Error, err error) {
	seen := make(map[Item]bool, len(q.Items))
	for _, it := range q.Items {
		if seen[it] {
			return nil, errs.New(errs.Malformed, "co-sign question names request %s twice", it.Request)
		}
		seen[it] = true
	}
	ctx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	index := max(q.Meta.Index, q.Known)
	behind := s.cfg.Replica.WaitApplied(ctx, index)
	if err := s.cfg.Replica.Ready(); err != nil {
		return nil, err
	}
	if err := s.registered(ctx); err != nil {
		return nil, err
	}
	if behind != nil {
		return errs.Wrap(errs.NotReady, behind, "region %d has not applied entry %d", s.cfg.Region, index), nil
	}
	return s.lease(ctx), nil
}

// registered waits until the log knows this region's session. A region that has just
// started is still drawn on the word of its last boot, and stands again in a moment: to
// refuse for that would cost the request one of its attempts.
func (s *cosigner) registered(ctx context.Context) error {
	for next := uint64(0); ; next++ {
		view := s.cfg.Replica.View()
		if _, _, ok := view.RegionBySession(s.cfg.Session.Public().Fingerprint()); ok {
			return nil
		}
		next = max(next, view.Meta().Index+1)
		if err := s.cfg.Replica.WaitApplied(ctx, next); err != nil {
			return errs.Wrap(errs.NotReady, err, "the session of region %d is not registered yet", s.cfg.Region)
		}
	}
}

// task is one item on its way through the co-signer.
type task struct {
	item     Item
	meta     command.Meta
	ground   ground
	signers  []identity.RegionID // the k drawn, in drawn order
	refusal  *errs.Error         // nil while it stands
	slot     *slot
	messages [][]byte
	parts    []part // of a threshold key, one a message
}

// judge decides every item by the own state. The draw is verified only if some item
// stands, that is if the entry is really in this region's log.
func (s *cosigner) judge(ctx context.Context, q *Question, tasks []*task) error {
	view, now := s.cfg.Replica.View(), s.cfg.Clock.Now()
	for _, t := range tasks {
		t.ground, t.refusal = permit(view, t.item, t.meta, now)
	}
	if len(standing(tasks)) == 0 {
		return nil
	}
	if err := s.beacon.verify(ctx, q); err != nil && liar.Defends(liar.Draws) {
		return err
	}
	unfit := s.cfg.Leaves.Healthy()
	for _, t := range tasks {
		if t.refusal != nil {
			continue
		}
		t.signers = t.ground.signers(q.Value)
		switch {
		case !slices.Contains(t.signers, s.cfg.Region) && liar.Defends(liar.Drawn):
			t.refusal = errs.New(errs.Denied, "this region is not drawn for attempt %d of request %s", t.item.Attempt, t.item.Request)
		case !t.ground.holds(s.cfg.Region):
			t.refusal = errs.New(errs.BadState, "this region does not hold key %s", t.ground.key.ID)
		case unfit != nil:
			s.fault(t, unfit)
		}
	}
	return nil
}

// fault refuses an item this region should sign but cannot, and remembers so.
func (s *cosigner) fault(t *task, err error) {
	t.refusal = errs.Wrap(errs.CodeOf(err), err, "region %d cannot sign", s.cfg.Region)
	s.answers.refused(t.item, t.ground.req.Expiry)
}

// sign finds or makes the signatures of every item that stands. An item somebody else
// is signing at this moment is waited for, never signed beside him.
func (s *cosigner) sign(ctx context.Context, tasks []*task, by time.Time) {
	var mine, theirs []*task
	for _, t := range standing(tasks) {
		slot, own, err := s.answers.claim(t.item, t.ground.req.Expiry)
		switch {
		case err != nil:
			t.refusal = err
		case own:
			t.slot = slot
			mine = append(mine, t)
		default:
			t.slot = slot
			theirs = append(theirs, t)
		}
	}
	s.make(ctx, mine, by)
	s.await(ctx, theirs, by)
}

func standing(tasks []*task) (out []*task) {
	for _, t := range tasks {
		if t.refusal == nil {
			out = append(out, t)
		}
	}
	return out
}

// make signs claimed items, in the HSM or with this region's shares, writes the answers
// down and publishes them. After the HSM failed once, the rest of the question is not tried.
//
// The time for it is the region's own: a leader that hangs up early, or asks for more at
// once than the HSM can do, must not make it look as if the HSM had failed, which would
// be a ground for another draw.
func (s *cosigner) make(ctx context.Context, mine []*task, by time.Time) {
	n := s.prepare(mine)
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), by.Add(time.Duration(n)*s.cfg.Timing.PerItem))
	defer cancel()
	open, shared := byScheme(standing(mine))
	s.withShares(ctx, shared)
	s.inHSM(ctx, open)
	s.publish(ctx, mine)
}

// inHSM has the HSM sign items of multisig keys.
func (s *cosigner) inHSM(ctx context.Context, open []*task) {
	var broken atomic.Pointer[errs.Error]
	keys := verifiers{}
	for _, t := range open {
		keys.add(t.ground.key, s.cfg.Region)
	}
	workers(len(open), s.cfg.HSMWorkers, func(i int) {
		if e := broken.Load(); e != nil {
			s.fault(open[i], e)
		} else if err := s.signOne(ctx, open[i], keys); err != nil {
			s.fault(open[i], err)
			broken.CompareAndSwap(nil, open[i].refusal)
		}
	})
	if broken.Load() != nil {
		s.ailing()
	}
}

// prepare rebuilds from the committed payloads what is to be signed, and returns how
// many signatures that is. What the HSM signed for an earlier attempt is not signed again;
// a share of a threshold signature serves its own attempt only, whose nonces it is made with.
func (s *cosigner) prepare(mine []*task) (signatures int) {
	parallel(len(mine), func(i int) {
		t := mine[i]
		if t.ground.threshold() {
			s.prepareParts(t)
			return
		}
		if t.slot.Signatures = s.answers.earlier(t.item, t.ground.req.Expiry); t.slot.Signatures != nil {
			return
		}
		var err error
		if t.messages, _, err = t.ground.messages(); err != nil {
			s.fault(t, err)
		}
	})
	for _, t := range mine {
		signatures += len(t.messages)
	}
	return signatures
}

// signOne has the HSM sign each message of an item, unless it is refused now; an error is
// a fault of this region. What the HSM signed wrongly does not leave: a faulty signature
// can tell the key, and would stand as this region's lie.
func (s *cosigner) signOne(ctx context.Context, t *task, keys verifiers) (err error) {
	if t.slot.Signatures != nil {
		return nil
	}
	key := t.ground.key
	label := keyLabel(s.cfg.Replica.View().Cluster(), key.ID)
	signatures := make([][]byte, len(t.messages))
	for i, m := range t.messages {
		if !s.enter(ctx) {
			t.refusal = errs.New(errs.NotReady, "the HSM of region %d has more to sign than there is time for", s.cfg.Region)
			return nil
		}
		if s.allowed(ctx, t); t.refusal == nil {
			signatures[i], err = s.call(ctx, label, uint8(key.Curve), m)
		}
		<-s.hsm
		if t.refusal != nil {
			return nil
		}
		switch c := errs.CodeOf(err); c {
		case errs.OK:
		case errs.Canceled, errs.DeadlineExceeded:
			return errs.Wrap(errs.HSMTimeout, err, "the HSM did not answer in time")
		default:
			return err
		}
		if !keys[key.ID].Verify(m, signatures[i]) {
			return errs.New(errs.HSMFailed, "the HSM's signature with key %s does not verify", key.ID).
				WithHint("check the HSM: it may be failing, or hold another key under that label")
		}
	}
	s.stats.hsmSignatures.Add(uint64(len(signatures)))
	t.slot.Signatures = signatures
	return nil
}

// enter takes a place at the HSM; false if none became free in time.
func (s *cosigner) enter(ctx context.Context) bool {
	select {
	case s.hsm <- struct{}{}:
		return true
	default:
	}
	select {
	case s.hsm <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// call has the HSM sign once. It gets its whole time, however long the wait for a place
// was: only what takes longer than that is the HSM's fault.
func (s *cosigner) call(ctx context.Context, label string, curve uint8, message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timing.HSM)
	defer cancel()
	return s.cfg.Token.Sign(ctx, label, curve, message)
}

// publish writes down what was signed and frees what was not.
func (s *cosigner) publish(ctx context.Context, mine []*task) {
	var done []*slot
	for _, t := range mine {
		if t.refusal != nil {
			s.answers.abandon(t.slot, t.refusal)
			continue
		}
		done = append(done, t.slot)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timing.HSM) // the disk's own time, too
	defer cancel()
	if err := s.answers.settle(ctx, done); err != nil {
		for _, t := range standing(mine) {
			s.fault(t, err)
		}
		s.ailing()
	}
}

// await waits for the items others are signing.
func (s *cosigner) await(ctx context.Context, theirs []*task, by time.Time) {
	ctx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	for _, t := range theirs {
		select {
		case <-t.slot.done:
		case <-ctx.Done():
			t.refusal = errs.New(errs.NotReady, "attempt %d of request %s is being signed still", t.item.Attempt, t.item.Request)
			continue
		}
		switch {
		case t.slot.err != nil:
			t.refusal = errs.Wrap(errs.CodeOf(t.slot.err), t.slot.err, "region %d cannot sign", s.cfg.Region)
		case t.slot.Refused:
			t.refusal = errs.New(errs.BadState, "region %d gave its word not to sign attempt %d of request %s", s.cfg.Region, t.item.Attempt, t.item.Request)
		default:
			s.stats.cachedAnswers.Add(1)
		}
	}
}

func (t *task) answer() command.AnswerItem {
	it := command.AnswerItem{Request: t.item.Request, Attempt: t.item.Attempt, Signers: t.signers, Code: errs.OK}
	if t.refusal == nil {
		it.Signatures = t.slot.Signatures
		return it
	}
	it.Code, it.Text = t.refusal.Code, t.refusal.Msg
	it.Text = strings.ToValidUTF8(it.Text[:min(len(it.Text), command.MaxNote)], "")
	return it
}
