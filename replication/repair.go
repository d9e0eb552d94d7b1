package replication

import (
	"context"
	"encoding/binary"
	"log/slog"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Adopt tells the store which tree the state machine holds, after it was restored from
// a snapshot and before the next Append. Leaves the store lacks become a gap; a tree
// that contradicts the stored leaves is Corrupt, for good.
func (s *Store) Adopt(target audit.Frontier) error {
	if err := s.adopt(&target); err != nil {
		return err
	}
	return s.Sync() // the gap must be known after a crash
}

func (s *Store) adopt(target *audit.Frontier) error {
	s.writing.lock()
	defer s.writing.unlock()
	if err := s.usable(); err != nil {
		return err
	}
	from := s.edge.Size()
	if target.Size() <= from {
		return s.agrees(target)
	}
	s.log.Info("audit leaves are missing after a snapshot", slog.Uint64("from", from), slog.Uint64("to", target.Size()-1))
	err := s.flush()
	s.mu.Lock()
	if err != nil { // the tree moves on whatever the disk does
		from, s.pending, s.last = s.pending.base, pending{}, err
	}
	s.addHole(hole{from, target.Size(), target.Clone()})
	s.edge, s.behind = target.Clone(), nil
	s.mu.Unlock()
	return s.seekTail(target.Size())
}

// agrees checks a smaller tree against the stored one, where that is possible.
func (s *Store) agrees(target *audit.Frontier) error {
	if target.Size() == 0 {
		return nil
	}
	s.mu.Lock()
	gaps := len(s.holes) > 0 && s.holes[0].From < target.Size()
	s.mu.Unlock()
	have := s.edge.Clone()
	if target.Size() < have.Size() {
		if gaps {
			return nil
		}
		var err error
		if have, err = audit.FrontierAt(s, target.Size()); err != nil {
			return err
		}
	}
	if have.Equal(target) {
		return nil
	}
	if root, err := s.Root(target.Size()); err != nil || root != have.Root() {
		return err // the hashes on disk are damaged: Repair is due, no verdict yet
	}
	return s.fail(errs.New(errs.Corrupt, "the stored audit leaves are not those of the restored state, at %d leaves", target.Size()).
		WithHint("this region's history forked: keep its disk as evidence and let it join anew"))
}

// Repair adopts target (unless it is empty), then fetches every missing or damaged
// leaf from the sources, verified against the tree, until the store is healthy. It may
// run beside Append; a second Repair waits for the first.
func (s *Store) Repair(ctx context.Context, target audit.Frontier, sources []Source) error {
	if target.Size() > 0 {
		if err := s.Adopt(target); err != nil {
			return err
		}
	}
	select {
	case s.repairing <- struct{}{}:
		defer s.repairing.unlock()
	case <-ctx.Done():
		return ctx.Err()
	}
	doubted := false // the hash file, once: damage there shows only while leaves are repaired
	for range 3 {
		if err := s.fillHoles(ctx, sources, &doubted); err != nil {
			return err
		}
		if err := s.mendLeaves(ctx, sources, &doubted); err != nil {
			return err
		}
		if err := s.Healthy(); err == nil {
			return s.Sync()
		}
	}
	return s.Healthy()
}

// fillHoles fills gap after gap, each piece by piece where the tree's right edge can
// tell whether it is right.
func (s *Store) fillHoles(ctx context.Context, sources []Source, doubted *bool) error {
	for {
		s.writing.lock()
		if err := s.flush(); err != nil {
			s.writing.unlock()
			return err
		}
		s.mu.Lock()
		if s.suspect {
			s.suspect = false
			s.addHole(hole{0, s.edge.Size(), s.edge.Clone()}) // the records stay, found by their places
		}
		var h hole
		if len(s.holes) > 0 {
			h = s.holes[0]
		}
		s.mu.Unlock()
		s.writing.unlock()
		if h.To == 0 {
			return nil
		}
		for _, goal := range h.Edge.Prefixes() {
			if goal.Size() <= h.From {
				continue
			}
			if err := s.fillTo(ctx, h.From, &goal, sources); err != nil {
				if errs.CodeOf(err) != errs.Unverified || h.From == 0 || *doubted {
					return err
				}
				*doubted = true // nobody's leaves fit what we build on: check that too
				s.suspectHashes()
			}
			break
		}
	}
}

// fillTo fills the first gap from its start to goal. Each source is tried alone, first
// with what this disk has itself, then without.
func (s *Store) fillTo(ctx context.Context, from uint64, goal *audit.Frontier, sources []Source) error {
	start, err := audit.FrontierAt(s, from)
	if errs.CodeOf(err) == errs.Corrupt {
		return errs.Wrap(errs.Unverified, err, "audit hashes below leaf %d", from)
	}
	if err != nil {
		return err
	}
	var reason error
	code := errs.Unavailable
	tries := append([]Source{nil}, sources...)
	for i, src := range append(tries, sources...) {
		if err := ctx.Err(); err != nil {
			return err
		}
		got := start.Clone()
		if err := s.fetch(ctx, &got, goal.Size(), src, i < len(tries)); err != nil {
			if c := errs.CodeOf(err); c == errs.DiskFull || c == errs.DiskFailed {
				return err
			}
			reason = err
			continue
		}
		if got.Equal(goal) {
			return s.filled(from, goal.Size())
		}
		code = errs.Unverified
		reason = errs.New(code, "the leaves found do not lead to this region's tree")
	}
	return errs.Wrap(code, reason, "audit leaves %d to %d could not be repaired", from, goal.Size()-1).
		WithHint("at least one region that has them must be reachable")
}

func (s *Store) filled(from, to uint64) error {
	s.mu.Lock()
	if len(s.holes) == 0 || s.holes[0].From != from {
		s.mu.Unlock()
		return nil // the gap grew downwards meanwhile: it is filled again as a whole
	}
	s.shrinkHole(to)
	s.mu.Unlock()
	s.log.Info("audit leaves repaired", slog.Uint64("from", from), slog.Uint64("to", to-1))
	return s.Sync()
}

// fetch leads got up to size with leaves of this disk (if local) and of src.
func (s *Store) fetch(ctx context.Context, got *audit.Frontier, size uint64, src Source, local bool) error {
	r := &segmentReader{s: s}
	defer r.close()
	for got.Size() < size {
		seq := got.Size()
		if local {
			if _, hash, err := s.read(r, seq); err == nil {
				if err := s.putHashes(got, hash); err != nil {
					return err
				}
				continue
			}
		}
		if src == nil {
			return errs.New(errs.NotFound, "audit leaf %d is not on this disk", seq)
		}
		leaves, err := src.Leaves(ctx, seq, int(min(repairChunk, size-seq)))
		if err != nil {
			return err
		}
		if len(leaves) == 0 {
			return errs.New(errs.NotFound, "the source has no audit leaf %d", seq)
		}
		leaves = leaves[:min(uint64(len(leaves)), size-seq)]
		if err := s.put(got, leaves); err != nil {
			return err
		}
		if seq/repairSyncEvery != got.Size()/repairSyncEvery { // no pile of dirty pages and open files
			if err := s.Sync(); err != nil {
				return err
			}
		}
	}
	return nil
}

// whole checks what the tree does not: that a fetched leaf shows all its fields.
func whole(l *audit.Leaf, seq uint64) error {
	if l.Seq != seq || !l.Shown() {
		return errs.New(errs.Unverified, "asked for audit leaf %d, got leaf %d with %d fields withheld", seq, l.Seq, len(l.Withheld))
	}
	return l.CheckFields()
}

// put writes fetched leaves and their hashes where they belong. Inside a gap nobody
// reads them before the gap is closed.
func (s *Store) put(got *audit.Frontier, leaves []audit.Leaf) error {
	s.writing.lock()
	defer s.writing.unlock()
	for i := range leaves {
		if err := whole(&leaves[i], got.Size()); err != nil {
			return err
		}
		encoded, hash := leaves[i].EncodeAndHash()
		if err := s.putRecord(kindFetched, leaves[i].Seq, encoded); err != nil {
			return err
		}
		if err := s.writeHashes(got, hash); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) putHashes(got *audit.Frontier, hash [32]byte) error {
	s.writing.lock()
	defer s.writing.unlock()
	return s.writeHashes(got, hash)
}

func (s *Store) writeHashes(got *audit.Frontier, hash [32]byte) error {
	at := 32 * tlog.StoredHashCount(int64(got.Size()))
	_, err := s.hashes.WriteAt(got.AppendStored(make([]byte, 0, 96), hash), at)
	return durable.Coded(err, "writing audit hashes")
}

// putRecord appends a record to its segment, whichever that is, and notes its place.
func (s *Store) putRecord(kind uint8, seq uint64, encoded []byte) error {
	if err := s.usable(); err != nil {
		return err
	}
	n := seq / s.per
	f, end, err := s.segmentEnd(n)
	if err != nil {
		return err
	}
	record, err := appendRecord(nil, s.sealer, kind, seq, encoded)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(record, end); err != nil {
		return durable.Coded(err, "writing audit leaf %d", seq)
	}
	if f == s.tail {
		s.tailEnd += int64(len(record))
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], place{uint64(end), uint32(len(record))}.pack())
	_, err = s.places.WriteAt(b[:], int64(8*seq))
	return durable.Coded(err, "writing the index of audit leaves")
}

func (s *Store) segmentEnd(n uint64) (durable.File, int64, error) {
	if s.tail != nil && n == s.tailSeg {
		s.dirty[n] = s.tail
		return s.tail, s.tailEnd, nil
	}
	f := s.dirty[n]
	if f == nil {
		var err error
		if f, err = s.fs.Open(s.segmentName(n)); err != nil {
			return nil, 0, err
		}
		s.dirty[n] = f
	}
	end, err := f.Size()
	return f, end, err
}

// mendLeaves fetches leaves whose records are unreadable; their hashes are known.
func (s *Store) mendLeaves(ctx context.Context, sources []Source, doubted *bool) error {
	s.mu.Lock()
	damaged := slices.Sorted(maps.Keys(s.damaged))
	s.mu.Unlock()
	for _, seq := range damaged {
		if err := s.mendLeaf(ctx, seq, sources, doubted); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) mendLeaf(ctx context.Context, seq uint64, sources []Source, doubted *bool) error {
	want, err := s.hashOf(seq)
	if err != nil {
		return err
	}
	var reason error
	for _, src := range sources {
		leaves, err := src.Leaves(ctx, seq, 1)
		if err == nil && len(leaves) == 0 {
			err = errs.New(errs.NotFound, "the source has no audit leaf %d", seq)
		}
		if err == nil {
			err = whole(&leaves[0], seq)
		}
		if err == nil && leaves[0].Hash() != want {
			err = errs.New(errs.Unverified, "audit leaf %d of the source is another one", seq)
		}
		if err == nil {
			return s.mended(&leaves[0])
		}
		reason = err
	}
	if errs.CodeOf(reason) == errs.Unverified && !*doubted {
		*doubted = true // rather our hash is wrong than every source
		s.suspectHashes()
		return nil
	}
	return errs.Wrap(errs.Unavailable, reason, "audit leaf %d could not be repaired", seq).
		WithHint("at least one region that has it must be reachable")
}

func (s *Store) mended(l *audit.Leaf) error {
	s.writing.lock()
	defer s.writing.unlock()
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.putRecord(kindAppended, l.Seq, l.Encode()); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.damaged, l.Seq)
	s.mu.Unlock()
	s.log.Info("audit leaf repaired", slog.Uint64("seq", l.Seq))
	return nil
}
