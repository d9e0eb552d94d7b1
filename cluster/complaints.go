package cluster

import (
	"time"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// notice is a region's complaint of the leader of a term.
type notice struct {
	term uint64
	at   time.Time
}

// complained notes another region's complaint of the present leader.
func (d *dues) complained(from identity.RegionID, term uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if term == d.term && from != d.leader && from != d.self {
		d.unpaid[from] = notice{term, time.Now()}
	}
}

// complaints counts the regions besides this one that complained within a time.
func (d *dues) complaints(within time.Duration) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.unpaid {
		if c.term == d.term && time.Since(c.at) < within {
			n++
		}
	}
	return n
}

// rests reports whether a leader was left so lately that nobody is complained of.
func (d *dues) rests() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Before(d.resting)
}

// leave notes that a leader is left, and for how long no other will be: twice as long as
// the last time, unless that was long ago.
func (d *dues) leave() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.rest = min(2*d.rest, restMost); d.rest == 0 || now.Sub(d.resting) > restMost {
		d.rest = restLeast
	}
	d.resting = now.Add(d.rest)
	d.left++
	return d.rest
}

func (d *dues) leftSoFar() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left
}
