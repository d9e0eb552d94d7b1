//go:build liar

package liar

import (
	"sync"
	"sync/atomic"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Built says that this program can lie.
const Built = true

// One world is in force at a time: four nodes in one process, or one process of four.
var (
	off  [defences]atomic.Bool
	mu   sync.Mutex
	told = map[identity.RegionID]Lie{}
	seen = map[string]int{}
)

// Lie is what a region is told to do.
type Lie struct {
	Name   string
	Victim identity.RegionID // whom it is about, where it is about one
	Other  identity.RegionID // and a second one
}

// Defends reports whether a defence is in force.
func Defends(d Defence) bool { return !off[d].Load() }

// Lower switches defences off until Reset.
func Lower(ds ...Defence) {
	for _, d := range ds {
		off[d].Store(true)
	}
}

// Tell has a region lie from now on; a lie without a name ends it.
func Tell(region identity.RegionID, l Lie) {
	mu.Lock()
	defer mu.Unlock()
	told[region] = l
}

// Tells returns what a region is told, if it is this lie.
func Tells(region identity.RegionID, name string) (Lie, bool) {
	mu.Lock()
	defer mu.Unlock()
	l := told[region]
	return l, l.Name == name
}

// Told returns the lie a region is told.
func Told(region identity.RegionID) Lie {
	mu.Lock()
	defer mu.Unlock()
	return told[region]
}

// Did counts that a lie was really told: a lie that was never told shows nothing.
func Did(name string) {
	mu.Lock()
	defer mu.Unlock()
	seen[name]++
}

// Done returns how often a lie was told.
func Done(name string) int {
	mu.Lock()
	defer mu.Unlock()
	return seen[name]
}

// Reset puts all defences up and ends all lies.
func Reset() {
	for i := range off {
		off[i].Store(false)
	}
	mu.Lock()
	defer mu.Unlock()
	clear(told)
	clear(seen)
}

// Raise puts all defences up again; lies go on.
func Raise() {
	for i := range off {
		off[i].Store(false)
	}
}
