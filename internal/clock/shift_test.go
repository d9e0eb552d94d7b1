//go:build liar

package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/internal/clock"
)

// TestShift lets an hour pass in a second, and then a day at once.
func TestShift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer clock.Set(clock.Shift{})
		ahead := func() time.Duration { return time.Until(clock.New(time.Minute).Now()) - time.Minute }
		begin := time.Now().Add(time.Second)
		clock.Set(clock.Shift{At: begin, To: time.Hour, Over: time.Second})
		for _, want := range []time.Duration{0, 0, 0, 30 * time.Minute, time.Hour, time.Hour} {
			if got := ahead(); got != want {
				t.Errorf("%s after: %s ahead, want %s", time.Since(begin), got, want)
			}
			time.Sleep(500 * time.Millisecond)
		}
		clock.Set(clock.Shift{At: time.Now().Add(time.Second), From: time.Hour, To: 24 * time.Hour})
		if got := ahead(); got != time.Hour {
			t.Errorf("before: %s ahead", got)
		}
		time.Sleep(time.Second)
		if got := ahead(); got != 24*time.Hour {
			t.Errorf("after: %s ahead", got)
		}
	})
}
