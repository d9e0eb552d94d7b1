package solana

import (
	"encoding/binary"

	"github.com/tetrad-vault/tetrad/fsm/intent/octets"
)

// reader consumes a transaction.
type reader struct{ octets.Reader }

func (r *reader) key() (a Address) {
	copy(a[:], r.Take(len(a)))
	return a
}

// compact reads a compact-u16: seven bits a byte, low first, in the fewest bytes.
func (r *reader) compact() int {
	v := 0
	for i := range 3 {
		b := r.U8()
		v |= int(b&0x7f) << (7 * i)
		switch {
		case r.Err != nil:
			return 0
		case b == 0 && i > 0:
			r.Fail("length %d is not in its shortest form", v)
			return 0
		case v > 0xffff:
			r.Fail("length does not fit in 16 bits")
			return 0
		case b < 0x80:
			return v
		}
	}
	r.Fail("length of more than three bytes")
	return 0
}

// count reads a number of elements that take at least size bytes each.
func (r *reader) count(size int) int { return r.Fits(uint64(r.compact()), size) }

// bytes reads a length and as many bytes.
func (r *reader) bytes() []byte { return r.Take(r.count(1)) }

func appendCompact(b []byte, v int) []byte {
	for v >= 0x80 {
		b, v = append(b, byte(v)|0x80), v>>7
	}
	return append(b, byte(v))
}

func appendBytes(b, v []byte) []byte { return append(appendCompact(b, len(v)), v...) }

func u32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
