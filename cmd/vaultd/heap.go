package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What may be allocated between two collections. Go's rule, as much as lives, means many
// collections while little lives and much memory while much does: a region at rest has 15
// MiB alive, one at full load 50.
const (
	heapRoom    = 40 << 20 // at least
	heapPercent = 50       // of what lives, where that is more: many keys
	heapMost    = 400      // percent, however little lives
	heapEvery   = time.Second
)

// keepHeap adapts the collector to what lives until ctx ends. Who set GOGC or GOMEMLIMIT
// has decided otherwise.
func keepHeap(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	now := heapMost
	defer debug.SetGCPercent(debug.SetGCPercent(now))
	tick := time.NewTicker(heapEvery)
	defer tick.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(live)
		if p := heapGrowth(live[0].Value.Uint64()); p != now { // setting it stops the world for a moment
			debug.SetGCPercent(p)
			now = p
		}
	}
}

// heapGrowth is the percentage of live bytes the heap may grow by, in steps of five.
func heapGrowth(live uint64) int {
	if live < heapRoom*100/heapMost {
		return heapMost
	}
	return max(heapPercent, int(heapRoom*100/live)/5*5)
}
