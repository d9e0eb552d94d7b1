package chain_test

import (
	"bytes"
	"testing"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// rivals is a cluster where region 4 led term 2 and showed the others what each holds.
type rivals struct {
	*world
	first chain.Entry
}

func newRivals(tb testing.TB) *rivals {
	w := newWorld(tb)
	g := chain.Genesis(lineage)
	p := w.proof(4, 2, g, reports{1: g, 2: g, 3: g})
	return &rivals{w, w.next(4, g, 2, "", p)}
}

// log returns the first entry and one for each word.
func (r *rivals) log(words ...string) *memLog {
	l := newLog(r.first)
	for _, word := range words {
		l.add(r.next(4, l.Last(), 2, word, nil))
	}
	return l
}

func (r *rivals) branch(of identity.RegionID, l *memLog) chain.Branch {
	b := chain.Branch{Report: r.vote(of, 1, 3, l.Last(), false)}
	for _, e := range l.entries {
		b.Path = append(b.Path, e.Header)
	}
	return b
}

func (r *rivals) resolve(self identity.RegionID, own *memLog, logs ...*memLog) (chain.Link, bool, error) {
	var bs []chain.Branch
	for i, l := range logs {
		bs = append(bs, r.branch(identity.RegionID(i+1), l))
	}
	return chain.ResolveEquivocation(r.book, lineage, chain.Conviction{Region: 4, Term: 2}, self, own, bs)
}

func TestResolveEquivocation(t *testing.T) {
	r := newRivals(t)
	a, ab, abc, x, xy, xyz := r.log("a"), r.log("a", "b"), r.log("a", "b", "c"), r.log("x"), r.log("x", "y"), r.log("x", "y", "z")
	low, high := a, x
	if hl, hh := low.Last().Hash, high.Last().Hash; bytes.Compare(hl[:], hh[:]) > 0 {
		low, high = high, low
	}
	none := newLog()
	for _, c := range []struct {
		name string
		logs [3]*memLog
		cuts [3]int // index each region cuts to, 0: none
	}{
		{"agreed", [3]*memLog{a, ab, abc}, [3]int{}},
		{"two share the shorter", [3]*memLog{a, ab, xyz}, [3]int{0, 0, 1}},
		{"two share one, the longest extends it", [3]*memLog{ab, x, xyz}, [3]int{1, 0, 0}},
		{"the longer of two that share", [3]*memLog{abc, r.log("a", "z"), xy}, [3]int{0, 2, 1}},
		{"all apart: the longest", [3]*memLog{a, xy, r.log("q")}, [3]int{1, 0, 1}},
		{"one behind: the longest", [3]*memLog{none, a, xy}, [3]int{0, 1, 0}},
		{"one behind: lowest hash", [3]*memLog{high, low, none}, [3]int{1, 0, 0}},
	} {
		for i := range c.logs {
			to, cut, err := r.resolve(identity.RegionID(i+1), c.logs[i], c.logs[:]...)
			if err != nil || cut != (c.cuts[i] > 0) || to.Index != uint64(c.cuts[i]) {
				t.Errorf("%s: region %d cuts %v to %d (%v), want %d", c.name, i+1, cut, to.Index, err, c.cuts[i])
			}
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	r := newRivals(t)
	a, x := r.log("a"), r.log("x", "y")
	good := func() []chain.Branch { return []chain.Branch{r.branch(1, a), r.branch(2, x), r.branch(3, x)} }
	liar := chain.Conviction{Region: 4, Term: 2}
	certified := r.log("a")
	certified.floor = 2
	for _, c := range []struct {
		name  string
		liar  chain.Conviction
		own   *memLog
		alter func([]chain.Branch) []chain.Branch
		cut   bool
		code  errs.Code
	}{
		{"good", liar, a, func(b []chain.Branch) []chain.Branch { return b }, true, errs.OK},
		{"convicted for another term", chain.Conviction{Region: 4, Term: 1}, a, func(b []chain.Branch) []chain.Branch { return b }, false, errs.OK},
		{"own log moved on", liar, r.log("a", "b"), func(b []chain.Branch) []chain.Branch { return b }, false, errs.OK},
		{"two reports", liar, a, func(b []chain.Branch) []chain.Branch { return b[:2] }, false, errs.Invalid},
		{"one twice", liar, a, func(b []chain.Branch) []chain.Branch { b[2] = b[1]; return b }, false, errs.Unverified},
		{"the liar's own", liar, a, func(b []chain.Branch) []chain.Branch { b[2] = r.branch(4, x); return b }, false, errs.Unverified},
		{"of two terms", liar, a, func(b []chain.Branch) []chain.Branch {
			b[2].Report = r.vote(3, 1, 4, x.Last(), false)
			return b
		}, false, errs.Unverified},
		{"altered", liar, a, func(b []chain.Branch) []chain.Branch { b[2].Report.Candidate++; return b }, false, errs.Unverified},
		{"headers off the chain", liar, a, func(b []chain.Branch) []chain.Branch { b[1].Path[1].Data[0]++; return b }, false, errs.Unverified},
		{"headers of another report", liar, a, func(b []chain.Branch) []chain.Branch { b[1].Path = b[0].Path; return b }, false, errs.Unverified},
		{"too few headers", liar, a, func(b []chain.Branch) []chain.Branch {
			for i := range b {
				b[i].Path = b[i].Path[len(b[i].Path)-1:]
			}
			return b
		}, false, errs.NotFound},
		{"below what is certified", liar, certified, func(b []chain.Branch) []chain.Branch { return b }, false, errs.Internal},
		{"not among them", liar, a, func(b []chain.Branch) []chain.Branch { return b }, false, errs.Invalid},
	} {
		self := identity.RegionID(1)
		if c.code == errs.Invalid && c.name == "not among them" {
			self = 4
		}
		_, cut, err := chain.ResolveEquivocation(r.book, lineage, c.liar, self, c.own, c.alter(good()))
		if cut != c.cut || errs.CodeOf(err) != c.code {
			t.Errorf("%s: cut %v, %v (%s)", c.name, cut, err, errs.CodeOf(err))
		}
	}
}
