package main

import (
	"os"
	"runtime/debug"
)

// A node's live heap is small and its load makes much short-lived garbage: collecting
// half as often costs little memory and wins a few percent of the processor. Where the
// heap grows after all, memory is dearer than time (docs/performance.md).
const (
	gcPercent = 200
	heapSoft  = 384 << 20
)

// tuneMemory sets both, unless the operator did with GOGC or GOMEMLIMIT.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapSoft)
	}
}
