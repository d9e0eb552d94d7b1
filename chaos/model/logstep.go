package model

// next lists all that can happen in s. Each honest region acts alone; what the liar does shows
// only in what honest regions then accept.
func (l *Log) next(s logState, emit func(logState, move)) {
	b := l.believe(&s)
	used := l.used(&s)
	out := func(r logState, m move) {
		l.settle(&r)
		emit(r, m)
	}
	l.checkBases(&s, &b, emit)
	l.enter(&s, out)
	for n := range l.honest {
		l.elections(&s, n, out)
		l.replication(&s, &b, &used, n, out)
		if l.Liar {
			l.equivocation(&s, &b, n, out)
			l.fetches(&s, &b, &used, n, out)
			l.snapshots(&s, &b, &used, n, out)
		}
	}
}

// enter. A region enters terms one by one and reports in each: one that skips a term, or
// enters silently, is one whose report is never used.
//
// All may do so at the same moment. What a region does in term t rests on its own log and on
// messages of terms up to t, which are never taken back; so any schedule can be put in order of
// terms without changing what any region sees, and a region that lags is one that does nothing
// in the terms it enters. (TestTogether compares this with Interleaved.)
func (l *Log) enter(s *logState, emit func(logState, move)) {
	if !l.Interleaved {
		if int(s.reg[0].term) < l.Terms {
			r := *s
			for n := range l.honest {
				r.enter(n)
			}
			emit(r, move{allEnter, 0, r.reg[0].term, 0, 0})
		}
		return
	}
	for n := range l.honest {
		if int(s.reg[n].term) < l.Terms {
			r := *s
			r.enter(n)
			emit(r, move{enters, uint8(n), r.reg[n].term, r.reg[n].log, 0})
		}
	}
}

func (s *logState) enter(n int) {
	me := &s.reg[n]
	me.term++
	me.silent = false
	me.report[me.term-1] = me.log + 1
}

// elections: a region that has the votes leads; a leader appends.
func (l *Log) elections(s *logState, n int, emit func(logState, move)) {
	me := &s.reg[n]
	if me.term == 0 {
		return
	}
	t := int(me.term) - 1
	if room := int(l.ch.size[me.log]) < l.Length; !room {
		return
	}
	switch {
	case me.leads>>t&1 != 0:
		l.append(s, n, t, appends, emit)
	case l.canWin(s, n, t):
		l.append(s, n, t, wins, emit)
	}
}

func (l *Log) canWin(s *logState, n, t int) bool {
	me := &s.reg[n]
	if s.top[t] != 0 || s.lead[t] != nobody && l.Rules.has(OneVote) || me.report[t] != me.log+1 {
		return false
	}
	votes := 1
	for v := range l.honest {
		if rep := s.reg[v].report[t]; v != n && rep != 0 && l.agree[rep-1].has(me.log) {
			votes++
		}
	}
	return votes >= l.voters
}

func (l *Log) append(s *logState, n, t int, kind uint8, emit func(logState, move)) {
	r := *s
	me := &r.reg[n]
	before := me.log
	me.log = l.ch.extend(before, uint8(t+1))
	me.leads |= 1 << t
	r.lead[t], r.top[t] = honest, me.log+1
	if l.Liar || !l.Rules.has(LeaderWaits) { // the liar is always the follower it waits for
		l.sign(&r, n, me.log)
	}
	if kind == appends {
		before = me.log
	}
	emit(r, move{kind, uint8(n), uint8(t + 1), before, 0})
}

func (l *Log) replication(s *logState, b *beliefs, used *mask, n int, emit func(logState, move)) {
	me := &s.reg[n]
	from := int(me.term)
	if !l.Rules.has(TruncateCurrent) {
		from = 1
	}
	for t := from - 1; t >= 0 && t < int(me.term); t++ {
		if s.lead[t] == honest && me.leads>>t&1 == 0 {
			for _, c := range l.ch.prefix[s.top[t]-1] {
				l.take(s, n, t, c, takes, emit)
			}
		}
		if !l.Liar || me.leads>>t&1 != 0 {
			continue
		}
		offered := l.offers(s, b, t)
		offered.each(func(c chainID) {
			if l.firstUse(used, c) {
				l.take(s, n, t, c, takesLie, emit)
			}
		})
	}
}

// take gives region n the log c under the proof of term t (from 0).
func (l *Log) take(s *logState, n, t int, c chainID, kind uint8, emit func(logState, move)) {
	own := s.reg[n].log
	if l.ch.within(c, own) {
		return // nothing new
	}
	keep := l.ch.meet[c][own]
	current := t+1 == int(s.reg[n].term)
	if keep != own {
		if !current && int(l.ch.last[c]) > t+1 {
			return
		}
		if current && int(l.ch.last[own]) == t+1 && l.Rules.has(TruncateForeign) {
			return // would undo this leader's own entries
		}
	} else if !current {
		return
	}
	id := uint8(n)
	r := *s
	if kind == takesLie {
		l.spend(&r, t, c)
	}
	if !l.Rules.has(AckAfterStore) && keep == own {
		early := r
		l.acknowledge(&early, n, c)
		emit(early, move{acksEarly, id, uint8(t + 1), c, 0})
	}
	l.replace(&r, n, keep)
	if keep != own && keep != c {
		emit(r, move{cutsCrash, id, uint8(t + 1), keep, 0})
	}
	r.reg[n].log = c
	l.acknowledge(&r, n, c)
	emit(r, move{kind, id, uint8(t + 1), c, 0})
}

// replace truncates; without a liar nothing acked may go.
func (l *Log) replace(r *logState, n int, keep chainID) {
	me := &r.reg[n]
	if !l.Liar && me.acked > l.ch.size[keep] {
		r.flaw, r.f1, r.f2 = flawTruncated, l.ch.prefix[me.log][me.acked], keep
	}
	me.log = keep
}

// spend notes that the liar used its votes in term t and in every term of c it must have led.
func (l *Log) spend(r *logState, t int, c chainID) {
	if r.lead[t] == nobody {
		r.lead[t] = liar
	}
	for _, e := range l.ch.all[c] {
		if r.lead[e.term-1] == nobody {
			r.lead[e.term-1] = liar
		}
	}
}

// acknowledge: region n acks what it now holds, and its honest leader may follow suit.
func (l *Log) acknowledge(r *logState, n int, c chainID) {
	me := &r.reg[n]
	if l.Rules.has(AckCurrentTerm) && l.ch.last[c] != me.term {
		return
	}
	l.sign(r, n, c)
	for x := range l.honest {
		lead := &r.reg[x]
		if x != n && lead.term == me.term && lead.leads>>(me.term-1)&1 != 0 && l.ch.within(c, lead.log) {
			l.sign(r, x, c)
		}
	}
}

// sign puts region n's ack of c into the pool: one tuple for each entry that it may ack. It
// compares with the highest that it acked, so it looks only where its log still reaches that.
func (l *Log) sign(r *logState, n int, c chainID) {
	me := &r.reg[n]
	if me.silent {
		return
	}
	first := me.term
	if !l.Rules.has(AckCurrentTerm) {
		first = 1
	}
	for t := first; t <= me.term; t++ {
		a := l.ch.trim(c, t)
		if a == 0 {
			continue
		}
		old := me.ack[t-1]
		switch {
		case old == 0 || l.ch.within(old-1, a):
			me.ack[t-1] = a + 1
		case !l.ch.within(a, old-1) && !(l.Rules.has(AckOneHash) && l.ch.size[me.log] >= l.ch.size[old-1]):
			me.fork, me.ack[t-1] = old, a+1
		}
	}
	if !l.Liar && l.ch.within(c, me.log) {
		me.acked = max(me.acked, l.ch.size[c])
	}
}

// snapshots: a certified prefix may replace a log that lacks it.
func (l *Log) snapshots(s *logState, b *beliefs, used *mask, n int, emit func(logState, move)) {
	if !l.Snapshots {
		return
	}
	give := func(c chainID) {
		if me := &s.reg[n]; !l.ch.within(c, me.log) && l.ch.last[c] <= me.term && me.leads>>(me.term-min(me.term, 1))&1 == 0 {
			r := *s
			r.reg[n].log = c
			emit(r, move{snapshot, uint8(n), s.reg[n].term, c, 0})
		}
	}
	if l.Rules.has(SnapshotSigned) {
		for _, c := range l.ch.prefix[s.longest()] {
			give(c)
		}
		return
	}
	b.valid.each(func(c chainID) {
		if l.firstUse(used, c) {
			give(c)
		}
	})
}

// used is every chain some honest region knows of; firstUse keeps only one of several
// rivals that nobody has seen yet, since their values are mere names.
func (l *Log) used(s *logState) (m mask) {
	mark := func(c ref) {
		if c != 0 {
			for _, p := range l.ch.prefix[c-1] {
				m.add(p)
			}
		}
	}
	for n := range l.honest {
		r := &s.reg[n]
		mark(r.log + 1)
		mark(r.fork)
		for t := range l.Terms {
			mark(r.report[t])
			mark(r.ack[t])
		}
	}
	for t := range l.Terms {
		mark(s.cert[t])
		mark(s.top[t])
	}
	return m
}

func (l *Log) firstUse(used *mask, c chainID) bool {
	for k, e := range l.ch.all[c] {
		if used.has(l.ch.prefix[c][k+1]) {
			continue
		}
		for v := range e.value {
			if !used.has(l.ch.child[[3]uint8{l.ch.prefix[c][k], e.term, v}]) {
				return false
			}
		}
	}
	return true
}
