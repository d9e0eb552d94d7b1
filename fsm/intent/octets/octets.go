// Package octets reads foreign serialisations strictly: nothing is believed beyond the bytes
// that are left, and the first fault sticks. What a length looks like is each format's own.
package octets

import (
	"encoding/binary"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Reader consumes B from Off. Results alias B; after a fault (Err, errs.Malformed with the
// place) they are zero.
type Reader struct {
	B   []byte
	Off int
	Err error
}

// Fail is a fault at this place, unless there was one before.
func (r *Reader) Fail(format string, args ...any) {
	if r.Err == nil {
		e := errs.New(errs.Malformed, format, args...)
		r.Err = errs.Wrap(errs.Malformed, e, "at byte %d", r.Off)
	}
}

// Left is how many bytes are left.
func (r *Reader) Left() int { return len(r.B) - r.Off }

// Take returns the next n bytes.
func (r *Reader) Take(n int) []byte {
	if r.Err != nil || n < 0 || n > r.Left() {
		r.Fail("need %d bytes, have %d", n, r.Left())
		return nil
	}
	out := r.B[r.Off : r.Off+n : r.Off+n]
	r.Off += n
	return out
}

// U8 reads a byte.
func (r *Reader) U8() uint8 {
	if b := r.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// U32 reads a little-endian number.
func (r *Reader) U32() uint32 {
	if b := r.Take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// U64 reads a little-endian number.
func (r *Reader) U64() uint64 {
	if b := r.Take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Fits is n if that many elements of at least size bytes each can follow, else a fault and 0.
func (r *Reader) Fits(n uint64, size int) int {
	if r.Err == nil && n > uint64(r.Left()/size) {
		r.Fail("%d elements do not fit in %d bytes", n, r.Left())
	}
	if r.Err != nil {
		return 0
	}
	return int(n)
}

// Done is the first fault; bytes that are left are one.
func (r *Reader) Done() error {
	if r.Err == nil && r.Left() != 0 {
		r.Fail("%d trailing bytes", r.Left())
	}
	return r.Err
}
