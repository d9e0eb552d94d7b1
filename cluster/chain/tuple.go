package chain

import (
	"crypto/sha256"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

const version = 1 // of every form here

// Link is one entry's place in the chain. The link before the first entry is
// Link{Hash: lineage}.
type Link struct {
	Term, Index uint64
	Hash        [32]byte
}

// Tuple is what is signed about an entry. Equal tuples mean equal logs up to Index.
type Tuple struct {
	Lineage [32]byte
	Link
}

const (
	linkSize  = 8 + 8 + 32
	tupleSize = 32 + linkSize
)

func (l Link) write(w *wire.Writer) { w.U64(l.Term); w.U64(l.Index); w.Fixed(l.Hash[:]) }

func readLink(r *wire.Reader) (l Link) {
	l.Term, l.Index = r.U64(), r.U64()
	r.Fixed(l.Hash[:])
	return l
}

func (t Tuple) write(w *wire.Writer) { w.Fixed(t.Lineage[:]); t.Link.write(w) }

func readTuple(r *wire.Reader) (t Tuple) {
	r.Fixed(t.Lineage[:])
	t.Link = readLink(r)
	return t
}

// Genesis is the link before the first entry.
func Genesis(lineage [32]byte) Link { return Link{Hash: lineage} }

// upToDate is raft's order of logs: a later last term, or the same and no shorter.
func upToDate(candidate, own Link) bool {
	return candidate.Term > own.Term || candidate.Term == own.Term && candidate.Index >= own.Index
}

// Header is an entry without its bytes: what its chain hash is made of.
type Header struct {
	Prev        [32]byte
	Term, Index uint64
	Type        uint8
	Data        [32]byte // SHA-256 of the bytes
}

// Types of entries, as raft numbers them. No others are ever admitted.
const (
	TypeCommand       = 0
	TypeNoop          = 1
	TypeBarrier       = 4
	TypeConfiguration = 5
)

const chainDomain = "tetrad/chain/v1"

// Hash returns the chain hash.
func (h *Header) Hash() [32]byte {
	w := wire.NewWriter(len(chainDomain) + headerSize)
	w.Fixed([]byte(chainDomain))
	h.write(w)
	return sha256.Sum256(w.Bytes())
}

// Link returns the place of the entry in the chain.
func (h *Header) Link() Link { return Link{h.Term, h.Index, h.Hash()} }

const headerSize = 32 + 8 + 8 + 1 + 32

func (h *Header) write(w *wire.Writer) {
	w.Fixed(h.Prev[:])
	w.U64(h.Term)
	w.U64(h.Index)
	w.U8(h.Type)
	w.Fixed(h.Data[:])
}

func readHeader(r *wire.Reader) (h Header) {
	r.Fixed(h.Prev[:])
	h.Term, h.Index = r.U64(), r.U64()
	h.Type = r.U8()
	r.Fixed(h.Data[:])
	return h
}

func encode(size int, write func(*wire.Writer)) []byte {
	w := wire.NewWriter(1 + size)
	w.U8(version)
	write(w)
	return w.Bytes()
}

// decode reads one versioned form of at most limit bytes, whole.
func decode[T any](b []byte, limit int, what string, read func(*wire.Reader) T) (*T, error) {
	if len(b) > limit {
		return nil, errs.New(errs.TooLarge, "%s of %d bytes, limit %d", what, len(b), limit)
	}
	r := wire.NewReader(b)
	if v := r.U8(); v != version {
		r.Fail("%s version %d", what, v)
	}
	v := read(r)
	if err := r.Done(); err != nil {
		return nil, errs.Wrap(errs.CodeOf(err), err, "%s", what)
	}
	return &v, nil
}
