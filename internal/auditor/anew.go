package auditor

import (
	"slices"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Regions that were enrolled with another HSM. The state machine judges an entry as a whole;
// who a region was at a leaf within it, these notes tell, and they know nothing of its rules.

// term is one identity of a region. What it signed counts up to the entry that ended it.
type term struct {
	key   identity.PublicKey
	until uint64 // index of that entry; 0: it is the present one
}

// speaker is a session as a region's.
type speaker struct {
	region  identity.RegionID
	session identity.Fingerprint
}

// anew are the notes.
type anew struct {
	terms map[identity.RegionID][]term // oldest first
	ended map[speaker]uint64           // sessions of identities that ended, and the last index at which they count
}

func newAnew(d *genesis.Document) anew {
	a := anew{terms: map[identity.RegionID][]term{}, ended: map[speaker]uint64{}}
	for i := range d.Regions {
		a.terms[d.Regions[i].ID] = []term{{key: d.Regions[i].Identity}}
	}
	return a
}

// identity is who a region is at this leaf.
func (a *anew) identity(r identity.RegionID) identity.PublicKey {
	if t := a.terms[r]; len(t) > 0 {
		return t[len(t)-1].key
	}
	return identity.PublicKey{}
}

// at is the index of the last leaf that enrolled a region anew, 0 without one.
func (a *anew) at(r identity.RegionID) uint64 {
	if t := a.terms[r]; len(t) > 1 {
		return t[len(t)-2].until
	}
	return 0
}

// reenrolled enters another identity of a region, and ends the sessions of the one before.
func (v *verifier) reenrolled(l *audit.Leaf, b *command.Reenrol) {
	t := v.books.anew.terms[b.Region]
	if err := b.Proven(v.genesis.Cluster); err != nil || len(t) == 0 {
		v.report.found(l.Seq, KindSignature, "region %d is enrolled with another HSM that did not sign it: %v", b.Region, err)
		return
	}
	for _, was := range t {
		if was.key.Equal(b.Identity) {
			v.report.found(l.Seq, KindSignature, "region %d is enrolled with an identity it had before", b.Region)
		}
	}
	t[len(t)-1].until = l.Meta.Index
	v.books.anew.terms[b.Region] = append(t, term{key: b.Identity})
	for fp, s := range v.books.sessions {
		if s.region == b.Region {
			delete(v.books.sessions, fp)
			v.books.anew.end(speaker{b.Region, fp}, l.Meta.Index+underWay)
		}
	}
	v.report.Enrolled = append(v.report.Enrolled, Enrolled{b.Region, l.Seq, l.Meta.Index, b.Identity.Fingerprint().String()})
}

// end notes up to where a session counts; the first end is the one.
func (a *anew) end(s speaker, at uint64) {
	if _, known := a.ended[s]; !known {
		a.ended[s] = at
	}
}

// introduce takes a session that signs certificates: of the present identity, or of one that
// ended, and then only up to its end.
func (v *verifier) introduce(c *identity.SessionCert) error {
	if err := v.books.proofs.book.Add(c); err != nil {
		return err
	}
	for _, t := range v.books.anew.terms[c.Region] {
		if t.until != 0 && c.Verify(v.genesis.Cluster, t.key) == nil {
			v.books.anew.end(speaker{c.Region, c.Session.Fingerprint()}, t.until)
		}
	}
	return nil
}

// rosterAt says whose signatures count for what is certified at an index.
type rosterAt struct {
	*chain.Book
	ended map[speaker]uint64
	index uint64
}

// Holder knows no session whose identity had ended. What was under way when it did is
// certified yet: regions count its acks until they have applied the entry that ends it. One
// that nobody had registered by then may be a thief's.
func (r rosterAt) Holder(region identity.RegionID, session identity.Fingerprint) (chain.Holder, bool) {
	h, ok := r.Book.Holder(region, session)
	end, over := r.ended[speaker{region, session}]
	return h, ok && (!over || r.index <= end)
}

// lost reports whether a region had lost what it had of a key before this leaf: one that comes
// after it in the same entry says nothing of it, though the state shows it.
func (v *verifier) lost(l *audit.Leaf, key *fsm.Key, epoch uint32, region identity.RegionID) bool {
	if key.Scheme == command.SchemeThreshold {
		if s := key.SharingOf(epoch); s == nil || s.Holds(region) {
			return false
		}
	} else if a := key.Attested(region); a == nil || !a.Lost {
		return false
	}
	r, ok := v.machine.View().Region(region)
	if !ok || len(r.Former) == 0 {
		return false
	}
	last := r.Former[len(r.Former)-1].Index
	return last < l.Meta.Index || v.books.anew.at(region) == last
}

// holdersOf are the regions a sharing was sealed to when it went live by a leaf: also those of
// named that lost it in the same entry.
func (v *verifier) holdersOf(l *audit.Leaf, s *fsm.Sharing, named []uint8) (holders []uint8) {
	for _, r := range v.machine.View().Regions() {
		gone := len(r.Former) > 0 && r.Former[len(r.Former)-1].Index == l.Meta.Index && slices.Contains(named, uint8(r.ID))
		if s.Holds(r.ID) || gone {
			holders = append(holders, uint8(r.ID))
		}
	}
	return holders
}
