package model

// fetches: region n may have, from anybody, entries that end in a certified one, in place of
// whatever of its log conflicts with them, be it what the leader of its own term sent. The
// regions here know of no certificate below which they cut nothing: that only forbids more.
func (l *Log) fetches(s *logState, b *beliefs, used *mask, n int, emit func(logState, move)) {
	if !l.Yields {
		return
	}
	if own := s.reg[n].log; !l.Rules.has(YieldOther) {
		for held := l.ch.meet[own][s.longest()]; held != 0; held = l.ch.parent[held] {
			l.cutTo(s, n, l.ch.parent[held], emit) // for something that then turns out to be no entry
		}
	}
	if l.Rules.has(YieldProven | YieldBeyond) {
		for _, c := range l.ch.prefix[s.longest()] {
			l.fetch(s, n, c, emit)
		}
		return
	}
	b.valid.each(func(c chainID) {
		if l.firstUse(used, c) && l.mayYield(s, c) {
			l.fetch(s, n, c, emit)
		}
	})
}

// mayYield is the rule with a part of it missing: no certificate is asked for, or one does
// that stands before where the logs part.
func (l *Log) mayYield(s *logState, c chainID) bool {
	return !l.Rules.has(YieldProven) || l.ch.meet[c][s.longest()] != 0
}

// fetch gives region n the log c. What it gives up of its own term silences it in the term.
func (l *Log) fetch(s *logState, n int, c chainID, emit func(logState, move)) {
	r := *s
	me := &r.reg[n]
	own := me.log
	if l.ch.within(c, own) || l.ch.last[c] > me.term {
		return
	}
	if keep := l.ch.meet[c][own]; keep != own {
		r = l.cutTo(s, n, keep, emit)
	}
	me.log = c
	l.acknowledge(&r, n, c)
	emit(r, move{fetched, uint8(n), me.term, c, 0})
}

// cutTo cuts a log, and may crash then.
func (l *Log) cutTo(s *logState, n int, keep chainID, emit func(logState, move)) logState {
	r := *s
	me := &r.reg[n]
	me.silent = me.silent || l.Rules.has(YieldSilent) && l.ch.last[me.log] == me.term
	l.replace(&r, n, keep)
	emit(r, move{yieldsCrash, uint8(n), me.term, keep, 0})
	return r
}

// acksTwice looks for an honest region that acked two entries of one term at one place.
func (l *Log) acksTwice(s *logState) bool {
	for n := range l.honest {
		f := s.reg[n].fork
		if f == 0 {
			continue
		}
		a := f - 1
		t := l.ch.last[a]
		if b := s.reg[n].ack[t-1]; b != 0 && l.onePlace(a, b-1) {
			return true
		}
	}
	return false
}

// onePlace: two chains of one last term differ at an index where both have an entry of it.
func (l *Log) onePlace(a, b chainID) bool {
	from := max(l.ch.size[l.ch.meet[a][b]], l.ch.size[l.root(a)], l.ch.size[l.root(b)])
	return l.ch.last[a] == l.ch.last[b] && min(l.ch.size[a], l.ch.size[b]) > from
}
