package vault_test

import (
	"context"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

func (w *world) limited(k *fsm.Key, n uint32) *fsm.Key {
	w.t.Helper()
	w.must(w.dual(&command.LimitKey{Key: k.ID, Requests: n, Window: time.Hour}))
	return k
}

func (w *world) used(k *fsm.Key) uint64 {
	row, _ := w.nodes[1].View().Key(k.ID)
	return row.Limit.Used(w.nodes[1].View().Clock())
}

// fail ends what is open of a key without signatures.
func (w *world) fail(k *fsm.Key) {
	w.apply(w.command(&command.FreezeKey{Key: k.ID}, time.Minute, w.admin[0]))
	w.apply(w.dual(&command.UnfreezeKey{Key: k.ID}))
}

// nothings asks a region for its words on the first attempt of a request.
func (n *node) nothings(req *fsm.Request) ([]*command.Word, error) {
	ask := &vault.Ask{Kind: command.WordNothing, About: n.id, Items: []vault.Item{{Request: req.ID, Attempt: 1}}}
	raw, err := n.vault.HandleWord(context.Background(), n.id%4+1, ask.Encode())
	if err != nil {
		return nil, err
	}
	return vault.DecodeWords(raw)
}

// TestChargeGivenBack: no HSM answers, three draws fail, and the charge goes back by
// itself; also by a leader that took over in between.
func TestChargeGivenBack(t *testing.T) {
	for name, change := range map[string]bool{"one leader": false, "a new leader": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) { w.giveBack(t, change) })
		})
	}
}

func (w *world) giveBack(t *testing.T, change bool) {
	k := w.limited(w.key(p256, 2), 1)
	slow := func(d time.Duration) {
		for _, n := range w.all() {
			n.token.set(func(t *token) { t.delay = d })
		}
	}
	slow(time.Minute)
	if change {
		w.set(func() { w.withhold = func(c *command.Command) bool { return c.Type == command.TypeRefundRequest } })
	}
	c := w.request(k, "hopeless")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := w.leading().vault.Sign(ctx, c); errs.CodeOf(err) != errs.BadState {
		t.Errorf("got %v", err)
	}
	if w.used(k) != 1 {
		t.Fatal("a request that failed just now is charged no more")
	}
	if _, err := w.leading().vault.Sign(ctx, w.request(k, "one more")); errs.CodeOf(err) != errs.OverLimit {
		t.Errorf("beyond the limit: %v", err)
	}
	if change {
		time.Sleep(5 * time.Second)
		w.set(func() { w.withhold = nil })
		w.lead(3)
	}
	slow(0)
	w.eventually("the charge is given back", func() bool { return w.used(k) == 0 })
	if row := w.row(2, command.RequestIDOf(c.Principal, c.ID)); row.Charge != fsm.ChargeRefunded {
		t.Errorf("charge %d", row.Charge)
	}
	w.eventually("all regions well", func() bool { return len(w.nodes[1].View().Able(k)) == 4 })
	w.sign(w.request(k, "there is room"))
}

// TestNothingGivenBackForARelease: a region that answered says nothing, now or after a
// restart, and the charge stays.
func TestNothingGivenBackForARelease(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.limited(w.key(p256, 2), 1)
		req := w.abandoned(w.request(k, "released"))
		q, drawn := w.question(req)
		n := w.nodes[drawn[0]]
		if _, err := n.nothings(req); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a word on an open request: %v", err)
		}
		a, err := n.ask(q)
		w.ok(err)
		if a.Items[0].Code != errs.OK {
			t.Fatal(a.Items[0].Text)
		}
		w.fail(k)
		if _, err := n.nothings(req); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a region that released its signature says that it did not: %v", err)
		}
		other := w.nodes[drawn[0]%4+1]
		if _, err := other.nothings(req); err != nil {
			t.Errorf("a region that was never asked: %v", err)
		}
		w.lead(drawn[1])
		time.Sleep(3 * time.Minute)
		if w.used(k) != 1 {
			t.Error("given back")
		}
		n.kill()
		n.restart()
		time.Sleep(10 * time.Second)
		if _, err := n.nothings(req); errs.CodeOf(err) != errs.BadState {
			t.Errorf("after a restart: %v", err)
		}
	})
}

// TestNoWordAboutBeforeTheStart: a region that started since cannot know what it released.
func TestNoWordAboutBeforeTheStart(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.limited(w.key(p256, 2), 5)
		before := w.abandoned(w.request(k, "before"))
		n := w.nodes[4]
		n.kill()
		n.restart()
		w.lead(1)
		w.eventually("it is back", func() bool { return len(w.nodes[1].View().Able(k)) == 4 })
		w.eventually("signed", func() bool { return len(w.nodes[1].View().OpenRequests()) == 0 })
		w.lead(0)
		again := w.abandoned(w.request(k, "after"))
		w.fail(k)
		if _, err := n.nothings(before); errs.CodeOf(err) != errs.BadState {
			t.Errorf("a word on a complete request: %v", err)
		}
		words, err := n.nothings(again)
		if err != nil || len(words) != 1 {
			t.Fatalf("no word on what was opened since: %v", err)
		}
		if v := words[0]; v.By != 4 || v.About != 4 || v.Request != command.NothingOf(again.ID, 1, again.Attempts[0].Meta) {
			t.Errorf("%+v", v)
		}
	})
}

// TestForgedNothings: a region that answers for others, or badly, spoils no refund but its own.
func TestForgedNothings(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.limited(w.key(p256, 2), 1)
		w.set(func() {
			w.tamper = func(from, to identity.RegionID, m *message) {
				if m.kind != "word" || m.answer == nil || from != 4 && to != 4 {
					return
				}
				if words, err := vault.DecodeWords(m.answer); err == nil && len(words) > 0 && words[0].Kind == command.WordNothing {
					words[0].Sig[0] ^= 1
					m.answer = vault.EncodeWords(words)
				}
			}
		})
		w.abandoned(w.request(k, "nothing"))
		w.fail(k)
		w.lead(1)
		time.Sleep(20 * time.Second)
		if w.used(k) != 1 {
			t.Error("given back without the word of region 4")
		}
		w.set(func() { w.tamper = nil })
		w.eventually("the charge is given back", func() bool { return w.used(k) == 0 })
	})
}
