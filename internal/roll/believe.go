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
// so, unless as many say otherwise; its own word on itself counts for nothing. What was
// changed may let more authors be believed, so it goes on until nothing changes.
func (j *Judge) Believe(rolls []*Roll) (Pins, []*Roll) {
	pins := maps.Clone(j.Start)
	for range len(pins) + 1 {
		heard := j.heard(pins, rolls)
		changed := false
		for _, region := range slices.Sorted(maps.Keys(pins)) {
			if k, ok := j.changed(region, pins[region], heard); ok {
				pins[region], changed = k, true
			}
		}
		if !changed {
			return pins, heard
		}
	}
	return pins, j.heard(pins, rolls)
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
func (j *Judge) changed(region identity.RegionID, now Key, heard []*Roll) (Key, bool) {
	if _, fixed := j.Fixed[region]; fixed {
		return Key{}, false
	}
	said := map[identity.Fingerprint]int{}
	var best Key
	for _, o := range heard {
		if o.Region == region {
			continue
		}
		k := o.Identities[region-1]
		fp := k.Fingerprint()
		if said[fp]++; best.Alg == 0 || said[fp] > said[best.Fingerprint()] {
			best = k
		}
	}
	n := said[best.Fingerprint()]
	for fp, m := range said {
		if m == n && fp != best.Fingerprint() {
			return Key{}, false // as many say otherwise
		}
	}
	if n < least || best.Equal(now) || j.Former != nil && j.Former(region, best) {
		return Key{}, false
	}
	return best, true
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
