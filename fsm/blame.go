package fsm

import (
	"slices"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Whom the failed tries of a ceremony point at, and who is therefore left out of dealing.

// dealers returns the holders of the live sharing that are to deal the next one: active
// and healthy, without whom faults point at as long as enough are left; nil if too few are.
func (w *work) dealers(k *Key, faults []Fault) []identity.RegionID {
	var ids []identity.RegionID
	for _, r := range w.roster.regions {
		if k.Holds(r.ID) && r.Status == RegionActive && r.Healthy {
			ids = append(ids, r.ID)
		}
	}
	for _, out := range setAside(faults) {
		if some := without(ids, out); len(some) >= int(k.Sharing.Threshold) {
			return some
		}
	}
	return nil
}

// setAside returns who should not deal the next try, the best first: all suspects; one of
// them; nobody. Of two that say it was the other, the one accused last is left out. It
// dealt, so the next time it is the other: a dealer that spoils one box again and again
// spoils one try, and who accuses falsely is alone under suspicion as soon as it accuses
// somebody else, or nobody that deals.
func setAside(faults []Fault) [][]identity.RegionID {
	s := suspects(faults)
	out := [][]identity.RegionID{s}
	for _, r := range newest(faults, s) {
		out = append(out, []identity.RegionID{r})
	}
	return append(out, nil)
}

// Suspects returns the regions that explain most of what went wrong in the tries so far,
// ascending; none before a try failed, or when nobody can tell. While at most one region
// lies and the others deliver in time that one is among them, and there are at most two.
func (c *Ceremony) Suspects() []identity.RegionID { return suspects(c.Faults) }

func suspects(faults []Fault) (ids []identity.RegionID) {
	count, most := map[identity.RegionID]int{}, 1
	for i := range faults {
		for _, r := range charge(faults, i) {
			count[r]++
			most = max(most, count[r])
		}
	}
	for r, n := range count {
		if n == most {
			ids = append(ids, r)
		}
	}
	slices.Sort(ids)
	return ids
}

// charge returns the regions of which one brought fault i about. Who delivered nothing and
// accuses one region lies, or that one does; with two of them accused it lies itself. Whom
// two regions accuse, one of them honest, is alone. Nobody: it is part of another charge.
func charge(faults []Fault, i int) []identity.RegionID {
	f := &faults[i]
	switch {
	case f.Region == 0:
		return nil
	case len(f.By) > 1:
		return []identity.RegionID{f.Region}
	case len(f.By) == 1:
		if slices.ContainsFunc(faults, func(o Fault) bool { return o.Try == f.Try && o.Region == f.By[0] && len(o.By) == 0 }) {
			return nil
		}
		return []identity.RegionID{f.Region, f.By[0]}
	}
	out := []identity.RegionID{f.Region}
	for _, o := range faults {
		if o.Try == f.Try && len(o.By) == 1 && o.By[0] == f.Region {
			out = append(out, o.Region)
		}
	}
	if len(out) > 2 {
		return out[:1]
	}
	return out
}

// newest returns those suspects whom the last try points at: accused by one region, or else
// in any way.
func newest(faults []Fault, suspects []identity.RegionID) (ids []identity.RegionID) {
	for _, accused := range []bool{true, false} {
		for i := range faults {
			f := &faults[i]
			if f.Try == faults[len(faults)-1].Try && (len(f.By) == 1 || !accused) && slices.Contains(suspects, f.Region) {
				ids = append(ids, f.Region)
			}
		}
		if len(ids) > 0 {
			return ids
		}
	}
	return nil
}

// overdue says who is to blame when a deadline passes: who delivered nothing; and whom that
// region accuses, perhaps of why. One of the two lies, the state cannot tell which. Who
// deals nothing can be accused of its wrapping key only, and where others delivered all the
// same, nothing is wrong with it.
func (w *work) overdue(c *Ceremony) (faults []Fault) {
	missing := w.missing(c)
	for _, r := range missing {
		silent := len(faults)
		faults = append(faults, Fault{Try: c.ID.Try, Step: c.Step, Region: r, Note: "nothing came by the deadline"})
		p := c.Part(r)
		if p == nil {
			continue
		}
		for _, a := range p.Accuses {
			if !slices.Contains(c.Dealers, a.Against) && len(missing) < len(c.owing(c.Step)) {
				faults[silent].Note = "nothing came by the deadline, and whom it accuses deals nothing"
				continue
			}
			faults = append(faults, Fault{Try: c.ID.Try, Step: c.Step, Region: a.Against, By: []identity.RegionID{r}, Note: a.Note})
		}
	}
	return faults
}
