package vault

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// refunds are the requests that ended without signatures and count against the limit of
// their key. Every region notes them; the one that leads asks the regions for their words
// that they released nothing, for a while, and files them when they are enough. What it
// does not get back within that time stays charged.
type refunds struct {
	*coordinator
	news chan struct{} // capacity 1

	mu  sync.Mutex
	due map[command.RequestID]time.Time // since when
}

// look notes those of ended requests that may get something back.
func (f *refunds) look(view fsm.View, ended []command.RequestID) {
	for _, id := range ended {
		if req, ok := view.Request(id); ok && req.Refundable() {
			f.add(id)
		}
	}
}

func (f *refunds) add(id command.RequestID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.due) >= maxRefunds {
		return
	}
	f.due[id] = time.Now()
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// run tries again, ever more slowly, while there is something to give back.
func (f *refunds) run(ctx context.Context) {
	for pause := f.cfg.Timing.Retry; ; {
		if !f.waits() {
			pause = f.cfg.Timing.Retry
			select {
			case <-f.news:
			case <-ctx.Done():
				return
			}
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, f.cfg.Timing.RetryMost)
		if term, leads := f.leading(); leads {
			f.round(term)
		}
		f.lapse()
	}
}

func (f *refunds) waits() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.due) > 0
}

// lapse drops what was tried for long enough: it stays charged.
func (f *refunds) lapse() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, since := range f.due {
		if req, ok := f.cfg.Replica.View().Request(id); time.Since(since) > refundTime || !ok || !req.Refundable() {
			delete(f.due, id)
		}
	}
}

func (f *refunds) round(ctx context.Context) {
	f.mu.Lock()
	ids := make([]command.RequestID, 0, len(f.due))
	for id := range f.due {
		ids = append(ids, id)
	}
	f.mu.Unlock()
	workers(len(ids), refundsAtOnce, func(i int) {
		if ctx.Err() != nil || !f.refund(ctx, ids[i]) {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.due, ids[i])
	})
}

// refund collects words on one request and files them; false to try again.
func (f *refunds) refund(ctx context.Context, id command.RequestID) (done bool) {
	view := f.cfg.Replica.View()
	req, ok := view.Request(id)
	if !ok || !req.Refundable() {
		return true
	}
	key, ok := view.Key(req.Key)
	if !ok || key.Limit == nil {
		return true
	}
	words := f.collect(ctx, req)
	said, raw := fsm.Said{}, make([][]byte, 0, len(words))
	for _, w := range words {
		if said.Take(req, w) {
			raw = append(raw, w.Encode())
		}
	}
	if !fsm.EnoughNothing(req, key, said) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timing.Propose)
	defer cancel()
	out, err := f.author.file(ctx, f.cfg.Session, &command.RefundRequest{Request: id, Words: raw})
	if err == nil {
		err = out.Err()
	}
	log := f.cfg.Logger.With(slog.String("request", id.String()))
	if err != nil {
		log.Warn("charge not given back", slog.Any("error", err))
		return !passing(err)
	}
	log.Info("charge given back: no region released anything")
	return true
}

// collect asks every region that was eligible for its words on all its attempts.
func (f *refunds) collect(ctx context.Context, req *fsm.Request) (words []*command.Word) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timing.Question)
	defer cancel()
	var asking sync.WaitGroup
	var mu sync.Mutex
	for region, items := range eligibleFor(req) {
		asking.Go(func() {
			given, err := f.nothings(ctx, region, items)
			if err != nil {
				f.cfg.Logger.Info("no word that nothing was released", slog.Int("region", int(region)), slog.String("request", req.ID.String()), slog.Any("error", err))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			words = append(words, given...)
		})
	}
	asking.Wait()
	return words
}

// eligibleFor returns the attempts that each region was eligible for.
func eligibleFor(req *fsm.Request) map[identity.RegionID][]Item {
	out := map[identity.RegionID][]Item{}
	for i := range req.Attempts {
		a := &req.Attempts[i]
		for _, r := range a.Eligible {
			out[r] = append(out[r], Item{req.ID, a.Number})
		}
	}
	return out
}

// nothings asks one region. One bad word would spoil the command that carries it.
func (f *refunds) nothings(ctx context.Context, region identity.RegionID, items []Item) ([]*command.Word, error) {
	ask := &Ask{Kind: command.WordNothing, About: region, Items: items}
	if region == f.cfg.Region {
		return f.witness.give(ctx, ask)
	}
	raw, err := f.cfg.Peers.Word(ctx, region, ask.Encode())
	if err != nil {
		return nil, err
	}
	words, err := DecodeWords(raw)
	if err != nil {
		return nil, err
	}
	view := f.cfg.Replica.View()
	for _, w := range words {
		owner, cert, ok := view.RegionBySession(w.Session)
		if !ok || owner.ID != region || w.By != region || owner.Status != fsm.RegionActive || !f.cfg.Verify(cert.Session, w.SignedBytes(view.Cluster()), w.Sig) {
			return nil, errs.New(errs.Unverified, "a word of region %d is not its own", region)
		}
	}
	return words, nil
}

// nothing gives the word that this region released nothing for attempts of a request that
// ended so in its own state, and binds it. Its replica never goes back behind that end,
// and no permit is given for what is not open; the slot says the same a second time.
// Only what is charged is worth a word: it keeps a slot.
func (w *witness) nothing(ctx context.Context, ask *Ask) ([]*command.Word, error) {
	if len(ask.Items) > maxNothings {
		return nil, errs.New(errs.TooLarge, "words on %d attempts, limit %d", len(ask.Items), maxNothings)
	}
	view := w.cfg.Replica.View()
	var about []Item
	var why error = errs.New(errs.Invalid, "a question about nothing")
	for _, it := range ask.Items {
		req, ok := view.Request(it.Request)
		if !ok || !req.Refundable() || it.Attempt == 0 || int(it.Attempt) > len(req.Attempts) {
			why = errs.New(errs.BadState, "request %s did not end without signatures here, or counts against no limit", it.Request)
			continue
		}
		opened := req.Attempts[it.Attempt-1].Meta
		if err := w.answers.swear(ctx, it, opened.Index, req.Expiry); err != nil {
			why = err
			continue
		}
		about = append(about, Item{command.NothingOf(it.Request, it.Attempt, opened), it.Attempt})
	}
	if len(about) == 0 {
		return nil, why
	}
	return w.words(ctx, &Ask{Kind: ask.Kind, About: ask.About, Items: about}, false)
}
