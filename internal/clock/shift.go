//go:build liar

package clock

import (
	"sync/atomic"
	"time"
)

// Shift has the clocks of a process run ahead of where they would be: by From up to a
// moment of the machine's clock, then ever more, and by To once Over has passed. Processes
// of one machine that are told the same agree at every moment, whenever they were told.
type Shift struct {
	At       time.Time
	From, To time.Duration
	Over     time.Duration // zero: at once
}

var shift atomic.Pointer[Shift]

// Set puts a shift in force, for all clocks of the process.
func Set(s Shift) { shift.Store(&s) }

func ahead() time.Duration {
	s := shift.Load()
	if s == nil {
		return 0
	}
	switch gone := time.Since(s.At); {
	case gone < 0:
		return s.From
	case gone >= s.Over:
		return s.To
	default:
		return s.From + time.Duration(float64(s.To-s.From)*float64(gone)/float64(s.Over))
	}
}
