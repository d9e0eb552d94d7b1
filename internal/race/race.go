// Package race is for tests: it tells whether the race detector is on, and keeps it alive in
// simulated time.
package race

import (
	"os"
	"runtime"
	"testing"
)

// OneProcessor is called first in the TestMain of every package that tests in simulated time
// (internal/archtest sees to it). Go 1.26 runs every timer of a synctest bubble in one context of
// the race detector: those the bubble wakes, and on the goroutine at hand those that are due when
// they are made or polled. Two at the same moment crash it (SIGSEGV, or CHECK failed in
// tsan_rtl.cpp). On one processor no two are; go test runs other packages on the others.
func OneProcessor() {
	if On {
		runtime.GOMAXPROCS(1)
	}
}

// Main is the TestMain of a package that wants nothing but OneProcessor.
func Main(m *testing.M) {
	OneProcessor()
	os.Exit(m.Run())
}

// Without leaves a test to the run without the race detector, which make test does too.
func Without(t testing.TB) {
	t.Helper()
	if On {
		t.Skip("run without the race detector")
	}
}
