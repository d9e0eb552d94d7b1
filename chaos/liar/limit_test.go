//go:build liar

package liar_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// limitedKey makes a second key that is limited.
func limitedKey(requests uint32, window time.Duration) func(*world) {
	return func(w *world) {
		w.limited = w.createKey(w.ctx, w.admin, "limited")
		if _, err := w.Dual(w.ctx, w.admin, &command.LimitKey{Key: w.limited, Requests: requests, Window: window}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// ask asks the honest regions for a signature of the limited key that is worth something
// for so long.
func (w *world) ask(c *client.Client, life time.Duration) error {
	var id command.ID
	_, _ = rand.Read(id[:])
	body := client.NewSignMessage(w.limited, client.HashSHA256, fmt.Appendf(nil, "limited %x", id), "")
	cmd, err := c.CommandWith(body, id, time.Now().Add(life))
	if err != nil {
		w.t.Fatal(err)
	}
	for n := 0; ; n++ {
		if err = w.signOnce(c, cmd); err == nil || !unsure(err) || n == 3 {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// askBeyond uses the limit up with requests that the liar keeps from completing, waits
// until it asked for the charges back, and asks for more.
func askBeyond(w *world) {
	c := w.ClientAt("limited", w.service, w.honest...)
	defer c.Close()
	for range 2 {
		if err := w.ask(c, 25*time.Second); errs.CodeOf(err) == errs.OverLimit {
			w.t.Errorf("within the limit: %v", err)
		}
	}
	for n := 0; liar.Done("refund-released") < 2 && n < 900; n++ {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	if liar.Done("refund-released: kept") == 0 {
		w.t.Error("the liar kept no completion back")
	}
	for range 2 {
		if err := w.ask(c, 25*time.Second); err != nil && !unsure(err) {
			w.t.Logf("beyond the limit: %v", err)
		}
	}
	time.Sleep(20 * time.Second) // what was released is filed
}

// usedUp makes a limited key that has no room left for two minutes.
func usedUp(w *world) {
	limitedKey(1, 2*time.Minute)(w)
	c := w.ClientAt("early", w.service, w.honest...)
	defer c.Close()
	if err := w.ask(c, 9*time.Minute); err != nil {
		w.t.Fatal(err)
	}
}

// askEarly asks for more all the while the liar moves time.
func askEarly(w *world) {
	c := w.ClientAt("early", w.service, w.honest...)
	defer c.Close()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		_ = w.ask(c, 9*time.Minute)
		opened := 0
		for _, q := range w.Sites[w.honest[0]].Node.View().Requests("", command.RequestID{}, 10_000) {
			if q.Key == w.limited {
				opened++
			}
		}
		if opened > 1 {
			w.saw("a request was opened beyond the limit of its key")
			return
		}
	}
}

// raiseAlone raises the limit with one administrator's key, and takes it away.
func raiseAlone(w *world) {
	admin := w.ClientAt("thief", w.Lab.Admins[0], w.liar)
	defer admin.Close()
	for _, b := range []*command.LimitKey{{Key: w.limited, Requests: 1000, Window: time.Hour}, {Key: w.limited, Requests: 2, Window: time.Second}, {Key: w.limited}} {
		cmd, err := admin.Command(b)
		if err != nil {
			w.t.Fatal(err)
		}
		liar.Did("limit-alone")
		ctx, cancel := context.WithTimeout(w.ctx, callWithin)
		_, _ = admin.Submit(ctx, cmd)
		cancel()
		for _, i := range w.honest {
			if k, ok := w.Sites[i].Node.View().Key(w.limited); ok && (k.Limit == nil || k.Limit.Requests != 2 || k.Limit.Window != time.Hour) {
				w.saw("one administrator loosened a limit")
			}
		}
	}
}
