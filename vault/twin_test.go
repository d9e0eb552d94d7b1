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
				said := filed[*command.Deal](w)[n.id] // also what came second and was refused
				deals := map[command.CeremonyID]string{}
				for _, b := range said {
					if was, ok := deals[b.Ceremony]; ok && was != string(b.Dealing) {
						t.Errorf("%v: one region, two dealings", b.Ceremony)
					}
					deals[b.Ceremony] = string(b.Dealing)
				}
				if len(said) <= len(deals) || len(deals) != 2 {
					t.Errorf("%d dealings in %d ceremonies: the copy took no part, and this test shows nothing", len(said), len(deals))
				}
				w.eventually("the copy stands where its original stands", func() bool { return twin.View().Meta() == n.View().Meta() })
			})
		})
	}
}
