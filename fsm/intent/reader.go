package intent

import (
	"encoding/binary"

	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/fsm/intent/octets"
)

// reader consumes Bitcoin's serialisation: the shortest form of every length.
type reader struct{ octets.Reader }

// compact reads a compact size.
func (r *reader) compact() uint64 {
	first := r.U8()
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
	copy(b[:], r.Take(width))
	v := binary.LittleEndian.Uint64(b[:])
	if r.Err == nil && v < least {
		r.Fail("length %d is not in its shortest form", v)
	}
	return v
}

// count reads a number of elements that take at least size bytes each.
func (r *reader) count(size int) int {
	return r.Fits(r.compact(), size)
}

// bytes reads a length and as many bytes.
func (r *reader) bytes() []byte { return r.Take(r.count(1)) }

// readTransaction parses one whole transaction. The library's own reader allocates for
// the counts it is told, whatever follows; this one does not.
func readTransaction(b []byte, witness bool) (*wire.MsgTx, error) {
	r := &reader{octets.Reader{B: b}}
	tx := wire.NewMsgTx(int32(r.U32()))
	segwit := witness && r.Left() >= 2 && r.B[r.Off] == 0 && r.B[r.Off+1] == 1
	if segwit {
		r.Take(2)
	}
	for range r.count(41) {
		in := &wire.TxIn{}
		copy(in.PreviousOutPoint.Hash[:], r.Take(chainhash.HashSize))
		in.PreviousOutPoint.Index = r.U32()
		in.SignatureScript = r.bytes()
		in.Sequence = r.U32()
		tx.AddTxIn(in)
	}
	for range r.count(9) {
		out := &wire.TxOut{Value: int64(r.U64())}
		out.PkScript = r.bytes()
		tx.AddTxOut(out)
	}
	for i := 0; segwit && i < len(tx.TxIn) && r.Err == nil; i++ {
		for range r.count(1) {
			tx.TxIn[i].Witness = append(tx.TxIn[i].Witness, r.bytes())
		}
	}
	tx.LockTime = r.U32()
	if r.Err == nil && len(tx.TxIn) == 0 {
		r.Fail("transaction without inputs")
	}
	return tx, r.Done()
}
