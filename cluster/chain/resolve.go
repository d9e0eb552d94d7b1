package chain

import (
	"bytes"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Branch is a region's signed report with the headers that lead to it. For reports of
// the highest last term the headers begin no later than the last entry before that
// term (or with the first entry of the log).
type Branch struct {
	Report Vote
	Path   []Header
}

// Conviction is the part of a Finding that the cut needs: who lied as leader of which term.
type Conviction struct {
	Region identity.RegionID
	Term   uint64
}

// ResolveEquivocation is the rule by which one liar that showed rivals cannot stop the
// others for ever. The reports are those of all other regions, for one voting term.
// Let R be the longest report that extends the longest prefix of the highest last term
// that enough of them share for it to be certified (without such a prefix the longest
// report; tie: lowest hash). A region whose report conflicts with R cuts its log to
// their common prefix, does not vote again in that term, and an ordinary election
// follows.
//
// It returns where self cuts to; false: its log may stay. It is safe because what was
// certified in the liar's term has the acks of all but one of these regions: it lies
// in the shared prefix, and R extends it.
func ResolveEquivocation(r Roster, lineage [32]byte, liar Conviction, self identity.RegionID, own Log, bs []Branch) (Link, bool, error) {
	mine, err := checkBranches(r, lineage, liar, self, bs)
	if err != nil {
		return Link{}, false, err
	}
	top := highest(bs)
	if bs[top[0]].Report.Last.Term != liar.Term {
		return Link{}, false, nil // the rivals are overtaken: an ordinary election settles it
	}
	keep, conflict, err := chooseBranch(bs, top, Quorum(r.Regions())-1)
	if err != nil || !conflict || !slices.Contains(top, mine) {
		return Link{}, false, err
	}
	common, err := commonPrefix(&bs[mine], &bs[keep])
	if err != nil || compatible(common, &bs[mine], &bs[keep]) {
		return Link{}, false, err
	}
	return cutPoint(own, bs[mine].Report.Last, common)
}

// cutPoint guards the cut: only a log that is still as reported, and never below what
// is certified.
func cutPoint(own Log, reported Link, common Link) (Link, bool, error) {
	if own.Last() != reported {
		return Link{}, false, nil
	}
	if common.Index < own.Floor() {
		return Link{}, false, errs.New(errs.Internal, "equivocation asks to cut to index %d, but %d is certified", common.Index, own.Floor())
	}
	at, ok := own.At(common.Index)
	if !ok || at.Hash != common.Hash {
		return Link{}, false, errs.New(errs.Unverified, "headers of the own report are not of the own log at index %d", common.Index)
	}
	return at, true, nil
}

// checkBranches verifies reports and headers and returns the index of self's.
func checkBranches(r Roster, lineage [32]byte, liar Conviction, self identity.RegionID, bs []Branch) (mine int, err error) {
	if len(bs) != r.Regions()-1 {
		return 0, errs.New(errs.Invalid, "%d reports, needs those of all %d other regions", len(bs), r.Regions()-1)
	}
	mine = -1
	seen := map[identity.RegionID]bool{liar.Region: true}
	for i := range bs {
		v := &bs[i].Report
		if seen[v.Region] || v.Term != bs[0].Report.Term || v.Lineage != lineage {
			return 0, errs.New(errs.Unverified, "report of region %d: by the liar, twice, or of another term or lineage", v.Region)
		}
		seen[v.Region] = true
		if v.Region == self {
			mine = i
		}
		if err := v.Verify(r); err != nil {
			return 0, err
		}
		if err := checkPath(&bs[i]); err != nil {
			return 0, err
		}
	}
	if mine < 0 {
		return 0, errs.New(errs.Invalid, "region %d is not among the reports", self)
	}
	return mine, nil
}

// checkPath recomputes the chain along the headers up to the report.
func checkPath(b *Branch) error {
	if len(b.Path) > maxBranch {
		return errs.New(errs.TooLarge, "report of region %d with %d headers, limit %d", b.Report.Region, len(b.Path), maxBranch)
	}
	for i := range b.Path {
		next := b.Report.Last.Hash
		if i+1 < len(b.Path) {
			n := &b.Path[i+1]
			if next = n.Prev; n.Index != b.Path[i].Index+1 || n.Term < b.Path[i].Term {
				return errs.New(errs.Unverified, "headers of region %d break at index %d", b.Report.Region, n.Index)
			}
		} else if b.Path[i].Index != b.Report.Last.Index || b.Path[i].Term != b.Report.Last.Term {
			return errs.New(errs.Unverified, "headers of region %d do not end at its report", b.Report.Region)
		}
		if b.Path[i].Hash() != next {
			return errs.New(errs.Unverified, "headers of region %d are not on the chain at index %d", b.Report.Region, b.Path[i].Index)
		}
	}
	return nil
}

// highest returns the reports with the highest last term.
func highest(bs []Branch) (top []int) {
	term := uint64(0)
	for i := range bs {
		term = max(term, bs[i].Report.Last.Term)
	}
	for i := range bs {
		if bs[i].Report.Last.Term == term {
			top = append(top, i)
		}
	}
	return top
}

// chooseBranch returns R, and whether any two of the reports conflict at all.
func chooseBranch(bs []Branch, top []int, support int) (keep int, conflict bool, err error) {
	term := bs[top[0]].Report.Last.Term
	within := top
	best := uint64(0)
	for _, i := range top {
		for _, j := range top {
			if j <= i {
				continue
			}
			common, err := commonPrefix(&bs[i], &bs[j])
			if err != nil {
				return 0, false, err
			}
			conflict = conflict || !compatible(common, &bs[i], &bs[j])
			if common.Term != term || common.Index <= best {
				continue
			}
			if share := sharing(bs, top, common); len(share) >= support {
				best, within = common.Index, share
			}
		}
	}
	keep = within[0]
	for _, i := range within {
		a, b := bs[i].Report.Last, bs[keep].Report.Last
		if a.Index > b.Index || a.Index == b.Index && bytes.Compare(a.Hash[:], b.Hash[:]) < 0 {
			keep = i
		}
	}
	return keep, conflict, nil
}

// sharing returns the reports that contain l.
func sharing(bs []Branch, top []int, l Link) (in []int) {
	for _, i := range top {
		if at, _, ok := bs[i].at(l.Index); ok && at == l.Hash {
			in = append(in, i)
		}
	}
	return in
}

func compatible(common Link, a, b *Branch) bool {
	return common.Index == a.Report.Last.Index || common.Index == b.Report.Last.Index
}

// commonPrefix returns the last link two branches share.
func commonPrefix(a, b *Branch) (Link, error) {
	for i := min(a.Report.Last.Index, b.Report.Last.Index); ; i-- {
		ha, ta, oka := a.at(i)
		hb, tb, okb := b.at(i)
		if !oka || !okb {
			break
		}
		if ha == hb && (ta != 0 || tb != 0 || i == 0) {
			return Link{max(ta, tb), i, ha}, nil
		}
		if ha == hb || i == 0 {
			break
		}
	}
	return Link{}, errs.New(errs.NotFound, "headers of regions %d and %d do not reach back to where they part", a.Report.Region, b.Report.Region)
}

// at returns hash and term at index; term 0 where only the hash is known.
func (b *Branch) at(index uint64) (hash [32]byte, term uint64, ok bool) {
	if index == b.Report.Last.Index {
		return b.Report.Last.Hash, b.Report.Last.Term, true
	}
	if len(b.Path) == 0 || index > b.Report.Last.Index {
		return hash, 0, false
	}
	first := b.Path[0].Index
	switch {
	case index+1 == first:
		return b.Path[0].Prev, 0, true
	case index < first:
		return hash, 0, false
	}
	// checkPath made headers contiguous: the next one names the hash of this one.
	i := index - first
	return b.Path[i+1].Prev, b.Path[i].Term, true
}
