package vault_test

import (
	"context"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestSignsOnlyByWhatTheLeaderKnew: a region that lags is asked by a leader that has
// acknowledged more. It waits until it has come as far, and then judges by that state.
func TestSignsOnlyByWhatTheLeaderKnew(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		q, drawn := w.question(w.abandoned(w.request(k, "overtaken")))
		q.Known = q.Meta.Index + 1
		n := w.nodes[drawn[0]]
		signed, _ := n.token.signatures()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		raw, err := n.vault.HandleCoSign(ctx, n.id%4+1, q.Encode())
		w.ok(err)
		if early, err := command.DecodeAnswer(raw); err != nil || early.Items[0].Code != errs.NotReady {
			t.Errorf("a region answered before it knew what the leader knew: %+v, %v", early, err)
		}
		w.apply(w.command(&command.FreezeKey{Key: k.ID, Reason: "meanwhile"}, time.Minute, w.admin[0]))
		a, err := n.ask(q)
		if err != nil || a.Items[0].Code != errs.Frozen {
			t.Errorf("answer %+v, %v", a, err)
		}
		if now, _ := n.token.signatures(); now != signed {
			t.Error("the HSM signed for a frozen key")
		}
	})
}
