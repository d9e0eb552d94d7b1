package fsm

import (
	"slices"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestBlamed: who is left out of the dealers first, and who only for want of better.
func TestBlamed(t *testing.T) {
	type ids = []identity.RegionID
	silent := func(r identity.RegionID) Fault { return Fault{Try: 1, Region: r} }
	accused := func(r identity.RegionID, by ...identity.RegionID) Fault { return Fault{Try: 1, Region: r, By: by} }
	second := func(fs ...Fault) []Fault {
		for i := range fs {
			fs[i].Try = 2
		}
		return fs
	}
	for name, tc := range map[string]struct {
		faults []Fault
		want   [5]ids
	}{
		"nobody":                          {},
		"silence":                         {[]Fault{silent(2)}, [5]ids{{2}, {2}}},
		"two accusers":                    {[]Fault{accused(4, 1, 3)}, [5]ids{{4}, {4}, {4}, {4}}},
		"one, who did not finish":         {[]Fault{silent(2), accused(4, 2)}, [5]ids{{2, 4}, {2}, {4}}},
		"the same one again":              {[]Fault{silent(2), accused(4, 2), silent(2), accused(4, 2)}, [5]ids{{2, 4}, {2}, {4}}},
		"and again, in another try":       {second(silent(2), accused(4, 2)), [5]ids{{2, 4}, {4}, {2}}},
		"silence, in another try":         {second(silent(2)), [5]ids{{2}, nil, {2}}},
		"two, in different tries":         {[]Fault{silent(2), accused(4, 2), silent(1), accused(4, 1)}, [5]ids{{1, 2, 4}, {1, 2, 4}, {4}, {4}}},
		"a liar that accuses one by one":  {[]Fault{silent(4), accused(1, 4), silent(4), accused(2, 4)}, [5]ids{{1, 2, 4}, {4}, {1, 2}}},
		"no group was the largest":        {[]Fault{accused(0, 1, 2, 3, 4)}, [5]ids{{0}, {0}, {0}, {0}}},
		"all at once, none of them clear": {[]Fault{silent(1), silent(2), silent(3)}, [5]ids{{1, 2, 3}, {1, 2, 3}}},
	} {
		for i, got := range blamed(tc.faults) {
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, tc.want[i]) {
				t.Errorf("%s, list %d: %v, want %v", name, i, got, tc.want[i])
			}
		}
	}
}
