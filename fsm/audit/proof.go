package audit

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Proof is a list of subtree hashes as RFC 6962 sections 2.1.1 and 2.1.2 define.
type Proof [][32]byte

func fromTLog(in []tlog.Hash) Proof {
	out := make(Proof, len(in))
	for i, h := range in {
		out[i] = h
	}
	return out
}

func (p Proof) tlog() []tlog.Hash {
	out := make([]tlog.Hash, len(p))
	for i, h := range p {
		out[i] = h
	}
	return out
}

// RootAt returns the root of the first size leaves of a stored tree.
func RootAt(hashes tlog.HashReader, size uint64) ([32]byte, error) {
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	return tlog.TreeHash(int64(size), hashes)
}

// ProveInclusion returns the proof that leaf seq stands in the tree of size leaves.
func ProveInclusion(hashes tlog.HashReader, size, seq uint64) (Proof, error) {
	if seq >= size || size > MaxSize {
		return nil, errs.New(errs.Invalid, "audit leaf %d is not in a tree of %d leaves", seq, size)
	}
	p, err := tlog.ProveRecord(int64(size), int64(seq), hashes)
	return fromTLog(p), err
}

// ProveConsistency returns the proof that the tree of older leaves is a prefix of
// the tree of size leaves.
func ProveConsistency(hashes tlog.HashReader, size, older uint64) (Proof, error) {
	if older > size || size > MaxSize {
		return nil, errs.New(errs.Invalid, "an audit tree of %d leaves is no prefix of one of %d", older, size)
	}
	if older == 0 || older == size {
		return Proof{}, nil
	}
	p, err := tlog.ProveTree(int64(size), int64(older), hashes)
	return fromTLog(p), err
}

// CheckInclusion verifies that leaf stands at seq in the tree (size, root).
func CheckInclusion(p Proof, size uint64, root [32]byte, seq uint64, leaf [32]byte) error {
	if seq >= size || size > MaxSize || len(p) > maxProof {
		return errs.New(errs.Unverified, "audit leaf %d is not in a tree of %d leaves", seq, size)
	}
	if err := tlog.CheckRecord(p.tlog(), int64(size), root, int64(seq), leaf); err != nil {
		return errs.Wrap(errs.Unverified, err, "audit leaf %d in the tree of %d leaves", seq, size)
	}
	return nil
}

// CheckConsistency verifies that (older, olderRoot) is a prefix of (size, root).
func CheckConsistency(p Proof, size uint64, root [32]byte, older uint64, olderRoot [32]byte) error {
	ok := older <= size && size <= MaxSize && len(p) <= maxProof
	switch {
	case ok && older == 0:
		ok = len(p) == 0 && olderRoot == sha256.Sum256(nil)
	case ok && older == size:
		ok = len(p) == 0 && olderRoot == root
	case ok:
		ok = tlog.CheckTree(p.tlog(), int64(size), root, int64(older), olderRoot) == nil
	}
	if !ok {
		return errs.New(errs.Unverified, "the audit tree of %d leaves is not shown to be a prefix of the one of %d", older, size)
	}
	return nil
}
