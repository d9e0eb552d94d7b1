package vault

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// round is the leader's work on the draws one entry opened: one value, one question a
// drawn region, one completion.
type round struct {
	*coordinator
	meta     command.Meta
	requests []command.RequestID
	left     atomic.Bool // something was not done; the committed state knows what
}

// item is one request on its way through the leader side.
type item struct {
	Item
	ground   ground
	messages [][]byte
	signers  []identity.RegionID // the k drawn, in drawn order
	results  []fsm.SignatureSet  // aligned with signers, verified; nil signatures are missing
	done     bool                // all k are here
	filed    bool                // its completion was proposed
	joint                        // of a threshold key
}

func (r *round) run(ctx context.Context) {
	r.stats.rounds.Add(1)
	items := r.load()
	if len(items) < len(r.requests) {
		r.left.Store(true)
	}
	if len(items) == 0 {
		return
	}
	d, err := r.beacon.value(ctx, r.meta, activeRegions(r.cfg.Replica.View()))
	if err != nil {
		r.left.Store(true)
		r.cfg.Logger.Warn("no beacon value yet", slog.Uint64("index", r.meta.Index), slog.Any("error", err))
		return
	}
	for _, it := range items {
		it.draw(d.value)
	}
	var bundles sync.WaitGroup
	defer bundles.Wait()
	for _, part := range split(items) {
		bundles.Go(func() { newBundle(r, d, part).run(ctx) })
	}
}

// draw sets down who is to sign an item.
func (it *item) draw(value [32]byte) {
	it.signers = it.ground.signers(value)
	it.results = make([]fsm.SignatureSet, len(it.signers))
	for i, region := range it.signers {
		it.results[i].Region = region
	}
}

// load rebuilds the messages of every request that may be signed. One that may not is
// told to whoever waits for it.
func (r *round) load() []*item {
	view, now := r.cfg.Replica.View(), r.cfg.Clock.Now()
	all := make([]*item, len(r.requests))
	parallel(len(all), func(i int) {
		req, ok := view.Request(r.requests[i])
		if !ok || req.Open() == nil || req.Open().Meta != r.meta {
			return
		}
		it := &item{Item: Item{req.ID, req.Open().Number}}
		g, fault := permit(view, it.Item, r.meta, now)
		if fault != nil {
			r.waiting.fail(req.ID, fault)
			return
		}
		messages, spends, err := g.messages()
		if err != nil {
			r.waiting.fail(req.ID, err)
			return
		}
		it.ground, it.messages, it.spends = g, messages, spends
		all[i] = it
	})
	return slices.DeleteFunc(all, func(it *item) bool { return it == nil })
}

// split cuts an entry's items so that the answers to each part fit one completion. Only
// an entry full of payments with many inputs needs more than one part.
func split(items []*item) (parts [][]*item) {
	from, size := 0, 0
	for i, it := range items {
		n := 64 + 76*len(it.messages)
		if i > from && (size+n > maxAnswerBytes || i-from >= command.MaxItems) {
			parts = append(parts, items[from:i])
			from, size = i, 0
		}
		size += n
	}
	return append(parts, items[from:])
}
