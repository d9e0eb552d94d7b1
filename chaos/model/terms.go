package model

import "fmt"

// Terms asks who can move the term. Terms are numbers that can run out, and whoever raises the
// term deposes the leader; so the liar alone must not be able to. An honest region that hears
// no leader signs a pre-vote; a term is believed when three pre-votes for it are shown, of which
// the liar supplies one. (A signed transfer and a leader proof rest on the votes of the term before.)
type Terms struct {
	Rules Rule
	Last  int // the last term there is
}

type termRegion struct{ term, asked uint8 } // asked: bit t, a pre-vote for term t was signed

type termState struct {
	reg   [3]termRegion
	outs  uint8 // times an honest region heard no leader
	wrong bool
}

func (m Terms) initial() []termState { return []termState{{}} }

func (m Terms) next(s termState, emit func(termState, move)) {
	for n := range s.reg {
		me := s.reg[n]
		for t := int(me.term) + 1; t <= m.Last; t++ {
			if t == int(me.term)+1 || !m.Rules.has(TermNext) {
				r := s
				r.reg[n].asked |= 1 << t
				r.outs = min(r.outs+1, uint8(2*m.Last))
				emit(r, move{0, uint8(n), uint8(t), 0, 0})
			}
			if m.justified(&s, t) {
				r := s
				r.reg[n].term = uint8(t)
				r.wrong = int(s.outs) < 2*t
				emit(r, move{1, uint8(n), uint8(t), 0, 0})
			}
		}
	}
}

func (m Terms) justified(s *termState, t int) bool {
	if !m.Rules.has(TermJustified) {
		return true
	}
	asked := 0
	for _, r := range s.reg {
		asked += int(r.asked >> t & 1)
	}
	return asked >= 2
}

func (m Terms) canon(s termState) termState {
	for i := 1; i < len(s.reg); i++ {
		for j := i; j > 0 && s.reg[j].rank() < s.reg[j-1].rank(); j-- {
			s.reg[j], s.reg[j-1] = s.reg[j-1], s.reg[j]
		}
	}
	return s
}

func (r termRegion) rank() int { return int(r.term)<<8 | int(r.asked) }

func (m Terms) flaw(s termState) string {
	if !s.wrong {
		return ""
	}
	return "the term moved although fewer than two honest regions for each term heard no leader: the liar alone deposes leaders and uses up the terms"
}

func (m Terms) say(v move) string {
	who := 'A' + rune(v.region)
	if v.kind == 0 {
		return fmt.Sprintf("%c hears no leader, signs a pre-vote for term %d", who, v.term)
	}
	return fmt.Sprintf("the LIAR shows %c what it takes for a justification of term %d", who, v.term)
}

func (m Terms) show(s termState) string {
	return fmt.Sprintf("A t%d | B t%d | C t%d", s.reg[0].term, s.reg[1].term, s.reg[2].term)
}
