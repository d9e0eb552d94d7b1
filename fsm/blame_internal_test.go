package fsm

import (
	"slices"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestSuspects: whom the tries point at, and who of them is left out of dealing where only
// one can be.
func TestSuspects(t *testing.T) {
	type ids = []identity.RegionID
	silent := func(try uint8, r identity.RegionID) Fault { return Fault{Try: try, Region: r} }
	accused := func(try uint8, r identity.RegionID, by ...identity.RegionID) Fault {
		return Fault{Try: try, Region: r, By: by}
	}
	for name, tc := range map[string]struct {
		faults   []Fault
		want     ids
		wantLast identity.RegionID // 0: nobody
	}{
		"nobody":                         {},
		"silence":                        {[]Fault{silent(1, 2)}, ids{2}, 2},
		"two accusers":                   {[]Fault{accused(1, 4, 1, 3)}, ids{4}, 4},
		"one, who did not finish":        {[]Fault{silent(1, 2), accused(1, 4, 2)}, ids{2, 4}, 4},
		"the same one again":             {[]Fault{silent(1, 2), accused(1, 4, 2), silent(3, 2), accused(3, 4, 2)}, ids{2, 4}, 4},
		"then the other way round":       {[]Fault{silent(1, 2), accused(1, 4, 2), silent(2, 4), accused(2, 2, 4)}, ids{2, 4}, 2},
		"two, in different tries":        {[]Fault{silent(1, 2), accused(1, 4, 2), silent(2, 1), accused(2, 4, 1)}, ids{4}, 4},
		"a liar that accuses two":        {[]Fault{silent(1, 4), accused(1, 1, 4), silent(2, 4), accused(2, 2, 4)}, ids{4}, 4},
		"both in one try":                {[]Fault{silent(1, 4), accused(1, 1, 4), accused(1, 2, 4)}, ids{4}, 4},
		"who accuses nobody that deals":  {[]Fault{silent(1, 4), accused(1, 1, 4), silent(2, 4)}, ids{4}, 4},
		"no group was the largest":       {[]Fault{accused(1, 0, 1, 2, 3, 4)}, nil, 0},
		"one of whose accuser is spoilt": {[]Fault{silent(1, 1), accused(1, 4, 1), silent(1, 4), accused(1, 2, 4)}, ids{4}, 4},
		"one slow, besides a liar":       {[]Fault{silent(1, 1), accused(1, 4, 1), silent(2, 2), silent(3, 1), accused(3, 4, 1)}, ids{1, 4}, 4},
		"all at once":                    {[]Fault{silent(1, 1), silent(1, 2), silent(1, 3)}, ids{1, 2, 3}, 1},
	} {
		if got := suspects(tc.faults); !slices.Equal(got, tc.want) {
			t.Errorf("%s: suspects %v, want %v", name, got, tc.want)
		}
		var last identity.RegionID
		if out := setAside(tc.faults); len(out) > 2 {
			last = out[1][0]
		}
		if last != tc.wantLast {
			t.Errorf("%s: region %d is set aside, want %d", name, last, tc.wantLast)
		}
	}
}
