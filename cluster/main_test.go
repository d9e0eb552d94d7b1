package cluster_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// unraced leaves a test to the run without the race detector.
func unraced(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("run without the race detector")
	}
}
