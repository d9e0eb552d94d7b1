package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// checkBolt walks every page a bbolt file refers to before bbolt does. bbolt checks
// its meta pages only and panics on damage below them, at open in a goroutine of its
// own, where nobody can catch it. A file another process has locked is left to bbolt,
// which says so: while it is written to it would only look damaged.
func checkBolt(path string) (err error) {
	defer func() {
		var e *errs.Error
		if errors.As(err, &e) {
			err = errs.Wrap(e.Code, e, "%s", filepath.Base(path)).WithHint("%s", e.Hint)
		}
	}()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return durable.Coded(err, "opening a database")
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		return nil
	}
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return durable.Coded(err, "size of a database")
	}
	w := boltWalk{f: f, seen: map[uint64]bool{}}
	if err := w.meta(st.Size()); err != nil {
		return err
	}
	return w.page(w.root, span{depth: 0, top: true})
}

// Layout of a bbolt page, native byte order; ours is little-endian everywhere.
const (
	boltPageHeader = 16
	boltElement    = 16
	boltMagic      = 0xED0CDAED
	boltBranch     = 0x01
	boltLeaf       = 0x02
	boltBucket     = 0x01 // leaf element flag
	boltDepth      = 32
)

// span is what a page may hold: keys from lo up to hi (nil: no bound), and in the top
// tree buckets only.
type span struct {
	lo, hi []byte
	depth  int
	top    bool
}

type boltWalk struct {
	f    io.ReaderAt
	size int64 // of a page
	top  uint64
	root uint64
	seen map[uint64]bool
}

func damaged(format string, args ...any) error {
	return errs.New(errs.Corrupt, "database: "+format, args...).
		WithHint(distrusted)
}

// meta reads the valid meta page with the higher transaction.
func (w *boltWalk) meta(fileSize int64) error {
	best := uint64(0)
	for _, size := range []int64{int64(os.Getpagesize()), 4096, 16384, 65536} {
		for i := range int64(2) {
			b := make([]byte, boltPageHeader+64)
			if _, err := w.f.ReadAt(b, i*size); err != nil {
				continue
			}
			m, h := b[boltPageHeader:], fnv.New64a()
			_, _ = h.Write(m[:56])
			if binary.LittleEndian.Uint32(m) != boltMagic || binary.LittleEndian.Uint64(m[56:]) != h.Sum64() || int64(binary.LittleEndian.Uint32(m[8:])) != size {
				continue
			}
			if tx := binary.LittleEndian.Uint64(m[48:]); w.size == 0 || tx > best {
				best, w.size, w.root, w.top = tx, size, binary.LittleEndian.Uint64(m[16:]), binary.LittleEndian.Uint64(m[40:])
			}
		}
		if w.size != 0 {
			break
		}
	}
	if w.size == 0 {
		return damaged("no valid meta page")
	}
	if w.top > uint64(fileSize/w.size)+1 && uint64(fileSize) < w.root*uint64(w.size) {
		return damaged("the file is cut short")
	}
	return nil
}

func (w *boltWalk) read(id uint64) ([]byte, error) {
	if id < 2 || id >= w.top || w.seen[id] {
		return nil, damaged("page %d is out of bounds or referred to twice", id)
	}
	head := make([]byte, boltPageHeader)
	if _, err := w.f.ReadAt(head, int64(id)*w.size); err != nil {
		return nil, damaged("page %d is missing", id)
	}
	overflow := uint64(binary.LittleEndian.Uint32(head[12:]))
	if binary.LittleEndian.Uint64(head) != id || id+overflow >= w.top {
		return nil, damaged("page %d has a bad header", id)
	}
	for i := id; i <= id+overflow; i++ {
		if w.seen[i] {
			return nil, damaged("page %d is referred to twice", i)
		}
		w.seen[i] = true
	}
	b := make([]byte, int64(overflow+1)*w.size)
	if _, err := w.f.ReadAt(b, int64(id)*w.size); err != nil && !(errors.Is(err, io.EOF) && id+overflow+1 == w.top) {
		return nil, damaged("page %d is cut short", id)
	}
	return b, nil
}

func (w *boltWalk) page(id uint64, in span) error {
	if in.depth > boltDepth {
		return damaged("pages nest too deep")
	}
	b, err := w.read(id)
	if err != nil {
		return err
	}
	return w.elements(b, in)
}

func (w *boltWalk) elements(b []byte, in span) error {
	flags, count := binary.LittleEndian.Uint16(b[8:]), int(binary.LittleEndian.Uint16(b[10:]))
	if flags != boltBranch && flags != boltLeaf || boltPageHeader+count*boltElement > len(b) || flags == boltBranch && count == 0 {
		return damaged("a page has flags %d and %d elements", flags, count)
	}
	keys := make([][]byte, count+1)
	for i := range count {
		if keys[i] = boltKey(b, i, flags); len(keys[i]) == 0 {
			return damaged("a key lies outside its page")
		}
		below := i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0
		if below || bytes.Compare(keys[i], in.lo) < 0 || in.hi != nil && bytes.Compare(keys[i], in.hi) >= 0 {
			return damaged("keys are out of order")
		}
	}
	keys[count] = in.hi
	for i := range count {
		if err := w.element(b, i, flags, span{keys[i], keys[i+1], in.depth + 1, in.top}); err != nil {
			return err
		}
	}
	return nil
}

// boltKey returns key number i, nil when it lies outside the page.
func boltKey(b []byte, i int, flags uint16) []byte {
	at := boltPageHeader + i*boltElement
	pos, size := binary.LittleEndian.Uint32(b[at:]), binary.LittleEndian.Uint32(b[at+4:])
	if flags == boltLeaf {
		pos, size = binary.LittleEndian.Uint32(b[at+4:]), binary.LittleEndian.Uint32(b[at+8:])
	}
	key, _ := slice(b, at, uint64(pos), uint64(size))
	return key
}

func (w *boltWalk) element(b []byte, i int, flags uint16, in span) error {
	at := boltPageHeader + i*boltElement
	e := b[at : at+boltElement]
	if flags == boltBranch {
		return w.page(binary.LittleEndian.Uint64(e[8:]), in)
	}
	kind := binary.LittleEndian.Uint32(e)
	start := uint64(binary.LittleEndian.Uint32(e[4:])) + uint64(binary.LittleEndian.Uint32(e[8:]))
	value, ok := slice(b, at, start, uint64(binary.LittleEndian.Uint32(e[12:])))
	if !ok || kind > boltBucket || (kind == boltBucket) != in.top {
		return damaged("a leaf element is malformed")
	}
	if kind != boltBucket {
		return nil
	}
	return w.bucket(value, in.depth)
}

// bucket walks a bucket of its own pages or, when small, within its value.
func (w *boltWalk) bucket(value []byte, depth int) error {
	if len(value) < 16 {
		return damaged("a bucket is malformed")
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return w.page(root, span{depth: depth})
	}
	if len(value) < 16+boltPageHeader {
		return damaged("an inline bucket is malformed")
	}
	return w.elements(value[16:], span{depth: depth})
}

func slice(b []byte, at int, pos, n uint64) ([]byte, bool) {
	from := uint64(at) + pos
	to := from + n
	if to > uint64(len(b)) {
		return nil, false
	}
	return b[from:to], true
}
