// Package wire is the canonical binary form of everything Tetrad stores, hashes
// or signs: fixed-width big-endian integers and byte strings with a four-byte
// length. One value has one encoding; a reader refuses trailing bytes, so that
// what was hashed is what was read.
package wire

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Writer appends canonical fields to a buffer. The zero value is ready.
type Writer struct{ buf []byte }

// NewWriter returns a writer whose buffer has room for n bytes.
func NewWriter(n int) *Writer { return &Writer{buf: make([]byte, 0, n)} }

// Bytes returns what was written; the writer must not be used afterwards.
func (w *Writer) Bytes() []byte { return w.buf }

// Len returns the number of bytes written so far.
func (w *Writer) Len() int { return len(w.buf) }

// U8 appends one byte.
func (w *Writer) U8(v uint8) { w.buf = append(w.buf, v) }

// U16 appends two bytes, big-endian.
func (w *Writer) U16(v uint16) { w.buf = binary.BigEndian.AppendUint16(w.buf, v) }

// U32 appends four bytes, big-endian.
func (w *Writer) U32(v uint32) { w.buf = binary.BigEndian.AppendUint32(w.buf, v) }

// U64 appends eight bytes, big-endian.
func (w *Writer) U64(v uint64) { w.buf = binary.BigEndian.AppendUint64(w.buf, v) }

// Time appends t as Unix milliseconds.
func (w *Writer) Time(t time.Time) { w.U64(uint64(t.UnixMilli())) }

// Bool appends 0 or 1.
func (w *Writer) Bool(v bool) {
	if v {
		w.U8(1)
	} else {
		w.U8(0)
	}
}

// Fixed appends b without a length: the reader must know it.
func (w *Writer) Fixed(b []byte) { w.buf = append(w.buf, b...) }

// Blob appends a four-byte length and b.
func (w *Writer) Blob(b []byte) { w.U32(uint32(len(b))); w.buf = append(w.buf, b...) }

// String appends s as a Blob.
func (w *Writer) String(s string) { w.U32(uint32(len(s))); w.buf = append(w.buf, s...) }

// Extra appends a field that only some values have: its tag and, as a Blob, what write writes.
// Tags ascend; Reader.Extras reads them.
func (w *Writer) Extra(tag uint8, write func(*Writer)) {
	x := NewWriter(64)
	write(x)
	w.U8(tag)
	w.Blob(x.Bytes())
}

// Reader consumes canonical fields. The first fault sticks: later reads return
// zero values, and Done reports it. Returned slices alias the input.
type Reader struct {
	buf []byte
	off int
	err error
}

// NewReader reads from b.
func NewReader(b []byte) *Reader { return &Reader{buf: b} }

func (r *Reader) take(n int, what string) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || len(r.buf)-r.off < n {
		r.err = errs.New(errs.Malformed, "%s at byte %d: need %d bytes, have %d", what, r.off, n, len(r.buf)-r.off)
		return nil
	}
	b := r.buf[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

// U8 reads one byte.
func (r *Reader) U8() uint8 {
	if b := r.take(1, "uint8"); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads two bytes.
func (r *Reader) U16() uint16 {
	if b := r.take(2, "uint16"); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 reads four bytes.
func (r *Reader) U32() uint32 {
	if b := r.take(4, "uint32"); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 reads eight bytes.
func (r *Reader) U64() uint64 {
	if b := r.take(8, "uint64"); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Time reads Unix milliseconds.
func (r *Reader) Time() time.Time { return time.UnixMilli(int64(r.U64())).UTC() }

// Bool reads one byte that must be 0 or 1.
func (r *Reader) Bool() bool {
	switch v := r.U8(); v {
	case 0:
		return false
	case 1:
		return true
	default:
		r.Fail("boolean byte is %d, not 0 or 1", v)
		return false
	}
}

// Fixed fills dst.
func (r *Reader) Fixed(dst []byte) { copy(dst, r.take(len(dst), "fixed bytes")) }

// Blob reads a byte string of at most limit bytes. Nil when empty.
func (r *Reader) Blob(limit int) []byte {
	n := r.U32()
	if r.err == nil && int64(n) > int64(limit) {
		r.err = errs.New(errs.TooLarge, "byte string at %d has %d bytes, limit %d", r.off, n, limit)
	}
	if r.err != nil || n == 0 {
		return nil
	}
	return r.take(int(n), "byte string")
}

// String reads a string of at most limit bytes.
func (r *Reader) String(limit int) string { return string(r.Blob(limit)) }

// Count reads a four-byte element count of at most limit.
func (r *Reader) Count(limit int) int {
	n := r.U32()
	if r.err == nil && int64(n) > int64(limit) {
		r.Fail("%d elements, limit %d", n, limit)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// Few reads a one-byte element count of at most limit.
func (r *Reader) Few(limit int) int {
	n := int(r.U8())
	if n > limit {
		r.Fail("%d elements, limit %d", n, limit)
	}
	if r.err != nil {
		return 0
	}
	return n
}

// Fail records a fault of the caller's own finding, unless one stands already.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = errs.New(errs.Malformed, "%s at byte %d", fmt.Sprintf(format, args...), r.off)
	}
}

// Err returns the first fault so far.
func (r *Reader) Err() error { return r.err }

// More reports whether something is left to read.
func (r *Reader) More() bool { return r.err == nil && r.off < len(r.buf) }

// Rest returns the unread bytes and consumes them.
func (r *Reader) Rest() []byte { return r.take(len(r.buf)-r.off, "rest") }

// Extras reads to the end what Writer.Extra wrote, in ascending order of tags, each of at most
// limit bytes. read takes one's content whole, and reports whether it knows the tag.
func (r *Reader) Extras(limit int, read func(tag uint8, x *Reader) bool) {
	for last := uint8(0); r.More(); {
		tag := r.U8()
		if tag <= last {
			r.Fail("extra %d after %d", tag, last)
		}
		last = tag
		x := NewReader(r.Blob(limit))
		if !read(tag, x) {
			r.Fail("extra %d is unknown", tag)
		}
		if err := x.Done(); err != nil {
			r.Fail("extra %d: %v", tag, err)
		}
	}
}

// Done returns the first fault, or one for trailing bytes.
func (r *Reader) Done() error {
	if r.err == nil && r.off != len(r.buf) {
		r.Fail("%d trailing bytes", len(r.buf)-r.off)
	}
	return r.err
}
