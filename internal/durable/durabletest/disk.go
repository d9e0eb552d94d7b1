// Package durabletest is a disk in memory that loses what was not synced, fails by
// rule and runs full: the double of durable.FS for tests and simulations.
//
// Every file has two sides: what a reader sees now (volatile), and what survives
// power loss (synced), with the writes between them in order. Kill ends a process
// and keeps the volatile side; Crash cuts the power and keeps the synced one, plus
// whatever part of the rest chance lets through.
package durabletest

import (
	"io"
	"io/fs"
	"math/rand"
	"path"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Disk is a durable.FS in memory. Safe for concurrent use.
type Disk struct {
	mu       sync.Mutex
	files    map[string]*node
	rules    []*Rule
	counts   map[Op]int
	capacity int64 // 0: unbounded
	used     int64
	fenced   bool
}

// node is one file. Handles stay valid when it is renamed or removed, as on Unix.
type node struct {
	now     []byte
	synced  []byte
	pending []change // what separates synced from now
	named   bool     // its name survives power loss
}

// change is one unsynced write, or a truncation to off where data is nil.
type change struct {
	off  int64
	data []byte
}

// New returns an empty disk.
func New() *Disk { return &Disk{files: map[string]*node{}, counts: map[Op]int{}} }

var _ durable.FS = (*Disk)(nil)

func (n *node) apply(to []byte, c change) []byte {
	if c.data == nil {
		return resize(to, c.off)
	}
	if end := c.off + int64(len(c.data)); end > int64(len(to)) {
		to = resize(to, end)
	}
	copy(to[c.off:], c.data)
	return to
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		clear(b[size:])
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

func (n *node) clone() *node {
	c := &node{now: append([]byte(nil), n.now...), synced: append([]byte(nil), n.synced...), named: n.named}
	c.pending = append(c.pending, n.pending...) // data of a change is never written again
	return c
}

func (n *node) sync() {
	for _, c := range n.pending {
		n.synced = n.apply(n.synced, c)
	}
	n.pending, n.named = nil, true
}

// Kill ends the process that used d: every handle fails from now on, and the
// returned disk holds all that was written, synced or not.
func (d *Disk) Kill() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fenced = true
	return d.copyLocked(func(n *node) *node { return n.clone() })
}

// Crash cuts the power: every handle fails from now on, and the returned disk holds
// what was synced. With rng, each unsynced write survives whole, torn or not at all,
// independently of its order; without, none does.
func (d *Disk) Crash(rng *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fenced = true
	return d.crashLocked(rng)
}

// CrashClone is Crash on a copy: d goes on working.
func (d *Disk) CrashClone(rng *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crashLocked(rng)
}

func (d *Disk) crashLocked(rng *rand.Rand) *Disk {
	return d.copyLocked(func(n *node) *node {
		if !n.named && (rng == nil || rng.Intn(2) == 0) {
			return nil
		}
		c := &node{synced: append([]byte(nil), n.synced...), named: true}
		for _, p := range n.pending {
			if rng != nil {
				c.synced = c.applyMaybe(c.synced, p, rng)
			}
		}
		c.now = append([]byte(nil), c.synced...)
		return c
	})
}

func (n *node) applyMaybe(to []byte, c change, rng *rand.Rand) []byte {
	switch rng.Intn(3) {
	case 0:
		return to
	case 1:
		return n.apply(to, c)
	}
	if len(c.data) == 0 {
		return to
	}
	torn := change{c.off, c.data[:rng.Intn(len(c.data)):len(c.data)]}
	if rng.Intn(2) == 0 { // the size reached the disk, the rest of the data did not
		to = n.apply(to, change{c.off, make([]byte, len(c.data))})
	}
	if len(torn.data) == 0 {
		return to
	}
	return n.apply(to, torn)
}

func (d *Disk) copyLocked(each func(*node) *node) *Disk {
	out := New()
	out.capacity = d.capacity
	names := make([]string, 0, len(d.files))
	for name := range d.files {
		names = append(names, name)
	}
	sort.Strings(names) // chance is spent in one order
	for _, name := range names {
		if n := each(d.files[name]); n != nil {
			out.files[name] = n
			out.used += int64(len(n.now))
		}
	}
	return out
}

// SetCapacity makes the disk full at n bytes; 0 removes the bound.
func (d *Disk) SetCapacity(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = n
}

// Used returns the bytes in all files.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}

// Names returns every file's full name, sorted.
func (d *Disk) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for name := range d.files {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// Flip inverts one bit of a stored file on both sides, as a failing medium does.
func (d *Disk) Flip(name string, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.files[name]
	if !ok || offset < 0 || offset >= int64(len(n.now)) {
		return errs.New(errs.NotFound, "no byte %d in %s", offset, name)
	}
	n.now[offset] ^= 1
	if offset < int64(len(n.synced)) {
		n.synced[offset] ^= 1
	}
	return nil
}

// do counts op, applies the rules, and runs act under the lock unless a rule says
// that the operation fails without effect.
func (d *Disk) do(op Op, name string, act func() error) error {
	d.mu.Lock()
	if d.fenced {
		d.mu.Unlock()
		return errs.New(errs.DiskFailed, "%s %s: this process was ended", op, name)
	}
	r, delay := d.match(op, name)
	d.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fenced {
		return errs.New(errs.DiskFailed, "%s %s: this process was ended", op, name)
	}
	if r == nil || r.Err == nil {
		return act()
	}
	if r.Stored {
		_ = act()
	} else if n := d.files[name]; n != nil && op == OpSync {
		n.pending = nil // a failed fsync marks pages clean: a later one will not write them
	}
	return durable.Coded(r.Err, "%s %s", op, name)
}

func valid(name string) error {
	if name == "" || !fs.ValidPath(name) {
		return errs.New(errs.Invalid, "file name %q is not a clean relative path", name)
	}
	return nil
}

// Open returns a handle, creating the file when missing.
func (d *Disk) Open(name string) (durable.File, error) {
	if err := valid(name); err != nil {
		return nil, err
	}
	var h *handle
	err := d.do(OpOpen, name, func() error {
		if d.files[name] == nil {
			d.files[name] = &node{}
		}
		h = &handle{d: d, name: name, n: d.files[name]}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// ReadFile returns a copy of the volatile side.
func (d *Disk) ReadFile(name string) (b []byte, err error) {
	err = d.do(OpRead, name, func() error {
		n, ok := d.files[name]
		if !ok {
			return durable.Coded(fs.ErrNotExist, "reading %s", name)
		}
		b = append([]byte{}, n.now...)
		return nil
	})
	return b, err
}

// WriteFile replaces a file durably, or not at all.
func (d *Disk) WriteFile(name string, data []byte) error {
	if err := valid(name); err != nil {
		return err
	}
	return d.do(OpWriteFile, name, func() error {
		var old int64
		if n := d.files[name]; n != nil {
			old = int64(len(n.now))
		}
		if d.capacity > 0 && d.used+int64(len(data)) > d.capacity { // both exist for a moment
			return durable.Coded(syscall.ENOSPC, "writing %s", name)
		}
		d.used += int64(len(data)) - old
		d.files[name] = &node{now: append([]byte(nil), data...), synced: append([]byte(nil), data...), named: true}
		return nil
	})
}

// Remove deletes a file, durably.
func (d *Disk) Remove(name string) error {
	return d.do(OpRemove, name, func() error {
		if n := d.files[name]; n != nil {
			d.used -= int64(len(n.now))
			delete(d.files, name)
		}
		return nil
	})
}

// Rename moves a file over another, durably.
func (d *Disk) Rename(from, to string) error {
	return d.do(OpRename, from, func() error {
		n, ok := d.files[from]
		if !ok {
			return durable.Coded(fs.ErrNotExist, "renaming %s", from)
		}
		if old := d.files[to]; old != nil && old != n {
			d.used -= int64(len(old.now))
		}
		delete(d.files, from)
		d.files[to], n.named = n, true
		return nil
	})
}

// List returns the names directly below dir.
func (d *Disk) List(dir string) (out []string, err error) {
	err = d.do(OpList, dir, func() error {
		seen := map[string]bool{}
		for name := range d.files {
			rest, ok := strings.CutPrefix(name, path.Clean(dir)+"/")
			if dir == "." {
				rest, ok = name, true
			}
			if base, _, _ := strings.Cut(rest, "/"); ok && !seen[base] {
				seen[base] = true
				out = append(out, base)
			}
		}
		sort.Strings(out)
		return nil
	})
	return out, err
}

// Free returns the bytes left.
func (d *Disk) Free() (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.capacity == 0 {
		return 1 << 40, nil
	}
	return uint64(max(0, d.capacity-d.used)), nil
}

type handle struct {
	d    *Disk
	name string
	n    *node
}

func (h *handle) ReadAt(p []byte, off int64) (got int, err error) {
	err = h.d.do(OpRead, h.name, func() error {
		if off >= int64(len(h.n.now)) {
			return io.EOF
		}
		if got = copy(p, h.n.now[off:]); got < len(p) {
			return io.EOF
		}
		return nil
	})
	return got, err
}

func (h *handle) WriteAt(p []byte, off int64) (put int, err error) {
	err = h.d.do(OpWrite, h.name, func() error {
		data, full := append(make([]byte, 0, len(p)), p...), error(nil)
		if grow := off + int64(len(p)) - int64(len(h.n.now)); grow > 0 && h.d.capacity > 0 {
			if over := grow - max(0, h.d.capacity-h.d.used); over > 0 {
				data, full = data[:max(0, int64(len(data))-over)], durable.Coded(syscall.ENOSPC, "writing %s", h.name)
			}
		}
		if put = len(data); put > 0 {
			h.change(change{off, data})
		}
		return full
	})
	if err != nil && errs.CodeOf(err) != errs.DiskFull {
		put = 0
	}
	return put, err
}

func (h *handle) change(c change) {
	before := int64(len(h.n.now))
	h.n.now = h.n.apply(h.n.now, c)
	h.d.used += int64(len(h.n.now)) - before
	h.n.pending = append(h.n.pending, c)
}

func (h *handle) Sync() error {
	return h.d.do(OpSync, h.name, func() error { h.n.sync(); return nil })
}

func (h *handle) Truncate(size int64) error {
	return h.d.do(OpTruncate, h.name, func() error { h.change(change{off: size}); return nil })
}

func (h *handle) Size() (size int64, err error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.n.now)), nil
}

func (h *handle) Close() error { return nil }
