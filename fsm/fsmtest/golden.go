package fsmtest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Vector is one golden value: what it is, its canonical bytes in hex, and what is derived
// from them.
type Vector struct {
	Name    string            `json:"name"`
	Hex     string            `json:"hex"`
	Derived map[string]string `json:"derived,omitempty"`
}

// NewVector returns a vector of canonical bytes; derived alternates names and bytes.
func NewVector(name string, b []byte, derived ...any) Vector {
	v := Vector{Name: name, Hex: hex.EncodeToString(b)}
	for i := 0; i < len(derived); i += 2 {
		if v.Derived == nil {
			v.Derived = map[string]string{}
		}
		v.Derived[derived[i].(string)] = hex.EncodeToString(derived[i+1].([]byte))
	}
	return v
}

// Golden compares vectors with docs/spec/vectors/name.json below root, the way to the top
// of the repository. With UPDATE_VECTORS=1 it writes the file instead: only for a format
// that no release has written yet.
func Golden(t *testing.T, root, name string, got []Vector) {
	t.Helper()
	path := filepath.Join(root, "docs", "spec", "vectors", name+".json")
	b, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, '\n')
	if os.Getenv("UPDATE_VECTORS") != "" {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b) {
		t.Fatalf("%s changed: stored bytes of this format could no longer be read or verified", path)
	}
}

// Vectors reads a golden file.
func Vectors(t testing.TB, root, name string) map[string][]byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "docs", "spec", "vectors", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var vs []Vector
	if err := json.Unmarshal(raw, &vs); err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, v := range vs {
		b, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		out[v.Name] = b
	}
	return out
}
