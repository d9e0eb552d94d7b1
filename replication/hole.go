package replication

import "sort"

// addHole inserts h, merging it with what it touches. Called under mu.
func (s *Store) addHole(h hole) {
	out := s.holes[:0:0]
	for _, o := range s.holes {
		if o.To < h.From || h.To < o.From {
			out = append(out, o)
			continue
		}
		h.From = min(h.From, o.From)
		if o.To > h.To {
			h.To, h.Edge = o.To, o.Edge
		}
	}
	out = append(out, h)
	sort.Slice(out, func(i, j int) bool { return out[i].From < out[j].From })
	if len(out) > holesMax { // swallow the leaves between the two closest: they are fetched again
		best := 0
		for i := range len(out) - 1 {
			if out[i+1].From-out[i].To < out[best+1].From-out[best].To {
				best = i
			}
		}
		out[best] = hole{out[best].From, out[best+1].To, out[best+1].Edge}
		out = append(out[:best+1], out[best+2:]...)
	}
	s.holes = out
	for seq := range s.damaged {
		if _, in := s.holeAt(seq); in {
			delete(s.damaged, seq)
		}
	}
}

// holeAt returns the hole that covers seq. Called under mu.
func (s *Store) holeAt(seq uint64) (hole, bool) {
	i := sort.Search(len(s.holes), func(i int) bool { return s.holes[i].To > seq })
	if i < len(s.holes) && s.holes[i].From <= seq {
		return s.holes[i], true
	}
	return hole{}, false
}

// shrinkHole records that the first hole is filled up to seq. Called under mu.
func (s *Store) shrinkHole(upTo uint64) {
	if len(s.holes) == 0 {
		return
	}
	if s.holes[0].From = upTo; upTo >= s.holes[0].To {
		s.holes = s.holes[1:]
	}
	if len(s.holes) == 0 {
		s.last = nil
	}
}
