package cluster

import (
	"time"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// quota bounds how many commands a region may have looked at.
type quota struct {
	left float64
	at   time.Time
}

// spend takes one look from a region's quota.
func (d *dues) spend(from identity.RegionID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.quotas[from]
	if q == nil {
		q = &quota{}
		d.quotas[from] = q
	}
	return q.take(showBurst, showRate)
}

// take takes one of at most burst that come at a rate a second. A new quota is full.
func (q *quota) take(burst, rate float64) bool {
	now := time.Now()
	if q.at.IsZero() {
		q.left = burst
	} else {
		q.left = min(burst, q.left+now.Sub(q.at).Seconds()*rate)
	}
	if q.at = now; q.left < 1 {
		return false
	}
	q.left--
	return true
}
