package fsm_test

import (
	"bytes"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
)

func TestSnapshotVector(t *testing.T) {
	for name, l := range map[string]*fsmtest.Log{"snapshot": varied(t), "snapshot-addresses": variedThreshold(t), "snapshot-beacon": variedBeacon(t), "snapshot-reenrol": variedReenrol(t)} {
		snapshotVector(t, name, l)
	}
	reads(t, "snapshot-threshold") // as written before the state kept which addresses were given out
}

func snapshotVector(t *testing.T, name string, l *fsmtest.Log) {
	t.Helper()
	const root = ".."
	d := l.Machine.View().Digest()
	fsmtest.Golden(t, root, name, []fsmtest.Vector{fsmtest.NewVector("snapshot", written(t, l.Machine), "digest", d[:])})
	reads(t, name)
}

// TestOldVector: a refresh of all as states had it that did not note when it began.
func TestOldVector(t *testing.T) { reads(t, "snapshot-rollout-undated") }

// reads restores a stored snapshot, which is to be written as it was.
func reads(t *testing.T, name string) *fsm.Machine {
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
	return m
}
