package auditor_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

var update = flag.Bool("update", false, "rewrite the vector: only for a new format version")

// small is a short history with one signature in it.
func small(t testing.TB) (*world, []byte) {
	w := newWorld(t)
	w.complete(w.ask(w.key("hot", command.Ed25519, 2, nil), "one"), 1)
	return w, w.export(w.leaves, w.checkpoint(w.leaves))
}

func TestExportRoundTrip(t *testing.T) {
	w, x := small(t)
	in, err := auditor.NewReader(iotest.OneByteReader(bytes.NewReader(x)))
	if err != nil {
		t.Fatal(err)
	}
	g, err := in.Genesis()
	if err != nil || g.Document.Hash() != w.Genesis.Document.Hash() {
		t.Fatalf("genesis: %v", err)
	}
	for i := range w.leaves {
		l, err := in.Next()
		if err != nil || l.Hash() != w.leaves[i].Hash() || l.CheckFields() != nil {
			t.Fatalf("leaf %d: %v", i, err)
		}
	}
	for range 2 {
		if _, err := in.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last leaf: %v", err)
		}
	}
	if c := in.Checkpoint(); c.Size != uint64(len(w.leaves)) {
		t.Errorf("checkpoint of %d leaves", c.Size)
	}
}

func TestWriterRefuses(t *testing.T) {
	w, _ := small(t)
	x, err := auditor.NewWriter(io.Discard, w.Genesis.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Leaf(&w.leaves[1]); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("a gap: %v", err)
	}
	if err := x.Leaf(&w.leaves[0]); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(w.checkpoint(w.leaves)); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("a checkpoint of more leaves: %v", err)
	}
}

func TestCutExport(t *testing.T) {
	w, x := small(t)
	for n := 0; n < len(x); n += max(1, len(x)/97) {
		if _, err := auditor.Verify(bytes.NewReader(x[:n]), w.trust()); errs.CodeOf(err) != errs.Malformed {
			t.Fatalf("%d of %d bytes: %v", n, len(x), err)
		}
	}
	if _, err := auditor.Verify(bytes.NewReader(append(bytes.Clone(x), 0)), w.trust()); errs.CodeOf(err) != errs.Malformed {
		t.Error("a trailing byte passed")
	}
	_, err := auditor.Verify(io.MultiReader(bytes.NewReader(x[:len(x)/2]), iotest.ErrReader(os.ErrPermission)), w.trust())
	if errs.CodeOf(err) != errs.DiskFailed {
		t.Errorf("a medium that fails: %v", err)
	}
}

// Nothing in an export can change unnoticed.
func TestEveryByteCounts(t *testing.T) {
	w, x := small(t)
	if _, err := auditor.Verify(bytes.NewReader(x), w.trust()); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		bent := bytes.Clone(x)
		bent[rapid.IntRange(0, len(x)-1).Draw(rt, "at")] ^= byte(1 << rapid.IntRange(0, 7).Draw(rt, "bit"))
		if _, err := auditor.Verify(bytes.NewReader(bent), w.trust()); err == nil {
			rt.Fatal("verified all the same")
		}
	})
}

// The export format never changes under its version.
func TestGoldenExport(t *testing.T) {
	l := audit.GenesisLeaf([]byte("genesis"), [32]byte{1}, time.UnixMilli(1_800_000_000_123))
	var tree audit.Frontier
	tree.Append(l.Hash())
	var out bytes.Buffer
	x, err := auditor.NewWriter(&out, []byte("genesis"))
	if err == nil {
		err = x.Leaf(&l)
	}
	if err == nil {
		err = x.Close(&audit.Checkpoint{Size: 1, Root: tree.Root()})
	}
	if err != nil {
		t.Fatal(err)
	}
	const path = "../../docs/spec/vectors/export.hex"
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(out.Bytes())+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || hex.EncodeToString(out.Bytes()) != string(bytes.TrimSpace(want)) {
		t.Errorf("export %x, want %s (%v)", out.Bytes(), want, err)
	}
}

func FuzzReader(f *testing.F) {
	want, err := os.ReadFile("../../docs/spec/vectors/export.hex")
	if err != nil {
		f.Fatal(err)
	}
	x, err := hex.DecodeString(string(bytes.TrimSpace(want)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(x)
	f.Add(x[:len(x)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := auditor.NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		_, _ = in.Genesis()
		for err == nil {
			var l *audit.Leaf
			if l, err = in.Next(); err == nil {
				_ = l.CheckFields()
			}
		}
		if errors.Is(err, io.EOF) == (in.Checkpoint() == nil) {
			t.Errorf("ended with %v and checkpoint %v", err, in.Checkpoint())
		}
	})
}
