package auditor

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// histogram counts draws of k among one set of eligible regions.
type histogram struct {
	eligible []identity.RegionID
	signers  uint8
	counts   map[string]uint64 // by ascending set
}

// count enters one verified draw. Order within a set does not matter to anybody.
func (b *books) count(t *attempt) {
	name := fmt.Sprint(t.eligible, t.signers)
	h := b.drawn[name]
	if h == nil {
		h = &histogram{t.eligible, t.signers, map[string]uint64{}}
		b.drawn[name] = h
	}
	set := slices.Clone(t.order)
	slices.Sort(set)
	h.counts[fmt.Sprint(set)]++
}

func (b *books) selections() (out []Selection) {
	for _, name := range slices.Sorted(maps.Keys(b.drawn)) {
		out = append(out, b.drawn[name].selection())
	}
	return out
}

func (h *histogram) selection() Selection {
	s := Selection{Eligible: h.eligible, Signers: h.signers}
	for _, set := range subsets(h.eligible, int(h.signers)) {
		n := h.counts[fmt.Sprint(set)]
		s.Sets = append(s.Sets, DrawnSet{set, n})
		s.Draws += n
	}
	want := float64(s.Draws) / float64(len(s.Sets))
	for _, d := range s.Sets {
		s.ChiSq += (float64(d.Count) - want) * (float64(d.Count) - want) / want
	}
	s.Freedom = len(s.Sets) - 1
	s.P = chiSquareTail(s.ChiSq, s.Freedom)
	return s
}

// subsets returns all subsets of k regions, in order.
func subsets(of []identity.RegionID, k int) (out [][]identity.RegionID) {
	if k == 0 {
		return [][]identity.RegionID{{}}
	}
	for i := 0; i+k <= len(of); i++ {
		for _, rest := range subsets(of[i+1:], k-1) {
			out = append(out, append([]identity.RegionID{of[i]}, rest...))
		}
	}
	return out
}

// chiSquareTail returns the chance that a chi-square variable exceeds x: the upper
// regularized gamma function Q(n/2, x/2), by recurrence from n = 1 or 2.
func chiSquareTail(x float64, n int) float64 {
	if n <= 0 || x <= 0 {
		return 1
	}
	q, a := math.Erfc(math.Sqrt(x/2)), 0.5
	if n%2 == 0 {
		q, a = math.Exp(-x/2), 1
	}
	for ; 2*a < float64(n); a++ { // Q(a+1, y) = Q(a, y) + y^a e^-y / Gamma(a+1)
		g, _ := math.Lgamma(a + 1)
		q += math.Exp(a*math.Log(x/2) - x/2 - g)
	}
	return min(q, 1)
}
