package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
)

// TestReferenceIsCurrent: docs/api.md is what the .proto files say.
func TestReferenceIsCurrent(t *testing.T) {
	want, err := generate("../tetrad/v1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/api.md is not current: run make generate")
	}
}

// TestNothingIsMissed: all that the generated code declares stands in the reference.
func TestNothingIsMissed(t *testing.T) {
	doc, err := generate("../tetrad/v1")
	if err != nil {
		t.Fatal(err)
	}
	text := string(doc)
	seen := 0
	must := func(s string) {
		seen++
		if !strings.Contains(text, s) {
			t.Errorf("the reference lacks %q", s)
		}
	}
	for _, fd := range []protoreflect.FileDescriptor{tetradv1.File_tetrad_v1_vault_proto, tetradv1.File_tetrad_v1_types_proto, tetradv1.File_tetrad_v1_peer_proto} {
		for i := range fd.Messages().Len() {
			m := fd.Messages().Get(i)
			must("### " + string(m.Name()) + "\n")
			for j := range m.Fields().Len() {
				must("| `" + string(m.Fields().Get(j).Name()) + "` |")
			}
		}
		for i := range fd.Enums().Len() {
			must("### " + string(fd.Enums().Get(i).Name()) + "\n")
		}
		for i := range fd.Services().Len() {
			s := fd.Services().Get(i)
			must("## Service " + string(s.Name()) + "\n")
			for j := range s.Methods().Len() {
				must("| `" + string(s.Methods().Get(j).Name()) + "` |")
			}
		}
	}
	if seen < 200 {
		t.Errorf("only %d names checked", seen)
	}
}

func TestUnreadableLinesAreErrors(t *testing.T) {
	for _, src := range []string{"oneof x {", "message A {\n map<string, string> m = 1;\n}", "message A {\n  bytes a = 1; bytes b = 2;\n}"} {
		if _, err := parse("x.proto", strings.NewReader(src)); err == nil {
			t.Errorf("%q was read", src)
		}
	}
}

func TestRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "api.md")
	if err := run([]string{"-in", "../tetrad/v1", "-out", out}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(out); err != nil || !bytes.HasPrefix(b, []byte("# API reference")) {
		t.Errorf("%.40q, %v", b, err)
	}
	if err := run([]string{"-in", "nowhere", "-out", out}); err == nil {
		t.Error("a folder that does not exist was read")
	}
}
