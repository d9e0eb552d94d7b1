package replication

import (
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Root returns the root of the first size leaves, checked to be a prefix of the tree
// this region's state machine holds.
func (s *Store) Root(size uint64) ([32]byte, error) { return s.rootBy(s, size) }

func (s *Store) rootBy(hashes tlog.HashReader, size uint64) ([32]byte, error) {
	gap, edge := s.gapped(), s.Frontier()
	if size == edge.Size() {
		return edge.Root(), nil
	}
	if size > edge.Size() {
		return [32]byte{}, errs.New(errs.NotFound, "the audit tree has %d leaves, not %d", edge.Size(), size)
	}
	root, err := audit.RootAt(hashes, size)
	if err != nil {
		return [32]byte{}, s.unprovable(err, gap)
	}
	p, err := audit.ProveConsistency(hashes, edge.Size(), size)
	if err == nil {
		err = audit.CheckConsistency(p, edge.Size(), edge.Root(), size, root)
	}
	if err != nil {
		return [32]byte{}, s.unprovable(err, gap)
	}
	return root, nil
}

// Prove returns the proof that leaf seq stands in the tree of size leaves.
func (s *Store) Prove(seq, size uint64) (audit.Proof, error) {
	gap := s.gapped()
	root, err := s.Root(size)
	if err != nil {
		return nil, err
	}
	return s.proveBy(s, seq, size, root, gap)
}

// proveBy proves leaf seq in the tree of size leaves with that root. gap is what gapped
// said before the root was found.
func (s *Store) proveBy(hashes tlog.HashReader, seq, size uint64, root [32]byte, gap bool) (audit.Proof, error) {
	p, err := audit.ProveInclusion(hashes, size, seq)
	if err != nil {
		return nil, s.unprovable(err, gap)
	}
	h, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(seq))})
	if err == nil {
		err = audit.CheckInclusion(p, size, root, seq, h[0])
	}
	if err != nil {
		return nil, s.unprovable(err, gap)
	}
	return p, nil
}

// Consistency returns the proof that the tree of older leaves is a prefix of the one
// of size leaves.
func (s *Store) Consistency(older, size uint64) (audit.Proof, error) {
	gap := s.gapped()
	root, err := s.Root(size)
	if err != nil {
		return nil, err
	}
	old, err := s.Root(older)
	if err != nil {
		return nil, err
	}
	p, err := audit.ProveConsistency(s, size, older)
	if err == nil {
		err = audit.CheckConsistency(p, size, root, older, old)
	}
	if err != nil {
		return nil, s.unprovable(err, gap)
	}
	return p, nil
}

// gapped reports whether leaves are missing now. A proof that was begun then may have
// read hashes that were not there yet, though the gap is closed when it fails.
func (s *Store) gapped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.holes) > 0
}

// unprovable says why the stored tree gives no proof: leaves are missing, or were when
// the proof was begun (gap), or hashes are damaged, which Repair then mends.
func (s *Store) unprovable(err error, gap bool) error {
	if c := errs.CodeOf(err); c != errs.Corrupt && c != errs.Unverified {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.holes) > 0 {
		return errs.Wrap(errs.NotReady, err, "audit leaves %d to %d are not stored here yet", s.holes[0].From, s.holes[0].To-1).
			WithHint("ask another region")
	}
	if gap {
		return errs.Wrap(errs.NotReady, err, "audit leaves were missing here until a moment ago").WithHint("ask again")
	}
	s.suspect = true
	return errs.Wrap(errs.Corrupt, err, "the audit hashes on this disk are damaged").WithHint("they are rebuilt from the leaves; check the disk")
}

// Status is what operators see of a store.
type Status struct {
	Size    uint64 // leaves in the tree
	Missing uint64 // of them not stored here
	Damaged int    // unreadable ones found so far
	Err     error  // as Healthy
}

// Status returns the store's standing without touching the disk.
func (s *Store) Status() Status {
	err := s.Healthy()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Size: s.edge.Size(), Damaged: len(s.damaged), Err: err}
	for _, h := range s.holes {
		st.Missing += h.To - h.From
	}
	return st
}
