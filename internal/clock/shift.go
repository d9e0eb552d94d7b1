//go:build liar

package clock

import (
	"sync/atomic"
	"time"
)

var shift atomic.Int64 // nanoseconds

func ahead() time.Duration { return time.Duration(shift.Load()) }

// Shift has all clocks of the process run that far ahead of where they would be: days pass
// in four processes that are told so at once.
func Shift(d time.Duration) { shift.Store(int64(d)) }
