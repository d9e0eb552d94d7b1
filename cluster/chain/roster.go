package chain

import (
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Roster says who speaks. The running node answers from the regions of its FSM and the
// session certificates it has verified; an auditor answers from a Book.
type Roster interface {
	// Holder returns what is known of a region's session key. A key that the region never
	// certified is unknown. Nothing keeps a region from certifying another's key as well:
	// so each is asked for as its region's.
	Holder(region identity.RegionID, session identity.Fingerprint) (Holder, bool)
	// Regions returns how many regions the FSM counts, the arbiter included.
	Regions() int
}

// Checker may be implemented by a Roster that remembers signatures it found good, so
// that each is checked once: an ack when it arrives, not again in its certificate.
type Checker interface {
	Check(key identity.PublicKey, msg, sig []byte) bool
}

// Holder is a region as the holder of one session key.
type Holder struct {
	Region  identity.RegionID
	Key     identity.PublicKey
	Current bool // of the newest boot known; older ones verify history only
}

// Quorum returns how many of n regions must sign, so that any two quorums share an
// honest region although one region lies: 3 of 4, 4 of 5.
func Quorum(n int) int { return (n+1)/2 + 1 }

// seat is one session of one region.
type seat struct {
	region  identity.RegionID
	session identity.Fingerprint
}

func seatOf(c *identity.SessionCert) seat { return seat{c.Region, c.Session.Fingerprint()} }

// Book is a Roster over session certificates alone: all that an auditor needs besides
// the pinned identity keys. Not safe for concurrent use while certificates are added.
type Book struct {
	cluster  identity.ClusterID
	pins     identity.Pins
	speaking identity.Pins // nil: all of pins
	regions  int
	holders  map[seat]Holder
	newest   map[identity.RegionID]*identity.SessionCert
	by       map[string]identity.PublicKey // the pinned key that signed a certificate, by its signature
}

// NewBook returns an empty roster of a cluster with so many regions.
func NewBook(cluster identity.ClusterID, pins identity.Pins, regions int) *Book {
	return &Book{cluster: cluster, pins: pins, regions: regions,
		holders: map[seat]Holder{}, newest: map[identity.RegionID]*identity.SessionCert{}, by: map[string]identity.PublicKey{}}
}

// Add takes a session certificate that one of its region's pinned keys vouches for.
func (b *Book) Add(c *identity.SessionCert) error {
	if c.Region == 0 {
		return errs.New(errs.Invalid, "session certificate of region 0")
	}
	pin, err := b.vouches(c)
	if err != nil {
		return err
	}
	now := seatOf(c)
	b.by[string(c.Sig)] = pin
	if !b.speaks(c) && b.holders[now].Current {
		return nil // who has the region's old HSM certifies its new session too
	}
	if old := b.newest[c.Region]; !b.speaks(c) || old != nil && b.speaks(old) && c.Issued.Before(old.Issued) {
		b.holders[now] = Holder{Region: c.Region, Key: c.Session}
		return nil
	} else if old != nil {
		b.holders[seatOf(old)] = Holder{Region: old.Region, Key: old.Session}
	}
	b.newest[c.Region] = c
	b.holders[now] = Holder{Region: c.Region, Key: c.Session, Current: true}
	return nil
}

// Speaking narrows whose sessions are of now, to those that other pins vouch for as well:
// what a replaced identity key certified verifies history only.
func (b *Book) Speaking(pins identity.Pins) { b.speaking = pins }

// speaks is asked of certificates that were added, for each signature: what vouches for
// one was found out then.
func (b *Book) speaks(c *identity.SessionCert) bool {
	return b.speaking == nil || slices.ContainsFunc(b.speaking(c.Region), b.by[string(c.Sig)].Equal)
}

// vouches returns the pinned key that signed a certificate.
func (b *Book) vouches(c *identity.SessionCert) (identity.PublicKey, error) {
	err := error(errs.New(errs.Unauthenticated, "no identity key of region %d is pinned", c.Region))
	for _, pin := range b.pins(c.Region) {
		if err = c.Verify(b.cluster, pin); err == nil {
			return pin, nil
		}
	}
	return identity.PublicKey{}, err
}

// Holder implements Roster.
func (b *Book) Holder(region identity.RegionID, session identity.Fingerprint) (Holder, bool) {
	h, ok := b.holders[seat{region, session}]
	if h.Current && b.speaking != nil {
		h.Current = b.speaks(b.newest[region])
	}
	return h, ok
}

// Regions implements Roster.
func (b *Book) Regions() int { return b.regions }
