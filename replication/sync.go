package replication

import (
	"bytes"
	"maps"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Sync makes everything appended before the call survive power loss, and notes how far
// that is. It must return before Raft drops the log entries the leaves came from. Appends
// go on while it waits for the disk.
func (s *Store) Sync() error {
	s.syncing.lock()
	defer s.syncing.unlock()
	p, err := s.prepareSync()
	if err != nil || p == nil {
		return err
	}
	for _, f := range append(p.segments, s.places, s.hashes) {
		if err := f.Sync(); err != nil {
			return s.syncFailed(err)
		}
	}
	for _, f := range p.done {
		_ = f.Close()
	}
	sealed, err := s.sealer.Seal(p.mark, markContext)
	if err != nil {
		return err
	}
	if err := s.fs.WriteFile(s.markName(), sealed); err != nil {
		return err
	}
	s.marked = p.mark
	return nil
}

// toSync is what one Sync has to do.
type toSync struct {
	segments []durable.File
	done     []durable.File // of them, to be closed afterwards
	mark     []byte         // of the state they hold
}

// prepareSync writes the index out and takes over the dirty segments; nil when nothing
// changed since the last Sync.
func (s *Store) prepareSync() (*toSync, error) {
	s.writing.lock()
	defer s.writing.unlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	idle := len(s.dirty) == 0 && len(s.pending.places) == 0
	if err := s.flush(); err != nil {
		return nil, err // nothing was promised yet, and a later attempt may succeed
	}
	p := &toSync{mark: s.mark().encode()}
	if idle && bytes.Equal(p.mark, s.marked) {
		return nil, nil
	}
	for _, n := range slices.Sorted(maps.Keys(s.dirty)) {
		f := s.dirty[n]
		p.segments = append(p.segments, f)
		if f != s.tail {
			p.done = append(p.done, f)
		}
	}
	clear(s.dirty)
	return p, nil
}

// syncFailed ends the store's life: after a failed fsync the kernel may have dropped
// the pages, and a second attempt would claim what is not so.
func (s *Store) syncFailed(err error) error {
	coded := errs.Wrap(errs.DiskFailed, err, "syncing audit leaves").WithHint("check the disk and restart vaultd: it recovers what is whole")
	return s.fail(coded)
}

const markFormat = 1

var markContext = []byte("tetrad/leafmark/v1")

// mark is what the last Sync vouched for: the tree, its gaps, and where the next
// record goes. Everything beyond it must prove itself.
type mark struct {
	edge  audit.Frontier
	tail  int64 // end of the segment that takes the next leaf
	holes []hole
}

func (s *Store) markName() string { return s.dir + "/mark" }

func (s *Store) mark() *mark {
	s.mu.Lock()
	m := &mark{edge: s.edge.Clone(), holes: append([]hole(nil), s.holes...)}
	s.mu.Unlock()
	if s.tail != nil && s.tailSeg == m.edge.Size()/s.per {
		m.tail = s.tailEnd
	}
	return m
}

func (m *mark) encode() []byte {
	w := wire.NewWriter(512)
	w.U8(markFormat)
	w.Blob(m.edge.Encode())
	w.U64(uint64(m.tail))
	w.U32(uint32(len(m.holes)))
	for i := range m.holes {
		w.U64(m.holes[i].From)
		w.U64(m.holes[i].To)
		w.Blob(m.holes[i].Edge.Encode())
	}
	return w.Bytes()
}

func decodeMark(b []byte) (*mark, error) {
	r, m := wire.NewReader(b), &mark{}
	if v := r.U8(); v != markFormat {
		r.Fail("mark format %d, this version reads %d", v, markFormat)
	}
	m.edge = readFrontier(r)
	m.tail = int64(r.U64())
	n := r.Count(holesMax)
	for i := 0; i < n && r.Err() == nil; i++ {
		h := hole{From: r.U64(), To: r.U64(), Edge: readFrontier(r)}
		if h.From >= h.To || h.To != h.Edge.Size() || h.To > m.edge.Size() || i > 0 && h.From <= m.holes[i-1].To {
			r.Fail("gap %d to %d in a tree of %d leaves", h.From, h.To, m.edge.Size())
		}
		m.holes = append(m.holes, h)
	}
	if m.tail < 0 {
		r.Fail("segment end %d", m.tail)
	}
	return m, r.Done()
}

func readFrontier(r *wire.Reader) audit.Frontier {
	f, err := audit.DecodeFrontier(r.Blob(9 + 32*64))
	if err != nil && r.Err() == nil {
		r.Fail("frontier: %v", err)
	}
	return f
}
