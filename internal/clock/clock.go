// Package clock is the one hook by which a process in a container can be given a
// wrong clock. Everything else uses package time, which testing/synctest fakes.
package clock

import "time"

// Clock is a node's idea of now.
type Clock struct{ offset time.Duration }

// New returns a clock that runs ahead of (or, negative, behind) the machine's.
// Production passes zero.
func New(offset time.Duration) Clock { return Clock{offset} }

// Now returns the node's time in UTC.
func (c Clock) Now() time.Time { return time.Now().Add(c.offset + ahead()).UTC() }
