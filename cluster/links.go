package cluster

import "sync"

// links remembers recent chain hashes and the bases that snapshots stand on.
type links struct {
	mu    sync.Mutex
	ring  []link
	quiet []bool // of the ring's entries: they change nothing in the machine
	last  uint64 // no entry is above
	bases []link // newest last, at most two
}

func newLinks() *links { return &links{ring: make([]link, maxLinks), quiet: make([]bool, maxLinks)} }

func (s *links) put(l link, quiet bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring[l.index%maxLinks], s.quiet[l.index%maxLinks] = l, quiet
	s.last = l.index
}

// grow notes that entries up to index exist.
func (s *links) grow(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, index)
}

func (s *links) tail() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *links) get(index uint64) (link, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ring[index%maxLinks]
	return l, l.index == index && index > 0
}

// quietAt reports whether an entry is known to change nothing in the machine.
func (s *links) quietAt(index uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring[index%maxLinks].index == index && s.quiet[index%maxLinks]
}

// truncate forgets index and everything after it.
func (s *links) truncate(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = min(s.last, index-1)
	for i := range s.ring {
		if s.ring[i].index >= index {
			s.ring[i] = link{}
		}
	}
}

// rebase adds the place of a verified snapshot.
func (s *links) rebase(l link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, l.index)
	for _, b := range s.bases {
		if b == l {
			return
		}
	}
	if s.bases = append(s.bases, l); len(s.bases) > 2 {
		s.bases = s.bases[1:]
	}
}

func (s *links) base(index uint64) (link, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bases {
		if b.index == index {
			return b, true
		}
	}
	return link{}, false
}
