package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// A sealed snapshot (docs/spec/snapshot-envelope.md):
//
//	length | header | chunk ...          chunk = length | final | sealed bytes
//
// Every chunk is sealed under a context of the header's hash, its number and
// whether it is the last, so that nothing can be cut, moved, swapped or grafted onto
// another place in the log. The header is all that is readable: raft's bookkeeping.

const envelopeDomain = "tetrad/snapshot/v1"

// envelopeHeader says where in which log a snapshot stands.
type envelopeHeader struct {
	Lineage     [32]byte
	Link        link   // index, term and chain hash of the last entry it contains
	Config      []byte // raft's membership, encoded
	ConfigIndex uint64
}

func (h *envelopeHeader) encode() []byte {
	w := wire.NewWriter(256 + len(h.Config))
	w.String(envelopeDomain)
	w.Fixed(h.Lineage[:])
	w.U64(h.Link.index)
	w.U64(h.Link.term)
	w.Fixed(h.Link.chain[:])
	w.Blob(h.Config)
	w.U64(h.ConfigIndex)
	return w.Bytes()
}

func decodeEnvelopeHeader(b []byte) (envelopeHeader, error) {
	r, h := wire.NewReader(b), envelopeHeader{}
	if d := r.String(len(envelopeDomain)); d != envelopeDomain && r.Err() == nil {
		r.Fail("snapshot format %q", d)
	}
	r.Fixed(h.Lineage[:])
	h.Link.index, h.Link.term = r.U64(), r.U64()
	r.Fixed(h.Link.chain[:])
	h.Config = bytes.Clone(r.Blob(maxConfig))
	h.ConfigIndex = r.U64()
	if err := r.Done(); err != nil {
		return h, errs.Wrap(errs.Corrupt, err, "snapshot header")
	}
	_, err := decodeConfiguration(h.Config)
	return h, err
}

const maxEnvelopeHeader = maxConfig + 512

func readEnvelopeHeader(r io.Reader) (h envelopeHeader, hash [32]byte, err error) {
	var n [4]byte
	if _, err = io.ReadFull(r, n[:]); err != nil {
		return h, hash, errs.Wrap(errs.Corrupt, err, "snapshot header")
	}
	size := binary.BigEndian.Uint32(n[:])
	if size > maxEnvelopeHeader {
		return h, hash, errs.New(errs.Corrupt, "snapshot header of %d bytes, limit %d", size, maxEnvelopeHeader)
	}
	b := make([]byte, size)
	if _, err = io.ReadFull(r, b); err != nil {
		return h, hash, errs.Wrap(errs.Corrupt, err, "snapshot header")
	}
	h, err = decodeEnvelopeHeader(b)
	return h, sha256.Sum256(b), err
}

func chunkContext(header [32]byte, number uint64, final bool) []byte {
	w := wire.NewWriter(80)
	w.String(envelopeDomain)
	w.Fixed(header[:])
	w.U64(number)
	w.Bool(final)
	return w.Bytes()
}

// envelopeWriter seals what is written to it; Close writes the final chunk.
type envelopeWriter struct {
	out    io.Writer
	sealer Sealer
	header [32]byte
	number uint64
	buf    []byte
}

func newEnvelopeWriter(out io.Writer, h *envelopeHeader, s Sealer) (*envelopeWriter, error) {
	b := h.encode()
	w := wire.NewWriter(4 + len(b))
	w.Blob(b)
	if _, err := out.Write(w.Bytes()); err != nil {
		return nil, err
	}
	return &envelopeWriter{out: out, sealer: s, header: sha256.Sum256(b), buf: make([]byte, 0, snapshotChunk)}, nil
}

func (e *envelopeWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if len(e.buf) == snapshotChunk {
			if err := e.flush(false); err != nil {
				return n, err
			}
		}
		k := min(len(p), snapshotChunk-len(e.buf))
		e.buf = append(e.buf, p[:k]...)
		p, n = p[k:], n+k
	}
	return n, nil
}

func (e *envelopeWriter) flush(final bool) error {
	sealed, err := e.sealer.Seal(e.buf, chunkContext(e.header, e.number, final))
	if err != nil {
		return err
	}
	w := wire.NewWriter(5 + len(sealed))
	w.U32(uint32(len(sealed)))
	w.Bool(final)
	w.Fixed(sealed)
	e.buf, e.number = e.buf[:0], e.number+1
	_, err = e.out.Write(w.Bytes())
	return err
}

func (e *envelopeWriter) Close() error { return e.flush(true) }

// envelopeReader returns the plaintext. io.EOF comes only after the final chunk was
// opened and nothing followed it.
type envelopeReader struct {
	in     io.Reader
	sealer Sealer
	Header envelopeHeader
	hash   [32]byte
	number uint64
	buf    []byte
	final  bool
	err    error
}

func newEnvelopeReader(in io.Reader, s Sealer) (*envelopeReader, error) {
	h, hash, err := readEnvelopeHeader(in)
	if err != nil {
		return nil, err
	}
	return &envelopeReader{in: in, sealer: s, Header: h, hash: hash}, nil
}

func (e *envelopeReader) Read(p []byte) (int, error) {
	for len(e.buf) == 0 && e.err == nil {
		e.err = e.next()
	}
	if len(e.buf) == 0 {
		return 0, e.err
	}
	n := copy(p, e.buf)
	e.buf = e.buf[n:]
	return n, nil
}

func (e *envelopeReader) next() error {
	var head [5]byte
	n, err := io.ReadFull(e.in, head[:])
	if e.final {
		if n == 0 && err == io.EOF {
			return io.EOF
		}
		return errs.New(errs.Corrupt, "snapshot goes on after its final chunk")
	}
	if err != nil {
		return errs.Wrap(errs.Corrupt, err, "snapshot ends before its final chunk %d", e.number)
	}
	size := binary.BigEndian.Uint32(head[:4])
	if size > snapshotChunk+1024 || head[4] > 1 {
		return errs.New(errs.Corrupt, "snapshot chunk %d is malformed", e.number)
	}
	sealed := make([]byte, size)
	if _, err := io.ReadFull(e.in, sealed); err != nil {
		return errs.Wrap(errs.Corrupt, err, "snapshot chunk %d", e.number)
	}
	e.final = head[4] == 1
	if e.buf, err = e.sealer.Open(sealed, chunkContext(e.hash, e.number, e.final)); err != nil {
		return errs.Wrap(errs.Corrupt, err, "snapshot chunk %d does not open", e.number)
	}
	e.number++
	return nil
}

// meta returns raft's view of the header.
func (h *envelopeHeader) meta(id string, size int64) *raft.SnapshotMeta {
	c, _ := decodeConfiguration(h.Config) // checked when the header was read
	return &raft.SnapshotMeta{Version: 1, ID: id, Index: h.Link.index, Term: h.Link.term,
		Configuration: c, ConfigurationIndex: h.ConfigIndex, Size: size}
}
