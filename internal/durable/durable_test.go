package durable_test

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func TestDir(t *testing.T) {
	root := filepath.Join(t.TempDir(), "data")
	fs, err := durable.Dir(root)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Open("a/b/file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("hello"), 3); err != nil {
		t.Fatal(err)
	}
	again, err := fs.Open("a/b/file")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := again.Size(); n != 8 || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
	for range 2 {
		if err := fs.WriteFile("a/b/whole", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.Rename("a/b/whole", "a/b/renamed"); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("a/b")
	if err != nil || !slices.Equal(names, []string{"file", "renamed"}) {
		t.Errorf("%v, %v", names, err)
	}
	for _, name := range []string{"a/b/file", "a/b/renamed"} {
		st, err := os.Stat(filepath.Join(root, name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
		for range 2 {
			if err := fs.Remove(name); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := fs.ReadFile("a/b/file"); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("a removed file: %v", err)
	}
	if names, err := fs.List("nowhere"); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	if free, err := fs.Free(); err != nil || free == 0 {
		t.Errorf("%d bytes free, %v", free, err)
	}
	for _, bad := range []string{"", "/etc/passwd", "../up", "a/../b", "a//b"} {
		if _, err := fs.Open(bad); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, f := range []durable.File{f, again} {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestCoded(t *testing.T) {
	for cause, want := range map[error]errs.Code{syscall.ENOSPC: errs.DiskFull, syscall.EDQUOT: errs.DiskFull, syscall.EIO: errs.DiskFailed, os.ErrNotExist: errs.NotFound} {
		if got := errs.CodeOf(durable.Coded(cause, "writing")); got != want {
			t.Errorf("%v: %s, want %s", cause, got, want)
		}
	}
	if durable.Coded(nil, "writing") != nil {
		t.Error("no error became one")
	}
}
