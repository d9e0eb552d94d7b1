package octets

import (
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// What is read is what stands there, and the first fault is the one that is told.
func TestReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")
		r := &Reader{B: b}
		for r.Err == nil && r.Left() > 0 {
			off := r.Off
			switch n := rapid.IntRange(0, 8).Draw(t, "n"); n {
			case 1:
				if v := r.U8(); v != b[off] {
					t.Fatalf("u8 at %d: %d", off, v)
				}
			case 4:
				if v := r.U32(); r.Err == nil && v != binary.LittleEndian.Uint32(b[off:]) {
					t.Fatalf("u32 at %d: %d", off, v)
				}
			case 8:
				if v := r.U64(); r.Err == nil && v != binary.LittleEndian.Uint64(b[off:]) {
					t.Fatalf("u64 at %d: %d", off, v)
				}
			default:
				if v := r.Take(n); r.Err == nil && string(v) != string(b[off:off+n]) {
					t.Fatalf("%d bytes at %d: %x", n, off, v)
				}
			}
		}
		first := r.Err
		if (r.Done() == nil) != (first == nil) || !errors.Is(r.Err, first) {
			t.Fatalf("done: %v after %v", r.Err, first)
		}
	})
}

func TestFaults(t *testing.T) {
	for name, read := range map[string]func(*Reader){
		"beyond the end":       func(r *Reader) { r.Take(4) },
		"a negative number":    func(r *Reader) { r.Take(-1) },
		"more than can follow": func(r *Reader) { r.Fits(2, 2) },
		"a huge number":        func(r *Reader) { r.Fits(1<<63+1, 1) },
		"trailing bytes":       func(r *Reader) { r.Take(2); _ = r.Done() },
	} {
		r := &Reader{B: []byte{1, 2, 3}}
		read(r)
		if errs.CodeOf(r.Err) != errs.Malformed || r.U8() != 0 || r.Fits(1, 1) != 0 {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
}
