package fsm

import (
	"bytes"
	"math"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Epochs of wrapping keys. The newest is never given up, so that the next one's number
// follows from the table.

// never is later than every deadline.
var never = time.UnixMilli(math.MaxInt64)

// wrapFor returns the epoch that a key's next sharing is to be sealed under: the newest,
// unless the key lies under it already, or 0: a new one has to be opened.
func (w *work) wrapFor(k *Key) uint32 {
	if k.Sharing != nil && k.Sharing.Wrap == w.head.newest {
		return 0
	}
	return w.head.newest
}

// mayOpenWrap bounds the keys that HSMs have to hold.
func (w *work) mayOpenWrap() error {
	if w.wraps.count >= MaxWraps {
		return errs.New(errs.BadState, "%d epochs of wrapping keys are not destroyed yet, the most there may be", w.wraps.count).
			WithHint("see which region has not destroyed its key of the oldest doomed epoch")
	}
	return nil
}

// openWrap begins the next epoch.
func (w *work) openWrap() uint32 {
	last := w.head.newest
	w.head.newest++
	w.wraps.insert(w.head.newest, &Wrap{Epoch: w.head.newest})
	w.result.Wraps = true
	w.doomIdle(last)
	return w.head.newest
}

// recount follows what a key uses from before a change to after it.
func (w *work) recount(was, k *Key) {
	if was == nil {
		was = &Key{}
	}
	if k.Ceremony.Running() {
		w.head.ceremonies++
	}
	if was.Ceremony.Running() {
		w.head.ceremonies--
	}
	old, now := was.wraps(), k.wraps()
	if slices.Equal(old, now) {
		return
	}
	for _, e := range now {
		w.use(e, 1)
	}
	for _, e := range old {
		w.use(e, ^uint32(0))
	}
	for _, e := range old {
		w.doomIdle(e)
	}
}

func (w *work) use(epoch uint32, delta uint32) {
	if e, ok := w.wraps.get(epoch); ok {
		n := *e
		n.Live += delta
		w.wraps.put(epoch, &n)
	}
}

// doomIdle gives an epoch up if it is not the newest and nothing lies under it.
func (w *work) doomIdle(epoch uint32) {
	e, ok := w.wraps.get(epoch)
	if !ok || epoch == w.head.newest || e.Live > 0 || e.Doomed != 0 {
		return
	}
	n := *e
	n.Doomed = w.meta.Index
	w.putWrap(&n)
}

// putWrap writes an epoch, or removes it when every key of it is destroyed.
func (w *work) putWrap(e *Wrap) {
	w.result.Wraps = true
	if e.Doomed != 0 && len(e.Dropped) == len(e.Keys) {
		w.wraps.remove(e.Epoch, e)
		return
	}
	w.wraps.put(e.Epoch, e)
}

func (t *task) offerWrap(b *command.OfferWrap) (deed, error) {
	e, ok := t.wraps.get(b.Epoch)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no wrapping epoch %d", b.Epoch)
	}
	k := WrapKey{Region: t.region.ID, Public: bytes.Clone(b.Public), Sealed: bytes.Clone(b.Sealed),
		Attributes: bytes.Clone(b.Attributes), Identity: bytes.Clone(b.Identity)}
	if old := e.Key(k.Region); old != nil {
		if bytes.Equal(old.Public, k.Public) && bytes.Equal(old.Sealed, k.Sealed) && bytes.Equal(old.Attributes, k.Attributes) {
			return func(*Outcome) {}, nil // said before
		}
		return nil, errs.New(errs.Replayed, "region %d offered another wrapping key of epoch %d before", k.Region, b.Epoch)
	}
	if err := t.checkWrapKey(e, &k); err != nil {
		return nil, err
	}
	return func(*Outcome) {
		n := *e
		n.Keys = append(slices.Clone(e.Keys), k)
		slices.SortFunc(n.Keys, func(x, y WrapKey) int { return int(x.Region) - int(y.Region) })
		t.putWrap(&n)
		for _, k := range t.dueKeys(never, math.MaxInt) {
			if c := k.Ceremony; c.Running() && c.Step == StepWrap && c.Wrap == n.Epoch && t.stepDone(c) {
				t.advance(k.ours())
			}
		}
	}, nil
}

func (t *task) checkWrapKey(e *Wrap, k *WrapKey) error {
	if e.Doomed != 0 {
		return errs.New(errs.BadState, "wrapping epoch %d was given up", e.Epoch)
	}
	if len(k.Public) == 0 || len(k.Sealed) == 0 {
		return errs.New(errs.Invalid, "the wrapping key of region %d is incomplete", k.Region)
	}
	for i := range e.Keys {
		if bytes.Equal(e.Keys[i].Public, k.Public) {
			return errs.New(errs.Invalid, "region %d has the same wrapping key", e.Keys[i].Region)
		}
	}
	msg := command.WrapBytes(t.m.document().Cluster, k.Region, e.Epoch, k.Public, k.Sealed, k.Attributes)
	if !t.m.verify(t.region.Identity, msg, k.Identity) {
		return errs.New(errs.Unverified, "the wrapping key is not signed by the identity key of region %d", k.Region)
	}
	return nil
}

func (t *task) dropWrap(b *command.DropWrap) (deed, error) {
	e, ok := t.wraps.get(b.Epoch)
	r := t.region.ID
	switch {
	case !ok && (b.Epoch == 0 || b.Epoch > t.head.newest):
		return nil, errs.New(errs.NotFound, "there is no wrapping epoch %d", b.Epoch)
	case !ok || slices.Contains(e.Dropped, r):
		return func(*Outcome) {}, nil // said before
	case e.Doomed == 0:
		return nil, errs.New(errs.BadState, "wrapping epoch %d is in use", b.Epoch)
	case e.Key(r) == nil:
		return nil, errs.New(errs.Denied, "region %d has no wrapping key of epoch %d", r, b.Epoch)
	}
	return func(*Outcome) {
		n := *e
		n.Dropped = append(slices.Clone(e.Dropped), r)
		slices.Sort(n.Dropped)
		t.putWrap(&n)
	}, nil
}

// Wraps returns the epochs of wrapping keys, ascending: those in use, and those some
// region has not destroyed yet. The last is the newest.
func (v View) Wraps() []*Wrap { return collect[*Wrap](v, wrapTable) }

// Wrap returns one epoch, as long as some region has not destroyed its key of it.
func (v View) Wrap(epoch uint32) (*Wrap, bool) {
	return lookup[*Wrap](v.txn(), wrapTable, "id", epochKey(epoch))
}

// ThresholdKeys returns all threshold keys in order of id.
func (v View) ThresholdKeys() (keys []*Key) {
	scan(v.txn(), keyTable, nil, func(k *Key) bool {
		if k.Scheme == command.SchemeThreshold {
			keys = append(keys, k)
		}
		return true
	})
	return keys
}

// Ceremonies returns the keys whose ceremony is running, the next to time out first. It
// looks at nothing else, however many keys there are.
func (v View) Ceremonies() (keys []*Key) {
	scanBy(v.txn(), keyTable, "due", nil, func(k *Key) bool {
		if k.Ceremony.Running() {
			keys = append(keys, k)
		}
		return true
	})
	return keys
}
