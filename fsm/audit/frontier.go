package audit

import (
	"bytes"
	"crypto/sha256"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Frontier is the right edge of an RFC 6962 tree (a compact range from 0): the roots
// of its complete subtrees, largest first, one for each bit set in the size. It is
// all that appending and the root need. The zero value is the empty tree.
//
// Append changes the receiver; a copy that must not follow is made with Clone.
type Frontier struct {
	size  uint64
	nodes [][32]byte
}

// Size returns the number of leaves.
func (f *Frontier) Size() uint64 { return f.size }

// Append adds a leaf hash.
func (f *Frontier) Append(leaf [32]byte) { f.AppendStored(nil, leaf) }

// AppendStored adds a leaf hash and appends to dst the hashes that come into being:
// the leaf's own and those of the subtrees it completes, in tlog's storage order.
func (f *Frontier) AppendStored(dst []byte, leaf [32]byte) []byte {
	keep := dst != nil
	if keep {
		dst = append(dst, leaf[:]...)
	}
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.nodes) - 1
		leaf = tlog.NodeHash(f.nodes[last], leaf)
		f.nodes = f.nodes[:last]
		if keep {
			dst = append(dst, leaf[:]...)
		}
	}
	f.nodes = append(f.nodes, leaf)
	f.size++
	return dst
}

// FrontierAt reads the right edge of the first size leaves from a stored tree.
func FrontierAt(hashes tlog.HashReader, size uint64) (Frontier, error) {
	var indexes []int64
	start := uint64(0)
	for level := 63; level >= 0; level-- {
		if size&(1<<level) != 0 {
			indexes = append(indexes, tlog.StoredHashIndex(level, int64(start>>level)))
			start += 1 << level
		}
	}
	f := Frontier{size: size}
	if len(indexes) == 0 {
		return f, nil
	}
	nodes, err := hashes.ReadHashes(indexes)
	if err != nil {
		return Frontier{}, err
	}
	for _, h := range nodes {
		f.nodes = append(f.nodes, h)
	}
	return f, nil
}

// Prefixes returns the frontiers of the smaller trees f itself attests: one at the
// end of each complete subtree, ascending; the last is f.
func (f *Frontier) Prefixes() []Frontier {
	out := make([]Frontier, 0, len(f.nodes))
	end := uint64(0)
	for i := range f.nodes {
		rest := f.size - end
		end += 1 << (bits.Len64(rest) - 1)
		out = append(out, Frontier{end, append([][32]byte(nil), f.nodes[:i+1]...)})
	}
	return out
}

// Root returns the tree head; SHA-256 of nothing for the empty tree.
func (f *Frontier) Root() [32]byte {
	if len(f.nodes) == 0 {
		return sha256.Sum256(nil)
	}
	root := f.nodes[len(f.nodes)-1]
	for i := len(f.nodes) - 2; i >= 0; i-- {
		root = tlog.NodeHash(f.nodes[i], root)
	}
	return root
}

// Clone returns an independent copy.
func (f *Frontier) Clone() Frontier {
	return Frontier{f.size, append(make([][32]byte, 0, len(f.nodes)+1), f.nodes...)}
}

// Equal reports whether both are the right edge of the same tree.
func (f *Frontier) Equal(o *Frontier) bool {
	return f.size == o.size && bytes.Equal(f.Encode(), o.Encode())
}

// frontierFormat is the only frontier format so far.
const frontierFormat = 1

// Encode returns the canonical form: format, size, nodes.
func (f *Frontier) Encode() []byte {
	w := wire.NewWriter(9 + 32*len(f.nodes))
	w.U8(frontierFormat)
	w.U64(f.size)
	for i := range f.nodes {
		w.Fixed(f.nodes[i][:])
	}
	return w.Bytes()
}

// DecodeFrontier parses the canonical form.
func DecodeFrontier(b []byte) (Frontier, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != frontierFormat {
		r.Fail("frontier format %d, this version reads %d", v, frontierFormat)
	}
	f := Frontier{size: r.U64()}
	if f.size > MaxSize {
		return Frontier{}, errs.New(errs.Malformed, "audit tree of %d leaves, limit %d", f.size, uint64(MaxSize))
	}
	for range bits.OnesCount64(f.size) {
		var h [32]byte
		r.Fixed(h[:])
		f.nodes = append(f.nodes, h)
	}
	if err := r.Done(); err != nil {
		return Frontier{}, err
	}
	return f, nil
}
