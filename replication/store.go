package replication

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"golang.org/x/mod/sumdb/tlog"
)

// Sealer hides records on disk. The context is authenticated, not stored.
type Sealer interface {
	Seal(plain, context []byte) ([]byte, error)
	Open(sealed, context []byte) ([]byte, error)
}

// Source is another region's copy of the audit log. What it returns is checked
// against the tree: a source may be wrong, but not believed.
type Source interface {
	Leaves(ctx context.Context, from uint64, max int) ([]audit.Leaf, error)
}

// Options are a store's settings; the zero value is usable.
type Options struct {
	Dir           string       // below the FS; "leaves"
	Logger        *slog.Logger // discarded when nil
	SegmentLeaves uint64       // leaves a segment file; for tests
}

// Store is the leaf store of one region. One goroutine appends; any may read.
//
// The records in the segment files are the store; places and hashes are an index
// that is written behind and can be rebuilt. Both may be behind what readers see.
type Store struct {
	fs     durable.FS
	sealer Sealer
	dir    string
	per    uint64 // leaves a segment
	log    *slog.Logger

	places durable.File // eight bytes a leaf: where its record stands
	hashes durable.File // the tree in tlog's storage order

	writing   gate // held by whoever changes files; may be held across slow I/O
	repairing gate // held by the one Repair at work
	syncing   gate // held by the one Sync at work; taken before writing

	mu      sync.Mutex // guards what follows; never held across I/O
	edge    audit.Frontier
	pending pending
	holes   []hole              // ascending, disjoint
	damaged map[uint64]struct{} // unreadable records, each to be repaired by its known hash
	suspect bool                // the hash file contradicts itself or the records
	failed  error               // the disk cannot be trusted any more: until the process restarts
	last    error               // why the newest hole came to be
	behind  error               // leaves came that do not follow: Adopt is due

	// Used under writing only.
	tail    durable.File // segment that takes the next leaf
	tailSeg uint64
	tailEnd int64
	dirty   map[uint64]durable.File // segments to be synced, and closed unless one is the tail
	buf     []byte

	marked []byte // the last mark written, before sealing; used under syncing only
}

// hole is a range of leaves whose records, and whose inner hashes, are not here.
// Edge is the tree's right edge at To: what leaves from elsewhere must lead to.
type hole struct {
	From, To uint64
	Edge     audit.Frontier
}

// pending is the index not yet written: of the leaves from base on.
type pending struct {
	base   uint64
	places []byte
	hashes []byte
}

// gate is a mutex whose waiters a simulation sees as waiting.
type gate chan struct{}

func (g gate) lock()   { g <- struct{}{} }
func (g gate) unlock() { <-g }

// Open opens or creates a store and recovers it: what was appended after the last
// Sync is kept as far as it is whole, and cut where it is not.
func Open(fs durable.FS, sealer Sealer, o Options) (*Store, error) {
	s := &Store{fs: fs, sealer: sealer, dir: o.Dir, per: o.SegmentLeaves, log: o.Logger, writing: make(gate, 1), repairing: make(gate, 1), syncing: make(gate, 1),
		damaged: map[uint64]struct{}{}, dirty: map[uint64]durable.File{}}
	if s.dir == "" {
		s.dir = "leaves"
	}
	if s.per == 0 {
		s.per = segmentLeaves
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.places, err = fs.Open(s.dir + "/places"); err != nil {
		return nil, err
	}
	if s.hashes, err = fs.Open(s.dir + "/hashes"); err == nil {
		err = s.recover()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// Close releases the files without syncing them.
func (s *Store) Close() error {
	s.syncing.lock()
	defer s.syncing.unlock()
	s.writing.lock()
	defer s.writing.unlock()
	s.fail(errs.New(errs.DiskFailed, "the leaf store is closed"))
	for _, f := range s.dirty {
		if f != s.tail {
			_ = f.Close()
		}
	}
	for _, f := range []durable.File{s.tail, s.places, s.hashes} {
		if f != nil {
			_ = f.Close()
		}
	}
	s.dirty, s.tail = nil, nil
	return nil
}

// Size returns the number of leaves in the tree, missing ones included.
func (s *Store) Size() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.edge.Size()
}

// Frontier returns the right edge of the tree.
func (s *Store) Frontier() audit.Frontier {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.edge.Clone()
}

// Healthy returns nil when every leaf of the tree is stored here, as far as known. A
// region whose store is not healthy signs nothing. It never waits for the disk.
func (s *Store) Healthy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failed != nil:
		return s.failed
	case s.behind != nil:
		return s.behind
	case len(s.holes) > 0 && s.last != nil:
		return s.last
	case len(s.holes) > 0:
		return errs.New(errs.NotReady, "audit leaves %d to %d are not stored here yet", s.holes[0].From, s.holes[0].To-1)
	case s.suspect:
		return errs.New(errs.Corrupt, "the audit hashes on this disk are damaged").WithHint("they are rebuilt from the leaves; check the disk")
	case len(s.damaged) > 0:
		return errs.New(errs.Corrupt, "%d audit leaves are damaged on this disk", len(s.damaged)).
			WithHint("they are fetched from other regions; check the disk")
	}
	return nil
}

func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
	return err
}

func (s *Store) fallBehind(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = err
	return err
}

func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Failed returns why the store takes nothing more until the process starts again (a sync
// failed, or history forked), or nil.
func (s *Store) Failed() error { return s.usable() }

// Append stores leaves in order, without waiting for the disk (Sync does). A leaf that
// is stored already must be the same one: after a restart the log is replayed into the
// store, and a difference means that history was rewritten (Corrupt, for good).
//
// When the disk refuses, the tree moves on all the same: the leaves become a gap which
// Repair fills from other regions, and until then Healthy returns the reason.
func (s *Store) Append(leaves []audit.Leaf) error {
	s.writing.lock()
	defer s.writing.unlock()
	if err := s.usable(); err != nil {
		return err
	}
	size := s.edge.Size() // only the holder of writing changes it
	for len(leaves) > 0 && leaves[0].Seq < size {
		if err := s.same(&leaves[0]); err != nil {
			return err
		}
		leaves = leaves[1:]
	}
	for i := range leaves {
		if leaves[i].Seq != size+uint64(i) {
			return s.fallBehind(errs.New(errs.BadState, "audit leaf %d cannot follow %d stored ones", leaves[i].Seq, size+uint64(i)).
				WithHint("the store must adopt the tree of the restored state first"))
		}
	}
	for len(leaves) > 0 {
		n := min(uint64(len(leaves)), s.per-s.edge.Size()%s.per)
		if err := s.write(leaves[:n]); err != nil {
			s.skip(leaves, err)
			return err
		}
		leaves = leaves[n:]
	}
	return nil
}

// same compares a leaf with the stored one of its number.
func (s *Store) same(l *audit.Leaf) error {
	s.mu.Lock()
	_, missing := s.holeAt(l.Seq)
	s.mu.Unlock()
	if missing {
		return nil
	}
	have, err := s.hashOf(l.Seq)
	if err != nil {
		return err
	}
	if have == l.Hash() {
		return nil
	}
	size := s.edge.Size()
	p, err := audit.ProveInclusion(s, size, l.Seq)
	if err == nil {
		err = audit.CheckInclusion(p, size, s.edge.Root(), l.Seq, have)
	}
	if err != nil { // the tree does not stand behind the stored hash: damage, no verdict
		s.suspectHashes()
		return nil
	}
	return s.fail(errs.New(errs.Corrupt, "audit leaf %d differs from the one stored here", l.Seq).
		WithHint("this region's history forked: keep its disk as evidence and let it join anew"))
}

// write stores leaves of one segment: one write, then the index in memory.
func (s *Store) write(leaves []audit.Leaf) error {
	size := s.edge.Size()
	if err := s.seekTail(size); err != nil {
		return err
	}
	if n := uint64(len(s.pending.places)) / 8; n > 0 && s.pending.base+n != size { // a gap lies between
		if err := s.flush(); err != nil {
			return err
		}
	}
	buf, index := s.buf[:0], pending{base: size}
	edge := s.edge.Clone()
	index.hashes = make([]byte, 0, 72*len(leaves))
	for i := range leaves {
		encoded, hash := leaves[i].EncodeAndHash()
		start := len(buf)
		var err error
		if buf, err = appendRecord(buf, s.sealer, kindAppended, leaves[i].Seq, encoded); err != nil {
			return err
		}
		p := place{uint64(s.tailEnd) + uint64(start), uint32(len(buf) - start)}
		index.places = binary.BigEndian.AppendUint64(index.places, p.pack())
		index.hashes = edge.AppendStored(index.hashes, hash)
	}
	if cap(buf) <= bufferKept {
		s.buf = buf
	}
	if _, err := s.tail.WriteAt(buf, s.tailEnd); err != nil {
		return durable.Coded(err, "writing audit leaves %d to %d", size, edge.Size()-1)
	}
	s.tailEnd += int64(len(buf))
	s.dirty[s.tailSeg] = s.tail
	s.mu.Lock()
	s.edge, s.behind = edge, nil
	if len(s.pending.places) == 0 {
		s.pending.base = size
	}
	s.pending.places = append(s.pending.places, index.places...)
	s.pending.hashes = append(s.pending.hashes, index.hashes...)
	full := len(s.pending.hashes) >= pendingMax
	s.mu.Unlock()
	if full {
		return s.flush()
	}
	return nil
}

// skip turns leaves that could not be written into a hole. Index entries that are
// still held back go with them: a disk that takes no leaf takes no index either, and
// memory must stay bounded.
func (s *Store) skip(leaves []audit.Leaf, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, edge := s.edge.Size(), s.edge.Clone()
	if len(s.pending.hashes) >= pendingMax {
		from = s.pending.base
	}
	for i := range leaves {
		if leaves[i].Seq >= edge.Size() {
			edge.Append(leaves[i].Hash())
		}
	}
	if from < edge.Size() {
		if from == s.pending.base {
			s.pending = pending{}
		}
		s.addHole(hole{from, edge.Size(), edge.Clone()})
	}
	s.edge, s.last = edge, cause
}

// flush writes the pending index: places first, so that a hash that can be read has a
// place too.
func (s *Store) flush() error {
	s.mu.Lock()
	p := s.pending
	s.mu.Unlock()
	if len(p.places) == 0 {
		return nil
	}
	if _, err := s.places.WriteAt(p.places, int64(8*p.base)); err != nil {
		return durable.Coded(err, "writing the index of audit leaves")
	}
	if _, err := s.hashes.WriteAt(p.hashes, 32*tlog.StoredHashCount(int64(p.base))); err != nil {
		return durable.Coded(err, "writing audit hashes")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = pending{}
	return nil
}

func (s *Store) segmentName(n uint64) string { return fmt.Sprintf("%s/segment-%08d", s.dir, n) }

// seekTail opens the segment that takes leaf seq, if it is not the one already open.
func (s *Store) seekTail(seq uint64) error {
	n := seq / s.per
	if s.tail != nil && s.tailSeg == n {
		return nil
	}
	f := s.dirty[n]
	if f == nil {
		var err error
		if f, err = s.fs.Open(s.segmentName(n)); err != nil {
			return err
		}
	}
	if s.tail != nil {
		s.dirty[s.tailSeg] = s.tail // a Sync may be at work on it: only Sync closes
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	s.tail, s.tailSeg, s.tailEnd = f, n, size
	return nil
}
