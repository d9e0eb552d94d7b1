package model

import "fmt"

// Log is the system of entries, acks, certificates, votes, proofs, truncation and equivocation.
//
// With Liar there are three honest regions; the liar itself has no state: whatever its
// signature and the messages sent so far allow, it may do at any moment. Without it there are
// four honest regions that only crash.
type Log struct {
	Rules                 Rule
	Terms, Length, Values int
	Liar                  bool
	Live                  bool // also ask of every state whether the others can go on
	Bases                 bool // also ask whether every later proof holds what is certified
	Snapshots             bool // regions may be sent snapshots
	Yields                bool // and, by anybody, entries up to a certified one (see fetches)
	Interleaved           bool // regions enter a term one by one (see enter)

	ch      *chains
	honest  int
	voters  int    // honest votes that a proof needs, given all the liar can add
	ackers  int    // honest acks that a certificate needs
	agree   []mask // agree[report]: the bases it agrees with
	holding []mask // holding[c]: the chains that contain c
	sets    []mask // sets of bases, named by logState.proofs
	setName map[mask]uint16
	halted  map[[3]chainID]bool

	seenState func(*logState) // tests look at every state
}

// NewLog fills in what follows from the sizes.
func NewLog(l Log) *Log {
	l.ch = newChains(l.Terms, l.Length, l.Values)
	l.honest, l.voters, l.ackers = 4, 3, 3
	if l.Liar {
		l.honest, l.voters, l.ackers = 3, 2, 2
		if !l.Rules.has(CountRegions) {
			l.ackers = 1
		}
	}
	n := len(l.ch.all)
	l.agree = make([]mask, n)
	for report := range n {
		for base := range n {
			if l.agrees(chainID(report), chainID(base)) {
				l.agree[report].add(chainID(base))
			}
		}
	}
	l.holding = make([]mask, n)
	for a := range n {
		for b := range n {
			if l.ch.within(chainID(a), chainID(b)) {
				l.holding[a].add(chainID(b))
			}
		}
	}
	l.sets, l.setName, l.halted = []mask{{}}, map[mask]uint16{}, map[[3]chainID]bool{}
	return &l
}

// agrees says whether a region that reports its log grants its vote to, and so agrees with
// a proof of, a candidate whose log is base.
func (l *Log) agrees(report, base chainID) bool {
	if !l.Rules.has(ProofBase) {
		return true
	}
	lr, lb := l.ch.last[report], l.ch.last[base]
	if l.Rules.has(VoteUpToDate) && (lb < lr || lb == lr && l.ch.size[base] < l.ch.size[report]) {
		return false
	}
	return !l.Rules.has(VoteHash) || lb != lr || l.ch.within(report, base)
}

// beliefs is what an honest region would believe of the liar in a state.
type beliefs struct {
	base  [maxTerm]mask // bases for which the liar can show a proof of the term
	valid mask          // chains with a proof at each change of term and the right signatures
}

// liarMayLead: the votes of the term are not spent on an honest leader.
func (l *Log) liarMayLead(s *logState, t int) bool {
	return l.Liar && (s.lead[t] != honest || !l.Rules.has(OneVote))
}

func (l *Log) believe(s *logState) (b beliefs) {
	if !l.Liar {
		return b
	}
	for t := range l.Terms {
		if l.liarMayLead(s, t) {
			b.base[t] = l.bases(s, t)
		}
	}
	b.valid.add(0)
	for c := 1; c < len(l.ch.all); c++ {
		if p := l.ch.parent[c]; b.valid.has(p) && l.mayFollow(s, &b, p, chainID(c)) {
			b.valid.add(chainID(c))
		}
	}
	return b
}

// bases joins, over all sets of honest votes that are enough, the bases they all agree with.
func (l *Log) bases(s *logState, t int) (m mask) {
	if !l.Rules.has(ProofNeeded) {
		return l.ch.below[t+1]
	}
	if s.proofs[t] != 0 {
		return l.sets[s.proofs[t]]
	}
	for i := range l.honest {
		for j := range i {
			if a, b := s.reg[i].report[t], s.reg[j].report[t]; a != 0 && b != 0 {
				m = m.or(l.agree[a-1].and(l.agree[b-1]))
			}
		}
	}
	return m.and(l.ch.below[t+1])
}

// mayFollow: the last entry of c bears its leader's signature and, if it is the first of its
// term, a proof whose base is exactly p.
func (l *Log) mayFollow(s *logState, b *beliefs, p, c chainID) bool {
	t := int(l.ch.last[c]) - 1
	if s.lead[t] == honest && l.ch.within(c, s.top[t]-1) {
		return true
	}
	if !l.liarMayLead(s, t) {
		return false
	}
	return l.ch.last[p] == l.ch.last[c] || b.base[t].has(p) || !l.Rules.has(ProofInside)
}

// offers is what the liar, as leader of term t (from 0), can make a region believe: chains
// that end in that term, and pieces of what lies before it.
func (l *Log) offers(s *logState, b *beliefs, t int) (m mask) {
	if !l.liarMayLead(s, t) {
		return m
	}
	base := b.base[t]
	if l.Rules.has(ProofInside) {
		base = base.and(b.valid)
	}
	base.each(func(c chainID) {
		for _, p := range l.ch.prefix[c] {
			m.add(p)
		}
	})
	own := b.valid.and(l.ch.below[t+2])
	own.each(func(c chainID) {
		if int(l.ch.last[c]) == t+1 && (l.Rules.has(ProofInside) || base.has(l.root(c))) {
			m.add(c)
		}
	})
	return m
}

// root is what precedes the last term of c.
func (l *Log) root(c chainID) chainID {
	t := l.ch.last[c]
	for c != 0 && l.ch.last[c] == t {
		c = l.ch.parent[c]
	}
	return c
}

func (l *Log) initial() []logState { return []logState{{}} }

func (l *Log) canon(s logState) logState {
	s.sort(l.honest)
	return s
}

const (
	enters uint8 = iota
	allEnter
	wins
	appends
	takes
	takesLie
	cutsCrash
	cuts
	acksEarly
	snapshot
	fetched
	yieldsCrash
	proves
)

func (l *Log) say(m move) string {
	who := fmt.Sprintf("%c", 'A'+m.region)
	c := l.ch.name(m.chain)
	switch m.kind {
	case enters:
		return fmt.Sprintf("%s enters term %d, reports %s", who, m.term, c)
	case allEnter:
		return fmt.Sprintf("all time out, enter term %d and report", m.term)
	case wins:
		return fmt.Sprintf("%s wins term %d on base %s, appends", who, m.term, c)
	case appends:
		return fmt.Sprintf("%s, leader of term %d, appends: %s", who, m.term, c)
	case takes:
		return fmt.Sprintf("%s takes %s from the honest leader of term %d", who, c, m.term)
	case takesLie:
		return fmt.Sprintf("%s takes %s from the LIAR as leader of term %d", who, c, m.term)
	case cutsCrash:
		return fmt.Sprintf("%s truncates to %s under term %d and crashes", who, c, m.term)
	case cuts:
		return fmt.Sprintf("%s cuts to %s: equivocation, R = %s", who, c, l.ch.name(m.other))
	case fetched:
		return fmt.Sprintf("%s fetches %s from a region that does not lead", who, c)
	case yieldsCrash:
		return fmt.Sprintf("%s cuts to %s for a certificate, and crashes", who, c)
	case acksEarly:
		return fmt.Sprintf("%s acks %s and crashes before storing it", who, c)
	}
	if m.kind == proves {
		return fmt.Sprintf("the LIAR proves term %d on base %s", m.term, c)
	}
	return fmt.Sprintf("%s installs a snapshot at %s", who, c)
}
