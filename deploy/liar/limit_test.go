//go:build liar

package liar_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// limitedKey makes a second key that is limited.
func limitedKey(requests uint32, window time.Duration) func(*world) {
	return func(w *world) {
		o := w.dual(&command.CreateKey{Name: "limited", Tenant: "desk", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2})
		if o == nil {
			w.t.Fatal("no key")
		}
		w.limited = client.KeyID(o.KeyId)
		ctx, cancel := context.WithTimeout(w.t.Context(), patience)
		defer cancel()
		if _, err := w.boss.AwaitKey(ctx, w.limited); err != nil {
			w.t.Fatal(err)
		}
		w.dual(&command.LimitKey{Key: w.limited, Requests: requests, Window: window})
	}
}

// ask asks the honest regions for a signature of the limited key that is worth something
// for so long.
func (w *world) ask(life time.Duration) (err error) {
	c, err := w.Client(w.service, w.addresses()...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	cmd := w.request(c, client.NewSignMessage(w.limited, client.HashSHA256, fmt.Appendf(nil, "limited %s", rand.Text()), ""), life)
	for range 3 {
		ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Second)
		var r *client.Request
		r, err = c.Sign(ctx, cmd)
		cancel()
		if err == nil && len(r.Results) == 2 {
			w.mu.Lock()
			w.limitedSigned = append(w.limitedSigned, client.RequestIDOf(cmd))
			w.mu.Unlock()
			return nil
		}
		if code := client.CodeOf(err); code == errs.OverLimit || code == errs.Expired {
			return err
		}
	}
	return err
}

// askBeyond uses the limit up with requests that the liar keeps from completing, lets them
// expire, waits until it asked for the charges back, and asks for more.
func askBeyond(w *world) {
	for until := time.Now().Add(goesOnWithin); w.done(liar.ScriptRead) < len(w.Regions) && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond) // two requests may be answered before the liar looks at its script
	}
	for range 2 {
		if err := w.ask(25 * time.Second); client.CodeOf(err) == errs.OverLimit {
			w.saw("within the limit: %v", err)
		}
	}
	if !w.await("refund-released: kept", goesOnWithin) {
		w.t.Error("the liar kept no completion back")
	}
	w.pass(45 * time.Second)
	if !w.await("refund-released", goesOnWithin) {
		w.t.Error("refund-released was never told")
	}
	time.Sleep(time.Second)
	for range 2 {
		if err := w.ask(25 * time.Second); err != nil {
			w.t.Logf("beyond the limit: %v", err)
		}
	}
}

// signedWithin wants no more requests of the limited key signed than its limit.
func signedWithin(limit int) func(*world) {
	return func(w *world) {
		if n := len(w.limitedSigned); n > limit {
			w.saw("%d requests were signed, the limit is %d", n, limit)
		}
	}
}

// usedUp makes a limited key that has no room left for two minutes.
func usedUp(w *world) {
	limitedKey(1, 2*time.Minute)(w)
	if err := w.ask(lifetime); err != nil {
		w.t.Fatal(err)
	}
}

// askEarly asks for more while the liar moves time.
func askEarly(w *world) {
	if !w.await("window-early", goesOnWithin) {
		w.t.Error("window-early was never told")
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		_ = w.ask(lifetime)
	}
}

// openedWithin wants no more requests of the limited key opened than its limit.
func openedWithin(limit int) func(*world) {
	return func(w *world) {
		opened := 0
		err := w.leaves(func(l *audit.Leaf) error {
			e, err := audit.DecodeEffect(l.Effect)
			if err != nil {
				return err
			}
			for i := range e.Opened {
				if e.Opened[i].Key == w.limited && e.Opened[i].Number == 1 {
					opened++
				}
			}
			return nil
		})
		if err != nil || opened > limit {
			w.saw("%d requests were opened, the limit is %d: %v", opened, limit, err)
		}
	}
}

// raiseAlone raises the limit with one administrator's key, shortens its window, and takes
// it away, by way of the liar.
func raiseAlone(w *world) {
	thief := w.as(lab.Admins[0], w.Regions[w.liar].API)
	defer thief.Close()
	for _, b := range []*command.LimitKey{{Key: w.limited, Requests: 1000, Window: time.Hour}, {Key: w.limited, Requests: 2, Window: time.Second}, {Key: w.limited}} {
		ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Second)
		_, err := thief.Do(ctx, b)
		cancel()
		if err == nil {
			w.saw("one administrator loosened a limit")
		}
		k, err := w.boss.Key(w.t.Context(), w.limited)
		if err != nil {
			w.saw("%v", err)
		} else if k.Limit.GetRequests() != 2 || k.Limit.GetWindow().AsDuration() != time.Hour {
			w.saw("the limit of a key is loosened: %v", k.Limit)
		}
	}
}
