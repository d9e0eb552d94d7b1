package replication

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// A record is kind | length | seq | CRC-32C of these | sealed leaf. The checksum only
// guards the framing; the AEAD, bound to the sequence number, decides about content.
const (
	headerLen = 1 + 4 + 8 + 4

	kindAppended = 1 // from this region's own state machine, or checked against a known hash
	kindFetched  = 2 // from another region while its place in the tree was still open
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	kind   uint8
	length uint32
	seq    uint64
}

func (h header) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, h.kind)
	dst = binary.BigEndian.AppendUint32(dst, h.length)
	dst = binary.BigEndian.AppendUint64(dst, h.seq)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func parseHeader(b []byte) (header, bool) {
	if len(b) < headerLen {
		return header{}, false
	}
	h := header{b[0], binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint64(b[5:])}
	ok := crc32.Checksum(b[:13], castagnoli) == binary.BigEndian.Uint32(b[13:]) &&
		(h.kind == kindAppended || h.kind == kindFetched) && h.length <= recordMax
	return h, ok
}

// place is where a record stands in its segment; zero length means nowhere.
type place struct {
	start  uint64 // below 2^40
	length uint32 // header included, below 2^24
}

func (p place) pack() uint64 { return p.start<<24 | uint64(p.length) }

func unpack(v uint64) place { return place{v >> 24, uint32(v & (1<<24 - 1))} }

func recordContext(seq uint64) []byte {
	w := wire.NewWriter(40)
	w.String("tetrad/leaf/v1")
	w.U64(seq)
	return w.Bytes()
}

// appendRecord seals an encoded leaf and appends its record to dst.
func appendRecord(dst []byte, s Sealer, kind uint8, seq uint64, encoded []byte) ([]byte, error) {
	sealed, err := s.Seal(encoded, recordContext(seq))
	if err != nil {
		return dst, err
	}
	if len(sealed) > recordMax {
		return dst, errs.New(errs.TooLarge, "audit leaf %d of %d sealed bytes, limit %d", seq, len(sealed), recordMax)
	}
	return append(header{kind, uint32(len(sealed)), seq}.append(dst), sealed...), nil
}

// openRecord undoes appendRecord and returns the leaf with its hash.
func openRecord(b []byte, s Sealer, seq uint64) (*audit.Leaf, [32]byte, error) {
	h, ok := parseHeader(b)
	if !ok || h.seq != seq || int(h.length) != len(b)-headerLen {
		return nil, [32]byte{}, errs.New(errs.Corrupt, "audit leaf %d: no record of it where the index says", seq)
	}
	plain, err := s.Open(b[headerLen:], recordContext(seq))
	if err != nil {
		return nil, [32]byte{}, errs.Wrap(errs.Corrupt, err, "audit leaf %d", seq)
	}
	l, err := audit.DecodeLeaf(plain)
	if err != nil {
		return nil, [32]byte{}, errs.Wrap(errs.Corrupt, err, "audit leaf %d", seq)
	}
	if l.Seq != seq {
		return nil, [32]byte{}, errs.New(errs.Corrupt, "audit leaf %d: the record holds leaf %d", seq, l.Seq)
	}
	if err := l.CheckFields(); err != nil {
		return nil, [32]byte{}, errs.Wrap(errs.Corrupt, err, "audit leaf %d", seq)
	}
	return l, l.Hash(), nil
}

// scan walks the records of a segment from off. It stops without error at the first
// bytes that are no whole record, and returns where that is.
func scan(f durable.File, off int64, visit func(h header, at int64, record []byte) (bool, error)) (int64, error) {
	buf := make([]byte, scanChunk)
	have, base := 0, off // buf[:have] holds the file from base
	for {
		n, err := f.ReadAt(buf[have:], base+int64(have))
		if err != nil && !errors.Is(err, io.EOF) {
			return off, durable.Coded(err, "scanning audit leaves")
		}
		have += n
		used := 0
		for {
			h, ok := parseHeader(buf[used:have])
			if !ok && have-used >= headerLen {
				return off, nil
			}
			end := used + headerLen + int(h.length)
			if !ok || end > have {
				break
			}
			goOn, err := visit(h, off, buf[used:end])
			if err != nil || !goOn {
				return off, err
			}
			off += int64(end - used)
			used = end
		}
		if n == 0 {
			return off, nil
		}
		copy(buf, buf[used:have])
		base, have = base+int64(used), have-used
		if have == len(buf) {
			buf = append(buf, make([]byte, len(buf))...) // one record larger than the buffer
		}
	}
}
