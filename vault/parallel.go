package vault

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// parallel calls do(0..n-1) on at most one goroutine a processor and waits for all.
func parallel(n int, do func(i int)) { workers(n, runtime.GOMAXPROCS(0), do) }

// workers calls do(0..n-1) on at most most goroutines, the caller's among them.
func workers(n, most int, do func(i int)) {
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			do(i)
		}
	}
	var wg sync.WaitGroup
	for range min(n, most) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}
