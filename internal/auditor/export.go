package auditor

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// An export is a sequence of frames, each a four-byte length and that many bytes:
// header, leaves from 0 on, an empty frame, checkpoint. See docs/spec/export.md.
const (
	exportDomain = "tetrad/export/v1"
	exportFormat = 1
)

// Writer writes an export.
type Writer struct {
	w    *bufio.Writer
	tree audit.Frontier
}

// NewWriter begins an export with the encoded genesis.
func NewWriter(w io.Writer, genesis []byte) (*Writer, error) {
	h := wire.NewWriter(64 + len(genesis))
	h.String(exportDomain)
	h.U8(exportFormat)
	h.Blob(genesis)
	out := &Writer{w: bufio.NewWriterSize(w, 64<<10)}
	return out, out.frame(h.Bytes())
}

func (w *Writer) frame(b []byte) error {
	if _, err := w.w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b)))); err != nil {
		return err
	}
	_, err := w.w.Write(b)
	return err
}

// Leaf adds the next leaf.
func (w *Writer) Leaf(l *audit.Leaf) error {
	if l.Seq != w.tree.Size() {
		return errs.New(errs.Invalid, "export: audit leaf %d follows %d others", l.Seq, w.tree.Size())
	}
	b, hash := l.EncodeAndHash()
	w.tree.Append(hash)
	return w.frame(b)
}

// Tree returns the tree of the leaves written so far.
func (w *Writer) Tree() audit.Frontier { return w.tree.Clone() }

// Close ends the export with a checkpoint of exactly its leaves.
func (w *Writer) Close(c *audit.Checkpoint) error {
	if c.Size != w.tree.Size() || c.Root != w.tree.Root() {
		return errs.New(errs.Unverified, "export: the checkpoint of %d leaves is not that of the %d exported", c.Size, w.tree.Size()).
			WithHint("export again: the source's leaves and its checkpoint disagree")
	}
	if err := w.frame(nil); err != nil {
		return err
	}
	if err := w.frame(c.Encode()); err != nil {
		return err
	}
	return w.w.Flush()
}

// Reader reads an export. It checks form only; Verify judges.
type Reader struct {
	r          *bufio.Reader
	genesis    []byte
	checkpoint *audit.Checkpoint
	frames     uint64
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	in := &Reader{r: bufio.NewReaderSize(r, 64<<10)}
	b, err := in.frame(maxHeader)
	if err != nil {
		return nil, err
	}
	h := wire.NewReader(b)
	if d := h.String(len(exportDomain)); h.Err() == nil && d != exportDomain {
		h.Fail("not an export of the audit log")
	}
	if v := h.U8(); h.Err() == nil && v != exportFormat {
		h.Fail("export format %d, this version reads %d", v, exportFormat)
	}
	in.genesis = h.Blob(command.MaxField)
	return in, h.Done()
}

func (r *Reader) frame(limit uint32) ([]byte, error) {
	var n [4]byte
	if _, err := io.ReadFull(r.r, n[:]); err != nil {
		return nil, r.cut(err)
	}
	size := binary.BigEndian.Uint32(n[:])
	if size > limit {
		return nil, errs.New(errs.TooLarge, "export: frame %d of %d bytes, limit %d", r.frames, size, limit)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return nil, r.cut(err)
	}
	r.frames++
	return b, nil
}

// cut tells a file that ends early from a medium that fails.
func (r *Reader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errs.New(errs.Malformed, "export: it ends within frame %d", r.frames).WithHint("the file was cut off: export again")
	}
	return errs.Wrap(errs.DiskFailed, err, "reading the export")
}

// Genesis returns the genesis the header carries, decoded and not yet verified.
func (r *Reader) Genesis() (*genesis.Genesis, error) { return genesis.Decode(r.genesis) }

// Next returns the next leaf, io.EOF after the last.
func (r *Reader) Next() (*audit.Leaf, error) {
	if r.checkpoint != nil {
		return nil, io.EOF
	}
	b, err := r.frame(maxFrame)
	if err != nil {
		return nil, err
	}
	if len(b) > 0 {
		return audit.DecodeLeaf(b)
	}
	if b, err = r.frame(maxFrame); err != nil {
		return nil, err
	}
	c, err := audit.DecodeCheckpoint(b)
	if err != nil {
		return nil, err
	}
	if _, err := r.r.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errs.New(errs.Malformed, "export: bytes follow the checkpoint")
	}
	r.checkpoint = c
	return nil, io.EOF
}

// Checkpoint returns the checkpoint, once Next returned io.EOF.
func (r *Reader) Checkpoint() *audit.Checkpoint { return r.checkpoint }
