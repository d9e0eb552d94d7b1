package vault

import (
	"context"
	"encoding/hex"
	"log/slog"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// witness gives this region's signed word: on its own refusals, and on whether it
// reaches another region. A redraw or a change of health needs such words, so they are
// given only for what this region saw itself.
type witness struct {
	cfg     *Config
	answers *answers
	fit     func() error // nil while HSM and leaf store are in order
	asker   asker
}

// asker judges the question another region could not get answered, and puts it again.
type asker interface {
	rightly(ctx context.Context, ask *Ask) (*Question, []*item, error)
	repeat(ctx context.Context, about identity.RegionID, q *Question, items []*item) (finding, error)
}

func (w *witness) handle(ctx context.Context, raw []byte) ([]byte, error) {
	ask, err := DecodeAsk(raw)
	if err != nil {
		return nil, err
	}
	words, err := w.give(ctx, ask)
	if err != nil {
		return nil, err
	}
	return EncodeWords(words), nil
}

func (w *witness) give(ctx context.Context, ask *Ask) ([]*command.Word, error) {
	if err := w.cfg.halted(); err != nil {
		return nil, err
	}
	if err := w.cfg.Replica.Ready(); err != nil {
		return nil, err // a replica that may be stale vouches for nothing
	}
	own := ask.About == w.cfg.Region
	switch {
	case ask.Kind == command.WordRefused && own:
		return w.refused(ctx, ask)
	case ask.Kind == command.WordNothing && own:
		return w.nothing(ctx, ask)
	case ask.Kind == command.WordReachable && own:
		return w.present(ctx)
	case ask.Kind == command.WordReachable:
		if err := w.probe(ctx, ask.About); err != nil {
			return nil, err
		}
		return w.words(ctx, &Ask{Kind: ask.Kind, About: ask.About}, true)
	case ask.Kind == command.WordUnreachable && !own:
		return w.unreachable(ctx, ask)
	}
	return nil, errs.New(errs.Invalid, "region %d gives no word of kind %d on region %d", w.cfg.Region, ask.Kind, ask.About)
}

// unreachable gives the word on a region that does not answer a probe; or that answers it,
// but not the question, put to it by this region too; or answers that wrongly, which is a
// word of another kind. It proves nothing by itself: who gives it may lie. On an attempt it gives one only if
// the question shows that the region was drawn for it: else a leader could use any region
// that happens to be away to have another pair drawn.
func (w *witness) unreachable(ctx context.Context, ask *Ask) ([]*command.Word, error) {
	gone := w.probe(ctx, ask.About) != nil
	q, items, err := w.asker.rightly(ctx, ask)
	var found finding
	switch {
	case gone && err == nil:
		found.silent = names(items)
	case gone:
		w.cfg.Logger.Info("no word on attempts", slog.Int("about", int(ask.About)), slog.Any("error", err))
		err = nil // on its health there is one all the same
	case err == nil && len(items) > 0:
		found, err = w.asker.repeat(ctx, ask.About, q, items)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err() // the asker gave up: nothing was learnt
	case err != nil:
		return nil, err
	case !gone && found.nothing():
		return nil, errs.New(errs.BadState, "region %d is reachable from region %d and ready", ask.About, w.cfg.Region)
	}
	return w.tell(ctx, ask.About, &found, gone)
}

// tell signs the words on what was found.
func (w *witness) tell(ctx context.Context, about identity.RegionID, v *finding, gone bool) ([]*command.Word, error) {
	words, err := w.words(ctx, &Ask{Kind: command.WordUnreachable, About: about, Items: v.silent}, gone)
	if err != nil || len(v.wrong) == 0 {
		return words, err
	}
	w.cfg.Logger.Error("this region says of another that it answered wrongly", slog.Int("about", int(about)), slog.String("answer", hex.EncodeToString(v.answer[:])))
	wrong, err := w.sign(ctx, command.Word{Kind: command.WordWrong, About: about, Answer: v.answer}, v.wrong)
	return append(words, wrong...), err
}

func names(items []*item) (out []Item) {
	for _, it := range items {
		out = append(out, it.Item)
	}
	return out
}

// refused gives the word on those attempts this region did refuse; from then on it is
// bound by it. Attempts it signed, or was never asked about, are left out.
func (w *witness) refused(ctx context.Context, ask *Ask) ([]*command.Word, error) {
	view := w.cfg.Replica.View()
	var kept []Item
	for _, it := range w.open(ask.Items) {
		req, ok := view.Request(it.Request)
		if ok && w.answers.renounce(ctx, it, req.Expiry) == nil {
			kept = append(kept, it)
		}
	}
	if len(kept) == 0 {
		return nil, errs.New(errs.BadState, "region %d refused none of these attempts", w.cfg.Region)
	}
	return w.words(ctx, &Ask{Kind: ask.Kind, About: ask.About, Items: kept}, false)
}

// open keeps the attempts that stand open in the own state. A word on any other could be
// kept and used later, when its reason has long passed.
func (w *witness) open(items []Item) (out []Item) {
	view := w.cfg.Replica.View()
	for _, it := range items {
		if req, ok := view.Request(it.Request); ok && req.Open() != nil && req.Open().Number == it.Attempt {
			out = append(out, it)
		}
	}
	return out
}

// present is the answer to a probe: here, and ready to sign.
func (w *witness) present(ctx context.Context) ([]*command.Word, error) {
	if err := w.fit(); err != nil {
		return nil, err
	}
	return w.words(ctx, &Ask{Kind: command.WordReachable, About: w.cfg.Region}, true)
}

func (w *witness) probe(ctx context.Context, about identity.RegionID) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timing.Probe)
	defer cancel()
	if r, ok := w.cfg.Replica.View().Region(about); ok && r.Status != fsm.RegionActive {
		return errs.New(errs.Denied, "region %d is quarantined", about) // its answers count for nothing
	}
	ask := &Ask{Kind: command.WordReachable, About: about}
	_, err := w.cfg.Peers.Word(ctx, about, ask.Encode())
	return err
}

// spell is what a word on a region's health is about, by this view.
func spell(view fsm.View, about identity.RegionID) (it Item) {
	if row, ok := view.Region(about); ok {
		it.Request = command.HealthSpell(row.Since)
	}
	return it
}

// words signs one word an attempt, after one on health if asked for.
func (w *witness) words(ctx context.Context, ask *Ask, health bool) ([]*command.Word, error) {
	items := ask.Items
	if health {
		items = append([]Item{spell(w.cfg.Replica.View(), ask.About)}, items...)
	}
	return w.sign(ctx, command.Word{Kind: ask.Kind, About: ask.About}, items)
}

// sign signs one word an item, like the one given.
func (w *witness) sign(ctx context.Context, like command.Word, items []Item) ([]*command.Word, error) {
	cluster := w.cfg.Replica.View().Cluster()
	like.By, like.At = w.cfg.Region, w.cfg.Clock.Now().Truncate(time.Millisecond)
	out := make([]*command.Word, len(items))
	for i, it := range items {
		word := like
		out[i], word.Request, word.Attempt = &word, it.Request, it.Attempt
		if err := out[i].Sign(ctx, cluster, w.cfg.Session); err != nil {
			return nil, err
		}
	}
	return out, nil
}
