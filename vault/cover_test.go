package vault_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// filed returns the bodies of a type in the log, by author.
func filed[B command.Body](w *world) map[identity.RegionID][]B {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[identity.RegionID][]B{}
	for _, in := range w.log {
		for _, c := range in.Entry.Commands {
			body, err := c.Body()
			w.ok(err)
			b, ok := body.(B)
			for _, n := range w.nodes {
				if ok && n.session.Public().Fingerprint() == c.Principal {
					out[n.id] = append(out[n.id], b)
				}
			}
		}
	}
	return out
}

// TestCompletionsCarryTheirProof: the leader's completions and a co-signer's own statement
// name the entry they are about, proven by who files them.
func TestCompletionsCarryTheirProof(t *testing.T) {
	for name, hide := range map[string]bool{"completion": false, "statement": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				k := w.key(p256, 2)
				leader := w.nodes[1].session.Public().Fingerprint()
				w.set(func() {
					w.withhold = func(c *command.Command) bool { return hide && c.Type == command.TypeComplete && c.Principal == leader }
				})
				for i := range 4 {
					w.sign(w.request(k, fmt.Sprint("proven ", i)))
				}
				time.Sleep(time.Minute)
				all := filed[*command.Complete](w)
				n := 0
				for region, list := range all {
					for _, c := range list {
						n++
						if want := fmt.Sprintf("entry %d by %d", c.Index, region); string(c.Cover) != want {
							t.Errorf("filed with %q, want %q", c.Cover, want)
						}
					}
				}
				if n == 0 || hide == (len(all[1]) > 0) {
					t.Errorf("%d completions in the log, %d of the leader", n, len(all[1]))
				}
			})
		})
	}
}

// TestCompletesWithoutAProof: a missing proof delays the completion, not the answer, and
// does not keep it out of the log.
func TestCompletesWithoutAProof(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		k := w.key(p256, 2)
		w.set(func() { w.uncovered = true })
		c := w.request(k, "unproven")
		begun := time.Now()
		req := w.sign(c)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the answer waited %s for a proof", took)
		}
		if row := w.row(2, req.ID); row.State != fsm.RequestComplete {
			t.Errorf("request is %s", row.State)
		}
		if all := filed[*command.Complete](w); len(all[1]) != 1 || all[1][0].Cover != nil {
			t.Errorf("%+v", all)
		}
	})
}
