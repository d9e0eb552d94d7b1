package vault_test

import (
	"context"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestRollingUpgrade: regions take a new release one after the other and announce it by
// themselves; only then can the level be raised. Signing goes on throughout.
func TestRollingUpgrade(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		raise := func() errs.Code {
			o, err := w.leading().Propose(context.Background(), w.dual(&command.RaiseLevel{Level: 2, Reason: "all are upgraded"}))
			w.ok(err)
			return o.Code
		}
		w.level = 2
		for id := identity.RegionID(1); id <= 4; id++ {
			if code := raise(); code != errs.BadState {
				t.Fatalf("raised when %d of 4 regions are upgraded: %s", id-1, code)
			}
			w.lead(id%4 + 1)
			w.nodes[id].kill()
			w.nodes[id].restart()
			w.eventually("it announced its release", func() bool { return w.nodes[id%4+1].View().LevelOf(id) == 2 })
			w.sign(w.request(k, time.Now().String()))
		}
		if code := raise(); code != errs.OK {
			t.Fatalf("every region is upgraded: %s", code)
		}
		w.sign(w.request(k, "after"))
		if l := w.nodes[1].View().Level(); l != 2 {
			t.Errorf("level %d", l)
		}
	})
}
