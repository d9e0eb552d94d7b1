package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestHeapGrowth(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 5 << 20: 400, 10 << 20: 400, 20 << 20: 200, 30 << 20: 130, 40 << 20: 100, 50 << 20: 80, 70 << 20: 55, 1 << 30: 50} {
		if got := heapGrowth(live); got != want {
			t.Errorf("%d MiB alive: %d%%, want %d%%", live>>20, got, want)
		}
	}
}

// TestHeapIsKept: what lives changes how much may be added, and the end restores the rest.
func TestHeapIsKept(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { keepHeap(ctx); close(done) }()
	set := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	kept := make([]byte, 200<<20)
	runtime.GC()
	for {
		metrics.Read(set)
		if set[0].Value.Uint64() == heapPercent {
			break
		}
		select {
		case <-time.After(heapEvery / 4):
		case <-t.Context().Done():
			t.Fatal("the collector was never told")
		}
	}
	runtime.KeepAlive(kept)
	cancel()
	<-done
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("%d%% remains set, it was 100", got)
	}
}
