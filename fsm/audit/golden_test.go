package audit_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var update = flag.Bool("update", false, "rewrite the vectors: only for a new format version")

const vectors = "../../docs/spec/vectors"

// golden compares stored bytes with the vector of that name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join(vectors, name+".hex")
	if *update {
		if err := os.MkdirAll(vectors, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %x, want %x (%v)", name, got, want, err)
	}
}

// Stored formats never change under their version.
func TestGolden(t *testing.T) {
	l, e, e2, e3, e4 := sample(), everything(), threshold(), scheduled(), given()
	hash := l.Hash()
	redacted := l.Redact(func(i int) bool { return i != 3 })
	genesis := audit.GenesisLeaf([]byte("genesis"), [32]byte{1}, l.Stamp)
	_, edges := grow(t, 7)
	root := edges[7].Root()
	c := audit.Checkpoint{Cluster: identity.ClusterID{1}, Size: 7, Root: root,
		Signatures: []audit.CheckpointSignature{{Region: 2, Session: identity.Fingerprint{3}, At: l.Stamp, Sig: bytes.Repeat([]byte{4}, 64)}}}
	for name, b := range map[string][]byte{
		"leaf": l.Encode(), "leaf-canonical": l.Canonical(), "leaf-hash": hash[:], "leaf-redacted": redacted.Encode(),
		"leaf-genesis": genesis.Encode(), "effect": e.Encode(), "effect-threshold": e2.Encode(), "effect-scheduled": e3.Encode(), "effect-given": e4.Encode(), "frontier": edges[7].Encode(), "frontier-root": root[:],
		"checkpoint": c.Encode(), "checkpoint-signed": c.SignedBytes(2, l.Stamp)} {
		golden(t, name, b)
	}
}
