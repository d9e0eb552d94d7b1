package cluster

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// dues are the commands that this region knows the leader was brought and has not seen
// decided. Everything in it is bounded, for each region that shows commands by itself.
type dues struct {
	self identity.RegionID

	mu       sync.Mutex
	owed     map[slot]*due
	brought  []*due // here, and nobody is told yet; oldest first
	bytes    int    // of them
	told     map[identity.RegionID]int
	tests    int
	quotas   map[identity.RegionID]*quota
	term     uint64 // of the leader followed last
	leader   identity.RegionID
	decided  uint64                       // principals' commands carried out so far
	unpaid   map[identity.RegionID]notice // who complained last
	silent   bool                         // the leader was not heard when it was looked at last
	graces   quota                        // for leaders that were not heard for a while
	resting  time.Time                    // until then nobody is complained of
	rest     time.Duration                // the last one
	left     uint64                       // leaders, so far
	proposed map[slot]identity.RegionID   // as leader: shown by whom, being proposed
}

// slot is what the state remembers a command by.
type slot struct {
	author identity.Fingerprint
	id     command.ID
}

func slotOf(c *command.Command) slot { return slot{c.Principal, c.ID} }

// due is one command that is owed a decision.
type due struct {
	cmd    *command.Command
	size   int
	hash   [32]byte          // of all that is signed, and the signatures
	from   identity.RegionID // who showed it; this region itself: brought here
	since  time.Time
	open   bool // others are told of it, and time runs against the leader
	test   bool // its author was told that its outcome is unknown, though the leader refused it
	sent   map[identity.RegionID]time.Time
	waited time.Duration // under the present leader, while it was heard
	before uint64        // dues.decided when that began
	gone   chan struct{} // closed when it is decided or dropped
	seen   bool          // decided; set before gone is closed
}

func newDues(self identity.RegionID) *dues {
	return &dues{self: self, owed: map[slot]*due{}, told: map[identity.RegionID]int{}, quotas: map[identity.RegionID]*quota{},
		unpaid: map[identity.RegionID]notice{}, proposed: map[slot]identity.RegionID{}}
}

func contentOf(c *command.Command) [32]byte {
	cm := c.Commitment()
	return sha256.Sum256(cm.Encode())
}

func newDue(c *command.Command, from identity.RegionID) *due {
	return &due{cmd: c, size: len(c.Encode()), hash: contentOf(c), from: from, since: time.Now(),
		sent: map[identity.RegionID]time.Time{}, gone: make(chan struct{})}
}

// bring notes a command that is on its way to the leader; nil: there is no room, or
// another command has its id.
func (d *dues) bring(c *command.Command) *due {
	d.mu.Lock()
	defer d.mu.Unlock()
	if have := d.owed[slotOf(c)]; have != nil {
		if have.hash != contentOf(c) {
			return nil
		}
		return have
	}
	q := newDue(c, d.self)
	if len(d.brought) >= maxBrought || d.bytes+q.size > maxBroughtBytes {
		return nil
	}
	d.owed[slotOf(c)] = q
	d.brought, d.bytes = append(d.brought, q), d.bytes+q.size
	return q
}

// show takes a command that another region says is owed. judge is asked only for what is
// new, and only so often for one region.
func (d *dues) show(from identity.RegionID, c *command.Command, judge func(*command.Command) error) error {
	d.mu.Lock()
	have := d.owed[slotOf(c)]
	full := d.told[from] >= maxShown
	d.mu.Unlock()
	switch {
	case have != nil && (have.open || have.hash != contentOf(c)):
		return nil
	case full:
		return errs.New(errs.Throttled, "region %d shows more than %d commands at once", from, maxShown)
	case !d.spend(from):
		return errs.New(errs.Throttled, "region %d shows commands too often", from)
	}
	if err := judge(c); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	have = d.owed[slotOf(c)]
	switch {
	case have == nil:
		have = newDue(c, from)
		d.owed[slotOf(c)] = have
	case have.open:
		return nil
	default:
		d.unqueue(have)
		have.from = from
	}
	d.opening(have)
	return nil
}

// listen notes whether the leader is heard just now. One that was not, through no fault of
// its own maybe, gets some time again before anybody complains; a few times, so that it
// cannot live by falling silent.
func (d *dues) listen(hears bool, patience time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	again := hears && d.silent
	if d.silent = !hears; !again || !d.graces.take(graceBurst, graceRate) {
		return
	}
	for _, q := range d.owed {
		q.waited = min(q.waited, patience/2)
	}
}

// opening begins the time of a command. The caller holds mu.
func (d *dues) opening(q *due) {
	q.open, q.before = true, d.decided
	d.told[q.from]++
}

// ripe opens what was brought here long enough ago, as far as there is room, and drops
// what judge does not call owed.
func (d *dues) ripe(after time.Duration, judge func(*command.Command) error) {
	for range maxRipe {
		d.mu.Lock()
		if len(d.brought) == 0 || time.Since(d.brought[0].since) < after || d.told[d.self] >= maxShown {
			d.mu.Unlock()
			return
		}
		q := d.brought[0]
		d.unqueue(q)
		d.mu.Unlock()
		err := judge(q.cmd)
		d.mu.Lock()
		switch {
		case d.owed[slotOf(q.cmd)] != q: // decided meanwhile
		case err != nil:
			d.remove(q, false)
		default:
			d.opening(q)
		}
		d.mu.Unlock()
	}
}

// unqueue takes a due out of those nobody is told of. The caller holds mu.
func (d *dues) unqueue(q *due) {
	if i := slices.Index(d.brought, q); i >= 0 {
		d.brought, d.bytes = slices.Delete(d.brought, i, i+1), d.bytes-q.size
	}
}

// remove ends a due. The caller holds mu.
func (d *dues) remove(q *due, decided bool) {
	if d.owed[slotOf(q.cmd)] != q {
		return
	}
	delete(d.owed, slotOf(q.cmd))
	if q.open {
		d.told[q.from]--
	} else {
		d.unqueue(q)
	}
	if q.test {
		d.tests--
	}
	q.seen = decided
	close(q.gone)
}

// drop forgets a due that nobody else was told of, and reports whether it is gone.
func (d *dues) drop(q *due) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owed[slotOf(q.cmd)] == q && q.open {
		return false
	}
	d.remove(q, false)
	return true
}

// put has a refused command put the leader to the test; false: there is no room.
func (d *dues) put(q *due) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owed[slotOf(q.cmd)] != q || !q.test && d.tests >= maxTests {
		return false
	}
	if !q.test {
		q.test = true
		d.tests++
	}
	return true
}

// applied ends what an entry decides, whatever the outcome. What the leader altered, and
// be it only a signature, is another command.
func (d *dues) applied(inputs []fsm.Input, outcomes [][]fsm.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, in := range inputs {
		for j, c := range in.Entry.Commands {
			if i < len(outcomes) && j < len(outcomes[i]) && outcomes[i][j].Code == errs.OK && !c.Type.ByRegion() {
				d.decided++
			}
			if q := d.owed[slotOf(c)]; q != nil && q.hash == contentOf(c) {
				d.remove(q, true)
			}
		}
	}
}

// restored forgets everything: what a snapshot decided is not seen.
func (d *dues) restored() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.owed {
		d.remove(q, false)
	}
}

// under begins anew for each leader: it was brought nothing yet.
func (d *dues) under(term uint64, leader identity.RegionID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.term == term && d.leader == leader {
		return
	}
	d.term, d.leader = term, leader
	clear(d.unpaid)
	for _, q := range d.owed {
		q.waited, q.before = 0, d.decided
		clear(q.sent)
	}
}

// opened returns what others are told of, oldest first.
func (d *dues) opened() (out []*due) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.owed {
		if q.open {
			out = append(out, q)
		}
	}
	slices.SortFunc(out, func(a, b *due) int { return a.since.Compare(b.since) })
	return out
}

// age lets time run against the leader, and reports whether patience is at its end. Where
// many commands are carried out one may have to queue, and a region that lacks entries
// may simply not have got them yet: both have it wait longer.
func (d *dues) age(q *due, passed, patience time.Duration, lags bool) (over bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.waited += passed
	if lags || d.decided-q.before >= busyCommands {
		patience *= longPatience
	}
	return q.waited >= patience
}

// turn reports whether a region is to be sent this due now.
func (d *dues) turn(q *due, to identity.RegionID, every time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last, ok := q.sent[to]; ok && time.Since(last) < every {
		return false
	}
	q.sent[to] = time.Now()
	return true
}

// propose reserves a place to propose what a region shows to this one, which leads; nil:
// it is being proposed already, or there is no room.
func (d *dues) propose(from identity.RegionID, c *command.Command) (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	busy := 0
	for _, by := range d.proposed {
		if by == from {
			busy++
		}
	}
	s := slotOf(c)
	if _, have := d.proposed[s]; have || busy >= maxShown {
		return nil
	}
	d.proposed[s] = from
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.proposed, s)
	}
}
