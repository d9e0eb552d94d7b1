package chain_test

import (
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestReplacedIdentityIsHistory: once a region has another identity key, only sessions under
// that one are of now, in whatever order certificates come; and who has the old HSM silences
// no session of the region by certifying it again.
func TestReplacedIdentityIsHistory(t *testing.T) {
	w := newWorld(t)
	old, present := w.ids[1], seeded(t, "another HSM")
	_, before := w.session(1, "before", noon)
	_, later := w.session(1, "later", noon.Add(2*time.Hour)) // by whoever has the old HSM
	w.ids[1] = present
	_, now := w.session(1, "now", noon.Add(time.Hour))
	again := *now
	sig, err := old.Sign(t.Context(), again.SignedBytes())
	w.must(err)
	again.Sig = sig

	speaking := func(identity.RegionID) []identity.PublicKey { return []identity.PublicKey{present.Public()} }
	for name, order := range map[string][]*identity.SessionCert{
		"as they came": {before, later, now, &again}, "the other way": {&again, now, later, before}, "twice": {now, &again, now, later},
	} {
		book := chain.NewBook(clusterID, func(identity.RegionID) []identity.PublicKey {
			return []identity.PublicKey{old.Public(), present.Public()}
		}, 4)
		book.Speaking(speaking)
		for _, c := range order {
			w.must(book.Add(c))
		}
		for _, c := range order {
			h, ok := book.Holder(1, c.Session.Fingerprint())
			if want := c.Session.Equal(now.Session); !ok || h.Current != want {
				t.Errorf("%s: session issued at %s: known %v, of now %v, want %v", name, c.Issued, ok, h.Current, want)
			}
		}
	}
}
