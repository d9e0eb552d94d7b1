package solana

import (
	"encoding/binary"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// reader consumes bytes strictly; the first fault sticks. Results alias the input.
type reader struct {
	b   []byte
	off int
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		e := errs.New(errs.Malformed, format, args...)
		r.err = errs.Wrap(errs.Malformed, e, "at byte %d", r.off)
	}
}

func (r *reader) left() int { return len(r.b) - r.off }

func (r *reader) take(n int) []byte {
	if r.err != nil || n > r.left() {
		r.fail("need %d bytes, have %d", n, r.left())
		return nil
	}
	out := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return out
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) key() (a Address) {
	copy(a[:], r.take(len(a)))
	return a
}

// compact reads a compact-u16: seven bits a byte, low first, in the fewest bytes.
func (r *reader) compact() int {
	v := 0
	for i := range 3 {
		b := r.u8()
		v |= int(b&0x7f) << (7 * i)
		switch {
		case r.err != nil:
			return 0
		case b == 0 && i > 0:
			r.fail("length %d is not in its shortest form", v)
			return 0
		case v > 0xffff:
			r.fail("length does not fit in 16 bits")
			return 0
		case b < 0x80:
			return v
		}
	}
	r.fail("length of more than three bytes")
	return 0
}

// count reads a number of elements that take at least size bytes each.
func (r *reader) count(size int) int {
	n := r.compact()
	if r.err == nil && n > r.left()/size {
		r.fail("%d elements do not fit in %d bytes", n, r.left())
	}
	if r.err != nil {
		return 0
	}
	return n
}

// bytes reads a length and as many bytes.
func (r *reader) bytes() []byte { return r.take(r.count(1)) }

func (r *reader) done() error {
	if r.err == nil && r.left() != 0 {
		r.fail("%d trailing bytes", r.left())
	}
	return r.err
}

func appendCompact(b []byte, v int) []byte {
	for v >= 0x80 {
		b, v = append(b, byte(v)|0x80), v>>7
	}
	return append(b, byte(v))
}

func appendBytes(b, v []byte) []byte { return append(appendCompact(b, len(v)), v...) }

func u32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
