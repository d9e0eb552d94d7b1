package fsm

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// rollout is the refresh of every threshold key, some at a time: their messages have to
// pass through the log within the steps' deadlines. Immutable.
type rollout struct {
	wrap    uint32               // every key is to lie under this epoch or a later one
	holders []identity.RegionID  // and to be held by these; empty: by whom it is
	after   command.KeyID        // keys up to here are done
	author  identity.Fingerprint // zero: the schedule
	began   time.Time            // of one that was commanded; zero in states of before
}

func (r *rollout) encode() []byte {
	w := wire.NewWriter(64)
	w.U32(r.wrap)
	writeRegions(w, r.holders)
	w.Fixed(r.after[:])
	w.Fixed(r.author[:])
	if !r.began.IsZero() {
		w.Time(r.began)
	}
	return w.Bytes()
}

func decodeRollout(b []byte) (*rollout, error) {
	r := wire.NewReader(b)
	o := &rollout{wrap: r.U32(), holders: readRegions(r)}
	r.Fixed(o.after[:])
	o.author = readFingerprint(r)
	if r.More() {
		o.began = r.Time()
	}
	return o, r.Done()
}

// broughtForward returns the refresh after the clock was set back.
func (r *rollout) broughtForward(now time.Time) *rollout {
	if r == nil || !r.began.After(now) {
		return r
	}
	n := *r
	n.began = now
	return &n
}

// makeShares begins the first ceremony of a new threshold key.
func (t *task) makeShares(k *Key) {
	wrap := t.head.newest
	if wrap == 0 {
		wrap = t.openWrap()
	}
	t.begin(k, wrap, k.Regions, k.Regions, t.author.id)
}

func (t *task) refreshKey(b *command.RefreshKey) (deed, error) {
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	if b.Key == (command.KeyID{}) {
		return t.refreshAll(b)
	}
	k, ok := t.sharedKey(b.Key)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no threshold key %s", b.Key)
	}
	holders, err := t.refreshable(k, b.Holders)
	if err != nil {
		return nil, err
	}
	if t.head.ceremonies >= MaxCeremonies {
		return nil, t.busy()
	}
	wrap := t.wrapFor(k)
	if err := t.mayOpenWrap(); wrap == 0 && err != nil {
		return nil, err
	}
	return func(*Outcome) {
		if wrap == 0 {
			wrap = t.openWrap()
		}
		t.refresh(k, wrap, holders, t.author.id)
	}, nil
}

func (t *task) busy() error {
	return errs.New(errs.Throttled, "%d key ceremonies are running, the most there may be; ask again when some are through", t.head.ceremonies)
}

// refresh begins a ceremony that refreshable allows.
func (w *work) refresh(k *Key, wrap uint32, holders []identity.RegionID, author identity.Fingerprint) {
	if k.Sharing != nil {
		w.begin(k, wrap, w.dealers(k, nil), holders, author)
		return
	}
	n := *k
	n.Regions = holders
	w.begin(&n, wrap, holders, holders, author)
}

// refreshable reports why a key gets no new sharing now, or who is to hold it.
func (w *work) refreshable(k *Key, listed []identity.RegionID) ([]identity.RegionID, error) {
	switch {
	case k.State == KeyRetired:
		return nil, errs.New(errs.BadState, "key %s is retired", k.ID)
	case k.Ceremony.Running():
		return nil, errs.New(errs.BadState, "a ceremony of key %s is running: try %d of sharing %d", k.ID, k.Ceremony.ID.Try, k.Ceremony.ID.Epoch)
	case k.exhausted():
		return nil, k.usedUp()
	case k.Retiring != nil:
		return nil, errs.New(errs.Throttled, "the last sharing of key %s is not gone yet; ask again in %s", k.ID, RetireTime)
	}
	if len(listed) == 0 {
		listed = k.Regions
	}
	holders, err := w.holders(listed, k.Signers)
	if err != nil {
		return nil, err
	}
	if k.Sharing != nil && w.dealers(k, nil) == nil {
		return nil, errs.New(errs.NoEligiblePair, "fewer than %d regions that hold a share of key %s are healthy", k.Sharing.Threshold, k.ID)
	}
	return holders, nil
}

func (k *Key) usedUp() error {
	return errs.New(errs.BadState, "all 255 tries at making key %s are used up", k.ID).
		WithHint("retire it, its name is free then, and make another")
}

// holders returns the regions that are to hold a sharing: those listed, or every active
// one; at least three, and as many as sign.
func (w *work) holders(listed []identity.RegionID, signers uint8) (ids []identity.RegionID, err error) {
	for _, r := range w.roster.regions {
		if r.Status == RegionActive && (len(listed) == 0 || slices.Contains(listed, r.ID)) {
			ids = append(ids, r.ID)
		}
	}
	if len(listed) > 0 && len(ids) != len(listed) {
		return nil, errs.New(errs.Invalid, "a region that is to hold a share is unknown or not active; name others")
	}
	if least := max(3, int(signers)); len(ids) < least {
		return nil, errs.New(errs.NoEligiblePair, "%d regions can hold the key, want %d", len(ids), least)
	}
	return ids, nil
}

// refreshAll begins the refresh of every threshold key, under a new wrapping epoch if
// anything lies under the newest. One that is going on is replaced.
func (t *task) refreshAll(b *command.RefreshKey) (deed, error) {
	if len(b.Holders) > 0 {
		if _, err := t.holders(b.Holders, 0); err != nil {
			return nil, err
		}
	}
	e, ok := t.wraps.get(t.head.newest)
	if !ok {
		return nil, errs.New(errs.NotFound, "there are no threshold keys")
	}
	if err := t.mayOpenWrap(); e.Live > 0 && err != nil {
		return nil, err
	}
	r := &rollout{wrap: e.Epoch, holders: slices.Clone(b.Holders), author: t.author.id, began: t.head.clock}
	return func(*Outcome) {
		if e.Live > 0 {
			r.wrap = t.openWrap()
		}
		t.head.rollout = r
		t.noteRefresh(r.wrap)
	}, nil
}

// roll goes on with the refresh of all keys, at the end of an entry: as far as the limits
// of one entry and of ceremonies at once allow.
func (w *work) roll() {
	if w.head.rollout == nil {
		return
	}
	r := *w.head.rollout
	keys := w.keysAfter(r.after, sweepKeys)
	for _, k := range keys {
		if w.head.ceremonies >= MaxRolling || w.rollKey(&r, k) {
			break
		}
		r.after = k.ID
	}
	if w.head.rollout = &r; len(keys) == 0 {
		w.head.rollout = nil
	}
}

// rollKey begins a key's refresh unless it needs none, or reports that it has to wait. A
// key that cannot be refreshed is left as it is: the epoch it lies under shows it, and
// View.Unrefreshed says why.
func (w *work) rollKey(r *rollout, k *Key) (wait bool) {
	switch {
	case k.Scheme != command.SchemeThreshold || k.State == KeyRetired:
		return false
	case k.Ceremony.Running():
		return true
	case k.Sharing == nil || k.Sharing.Wrap >= r.wrap:
		return false
	case k.Retiring != nil:
		return true
	}
	holders, err := w.refreshable(k, r.holders)
	if err != nil {
		return false
	}
	if err := w.fitFor(k, holders, r.scheduled()); err != nil {
		return errs.CodeOf(err) == errs.NotReady && w.head.clock.Before(w.rolling(r).Add(OfferTime))
	}
	w.refresh(k, w.head.newest, holders, r.author)
	return false
}

// rolling returns when a refresh of all began; zero if nobody knows.
func (w *work) rolling(r *rollout) time.Time {
	if s := w.head.schedule; s != nil && r.scheduled() {
		return s.began
	}
	return r.began
}

// keysAfter returns the first keys after an id, in order, at most limit.
func (w *work) keysAfter(after command.KeyID, limit int) []*Key {
	var keys []*Key
	scan(w.base, keyTable, after[:], func(k *Key) bool {
		if _, written := w.keys.rows[k.ID]; !written && k.ID != after {
			keys = append(keys, k)
		}
		return len(keys) < limit
	})
	for id, p := range w.keys.rows {
		if slices.Compare(id[:], after[:]) > 0 {
			keys = append(keys, p.row)
		}
	}
	keys = sortByID(keys)
	return keys[:min(len(keys), limit)]
}

// Unrefreshed tells of a threshold key that lies under an older wrapping epoch than the
// newest, and of which no ceremony is running: whether a refresh of all that is going on has
// yet to come to it, and what is in the way of one now; nil if nothing is.
func (v View) Unrefreshed(k *Key) (awaited bool, why error) {
	h := &v.s.head
	if k.Scheme != command.SchemeThreshold || k.State == KeyRetired || k.Ceremony.Running() || k.Sharing == nil || k.Sharing.Wrap >= h.newest {
		return false, nil
	}
	w := v.s.reading()
	scheduled := h.schedule != nil
	if r := h.rollout; r != nil {
		awaited, scheduled = slices.Compare(r.after[:], k.ID[:]) < 0 && k.Sharing.Wrap < r.wrap, r.scheduled()
	}
	holders, err := w.refreshable(k, nil)
	if err == nil {
		err = w.fitFor(k, holders, scheduled)
	}
	return awaited, err
}

// Refreshing reports whether a refresh of all keys is going on: it is through up to a key.
func (v View) Refreshing() (after command.KeyID, ok bool) {
	if r := v.s.head.rollout; r != nil {
		return r.after, true
	}
	return after, false
}
