package vault_test

import (
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// TestTwinInACeremony: a region and a copy of it, made with all its memory, both take part in
// the making of a key and in its refresh. They say the same, so nobody finds fault with the
// region, and what comes of it is sound.
func TestTwinInACeremony(t *testing.T) {
	for name, curve := range map[string]command.Curve{"Ed25519": ed25519Curve, "BIP-340": taproot} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				n, twin := w.cloned(2)
				k := w.threshold(curve, 2)
				w.refresh(k.ID)
				w.live(k.ID, 2)
				w.untroubled(k.ID)
				w.neverMixed()
				deals := map[command.CeremonyID]string{} // also of what came second and was refused
				for _, b := range filed[*command.Deal](w)[n.id] {
					if was, ok := deals[b.Ceremony]; ok && was != string(b.Dealing) {
						t.Errorf("%v: one region, two dealings", b.Ceremony)
					}
					deals[b.Ceremony] = string(b.Dealing)
				}
				if dealt := len(filed[*command.Deal](w)[n.id]); dealt <= len(deals) || len(deals) != 2 {
					t.Errorf("%d dealings in %d ceremonies: the copy took no part, and this test shows nothing", dealt, len(deals))
				}
				w.eventually("the copy stands where its original stands", func() bool { return twin.View().Meta() == n.View().Meta() })
			})
		})
	}
}
