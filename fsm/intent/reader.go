package intent

import (
	"encoding/binary"

	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// reader consumes Bitcoin's serialisation strictly: shortest form of every length, and
// no count is believed beyond the bytes that are left. The first fault sticks. Results
// alias the input.
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
	if r.err != nil || n < 0 || n > r.left() {
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

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// compact reads a compact size.
func (r *reader) compact() uint64 {
	first := r.u8()
	width, least := 0, uint64(0)
	switch first {
	case 0xfd:
		width, least = 2, 0xfd
	case 0xfe:
		width, least = 4, 1<<16
	case 0xff:
		width, least = 8, 1<<32
	default:
		return uint64(first)
	}
	var b [8]byte
	copy(b[:], r.take(width))
	v := binary.LittleEndian.Uint64(b[:])
	if r.err == nil && v < least {
		r.fail("length %d is not in its shortest form", v)
	}
	return v
}

// count reads a number of elements that take at least size bytes each.
func (r *reader) count(size int) int {
	n := r.compact()
	if r.err == nil && n > uint64(r.left()/size) {
		r.fail("%d elements do not fit in %d bytes", n, r.left())
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// bytes reads a length and as many bytes.
func (r *reader) bytes() []byte { return r.take(r.count(1)) }

func (r *reader) done() error {
	if r.err == nil && r.left() != 0 {
		r.fail("%d trailing bytes", r.left())
	}
	return r.err
}

// readTransaction parses one whole transaction. The library's own reader allocates for
// the counts it is told, whatever follows; this one does not.
func readTransaction(b []byte, witness bool) (*wire.MsgTx, error) {
	r := &reader{b: b}
	tx := wire.NewMsgTx(int32(r.u32()))
	segwit := witness && r.left() >= 2 && r.b[r.off] == 0 && r.b[r.off+1] == 1
	if segwit {
		r.take(2)
	}
	for range r.count(41) {
		in := &wire.TxIn{}
		copy(in.PreviousOutPoint.Hash[:], r.take(chainhash.HashSize))
		in.PreviousOutPoint.Index = r.u32()
		in.SignatureScript = r.bytes()
		in.Sequence = r.u32()
		tx.AddTxIn(in)
	}
	for range r.count(9) {
		out := &wire.TxOut{Value: int64(r.u64())}
		out.PkScript = r.bytes()
		tx.AddTxOut(out)
	}
	for i := 0; segwit && i < len(tx.TxIn) && r.err == nil; i++ {
		for range r.count(1) {
			tx.TxIn[i].Witness = append(tx.TxIn[i].Witness, r.bytes())
		}
	}
	tx.LockTime = r.u32()
	if r.err == nil && len(tx.TxIn) == 0 {
		r.fail("transaction without inputs")
	}
	return tx, r.done()
}
