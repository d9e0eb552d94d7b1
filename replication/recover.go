package replication

import (
	"encoding/binary"
	"log/slog"
	"strconv"
	"strings"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// recover brings the store to what its disk proves: the state of the last mark, then
// every whole record after it. Without a usable mark or index both are rebuilt from
// the records themselves.
func (s *Store) recover() error {
	m, err := s.readMark()
	if err != nil {
		return err
	}
	if m == nil {
		return s.rebuild(nil)
	}
	s.edge, s.holes = m.edge, m.holes
	sound, err := s.indexSound()
	if err != nil {
		return err
	}
	if !sound {
		s.log.Warn("audit index does not match its mark: rebuilding it from the leaves", slog.Uint64("leaves", m.edge.Size()))
		return s.rebuild(m)
	}
	if err := s.seekTail(s.edge.Size()); err != nil {
		return err
	}
	if m.tail > s.tailEnd { // the segment is shorter than what was synced
		return s.rebuild(m)
	}
	return s.replayTail(m.tail)
}

// readMark returns nil when there is no mark that opens.
func (s *Store) readMark() (*mark, error) {
	sealed, err := s.fs.ReadFile(s.markName())
	if errs.CodeOf(err) == errs.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := s.sealer.Open(sealed, markContext)
	if err == nil {
		var m *mark
		if m, err = decodeMark(plain); err == nil {
			return m, nil
		}
	}
	s.log.Warn("audit mark is damaged: rebuilding it from the leaves", slog.String("cause", err.Error()))
	return nil, nil
}

// indexSound checks the right edge on disk against the mark. With gaps there may be
// nothing to compare: Repair, which checks all of it, runs anyway.
func (s *Store) indexSound() (bool, error) {
	if len(s.holes) > 0 || s.edge.Size() == 0 {
		return true, nil
	}
	size, err := s.places.Size()
	if err != nil {
		return false, err
	}
	have, err := audit.FrontierAt(s, s.edge.Size())
	if err != nil {
		if errs.CodeOf(err) == errs.Corrupt {
			return false, nil
		}
		return false, err
	}
	return size >= int64(8*s.edge.Size()) && have.Equal(&s.edge), nil
}

// replayTail takes over the whole records behind the mark, and cuts what follows them:
// it was never promised, and the log is replayed over it.
func (s *Store) replayTail(off int64) error {
	known := s.edge.Size()
	for {
		end, err := scan(s.tail, off, func(h header, at int64, record []byte) (bool, error) {
			if h.kind != kindAppended || h.seq < known {
				return true, nil
			}
			return s.takeOver(h, at, record)
		})
		if err != nil {
			return err
		}
		size, err := s.tail.Size()
		if err != nil {
			return err
		}
		if size > end {
			if err := s.tail.Truncate(end); err != nil {
				return err
			}
		}
		s.tailEnd = end
		s.dirty[s.tailSeg] = s.tail
		if next := s.edge.Size() / s.per; next == s.tailSeg {
			return s.dropSegmentsAfter(next)
		}
		if err := s.seekTail(s.edge.Size()); err != nil {
			return err
		}
		off = 0
	}
}

// takeOver adds the next leaf's record to the index; false for anything else.
func (s *Store) takeOver(h header, at int64, record []byte) (bool, error) {
	if h.seq != s.edge.Size() || h.seq/s.per != s.tailSeg {
		return false, nil
	}
	_, hash, err := openRecord(record, s.sealer, h.seq)
	if err != nil {
		return false, nil
	}
	if len(s.pending.places) == 0 {
		s.pending = pending{base: h.seq, hashes: make([]byte, 0, 256)}
	}
	p := place{uint64(at), uint32(len(record))}
	s.pending.places = binary.BigEndian.AppendUint64(s.pending.places, p.pack())
	s.pending.hashes = s.edge.AppendStored(s.pending.hashes, hash)
	if len(s.pending.hashes) >= pendingMax {
		return true, s.flush()
	}
	return true, nil
}

func (s *Store) segments() ([]uint64, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, name := range names {
		if digits, ok := strings.CutPrefix(name, "segment-"); ok {
			if n, err := strconv.ParseUint(digits, 10, 32); err == nil {
				out = append(out, n)
			}
		}
	}
	return out, nil // List sorts, and the numbers have one width
}

func (s *Store) dropSegmentsAfter(last uint64) error {
	all, err := s.segments()
	if err != nil {
		return err
	}
	for _, n := range all {
		if n > last {
			if err := s.fs.Remove(s.segmentName(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rebuild makes the index anew from the records this region appended itself, up to the
// first one missing. It deletes no record. What old knew beyond becomes a gap.
func (s *Store) rebuild(old *mark) error {
	s.edge, s.holes, s.pending = audit.Frontier{}, nil, pending{}
	if err := s.fs.Remove(s.markName()); err != nil {
		return err
	}
	if err := s.places.Truncate(0); err != nil {
		return err
	}
	if err := s.hashes.Truncate(0); err != nil {
		return err
	}
	all, err := s.segments()
	if err != nil {
		return err
	}
	bytes := int64(0)
	for _, n := range all {
		size, err := s.rebuildPlaces(n)
		if err != nil {
			return err
		}
		bytes += size
	}
	if err := s.rebuildHashes(); err != nil {
		return err
	}
	if s.edge.Size() == 0 && bytes > 0 && old == nil { // a mark that opens vouches for the key
		return errs.New(errs.Corrupt, "no audit leaf in %s can be read", s.dir).
			WithHint("is this the right root key? otherwise move the directory away: it is filled again from other regions")
	}
	if err := s.seekTail(s.edge.Size()); err != nil {
		return err
	}
	if old != nil && old.edge.Size() > s.edge.Size() {
		s.addHole(hole{s.edge.Size(), old.edge.Size(), old.edge})
		s.edge = old.edge.Clone()
		if err := s.seekTail(s.edge.Size()); err != nil {
			return err
		}
	}
	return s.Sync() // also in a fresh store: from now on a missing mark is a lost one
}

// rebuildPlaces indexes one segment by its record headers and returns its size.
func (s *Store) rebuildPlaces(n uint64) (int64, error) {
	f, err := s.fs.Open(s.segmentName(n))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	places := make([]byte, 8*s.per)
	used := uint64(0)
	_, err = scan(f, 0, func(h header, at int64, record []byte) (bool, error) {
		if h.kind == kindAppended && h.seq/s.per == n {
			i := h.seq % s.per
			binary.BigEndian.PutUint64(places[8*i:], place{uint64(at), uint32(len(record))}.pack())
			used = max(used, i+1)
		}
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	if used > 0 {
		if _, err := s.places.WriteAt(places[:8*used], int64(8*n*s.per)); err != nil {
			return 0, err
		}
	}
	return f.Size()
}

// rebuildHashes reads the leaves in order until one is missing.
func (s *Store) rebuildHashes() error {
	r := &segmentReader{s: s}
	defer r.close()
	for {
		seq := s.edge.Size()
		_, hash, err := s.read(r, seq)
		if errs.CodeOf(err) == errs.Corrupt {
			return s.flush()
		}
		if err != nil {
			return err
		}
		p, err := s.placeOf(seq)
		if err != nil {
			return err
		}
		if len(s.pending.places) == 0 {
			s.pending = pending{base: seq, hashes: make([]byte, 0, 256)}
		}
		s.pending.places = binary.BigEndian.AppendUint64(s.pending.places, p.pack())
		s.pending.hashes = s.edge.AppendStored(s.pending.hashes, hash)
		if len(s.pending.hashes) >= pendingMax {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
}
