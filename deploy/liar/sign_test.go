//go:build liar

package liar_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// request is a command that asks for a signature, and expires by the vault's clock.
func (w *world) request(c *client.Client, body *command.RequestSignature, life time.Duration) *client.Command {
	var id command.ID
	_, _ = rand.Read(id[:])
	cmd, err := c.CommandWith(body, id, w.now().Add(life))
	if err != nil {
		w.t.Error(err)
	}
	return cmd
}

// sign asks for signatures at the honest regions until ctx ends.
func (w *world) sign(ctx context.Context, worker int) {
	a := w.addresses()
	c, err := w.Client(w.service, append(slices.Clone(a[worker%3:]), a[:worker%3]...)...)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer c.Close()
	for n := 0; ctx.Err() == nil; n++ {
		time.Sleep(pace)
		message := fmt.Appendf(nil, "payment %d of %d", n, worker)
		cmd := w.request(c, client.NewSignMessage(w.key, client.HashSHA256, message, ""), lifetime)
		began := time.Now()
		for ctx.Err() == nil {
			call, cancel := context.WithTimeout(ctx, 8*time.Second)
			r, err := c.Sign(call, cmd)
			cancel()
			if err == nil && w.signed(message, r) {
				w.answered(began, client.RequestIDOf(cmd))
				break
			}
			if code := client.CodeOf(err); code == errs.Frozen || code == errs.Expired || code == errs.Skewed { // once refused, always: ask for the next one
				time.Sleep(100 * time.Millisecond)
				break
			}
		}
	}
}

// signed reports whether an answer has all signatures. That of a threshold key is judged.
func (w *world) signed(message []byte, r *client.Request) bool {
	if !w.lie.joint {
		return len(r.Results) == 2
	}
	if len(r.Signatures) == 0 {
		return false
	}
	spends, err := intent.Spends(command.KindMessage, client.HashSHA256, message, nil, w.info)
	if err != nil || len(spends) != len(r.Signatures) {
		w.t.Errorf("%d signatures for %d messages: %v", len(r.Signatures), len(spends), err)
		return false
	}
	for i := range spends {
		if !spends[i].Verify(w.info, r.Signatures[i]) {
			w.saw("a signature of the threshold key does not verify")
		}
	}
	return true
}

func (w *world) answered(began time.Time, id client.RequestID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.given = append(w.given, id)
	if w.told.IsZero() || began.Before(w.told) {
		return
	}
	if w.after++; w.after == 1 {
		w.first = time.Since(w.told)
	}
	if w.after == enough {
		close(w.enough)
	}
}

// countAnew forgets what was answered so far.
func (w *world) countAnew() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told, w.first, w.after, w.enough = time.Now(), 0, 0, make(chan struct{})
}

// answers returns how many requests asked after the lie were answered, and the time to the first.
func (w *world) answers() (int, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.after, w.first
}
