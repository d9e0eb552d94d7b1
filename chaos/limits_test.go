package chaos

import (
	"testing"
	"time"
)

// TestLimited: what the checker of limits counts, and when it counts anew.
func TestLimited(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	two := limit{seq: 1, at: minute(0), requests: 2, window: 10 * time.Minute}
	none := limit{seq: 15, at: minute(2)}
	again, three, longer := two, two, two
	again.seq, again.at = 16, minute(2)
	three.seq, three.at, three.requests = 15, minute(2), 3
	longer.seq, longer.at, longer.window = 35, minute(21), time.Hour
	for _, tc := range []struct {
		name   string
		limits []limit
		at     []int // minutes; the nth request stands at seq 10n
		broken int
	}{
		{"within", []limit{two}, []int{1, 5, 11, 15}, 0},
		{"one too many", []limit{two}, []int{1, 5, 10}, 1},
		{"one too many later", []limit{two}, []int{1, 5, 11, 14, 30}, 1},
		{"a clock that stands", []limit{two}, []int{1, 1, 1}, 1},
		{"removed and set again", []limit{two, none, again}, []int{1, 3, 4}, 0},
		{"removed", []limit{two, none}, []int{1, 3, 4, 5}, 0},
		{"raised", []limit{two, three}, []int{1, 3, 4, 5}, 1},
		{"a longer window knows what counted", []limit{two, longer}, []int{1, 19, 20, 22}, 1},
		{"and no more", []limit{two, longer}, []int{1, 2, 20, 22}, 0},
	} {
		k, f := &key{limits: tc.limits}, &findings{}
		var requests []*request
		for i, m := range tc.at {
			requests = append(requests, &request{key: k, at: minute(m), attempts: []attempt{{seq: uint64(10 * (i + 1))}}})
		}
		if k.limited(requests, f); len(f.list) != tc.broken {
			t.Errorf("%s: %v", tc.name, f.list)
		}
	}
}
