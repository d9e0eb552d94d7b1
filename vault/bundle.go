package vault

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// bundle is what is asked together and filed together. Its fields belong to the one
// goroutine in run; the asking goroutines hand over finished replies.
type bundle struct {
	*round
	drawn   *drawn
	items   []*item
	asked   map[identity.RegionID][]*item
	replies map[identity.RegionID]*reply
}

// reply is what became of one region's question.
type reply struct {
	region  identity.RegionID
	answer  *command.Answer // its session signature verified
	refused map[*item]errs.Code
	good    map[*item][][]byte // verified against the region's attested key; shares of a threshold signature are not yet
	shares  map[*item][]*frost.SignatureShare
	err     error           // no usable answer at all
	wrong   *command.Answer // signed by its session, and with what does not hold
}

func newBundle(r *round, d *drawn, items []*item) *bundle {
	b := &bundle{round: r, drawn: d, items: items,
		asked: map[identity.RegionID][]*item{}, replies: map[identity.RegionID]*reply{}}
	for _, it := range items {
		for _, region := range it.signers {
			b.asked[region] = append(b.asked[region], it)
		}
	}
	return b
}

// run asks every drawn region at once, hands out signatures as they complete, files
// them, and sees to what failed.
func (b *bundle) run(ctx context.Context) {
	replies := make(chan *reply, len(b.asked))
	var work sync.WaitGroup
	defer work.Wait()
	for region, items := range b.asked {
		work.Go(func() { replies <- b.ask(ctx, region, items) })
	}
	late := time.NewTimer(b.cfg.Timing.Late)
	defer late.Stop()
	for range b.asked {
		var r *reply
		for r == nil {
			select {
			case r = <-replies:
			case <-late.C:
				if c := b.completion(); c != nil {
					work.Go(func() { b.file(ctx, c) })
				}
			}
		}
		b.take(r)
	}
	b.unread()
	if c := b.completion(); c != nil {
		b.file(ctx, c)
	}
	if slices.ContainsFunc(b.items, func(it *item) bool { return !it.done }) {
		b.left.Store(true)
		newRedraw(b).run(ctx)
	}
}

// ask puts the question to one region and verifies everything in its answer.
func (b *bundle) ask(ctx context.Context, region identity.RegionID, items []*item) *reply {
	signatures := 0
	q := &Question{Meta: b.meta, Known: b.cfg.Replica.View().Meta().Index, Value: b.drawn.value,
		Partials: b.drawn.encoded(), Items: make([]Item, len(items))}
	for i, it := range items {
		q.Items[i] = it.Item
		signatures += len(it.messages)
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timing.answer(signatures))
	defer cancel()
	r := &reply{region: region, refused: map[*item]errs.Code{}, good: map[*item][][]byte{}, shares: map[*item][]*frost.SignatureShare{}}
	if r.answer, r.err = b.put(ctx, region, q); r.err == nil {
		r.err = b.verify(r, items)
	}
	if r.err != nil {
		r.answer = nil
	}
	return r
}

// spoil makes an answer that its region signed a wrong one: nothing of it is taken.
func (r *reply) spoil() {
	r.wrong = r.answer
	clear(r.good)
}

func (b *bundle) put(ctx context.Context, region identity.RegionID, q *Question) (*command.Answer, error) {
	if region == b.cfg.Region {
		return b.signer.answer(ctx, region, q)
	}
	raw, err := b.cfg.Peers.CoSign(ctx, region, q.Encode())
	if err != nil {
		return nil, err
	}
	return command.DecodeAnswer(raw)
}

// verify checks an answer's session signature, then each signature in it against the
// region's attested public key. It believes nothing it did not check.
func (b *bundle) verify(r *reply, items []*item) error {
	view, a := b.cfg.Replica.View(), r.answer
	owner, cert, ok := view.RegionBySession(a.Session)
	switch {
	case a.Region != r.region || a.Index != b.meta.Index || len(a.Items) != len(items):
		return b.blame(r.region, "answer to another question")
	case !ok:
		return errs.New(errs.NotReady, "the session of region %d is not registered here yet", r.region)
	case owner.ID != r.region || !b.cfg.Verify(cert.Session, a.SignedBytes(view.Cluster()), a.Sig):
		return b.blame(r.region, "answer is not signed by its session")
	}
	keys := verifiers{}
	for _, it := range items {
		keys.add(it.ground.key, a.Region)
	}
	faults, shares := make([]error, len(items)), make([][]*frost.SignatureShare, len(items))
	parallel(len(items), func(i int) { shares[i], faults[i] = b.verifyItem(a, &a.Items[i], items[i], keys) })
	var fault error
	for i, it := range items {
		switch got := &a.Items[i]; {
		case faults[i] != nil:
			fault = cmp.Or(fault, faults[i])
		case got.Code == errs.OK:
			r.good[it], r.shares[it] = got.Signatures, shares[i]
		default:
			r.refused[it] = got.Code
			b.cfg.Logger.Warn("co-signer refused", slog.Int("region", int(r.region)), slog.String("request", it.Request.String()),
				slog.String("code", got.Code.String()), slog.String("text", got.Text))
		}
	}
	if fault != nil {
		r.spoil()
	}
	return fault
}

// verifyItem judges one region's answer on one item by itself. Shares of a threshold
// signature are only decoded: whether they are right shows when they are added up.
func (b *bundle) verifyItem(a *command.Answer, got *command.AnswerItem, it *item, keys verifiers) ([]*frost.SignatureShare, error) {
	switch {
	case got.Request != it.Request || got.Attempt != it.Attempt:
		return nil, b.blame(a.Region, "answer on another request")
	case got.Code != errs.OK:
		return nil, nil
	case a.Value != b.drawn.value || !slices.Equal(got.Signers, it.signers) || len(got.Signatures) != len(it.messages):
		return nil, b.blame(a.Region, "answer for another draw")
	case it.ground.threshold():
		shares, err := decodeShares(a.Region, got.Signatures)
		if err != nil {
			return nil, b.blame(a.Region, err.Error())
		}
		return shares, nil
	case a.Region == b.cfg.Region:
		return nil, nil // the own co-signer verified what its HSM made
	}
	for i, m := range it.messages {
		if !keys[it.ground.key.ID].Verify(m, got.Signatures[i]) && liar.Defends(liar.Answers) {
			return nil, b.blame(a.Region, "signature does not verify against the attested key")
		}
	}
	return nil, nil
}

// blame records what no region in order does.
func (b *bundle) blame(region identity.RegionID, what string) error {
	b.stats.badAnswers.Add(1)
	b.cfg.Logger.Error("bad answer of a region", slog.Int("region", int(region)), slog.Uint64("index", b.meta.Index), slog.String("fault", what))
	return errs.New(errs.Unverified, "region %d, entry %d: %s", region, b.meta.Index, what)
}

// take books a reply and hands out the requests it completes.
func (b *bundle) take(r *reply) {
	b.replies[r.region] = r
	if r.err != nil {
		b.cfg.Logger.Warn("no co-sign answer", slog.Int("region", int(r.region)), slog.Uint64("index", b.meta.Index), slog.Any("error", r.err))
		return
	}
	var full []*item
	for it, signatures := range r.good {
		it.results[slices.Index(it.signers, r.region)].Signatures = signatures
		if !slices.ContainsFunc(it.results, func(s fsm.SignatureSet) bool { return s.Signatures == nil }) {
			full = append(full, it)
		}
	}
	b.combine(full)
	for _, it := range full {
		if it.done {
			b.deliver(it)
		}
	}
}

// deliver hands out a request as it will stand once its completion is committed.
func (b *bundle) deliver(it *item) {
	req := *it.ground.req
	req.State, req.Payload = fsm.RequestComplete, nil
	req.Results, req.Value = it.results, b.drawn.value
	b.stats.completed.Add(1)
	b.sums.put(&req, it.sums)
	b.waiting.signed(&req)
	view := b.cfg.Replica.View()
	if row, ok := view.Request(it.Request); !ok || row.State != fsm.RequestOpen {
		b.waiting.applied(view, []command.RequestID{it.Request}) // another leader's completion was first
	}
}

// completion returns what is done and not yet filed, nil if nothing is.
func (b *bundle) completion() *command.Complete {
	news := false
	for _, it := range b.items {
		news = news || it.done && !it.filed
		it.filed = it.done
	}
	if !news {
		return nil
	}
	c := &command.Complete{Index: b.meta.Index, Partials: b.drawn.encoded()}
	var voted []identity.RegionID
	for _, region := range slices.Sorted(maps.Keys(b.replies)) {
		if a := b.replies[region].answer; a != nil && b.fileable(region) && !b.undone(append(voted, region)) {
			voted = append(voted, region)
			c.Answers = append(c.Answers, a.Encode())
		}
	}
	return c
}

// fileable reports whether a region's answer belongs in the log: one with a wrong share only
// where something was done with it before that showed. Filed without need it would stand in
// the audit as released, and in the way of honest answers.
func (b *bundle) fileable(region identity.RegionID) bool {
	return b.replies[region].err == nil || slices.ContainsFunc(b.items, func(it *item) bool {
		return it.done && slices.Contains(it.signers, region)
	})
}

// undone reports whether the answers of some regions would complete an item whose shares
// do not make a signature: Apply adds up only what its author signed itself.
func (b *bundle) undone(voted []identity.RegionID) bool {
	return slices.ContainsFunc(b.items, func(it *item) bool {
		return !it.done && !slices.ContainsFunc(it.signers, func(s identity.RegionID) bool {
			return !slices.Contains(voted, s) || b.replies[s].good[it] == nil
		})
	})
}

// file commits a completion. It rides in the next entry; until it is in the log the
// round stays, and a next leader would gather the same answers again.
func (b *bundle) file(ctx context.Context, c *command.Complete) {
	out, err := b.author.complete(ctx, c)
	if err == nil {
		err = out.Err()
	}
	if err != nil {
		b.left.Store(true)
		b.cfg.Logger.Warn("completion not filed", slog.Uint64("index", b.meta.Index), slog.Any("error", err))
	}
}
