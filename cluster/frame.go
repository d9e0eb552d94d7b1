package cluster

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// A frame is a four-byte length and that many bytes.

type encoder interface{ encode(w *wire.Writer) }

// frame returns m as one frame, for a single Write.
func frame(m encoder, size int) ([]byte, error) {
	w := wire.NewWriter(4 + size)
	w.U32(0)
	m.encode(w)
	b := w.Bytes()
	if len(b)-4 > maxFrame {
		return nil, errs.New(errs.TooLarge, "message of %d bytes, limit %d", len(b)-4, maxFrame)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b, nil
}

// readFrame reads one frame of at most limit bytes into memory of its own. The
// buffer grows with what arrives, not with what the length claims.
func readFrame(r *bufio.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n > limit {
		return nil, errs.New(errs.TooLarge, "frame of %d bytes, limit %d", n, limit)
	}
	const step = 256 << 10
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		k := min(n-len(b), step)
		b = append(b, make([]byte, k)...)
		if _, err := io.ReadFull(r, b[len(b)-k:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return b, nil
}
