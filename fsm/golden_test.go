package fsm_test

import (
	"bytes"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
)

func TestSnapshotVector(t *testing.T) {
	for name, l := range map[string]*fsmtest.Log{"snapshot": varied(t), "snapshot-threshold": variedThreshold(t), "snapshot-beacon": variedBeacon(t)} {
		snapshotVector(t, name, l)
	}
}

func snapshotVector(t *testing.T, name string, l *fsmtest.Log) {
	t.Helper()
	const root = ".."
	d := l.Machine.View().Digest()
	fsmtest.Golden(t, root, name, []fsmtest.Vector{fsmtest.NewVector("snapshot", written(t, l.Machine), "digest", d[:])})

	readVector(t, name)
}

// TestOldVector: a refresh of all as states had it that did not note when it began.
func TestOldVector(t *testing.T) { readVector(t, "snapshot-rollout-undated") }

// readVector restores a stored snapshot: written again it is the same.
func readVector(t *testing.T, name string) {
	t.Helper()
	const root = ".."
	g, err := genesis.Decode(fsmtest.Vectors(t, root, "genesis")["genesis"])
	if err != nil {
		t.Fatal(err)
	}
	m, err := fsm.New(g, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := fsmtest.Vectors(t, root, name)["snapshot"]
	if err := m.Restore(bytes.NewReader(b)); err != nil || !bytes.Equal(written(t, m), b) {
		t.Fatalf("the stored snapshot is not itself again: %v", err)
	}
}
