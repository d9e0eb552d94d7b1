package replication

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/audit"
)

var update = flag.Bool("update", false, "rewrite the vectors: only for a new format version")

// Stored formats never change under their version.
func TestGolden(t *testing.T) {
	var edge audit.Frontier
	var at3 audit.Frontier
	for i := range byte(5) {
		edge.Append(audit.HashLeaf([]byte{i}))
		if i == 2 {
			at3 = edge.Clone()
		}
	}
	m := mark{edge: edge, tail: 1234, holes: []hole{{1, 3, at3}}}
	for name, got := range map[string][]byte{
		"leafstore-mark":    m.encode(),
		"leafstore-header":  header{kindAppended, 700, 5}.append(nil),
		"leafstore-context": recordContext(5),
	} {
		path := "../docs/spec/vectors/" + name + ".hex"
		if *update {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || hex.EncodeToString(got) != string(bytes.TrimSpace(want)) {
			t.Errorf("%s: %x, want %s (%v)", name, got, want, err)
		}
	}
	out, err := decodeMark(m.encode())
	if err != nil || !bytes.Equal(out.encode(), m.encode()) {
		t.Errorf("mark came back as %+v, %v", out, err)
	}
}

func FuzzDecodeMark(f *testing.F) {
	var edge audit.Frontier
	edge.Append([32]byte{1})
	m := mark{edge: edge, holes: []hole{{0, 1, edge}}}
	f.Add(m.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMark(b); err == nil && !bytes.Equal(m.encode(), b) {
			t.Error("one mark has two encodings")
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(append(header{kindFetched, 3, 9}.append(nil), 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseHeader(b)
		if ok && !bytes.Equal(h.append(nil), b[:headerLen]) {
			t.Error("one header has two encodings")
		}
		if _, _, err := openRecord(b, refusing{}, h.seq); err == nil {
			t.Error("opened what no key sealed")
		}
	})
}

type refusing struct{}

func (refusing) Seal(p, _ []byte) ([]byte, error) { return p, nil }
func (refusing) Open(_, _ []byte) ([]byte, error) { return nil, os.ErrPermission }
