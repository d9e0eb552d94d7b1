package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Leaf returns one leaf, checked against the tree.
func (s *Store) Leaf(seq uint64) (*audit.Leaf, error) {
	r := &segmentReader{s: s}
	defer r.close()
	return s.checked(r, seq)
}

// Leaves returns up to max leaves from seq on, fewer where they are large; none at the
// end. With it a Store is a Source for others.
func (s *Store) Leaves(ctx context.Context, from uint64, max int) ([]audit.Leaf, error) {
	r := &segmentReader{s: s}
	defer r.close()
	size, max := s.Size(), min(max, LeavesMax)
	var out []audit.Leaf
	for seq, used := from, 0; seq < size && len(out) < max && used < leavesBytesMax; seq++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, err := s.checked(r, seq)
		if err != nil {
			if len(out) > 0 {
				return out, nil // the caller meets the fault with its next call
			}
			return nil, err
		}
		out = append(out, *l)
		used += r.last
	}
	return out, nil
}

// Check reads and proves up to n leaves from seq on and takes note of damage for Repair. It
// returns where to go on: 0 after the last leaf. Leaves that follow one another share most
// of the hashes that prove them: each is read once a call.
func (s *Store) Check(ctx context.Context, from uint64, n int) (next uint64, err error) {
	r := &segmentReader{s: s}
	defer r.close()
	size, gap := s.Size(), s.gapped()
	if from >= size {
		return 0, nil
	}
	hashes := &readOnce{s, map[int64]tlog.Hash{}}
	root, unproven := s.rootBy(hashes, size)
	if errs.CodeOf(unproven) == errs.DiskFailed {
		return from, unproven
	}
	for seq := from; seq < size; seq++ {
		if n--; n < 0 {
			return seq, nil
		}
		if err := ctx.Err(); err != nil {
			return seq, err
		}
		_, err := s.checked(r, seq)
		if err == nil && unproven == nil {
			_, err = s.proveBy(hashes, seq, size, root, gap) // its place in the tree, by the hashes of others
		}
		if errs.CodeOf(err) == errs.DiskFailed {
			return seq, err
		}
	}
	return 0, nil
}

// checked reads a leaf and compares it with its hash.
func (s *Store) checked(r *segmentReader, seq uint64) (*audit.Leaf, error) {
	s.mu.Lock()
	size := s.edge.Size()
	h, missing := s.holeAt(seq)
	s.mu.Unlock()
	if seq >= size {
		return nil, errs.New(errs.NotFound, "audit leaf %d does not exist: there are %d", seq, size)
	}
	if missing {
		return nil, errs.New(errs.NotReady, "audit leaves %d to %d are not stored here yet", h.From, h.To-1).
			WithHint("ask another region")
	}
	l, hash, err := s.read(r, seq)
	if err != nil {
		if errs.CodeOf(err) == errs.Corrupt {
			s.noteDamage(seq)
		}
		return nil, err
	}
	stored, err := s.hashOf(seq)
	if err != nil {
		return nil, err
	}
	if stored != hash {
		s.suspectHashes() // the record is authentic, so the hash beside it is not
		return nil, errs.New(errs.Corrupt, "audit leaf %d does not match its stored hash", seq)
	}
	return l, nil
}

func (s *Store) noteDamage(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.damaged) < damagedMax {
		s.damaged[seq] = struct{}{}
	}
}

func (s *Store) suspectHashes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspect = true
}

// read fetches and opens a record wherever the index says it is.
func (s *Store) read(r *segmentReader, seq uint64) (*audit.Leaf, [32]byte, error) {
	p, err := s.placeOf(seq)
	if err != nil {
		return nil, [32]byte{}, err
	}
	if p.length < headerLen {
		return nil, [32]byte{}, errs.New(errs.Corrupt, "audit leaf %d: the index has no place for it", seq)
	}
	b, err := r.record(seq/s.per, p)
	if err != nil {
		return nil, [32]byte{}, err
	}
	return openRecord(b, s.sealer, seq)
}

func (s *Store) placeOf(seq uint64) (place, error) {
	s.mu.Lock()
	p := s.pending
	s.mu.Unlock()
	if i := 8 * (seq - p.base); seq >= p.base && i+8 <= uint64(len(p.places)) {
		return unpack(binary.BigEndian.Uint64(p.places[i:])), nil
	}
	var b [8]byte
	if err := readFull(s.places, b[:], int64(8*seq)); err != nil {
		return place{}, err
	}
	return unpack(binary.BigEndian.Uint64(b[:])), nil
}

// readFull reads all of b; what is missing at the end of a file is Corrupt.
func readFull(f durable.File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return errs.New(errs.Corrupt, "audit file ends before byte %d", off+int64(len(b)))
	}
	return durable.Coded(err, "reading audit leaves")
}

// segmentReader keeps the segment of the last read open during one call.
type segmentReader struct {
	s    *Store
	f    durable.File
	seg  uint64
	last int // bytes of the last record
}

func (r *segmentReader) record(seg uint64, p place) ([]byte, error) {
	if r.f == nil || r.seg != seg {
		r.close()
		f, err := r.s.fs.Open(r.s.segmentName(seg))
		if err != nil {
			return nil, err
		}
		r.f, r.seg = f, seg
	}
	b := make([]byte, p.length)
	r.last = len(b)
	return b, readFull(r.f, b, int64(p.start))
}

func (r *segmentReader) close() {
	if r.f != nil {
		_ = r.f.Close()
		r.f = nil
	}
}

// ReadHashes implements tlog.HashReader over the stored tree.
func (s *Store) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	s.mu.Lock()
	p := s.pending
	s.mu.Unlock()
	base := tlog.StoredHashCount(int64(p.base))
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if at := 32 * (x - base); x >= base && at+32 <= int64(len(p.hashes)) {
			copy(out[i][:], p.hashes[at:])
			continue
		}
		if err := readFull(s.hashes, out[i][:], 32*x); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readOnce reads each hash from the store once.
type readOnce struct {
	s     *Store
	known map[int64]tlog.Hash
}

// ReadHashes implements tlog.HashReader.
func (r *readOnce) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		h, ok := r.known[x]
		if !ok {
			read, err := r.s.ReadHashes([]int64{x})
			if err != nil {
				return nil, err
			}
			h = read[0]
			r.known[x] = h
		}
		out[i] = h
	}
	return out, nil
}

func (s *Store) hashOf(seq uint64) ([32]byte, error) {
	h, err := s.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(seq))})
	if err != nil {
		return [32]byte{}, err
	}
	return h[0], nil
}
