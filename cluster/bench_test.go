package cluster_test

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

// cpuTime is what this process has used, of all four nodes.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPropose measures four nodes in one process over loopback TLS and bbolt.
func BenchmarkPropose(b *testing.B) {
	for _, clients := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			a := clustertest.New(b, clustertest.Options{OS: true, Bolt: b.TempDir()})
			a.StartAll()
			l := a.Leader()
			cmds := make([]*command.Command, b.N)
			for i := range cmds {
				cmds[i] = a.Command()
			}
			took := make([]time.Duration, b.N)
			var next atomic.Int64
			var wg sync.WaitGroup
			cpu := cpuTime()
			b.ResetTimer()
			for range clients {
				wg.Go(func() {
					for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
						start := time.Now()
						if _, err := l.C.Propose(context.Background(), cmds[i]); err != nil {
							b.Error(err)
						}
						took[i] = time.Since(start)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-us/cmd")
			sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cmd/s")
		})
	}
}
