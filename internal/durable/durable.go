// Package durable is the seam to the disk: files below one directory, with the
// promises spelled out. What was synced survives power loss, what was written
// survives the death of the process, and WriteFile is all or nothing.
package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// FS is a directory tree owned by one node. Names are slash-separated and relative.
type FS interface {
	Open(name string) (File, error) // created when missing, parents included
	ReadFile(name string) ([]byte, error)
	WriteFile(name string, data []byte) error // atomic: temporary file, fsync, rename, fsync of the directory
	Remove(name string) error                 // no error when missing
	Rename(from, to string) error             // followed by fsync of the directory
	List(dir string) ([]string, error)        // base names, sorted; empty when missing
	Free() (uint64, error)                    // bytes left for this node
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// Dir returns an FS over a directory of the operating system, created when missing
// with mode 0700.
func Dir(root string) (FS, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, Coded(err, "creating %s", root)
	}
	return dir(root), nil
}

// Coded gives a file error its code: DiskFull, NotFound or DiskFailed.
func Coded(err error, format string, args ...any) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errs.Wrap(errs.DiskFull, err, format, args...).WithHint("free disk space in the data directory; nothing acknowledged is lost")
	case errors.Is(err, fs.ErrNotExist):
		return errs.Wrap(errs.NotFound, err, format, args...)
	}
	return errs.Wrap(errs.DiskFailed, err, format, args...)
}

type dir string

func (d dir) path(name string) (string, error) {
	if name == "" || !fs.ValidPath(name) {
		return "", errs.New(errs.Invalid, "file name %q is not a clean relative path", name)
	}
	return filepath.Join(string(d), filepath.FromSlash(name)), nil
}

func (d dir) Open(name string) (File, error) {
	p, err := d.path(name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = create(p)
	}
	if err != nil {
		return nil, Coded(err, "opening %s", name)
	}
	return osFile{f}, nil
}

// create makes a file whose name survives power loss: syncing the file alone would not
// promise that.
func create(path string) (*os.File, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := syncDir(d); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	return f, nil
}

func (d dir) ReadFile(name string) ([]byte, error) {
	p, err := d.path(name)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(p)
	return b, Coded(err, "reading %s", name)
}

func (d dir) WriteFile(name string, data []byte) error {
	p, err := d.path(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		return Coded(err, "writing %s", name)
	}
	return Coded(writeAtomic(p, data), "writing %s", name)
}

func writeAtomic(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return err
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (d dir) Remove(name string) error {
	p, err := d.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Coded(err, "removing %s", name)
	}
	return nil
}

func (d dir) Rename(from, to string) error {
	a, err := d.path(from)
	if err != nil {
		return err
	}
	b, err := d.path(to)
	if err != nil {
		return err
	}
	if err := os.Rename(a, b); err != nil {
		return Coded(err, "renaming %s", from)
	}
	return Coded(syncDir(filepath.Dir(b)), "renaming %s", from)
}

func (d dir) List(name string) ([]string, error) {
	p, err := d.path(name)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".tmp-") {
			out = append(out, e.Name())
		}
	}
	sort.Strings(out)
	return out, Coded(err, "listing %s", name)
}

func (d dir) Free() (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(string(d), &st); err != nil {
		return 0, Coded(err, "reading free space of %s", string(d))
	}
	return st.Bavail * uint64(st.Bsize), nil
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, Coded(err, "size of %s", f.Name())
	}
	return st.Size(), nil
}
