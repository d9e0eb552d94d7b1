package vault

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// redraw opens further attempts for the requests a bundle could not complete. Nobody
// chooses: each needs the drawn region's own word that it refused for good, or another
// region's that it cannot reach it either. Without a word the same regions are asked
// again later; also while too few others could sign, since attempts are few and another
// draw among the same regions would use one up for nothing.
type redraw struct {
	*bundle
	mu    sync.Mutex
	words map[Item][][]byte // encoded words by attempt
	ill   []*command.ReportHealth
}

func newRedraw(b *bundle) *redraw { return &redraw{bundle: b, words: map[Item][][]byte{}} }

func (d *redraw) run(ctx context.Context) {
	var asking sync.WaitGroup
	for region, r := range d.replies {
		silent, refused := d.failed(r)
		if len(silent) > 0 {
			asking.Go(func() { d.unreachable(ctx, region, silent) })
		}
		if len(refused) > 0 {
			asking.Go(func() { d.refused(ctx, region, refused) })
		}
	}
	asking.Wait()
	var open []*item
	for _, it := range d.items {
		if !it.done && len(d.words[it.Item]) > 0 && d.promising(it) {
			open = append(open, it)
		}
	}
	workers(len(d.ill)+len(open), maxProposals, func(i int) {
		if i < len(d.ill) {
			d.report(ctx, d.ill[i])
			return
		}
		d.open(ctx, open[i-len(d.ill)])
	})
}

// failed sorts what a region left undone by what can be done about it. A freeze, an
// expiry or another clock is no ground for a redraw: every region would say the same.
func (d *redraw) failed(r *reply) (silent, refused []Item) {
	for _, it := range d.asked[r.region] {
		code, no := r.refused[it]
		switch {
		case it.done:
		case r.err != nil:
			silent = append(silent, it.Item)
		case no && notNow(code): // a sweep asks again
		case no && everywhere(code):
			d.waiting.fail(it.Request, errs.New(code, "request %s: region %d refused: %s", it.Request, r.region, code))
		case no && d.promising(it): // who gave its word never signs this attempt
			refused = append(refused, it.Item)
		}
	}
	return silent, refused
}

// promising reports whether enough regions could sign that did not fail this attempt.
func (d *redraw) promising(it *item) bool {
	able := slices.DeleteFunc(d.cfg.Replica.View().Able(it.ground.key), func(r identity.RegionID) bool { return d.failedAt(r, it) })
	return len(able) >= int(it.ground.key.Signers)
}

func (d *redraw) failedAt(region identity.RegionID, it *item) bool {
	r, asked := d.replies[region]
	if !asked || !slices.Contains(it.signers, region) {
		return false
	}
	code, refused := r.refused[it]
	return refused && !spent(code) || r.err != nil
}

// spent tells the refusal of a region that has lost the nonce of this attempt, because it
// started anew: the next attempt names a fresh one, and nothing is wrong with the region.
func spent(c errs.Code) bool { return c == errs.Replayed }

// notNow tells a refusal that who asks may have brought about itself: by keeping entries
// or acks from the region, or by asking for more than it can do.
func notNow(c errs.Code) bool { return c == errs.NotReady || c == errs.Throttled }

// everywhere tells a refusal that every region would give.
func everywhere(c errs.Code) bool {
	return c == errs.Frozen || c == errs.Expired || c == errs.Skewed || c == errs.Stale
}

// refused asks a region for its word on its own refusals. One that refuses and will not
// stand by it is as good as silent.
func (d *redraw) refused(ctx context.Context, region identity.RegionID, items []Item) {
	words, err := d.ask(ctx, region, &Ask{Kind: command.WordRefused, About: region, Items: items})
	if err != nil {
		d.cfg.Logger.Warn("no word on a refusal", slog.Int("region", int(region)), slog.Any("error", err))
		d.unreachable(ctx, region, items)
		return
	}
	d.keep(words)
}

// unreachable asks the other regions whether they reach a silent one. The first that
// does not either gives the word for the redraw; with the own word it also takes the
// region out of later draws, until it says itself that it is well.
func (d *redraw) unreachable(ctx context.Context, about identity.RegionID, items []Item) {
	if about == d.cfg.Region {
		return // of itself a region says that it refuses, not that it is gone
	}
	q := &Question{Meta: d.meta, Value: d.drawn.value, Partials: d.drawn.encoded(), Items: items}
	ctx, cancel := context.WithTimeout(ctx, 2*d.cfg.Timing.Probe+d.cfg.Timing.answer(d.signatures(items)))
	defer cancel()
	ask := &Ask{Kind: command.WordUnreachable, About: about, Items: items, Question: q.Encode()}
	given := make(chan []*command.Word, command.MaxRegions)
	var asking sync.WaitGroup
	for _, r := range activeRegions(d.cfg.Replica.View()) {
		if r.ID == about || r.ID == d.cfg.Region {
			continue
		}
		asking.Go(func() {
			words, err := d.ask(ctx, r.ID, ask)
			if err != nil {
				d.cfg.Logger.Info("no word on a silent region", slog.Int("region", int(about)), slog.Int("by", int(r.ID)), slog.Any("error", err))
			}
			if err == nil {
				given <- words
			}
		})
	}
	go func() { asking.Wait(); close(given) }()
	for words := range given {
		if len(words) > 0 {
			d.keep(words)
			d.diagnose(ctx, about, words[0])
			break
		}
	}
	cancel()
	for range given { // the asking goroutines end before we do
	}
}

func (d *redraw) signatures(of []Item) (n int) {
	for _, it := range d.items {
		if slices.Contains(of, it.Item) {
			n += len(it.messages)
		}
	}
	return n
}

func (d *redraw) ask(ctx context.Context, region identity.RegionID, ask *Ask) ([]*command.Word, error) {
	if region == d.cfg.Region {
		return d.witness.give(ctx, ask)
	}
	raw, err := d.cfg.Peers.Word(ctx, region, ask.Encode())
	if err != nil {
		return nil, err
	}
	words, err := DecodeWords(raw)
	if err != nil {
		return nil, err
	}
	return words, d.genuine(words, region, ask)
}

// genuine checks words before they are used: one bad word would spoil the command that
// carries it beside good ones.
func (d *redraw) genuine(words []*command.Word, by identity.RegionID, ask *Ask) error {
	view := d.cfg.Replica.View()
	asked := map[Item]bool{}
	for _, it := range ask.Items {
		asked[it] = true
	}
	for _, w := range words {
		owner, cert, ok := view.RegionBySession(w.Session)
		if !ok || owner.ID != by || w.By != by || !fitting(w, ask) || w.About != ask.About ||
			w.Attempt != 0 && !asked[Item{w.Request, w.Attempt}] || !d.cfg.Verify(cert.Session, w.SignedBytes(view.Cluster()), w.Sig) {
			return d.blame(by, "word is not its own, or not what was asked")
		}
	}
	return nil
}

// fitting reports whether a word is of the kind asked for. Who is asked whether it reaches
// a region may have got a wrong answer from it.
func fitting(w *command.Word, ask *Ask) bool {
	return w.Kind == ask.Kind || ask.Kind == command.WordUnreachable && w.Kind == command.WordWrong && w.Attempt != 0
}

func (d *redraw) keep(words []*command.Word) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range words {
		if w.Attempt != 0 {
			it := Item{w.Request, w.Attempt}
			d.words[it] = append(d.words[it], w.Encode())
		}
	}
}

// diagnose prepares the report that a region is out, with this region's word beside the
// other's.
func (d *redraw) diagnose(ctx context.Context, about identity.RegionID, other *command.Word) {
	own, err := d.witness.words(ctx, &Ask{Kind: command.WordUnreachable, About: about}, true)
	if err != nil || other.Attempt != 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ill = append(d.ill, &command.ReportHealth{Region: about, Words: [][]byte{own[0].Encode(), other.Encode()}})
}

// report files a report on a region's health unless one is under way or in force.
func (d *redraw) report(ctx context.Context, r *command.ReportHealth) {
	row, ok := d.cfg.Replica.View().Region(r.Region)
	if !ok || !row.Healthy || !d.reportOn(r.Region, true) {
		return
	}
	defer d.reportOn(r.Region, false)
	out, err := d.author.file(ctx, d.cfg.Session, r)
	if err == nil {
		err = out.Err()
	}
	if err != nil {
		d.cfg.Logger.Warn("region not reported ill", slog.Int("region", int(r.Region)), slog.Any("error", err))
		return
	}
	d.cfg.Logger.Warn("region reported ill: it is not drawn until it says that it is well", slog.Int("region", int(r.Region)))
}

// open proposes the next attempt; opening one beyond the last gives the request up.
func (d *redraw) open(ctx context.Context, it *item) {
	next := it.Attempt + 1
	out, err := d.author.file(ctx, d.cfg.Session, &command.OpenAttempt{Request: it.Request, Attempt: next, Words: d.words[it.Item],
		Partials: d.drawn.encoded()})
	if err == nil {
		err = out.Err()
	}
	log := d.cfg.Logger.With(slog.String("request", it.Request.String()), slog.Int("attempt", int(next)))
	switch {
	case err != nil:
		log.Warn("next attempt not opened", slog.Any("error", err))
	case next > maxAttempts:
		log.Warn("request given up")
	default:
		d.stats.secondAttempts.Add(1)
		log.Info("next attempt opened")
	}
}
