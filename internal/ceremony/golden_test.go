package ceremony_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/ceremony"
)

var update = flag.Bool("update", false, "rewrite the golden vectors")

// TestGolden pins every stored format (docs/spec/ceremony.md): a later release must
// read what this one wrote.
func TestGolden(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "spec", "vectors", "ceremony.json")
	got := map[string]string{}
	for name, b := range ceremony.Golden() {
		got[name] = hex.EncodeToString(b)
	}
	if *update {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != len(got) {
		t.Errorf("%d vectors, want %d", len(got), len(want))
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got[name], w)
		}
	}
	for vector, decoder := range map[string]string{"officer-share": "share", "officer-proof": "proof", "officers-proved": "officers", "pins": "pins"} {
		stored, err := hex.DecodeString(want[vector])
		if err != nil {
			t.Fatal(err)
		}
		v, err := ceremony.Decoders[decoder](stored)
		if err != nil || !bytes.Equal(v.Encode(), stored) {
			t.Errorf("%s does not read back: %v", vector, err)
		}
	}
}
