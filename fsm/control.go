package fsm

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// control is what administrators decided about regions and the clock. Immutable: changed
// makes a copy. A vault where nothing of it ever happened has none, and no record of it.
type control struct {
	muted    []identity.RegionID // ascending
	evidence [32]byte            // acted upon by the quarantine that stands
	lifted   []lift              // local stops that ended, oldest first
	floor    uint64              // what expires at or before this second may have been forgotten
}

type lift struct {
	region identity.RegionID
	stop   command.StopID
}

// Repair asks a region to cut from its log what is not certified, down to index Keep.
type Repair struct {
	Region identity.RegionID
	Keep   uint64
}

// changed gives the head a control of its own to write.
func (h *head) changed() *control {
	n := &control{}
	if h.control != nil {
		*n = *h.control
		n.muted, n.lifted = slices.Clone(n.muted), slices.Clone(n.lifted)
	}
	h.control = n
	return n
}

func (c *control) encode() []byte {
	w := wire.NewWriter(64 + 17*len(c.lifted))
	writeRegions(w, c.muted)
	w.Fixed(c.evidence[:])
	w.U8(uint8(len(c.lifted)))
	for i := range c.lifted {
		w.U8(uint8(c.lifted[i].region))
		w.Fixed(c.lifted[i].stop[:])
	}
	w.U64(c.floor)
	return w.Bytes()
}

func decodeControl(b []byte) (*control, error) {
	r, c := wire.NewReader(b), &control{}
	c.muted = readRegions(r)
	c.evidence = readHash(r)
	for range r.Few(MaxLifted) {
		l := lift{region: identity.RegionID(r.U8())}
		r.Fixed(l.stop[:])
		c.lifted = append(c.lifted, l)
	}
	c.floor = r.U64()
	return c, r.Done()
}

func (w *work) named(id identity.RegionID) (*Region, error) {
	if r, ok := w.roster.region(id); ok {
		return r, nil
	}
	return nil, errs.New(errs.NotFound, "there is no region %d", id)
}

// quarantineRegion never takes out a second region: of four, three must be left to make
// certificates and draws with, and only one may lie.
func (t *task) quarantineRegion(b *command.QuarantineRegion) (deed, error) {
	r, err := t.named(b.Region)
	if err != nil {
		return nil, err
	}
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	if (r.Status == RegionQuarantined) == b.Quarantined {
		return nil, errs.New(errs.BadState, "region %d is already as asked for", r.ID)
	}
	for _, o := range t.roster.regions {
		if b.Quarantined && o.Status == RegionQuarantined {
			return nil, errs.New(errs.BadState, "region %d is quarantined already; never two at once, or too few are left to certify", o.ID)
		}
	}
	return func(*Outcome) {
		n := *r
		n.Status, n.Since = RegionActive, t.meta.Index
		if b.Quarantined {
			n.Status = RegionQuarantined
		}
		t.putRegion(&n)
		t.head.changed().evidence = b.Evidence
	}, nil
}

func (t *task) muteRegion(b *command.MuteRegion) (deed, error) {
	r, err := t.named(b.Region)
	if err != nil {
		return nil, err
	}
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	return func(*Outcome) {
		c := t.head.changed()
		c.muted = slices.DeleteFunc(c.muted, func(id identity.RegionID) bool { return id == r.ID })
		if b.Muted {
			c.muted = append(c.muted, r.ID)
			slices.Sort(c.muted)
		}
		t.result.Regions = true
	}, nil
}

// liftStop only records: the state does not know of local stops, and a region obeys the
// record of the very stop it is in.
func (t *task) liftStop(b *command.LiftStop) (deed, error) {
	r, err := t.named(b.Region)
	if err != nil {
		return nil, err
	}
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	l := lift{r.ID, b.Stop}
	return func(*Outcome) {
		c := t.head.changed()
		c.lifted = append(slices.DeleteFunc(c.lifted, func(o lift) bool { return o == l }), l)
		if n := len(c.lifted); n > MaxLifted {
			c.lifted = c.lifted[n-MaxLifted:]
		}
		t.result.Lifted = true
	}, nil
}

func (t *task) repairRegion(b *command.RepairRegion) (deed, error) {
	r, err := t.named(b.Region)
	if err != nil {
		return nil, err
	}
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	if b.Keep == 0 || b.Keep >= t.meta.Index {
		return nil, errs.New(errs.Invalid, "a repair keeps at least entry 1 and ends before its own entry %d, not at %d", t.meta.Index, b.Keep)
	}
	return func(*Outcome) { t.result.Repairs = append(t.result.Repairs, Repair{r.ID, b.Keep}) }, nil
}

// regionFreeze is a region's own brake; muted, it has none.
func (t *task) regionFreeze(b *command.RegionFreeze) (deed, error) {
	if err := t.mayFreeze(b.Reason); err != nil {
		return nil, err
	}
	if b.Key == (command.KeyID{}) {
		return t.brakeVault(b.Reason), nil
	}
	k, ok := t.keys.get(b.Key)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no key %s", b.Key)
	}
	if err := ordinary(k); err != nil {
		return nil, err
	}
	return t.brakeKey(k, b.Reason)
}

func (t *task) regionFreezePath(b *command.RegionFreezePath) (deed, error) {
	if err := t.mayFreeze(b.Reason); err != nil {
		return nil, err
	}
	k, ok := t.keys.get(b.Key)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no key %s", b.Key)
	}
	return t.brakePath(k, b.Path, b.Reason)
}

// mayFreeze judges the region that is the author.
func (t *task) mayFreeze(reason string) error {
	if c := t.head.control; c != nil && slices.Contains(c.muted, t.region.ID) {
		return errs.New(errs.Denied, "region %d was muted: it may not freeze by itself", t.region.ID)
	}
	return command.CheckText("reason", reason, command.MaxNote)
}

// repairClock sets the clock back. Forward it moves by itself, with the next entry. What
// was forgotten while it stood too high must not be taken for new afterwards: commands
// that expire no later than the last forgotten one are refused from then on.
func (t *task) repairClock(b *command.RepairClock) (deed, error) {
	skew := t.head.settings.MaxSkew
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	switch c := t.command.Expiry; {
	case !b.To.Add(skew).Before(t.head.clock):
		return nil, errs.New(errs.BadState, "the clock is not more than %s ahead of %s; forward it moves by itself", skew, b.To.Format(time.RFC3339))
	case !c.After(b.To) || c.After(b.To.Add(command.MaxLifetime)):
		return nil, errs.New(errs.Expired, "the command expires at %s, which is no time for a clock set to %s", c.Format(time.RFC3339), b.To.Format(time.RFC3339))
	}
	if err := t.clockWords(b); err != nil {
		return nil, err
	}
	return func(*Outcome) {
		c := t.head.changed()
		c.floor = max(c.floor, t.head.pruned.second)
		t.head.clock, t.head.expired, t.head.pruned = b.To, bucketKey{}, bucketKey{}
		t.bringForward()
		t.head.schedule = t.head.schedule.broughtForward(b.To)
		t.head.rollout = t.head.rollout.broughtForward(b.To)
		t.result.Clock = true
	}, nil
}

// clockWords wants two regions' words on this very clock, each near To: one of them is
// honest, so To is near the true time.
func (t *task) clockWords(b *command.RepairClock) error {
	var by []identity.RegionID
	for _, raw := range b.Words {
		v, err := command.DecodeClockWord(raw)
		if err != nil {
			return err
		}
		s, ok := t.roster.sessions[v.Session]
		switch {
		case !ok || s.region.ID != v.By || s.cert != &s.region.Sessions[0] || s.region.Status != RegionActive:
			return errs.New(errs.Unverified, "a clock word of region %d is not of its present session", v.By)
		case !t.m.verify(s.cert.Session, v.SignedBytes(t.m.document().Cluster), v.Sig):
			return errs.New(errs.Unverified, "a clock word of region %d does not verify", v.By)
		case v.Lineage != t.m.lineage || !v.Clock.Equal(t.head.clock):
			return errs.New(errs.Stale, "region %d spoke of a clock at %s, not of this one", v.By, v.Clock.Format(time.RFC3339))
		case v.At.Sub(b.To).Abs() > t.head.settings.MaxSkew:
			return errs.New(errs.Skewed, "the clock of region %d is %s from the time asked for", v.By, v.At.Sub(b.To).Abs())
		}
		if !slices.Contains(by, v.By) {
			by = append(by, v.By)
		}
	}
	if len(by) < 2 {
		return errs.New(errs.Denied, "setting the clock back needs the words of two regions")
	}
	return nil
}

// Muted reports whether a region lost the right to freeze by itself.
func (v View) Muted(r identity.RegionID) bool {
	c := v.s.head.control
	return c != nil && slices.Contains(c.muted, r)
}

// Lifted reports whether two administrators ended this stop of a region.
func (v View) Lifted(r identity.RegionID, stop command.StopID) bool {
	c := v.s.head.control
	return c != nil && slices.Contains(c.lifted, lift{r, stop})
}

// Evidence returns the hash of what the standing quarantine, if any, was decided on.
func (v View) Evidence() (hash [32]byte) {
	if c := v.s.head.control; c != nil {
		hash = c.evidence
	}
	return hash
}

// Decision is what the state remembers of a command.
type Decision struct {
	Hash    [32]byte // of the command's content
	Code    errs.Code
	Meta    command.Meta  // of the entry that decided it; of other commands than requests the index only
	Key     command.KeyID // that it created
	Next    uint32        // as of Outcome
	Request *Request      // that it opened, as it stands; else nil
}

// Decided returns the decision on a command, as long as it is remembered.
func (v View) Decided(author identity.Fingerprint, id command.ID) (Decision, bool) {
	slot := command.RequestIDOf(author, id)
	if m, ok := lookup[*memo](v.txn(), memoTable, "id", slot[:]); ok {
		o := &m.outcome
		return Decision{Hash: o.hash, Code: o.code, Meta: command.Meta{Index: o.index}, Key: o.key, Next: o.next}, true
	}
	if q, ok := v.Request(slot); ok {
		d := Decision{Hash: q.Hash, Code: errs.OK, Meta: command.Meta{Index: q.Opened}, Request: q}
		if len(q.Attempts) > 0 {
			d.Meta = q.Attempts[0].Meta // every request begins with a draw
		}
		return d, true
	}
	return Decision{}, false
}

// Standing is what regions show of a request. What a complete one was closed at is left
// out: its signatures are handed out before that.
func (q *Request) Standing() command.Standing {
	s := command.Standing{ID: q.ID, Command: q.Command, Content: q.Hash, Author: q.Author, Tenant: q.Tenant, Key: q.Key,
		KeyVersion: q.KeyVersion, Kind: q.Kind, HashAlg: q.HashAlg, Note: q.Note, Expiry: q.Expiry, State: uint8(q.State),
		Value: q.Value, Opened: q.Opened, Closed: q.Closed, Leaf: q.Leaf}
	if q.State == RequestComplete {
		s.Closed = 0
	}
	for i := range q.Attempts {
		a := &q.Attempts[i]
		s.Attempts = append(s.Attempts, command.StandingAttempt{Number: a.Number, Meta: a.Meta, Stamp: a.Stamp, Eligible: a.Eligible})
	}
	for _, r := range q.Results {
		s.Results = append(s.Results, command.StandingResult{Region: r.Region, Signatures: r.Signatures})
	}
	return s
}
