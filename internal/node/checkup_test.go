package node

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestStatusSparesTheToken: however often somebody asks for status, strangers included,
// the token is asked once a second.
func TestStatusSparesTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c checkup
		asked, gone := 0, errors.New("gone")
		ask := func(context.Context) error {
			asked++
			time.Sleep(100 * time.Millisecond)
			return gone
		}
		for range 3 {
			var callers sync.WaitGroup
			for range 50 {
				callers.Go(func() { _ = c.get(ask) })
			}
			callers.Wait()
			if err := c.get(ask); !errors.Is(err, gone) {
				t.Errorf("got %v", err)
			}
			time.Sleep(2 * healthEvery)
		}
		if asked != 3 {
			t.Errorf("the token was asked %d times in three rounds", asked)
		}
	})
}
