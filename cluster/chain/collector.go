package chain

import (
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Collector turns acks into certificates. Its memory is bounded for each region alone:
// one that floods it pushes out its own acks and nobody else's. Not safe for
// concurrent use.
type Collector struct {
	lineage [32]byte
	roster  Roster
	window  int
	acks    map[identity.RegionID]map[slot]Ack
	best    Tuple // highest certified
}

type slot struct{ term, index uint64 }

// NewCollector returns an empty collector that keeps at most window uncertified acks of
// each region (0: DefaultWindow).
func NewCollector(lineage [32]byte, r Roster, window int) *Collector {
	if window <= 0 {
		window = DefaultWindow
	}
	return &Collector{lineage: lineage, roster: r, window: window, acks: map[identity.RegionID]map[slot]Ack{}}
}

// RivalAcks is the error for a region that acked two hashes at one place: no honest
// region does, and the two convict it.
type RivalAcks struct{ First, Second Ack }

func (e *RivalAcks) Error() string {
	return errs.New(errs.Unverified, "region %d acked two entries at term %d index %d", e.First.Region, e.First.Term, e.First.Index).Error()
}

// Unwrap gives the code.
func (e *RivalAcks) Unwrap() error { return errs.New(errs.Unverified, "rival acks") }

// Add takes one ack just received and returns a certificate when it completes one. An
// ack at or below the highest certificate adds nothing: the chain covers it.
func (c *Collector) Add(a Ack) (*Certificate, error) {
	if a.Lineage != c.lineage {
		return nil, errs.New(errs.Unverified, "ack of region %d is of another lineage", a.Region)
	}
	if err := Fresh(c.roster, &a.Signature); err != nil {
		return nil, err
	}
	if err := a.Verify(c.roster); err != nil {
		return nil, err
	}
	return c.Put(a)
}

// Put is Add for an ack that was verified already, or is the own.
func (c *Collector) Put(a Ack) (*Certificate, error) {
	if a.Index <= c.best.Index {
		return nil, nil
	}
	if err := c.keep(a); err != nil {
		return nil, err
	}
	return c.certify(a.Tuple)
}

func (c *Collector) keep(a Ack) error {
	own, at := c.acks[a.Region], slot{a.Term, a.Index}
	if own == nil {
		own = map[slot]Ack{}
		c.acks[a.Region] = own
	}
	if old, ok := own[at]; ok {
		if old.Hash != a.Hash {
			return &RivalAcks{old, a} // the first stays: which one counts must not depend on the liar
		}
		if !a.At.After(old.At) {
			return nil
		}
	}
	own[at] = a
	if len(own) > c.window {
		delete(own, lowest(own))
	}
	return nil
}

func lowest(m map[slot]Ack) (low slot) {
	first := true
	for s := range m {
		if first || s.index < low.index || s.index == low.index && s.term < low.term {
			low, first = s, false
		}
	}
	return low
}

// certify counts the regions whose ack is of the identical tuple.
func (c *Collector) certify(t Tuple) (*Certificate, error) {
	var same []Ack
	for _, own := range c.acks {
		if a, ok := own[slot{t.Term, t.Index}]; ok && a.Tuple == t {
			same = append(same, a)
		}
	}
	if len(same) < Quorum(c.roster.Regions()) {
		return nil, nil
	}
	c.Certified(t)
	return Certify(same)
}

// Certified tells of a certificate from elsewhere (verified): what is at or below it
// need not be kept.
func (c *Collector) Certified(t Tuple) {
	if t.Index <= c.best.Index {
		return
	}
	c.best = t
	for _, own := range c.acks {
		for s := range own {
			if s.index <= t.Index {
				delete(own, s)
			}
		}
	}
}

// Highest returns the highest certified tuple.
func (c *Collector) Highest() Tuple { return c.best }

// Len returns how many acks are kept.
func (c *Collector) Len() (n int) {
	for _, own := range c.acks {
		n += len(own)
	}
	return n
}
