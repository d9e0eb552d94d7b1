package roll

import (
	"maps"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// least is how many regions must say that another one's identity changed: of two of them
// one is honest.
const least = 2

// Pins are the identity keys that somebody believes, by region.
type Pins map[identity.RegionID]identity.PublicKey

// Judge weighs rolls of one vault.
type Judge struct {
	Cluster identity.ClusterID
	Lineage [32]byte
	Start   Pins                              // believed so far
	Former  func(identity.RegionID, Key) bool // keys that were replaced: they never come back; may be nil
	Fixed   map[identity.RegionID]struct{}    // compared by people: no roll changes them
}

// Key is an identity key.
type Key = identity.PublicKey

// Believe returns the keys to believe after hearing rolls, and the rolls whose authors are
// believed, newest of each region. The key of a region is changed by two others that say
// so, unless as many say otherwise; its own word on itself counts for nothing. A change may
// let an author be believed, or no longer: so they are made one by one, what most say
// first, and none where two camps call each other's members replaced.
func (j *Judge) Believe(rolls []*Roll) (Pins, []*Roll) {
	pins := maps.Clone(j.Start)
	for range 2 * len(pins) {
		c, ok := strongest(j.changes(pins, j.heard(pins, rolls)))
		if !ok {
			break
		}
		pins[c.region] = c.key
	}
	return pins, j.heard(pins, rolls)
}

// Contested returns the regions of which two camps, as strong as each other, say that they
// have another key than is believed, ascending. One camp has two liars, or one and the thief
// of an old HSM, and nobody can tell which: no region of both is to be believed alone.
func (j *Judge) Contested(pins Pins, heard []*Roll) (out []identity.RegionID) {
	for _, c := range j.changes(pins, heard) {
		out = append(out, c.region)
	}
	return out
}

// changes are what the others' words would make of each region, by region.
func (j *Judge) changes(pins Pins, heard []*Roll) (out []change) {
	for _, region := range slices.Sorted(maps.Keys(pins)) {
		if c, ok := j.changed(region, pins[region], heard); ok {
			out = append(out, c)
		}
	}
	return out
}

// change is another key of a region, and who says so.
type change struct {
	region identity.RegionID
	key    Key
	by     []identity.RegionID
}

// strongest picks the change that most say; none if another that as many say takes one of
// them for replaced.
func strongest(changes []change) (best change, ok bool) {
	for _, c := range changes {
		if len(c.by) > len(best.by) {
			best = c
		}
	}
	for _, c := range changes {
		if len(c.by) == len(best.by) && slices.Contains(best.by, c.region) {
			return best, false
		}
	}
	return best, len(changes) > 0
}

// heard is the newest roll of each region that verifies under what is believed.
func (j *Judge) heard(pins Pins, rolls []*Roll) (out []*Roll) {
	newest := map[identity.RegionID]*Roll{}
	for _, o := range rolls {
		by, known := pins[o.Region]
		if !known || o.Lineage != j.Lineage || len(o.Identities) != len(pins) || o.Verify(j.Cluster, by) != nil {
			continue
		}
		if old := newest[o.Region]; old == nil || o.Applied > old.Applied {
			newest[o.Region] = o
		}
	}
	for _, region := range slices.Sorted(maps.Keys(newest)) {
		out = append(out, newest[region])
	}
	return out
}

// changed returns another key of a region than the one believed, if the others' words make
// it so.
func (j *Judge) changed(region identity.RegionID, now Key, heard []*Roll) (change, bool) {
	if _, fixed := j.Fixed[region]; fixed {
		return change{}, false
	}
	var said []change
	for _, o := range heard {
		if o.Region == region {
			continue
		}
		k := o.Identities[region-1]
		at := slices.IndexFunc(said, func(c change) bool { return c.key.Equal(k) })
		if at < 0 {
			at, said = len(said), append(said, change{region: region, key: k})
		}
		said[at].by = append(said[at].by, o.Region)
	}
	slices.SortStableFunc(said, func(a, b change) int { return len(b.by) - len(a.by) })
	switch {
	case len(said) == 0 || len(said[0].by) < least:
		return change{}, false
	case len(said) > 1 && len(said[1].by) == len(said[0].by): // as many say otherwise
		return change{}, false
	case said[0].key.Equal(now) || j.Former != nil && j.Former(region, said[0].key):
		return change{}, false
	}
	return said[0], true
}

// Disputed returns the regions whose key somebody believed calls another one: who does lies,
// or is behind.
func Disputed(pins Pins, heard []*Roll) (out []identity.RegionID) {
	for _, region := range slices.Sorted(maps.Keys(pins)) {
		if slices.ContainsFunc(heard, func(o *Roll) bool { return o.Region != region && !o.Identities[region-1].Equal(pins[region]) }) {
			out = append(out, region)
		}
	}
	return out
}
