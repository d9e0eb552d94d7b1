package fsm

import (
	"bytes"
	"math"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// The life of a ceremony: begun, step by step, tried again, live or failed.

// String returns the name shown in tables.
func (s CeremonyStep) String() string {
	return [...]string{"invalid", "wrap", "hash", "deal", "shares", "finish", "failed"}[min(s, 7)%7]
}

// begin starts the ceremony of a key's next sharing. Tries of one sharing are never
// numbered twice: what was said in one is of no use in another. When all 255 numbers are
// used up, the next sharing is the one after: epochs ascend, not always by one.
func (w *work) begin(k *Key, wrap uint32, dealers, holders []identity.RegionID, author identity.Fingerprint) {
	c := &Ceremony{ID: command.CeremonyID{Key: k.ID, Epoch: 1, Try: 1}, Wrap: wrap, Threshold: k.Signers,
		Dealers: dealers, Holders: holders, Author: author}
	if k.Sharing != nil {
		c.ID.Epoch = k.Sharing.Epoch + 1
	}
	if was := k.Ceremony; was != nil && was.ID.Try < 255 {
		c.ID.Epoch, c.ID.Try = was.ID.Epoch, was.ID.Try+1
	} else if was != nil {
		c.ID.Epoch = was.ID.Epoch + 1
	}
	c.Last = uint8(min(int(c.ID.Try)+MaxTries-1, 255))
	w.startTry(c)
	n := *k
	n.Ceremony = c
	w.putKey(&n)
}

// exhausted reports whether no try at a new key is left to be numbered: its first sharing
// is of epoch 1 and no other.
func (k *Key) exhausted() bool {
	return k.Sharing == nil && k.Ceremony != nil && k.Ceremony.ID.Try == 255
}

func (w *work) startTry(c *Ceremony) {
	c.Parts, c.Step = nil, StepWrap
	if w.stepDone(c) {
		c.Step = StepHash
	}
	c.Deadline = w.head.clock.Add(StepTime)
}

// owing returns the regions a step waits for.
func (c *Ceremony) owing(s CeremonyStep) []identity.RegionID {
	if s == StepWrap || s == StepFinish {
		return c.Holders
	}
	return c.Dealers
}

// Part returns what a region has delivered in the present try, or nil.
func (c *Ceremony) Part(r identity.RegionID) *Part {
	for i := range c.Parts {
		if c.Parts[i].Region == r {
			return &c.Parts[i]
		}
	}
	return nil
}

func (w *work) missing(c *Ceremony) []identity.RegionID {
	e, _ := w.wraps.get(c.Wrap)
	return c.Missing(e)
}

// Missing returns the regions that have not delivered what the present step waits for. e is
// the ceremony's wrapping epoch, or nil.
func (c *Ceremony) Missing(e *Wrap) (ids []identity.RegionID) {
	if !c.Running() {
		return nil
	}
	for _, r := range c.owing(c.Step) {
		p, there := c.Part(r), false
		switch {
		case c.Step == StepWrap:
			there = e != nil && e.Key(r) != nil
		case p == nil:
		case c.Step == StepHash:
			there = p.Hashed
		case c.Step == StepDeal:
			there = len(p.Dealing) > 0
		case c.Step == StepShares:
			there = len(p.Sealed) > 0
		case c.Step == StepFinish:
			there = len(p.Public) > 0
		}
		if !there {
			ids = append(ids, r)
		}
	}
	return ids
}

func (w *work) stepDone(c *Ceremony) bool { return len(w.missing(c)) == 0 }

// ours returns a copy of a key and its ceremony that may be written.
func (k *Key) ours() *Key {
	n, c := *k, *k.Ceremony
	c.Parts = slices.Clone(c.Parts)
	n.Ceremony = &c
	return &n
}

// own returns a region's part to be written.
func (c *Ceremony) own(r identity.RegionID) *Part {
	i, found := slices.BinarySearchFunc(c.Parts, r, func(p Part, r identity.RegionID) int { return int(p.Region) - int(r) })
	if !found {
		c.Parts = slices.Insert(c.Parts, i, Part{Region: r})
	}
	return &c.Parts[i]
}

// advance moves a ceremony on when its step is complete. k is a copy of its own.
func (w *work) advance(k *Key) {
	c := k.Ceremony
	switch {
	case !w.stepDone(c):
		w.putKey(k)
	case c.Step == StepFinish:
		if faults := c.differing(); len(faults) > 0 && liar.Defends(liar.Agreement) {
			w.failTry(k, faults)
			return
		}
		w.goLive(k)
	default:
		c.Step++
		c.Deadline = w.head.clock.Add(StepTime)
		w.putKey(k)
	}
}

// differing returns who is to blame when not all holders say the same: all that are not
// of the one largest group that does. Without such a group the state cannot tell.
func (c *Ceremony) differing() []Fault {
	var best []identity.RegionID
	tie := false
	for i := range c.Parts {
		var same []identity.RegionID
		for j := range c.Parts {
			if c.Parts[i].agrees(&c.Parts[j]) {
				same = append(same, c.Parts[j].Region)
			}
		}
		if len(same) > len(best) {
			best, tie = same, false
		} else if len(same) == len(best) && !slices.Equal(same, best) {
			tie = true
		}
	}
	if tie {
		return []Fault{{Try: c.ID.Try, Step: c.Step, By: slices.Clone(c.Holders), Note: "the finish messages differ, and no group is the largest"}}
	}
	var faults []Fault
	for _, r := range without(c.Holders, best) {
		faults = append(faults, Fault{Try: c.ID.Try, Step: c.Step, Region: r, By: best, Note: "its finish message differs"})
	}
	return faults
}

// agrees reports whether two holders finished, and with the same.
func (p *Part) agrees(o *Part) bool {
	return len(p.Public) > 0 && p.Transcript == o.Transcript && bytes.Equal(p.Public, o.Public) &&
		bytes.Equal(p.Point, o.Point) && p.Chain == o.Chain
}

// goLive makes the finished sharing the one that signs.
func (w *work) goLive(k *Key) {
	c := k.Ceremony
	said := c.Part(c.Holders[0])
	s := &Sharing{Epoch: c.ID.Epoch, Wrap: c.Wrap, Threshold: c.Threshold, Transcript: said.Transcript, Public: said.Public}
	for _, r := range c.Holders {
		s.Shares = append(s.Shares, Sealed{r, c.Part(r).Share})
	}
	if k.Sharing != nil {
		k.Retiring, k.RetireAt = k.Sharing, w.head.clock.Add(RetireTime)
	}
	k.restartEscrow()
	k.Sharing, k.Regions, k.Point, k.Chain, k.Ceremony, k.Import = s, c.Holders, said.Point, said.Chain, nil, nil
	if k.Scheme == command.SchemeBeacon {
		k.Since = w.meta.Index
	}
	if k.State == KeyPending {
		k.State, k.Version = KeyActive, 1
	}
	w.keyChanged(k)
}

// failTry ends a try; the next one begins by itself, or the ceremony is given up. k is a
// copy of its own.
func (w *work) failTry(k *Key, faults []Fault) {
	if k.Import != nil {
		w.endImport(k, faults)
		return
	}
	c := k.Ceremony
	c.Faults = append(slices.Clone(c.Faults), faults...)
	if n := len(c.Faults); n > MaxFaults {
		c.Faults = c.Faults[n-MaxFaults:]
	}
	dealers := c.Dealers
	if k.Sharing != nil {
		dealers = w.dealers(k, c.Faults)
	}
	if c.ID.Try >= c.Last || dealers == nil {
		c.Step, c.Parts, c.Deadline = StepFailed, nil, time.Time{}
	} else {
		c.ID.Try++
		c.Dealers = dealers
		w.startTry(c)
	}
	w.putKey(k)
}

// timeOut does to a key what time alone does. It may have several things to do.
func (w *work) timeOut(k *Key) {
	now := w.head.clock
	if k.Retiring != nil && !k.RetireAt.After(now) {
		n := *k
		if k.Scheme == command.SchemeBeacon && w.drawing(k) {
			n.RetireAt = now.Add(RetireTime) // looked at again then
		} else {
			n.Retiring, n.RetireAt = nil, time.Time{}
		}
		w.putKey(&n)
		k = &n
	}
	if k.Ceremony.Running() && !k.Ceremony.Deadline.After(now) {
		n := k.ours()
		w.failTry(n, w.overdue(n.Ceremony))
	}
}

// bringForward sees that nothing waits longer than it may after the clock was set back.
func (w *work) bringForward() {
	step, retire := w.head.clock.Add(StepTime), w.head.clock.Add(RetireTime)
	for _, k := range w.dueKeys(never, math.MaxInt) {
		n, step := *k, step
		if k.Import != nil {
			step = w.head.clock.Add(ImportTime)
		}
		if n.Ceremony.Running() && n.Ceremony.Deadline.After(step) {
			c := *n.Ceremony
			c.Deadline, n.Ceremony = step, &c
		}
		if n.Retiring != nil && n.RetireAt.After(retire) {
			n.RetireAt = retire
		}
		w.putKey(&n)
	}
	for _, r := range w.roster.regions {
		w.roster = w.roster.with(r.broughtForward(w.head.clock))
	}
}

// broughtForward returns the region as if it was enrolled no later than now.
func (g *Region) broughtForward(now time.Time) *Region {
	if n := len(g.Former); n == 0 || !g.Former[n-1].At.After(now) {
		return g
	}
	n := *g
	n.Former = slices.Clone(g.Former)
	n.Former[len(n.Former)-1].At = now
	return &n
}

// dueKeys returns the first keys that time changes up to a moment, in order of when: at
// most limit.
func (w *work) dueKeys(until time.Time, limit int) []*Key {
	var due []*Key
	scanBy(w.base, keyTable, "due", nil, func(k *Key) bool {
		if at, _ := k.due(); at.After(until) || len(due) >= limit {
			return false
		}
		if _, written := w.keys.rows[k.ID]; !written {
			due = append(due, k)
		}
		return true
	})
	for _, p := range w.keys.rows {
		if at, ok := p.row.due(); ok && !at.After(until) {
			due = append(due, p.row)
		}
	}
	slices.SortFunc(due, func(a, b *Key) int {
		x, _ := a.due()
		y, _ := b.due()
		return bytes.Compare(dueKey(x, a.ID), dueKey(y, b.ID))
	})
	return due[:min(len(due), limit)]
}

// trying finds the key and try that a message of a ceremony is for.
func (t *task) trying(id command.CeremonyID) (*Key, error) {
	k, ok := t.keys.get(id.Key)
	switch {
	case !ok || !k.Scheme.Shared():
		return nil, errs.New(errs.NotFound, "there is no threshold key %s", id.Key)
	case !k.Ceremony.Running() || k.Ceremony.ID != id:
		return nil, errs.New(errs.BadState, "key %s is not at try %d of sharing %d", id.Key, id.Try, id.Epoch)
	}
	return k, nil
}
