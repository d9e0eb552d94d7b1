package vault

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// dealer does this region's half of making, refreshing and resharing threshold keys
// (docs/design/threshold.md). For each running ceremony it reads off the committed state
// what the region owes and files it; what it keeps in memory only saves work.
//
// A key is worked on by one goroutine at a time, at most maxDealings keys wait for the log
// at once, and half the processors compute, half of the time: a refresh of all keys leaves
// room for signing.
type dealer struct {
	cfg    *Config
	author *author
	stats  *counters
	wraps  *wraps
	held   *shares
	notice notices
	slots  chan struct{} // capacity maxDealings: keys being worked on
	cpu    chan struct{} // messages being computed
	amiss  chan struct{} // capacity 1: a step failed

	mu      sync.Mutex
	tries   map[command.KeyID]*trying // at most maxTries
	running map[command.KeyID]command.CeremonyID
}

func newDealer(cfg *Config, a *author, stats *counters, w *wraps, s *shares) *dealer {
	return &dealer{cfg: cfg, author: a, stats: stats, wraps: w, held: s, notice: newNotices(),
		slots: make(chan struct{}, maxDealings), cpu: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		amiss: make(chan struct{}, 1), tries: map[command.KeyID]*trying{}, running: map[command.KeyID]command.CeremonyID{}}
}

// look takes notice of keys that changed.
func (d *dealer) look(ids []command.KeyID) { d.notice.add(ids) }

// scan takes notice of all ceremonies: at start, after a failure, and now and then in case
// the state changed by a snapshot, which tells nobody.
func (d *dealer) scan(ctx context.Context) {
	view, now := d.cfg.Replica.View(), d.cfg.Clock.Now()
	var ids []command.KeyID
	late := false
	for _, key := range view.Ceremonies() {
		ids = append(ids, key.ID)
		late = late || now.After(key.Ceremony.Deadline) && !view.Clock().After(key.Ceremony.Deadline)
	}
	d.mu.Lock()
	for id := range d.running { // over meanwhile, perhaps
		ids = append(ids, id)
	}
	d.mu.Unlock()
	d.look(ids)
	if late {
		d.tick(ctx)
	}
}

// tick moves the committed clock past a deadline when nothing else does.
func (d *dealer) tick(ctx context.Context) {
	c, err := d.author.statement(ctx, d.cfg.Session, &command.Tick{})
	if err == nil {
		_, err = d.author.propose(ctx, c)
	}
	if err != nil {
		d.cfg.Logger.Debug("clock entry not committed", slog.Any("error", err))
	}
}

func (d *dealer) run(ctx context.Context) {
	defer d.forget()
	var workers sync.WaitGroup
	defer workers.Wait()
	pause, soon := d.cfg.Timing.Retry, false
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-d.notice.news:
		case <-d.amiss:
			if !soon {
				alarm.Reset(pause)
				soon, pause = true, min(2*pause, d.cfg.Timing.RetryMost)
			}
		case <-alarm.C:
			if !soon {
				pause = d.cfg.Timing.Retry
			}
			soon = false
			d.scan(ctx)
			alarm.Reset(d.cfg.Timing.Health)
		case <-ctx.Done():
			return
		}
		d.dispatch(ctx, &workers)
	}
}

// dispatch gives every noticed key to a worker of its own, as many at once as there are slots.
func (d *dealer) dispatch(ctx context.Context, workers *sync.WaitGroup) {
	for {
		select {
		case d.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		id, ok := d.notice.take()
		if !ok {
			<-d.slots
			return
		}
		workers.Go(func() {
			d.work(ctx, id)
			<-d.slots
			d.notice.release(id)
		})
	}
}

func (d *dealer) work(ctx context.Context, id command.KeyID) {
	err := d.advance(ctx, id)
	if err == nil || ctx.Err() != nil {
		return
	}
	level := slog.LevelWarn
	if c := errs.CodeOf(err); c == errs.BadState || passing(err) { // the log went on without it, or not yet
		level = slog.LevelDebug
	}
	d.cfg.Logger.Log(ctx, level, "key ceremony not advanced", slog.String("key", id.String()), slog.Any("error", err))
	select {
	case d.amiss <- struct{}{}:
	default:
	}
}

// advance does the next step of one key.
func (d *dealer) advance(ctx context.Context, id command.KeyID) error {
	if err := d.cfg.Replica.Ready(); err != nil {
		return err
	}
	view := d.cfg.Replica.View()
	key, _ := view.Key(id)
	t, runs := d.recall(id, key)
	if !runs || t != nil && view.Meta().Index < t.at {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timing.KeyStep)
	defer cancel()
	t, body, err := d.compute(ctx, view, key, t)
	if t != nil && !d.remember(id, t) {
		defer t.wipe()
	}
	if body == nil || err != nil {
		return err
	}
	if a, ok := body.(*command.AccuseDealer); ok {
		d.cfg.Logger.Error("key ceremony: what a region sent is wrong (region 0: who imported the key)", slog.String("key", id.String()), slog.Int("try", int(a.Ceremony.Try)),
			slog.Int("region", int(a.Against)), slog.String("found", a.Note))
	}
	out, err := d.author.file(ctx, d.cfg.Session, body)
	if err != nil {
		return err
	}
	t.at = out.Index // judged again once the own replica shows what became of it
	return out.Err()
}

// compute makes the message owed, nil if none; t is nil at the first look at a try.
func (d *dealer) compute(ctx context.Context, view fsm.View, key *fsm.Key, t *trying) (*trying, command.Body, error) {
	select {
	case d.cpu <- struct{}{}:
	case <-ctx.Done():
		return t, nil, ctx.Err()
	}
	defer d.rest(time.Now())
	if t == nil {
		var err error
		if t, err = newTrying(view.Cluster(), d.cfg.Region, key); err != nil {
			return nil, nil, err
		}
	}
	body, err := d.owed(ctx, key, t)
	return t, body, err
}

// rest frees the place of a computation that began at a time once it has stood idle for as
// long as that took: signing finds a processor free even while all keys are refreshed.
func (d *dealer) rest(began time.Time) {
	took := min(time.Since(began), mostRest)
	if took <= 0 {
		<-d.cpu
		return
	}
	time.AfterFunc(took, func() { <-d.cpu })
}

// recall returns what is remembered of the key's present try, and whether one runs in which
// this region has a part.
func (d *dealer) recall(id command.KeyID, key *fsm.Key) (t *trying, runs bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.count(id, key)
	t = d.tries[id]
	if t != nil && (c == nil || t.id != c.ID) {
		t.wipe()
		delete(d.tries, id)
		t = nil
	}
	if c == nil || c.Step == fsm.StepWrap {
		return nil, false
	}
	return t, slices.Contains(c.Dealers, d.cfg.Region) || slices.Contains(c.Holders, d.cfg.Region)
}

// remember keeps what was computed for the next step, if there is room.
func (d *dealer) remember(id command.KeyID, t *trying) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tries[id] == nil && len(d.tries) >= maxTries {
		return false
	}
	d.tries[id] = t
	return true
}

// count returns the key's running ceremony, nil without, and counts those running and the
// tries that failed.
func (d *dealer) count(id command.KeyID, key *fsm.Key) *fsm.Ceremony {
	var c *fsm.Ceremony
	if key != nil {
		c = key.Ceremony
	}
	if was, known := d.running[id]; known && c != nil && was.Epoch == c.ID.Epoch {
		d.failed(c, was.Try)
	}
	if c.Running() {
		d.running[id] = c.ID
	} else {
		delete(d.running, id)
		c = nil
	}
	d.stats.ceremonies.Store(uint64(len(d.running)))
	return c
}

// failed counts the tries from one on that failed, and says why.
func (d *dealer) failed(c *fsm.Ceremony, from uint8) {
	over := c.ID.Try // that is no longer to be counted
	if !c.Running() {
		over++
	}
	d.stats.failedTries.Add(uint64(over - from))
	for _, f := range c.Faults {
		if f.Try >= from && f.Try < over {
			d.cfg.Logger.Warn("a try at a key ceremony failed", slog.String("key", c.ID.Key.String()), slog.Int("try", int(f.Try)),
				slog.String("step", f.Step.String()), slog.Int("region", int(f.Region)), slog.Any("by", f.By), slog.String("why", f.Note))
		}
	}
}

// forget wipes what is remembered.
func (d *dealer) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, t := range d.tries {
		t.wipe()
		delete(d.tries, id)
	}
}
