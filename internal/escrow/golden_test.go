package escrow_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"filippo.io/age"

	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/escrow"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// TestVectors: bundles, officers' keys and recovered keys of old, as files keep them for
// decades, still give the same key. With UPDATE_VECTORS=1 new ones are made: only for a
// format that no release has written yet.
func TestVectors(t *testing.T) {
	const root, name = "../..", "escrow"
	if os.Getenv("UPDATE_VECTORS") != "" {
		var all []fsmtest.Vector
		for i, suite := range []*frost.Suite{frost.Ed25519, frost.BIP340} {
			l := newLab(t, suite, true)
			s, _, err := escrow.Recover(l.bundle, nil, l.officers)
			l.ok(err)
			all = append(all, fsmtest.NewVector(fmt.Sprint("bundle-", i), l.bundle.Encode()),
				fsmtest.NewVector(fmt.Sprint("officers-", i), []byte(fmt.Sprintf("%s\n%s\n", l.officers[0], l.officers[1]))),
				fsmtest.NewVector(fmt.Sprint("key-", i), escrow.KeyFile(s, "cold", l.bundle.Chain, intent.Mainnet)))
		}
		fsmtest.Golden(t, root, name, all)
	}
	stored := fsmtest.Vectors(t, root, name)
	for i := range 2 {
		b, err := escrow.DecodeBundle(stored[fmt.Sprint("bundle-", i)])
		if err != nil || !bytes.Equal(b.Encode(), stored[fmt.Sprint("bundle-", i)]) {
			t.Fatalf("bundle %d: %v", i, err)
		}
		ids, err := age.ParseIdentities(bytes.NewReader(stored[fmt.Sprint("officers-", i)]))
		if err != nil {
			t.Fatal(err)
		}
		s, skipped, err := escrow.Recover(b, nil, ids)
		if err != nil || len(skipped) != 0 {
			t.Fatalf("bundle %d: %v %v", i, err, skipped)
		}
		want := stored[fmt.Sprint("key-", i)]
		if got := escrow.KeyFile(s, "cold", b.Chain, intent.Mainnet); !bytes.Equal(got, want) {
			t.Errorf("bundle %d gives another key file than it did", i)
		}
		if back, _, err := escrow.ParseKeyFile(want); err != nil || !bytes.Equal(back.Bytes(), s.Bytes()) {
			t.Errorf("key file %d: %v", i, err)
		}
	}
}
