package model

// settle follows every transition: it draws up the certificates, looks for contradictions,
// and forgets what can no longer matter, so that states that differ only in it become one.
func (l *Log) settle(s *logState) {
	if s.flaw != noFlaw {
		return
	}
	for t := range l.Terms {
		l.certify(s, t)
	}
	if l.Liar && !l.Rules.has(DrawThree) {
		l.lostDraws(s)
	}
	l.forget(s)
}

// acks lists what region n acked of term t.
func (l *Log) acks(s *logState, n, t int) (a [2]ref) {
	r := &s.reg[n]
	a[0] = r.ack[t]
	if r.fork != 0 && int(l.ch.last[r.fork-1]) == t+1 {
		a[1] = r.fork
	}
	return a
}

// certify finds the chains of term t that enough honest regions acked (the liar always adds its own ack).
func (l *Log) certify(s *logState, t int) {
	signers := 0
	for n := range l.honest {
		if s.reg[n].ack[t] != 0 {
			signers++
		}
	}
	if signers == 0 || signers < l.ackers && l.Rules.has(SameTuple) {
		return
	}
	var join func(n, need int, c chainID, fresh bool)
	join = func(n, need int, c chainID, fresh bool) {
		if need == 0 {
			if l.Rules.has(SameTuple) && int(l.ch.last[c]) != t+1 {
				return // equal only before this term: no common tuple
			}
			l.certified(s, c)
			return
		}
		for ; n < l.honest; n++ {
			for u := range l.Terms {
				if u != t && (l.Rules.has(SameTuple) || fresh) {
					continue
				}
				for _, a := range l.acks(s, n, u) {
					if a == 0 {
						continue
					}
					m := a - 1
					if !fresh {
						m = l.ch.meet[m][c]
					}
					join(n+1, need-1, m, false)
				}
			}
		}
	}
	join(0, l.ackers, 0, true)
}

func (l *Log) certified(s *logState, c chainID) {
	if c == 0 || s.flaw != noFlaw {
		return
	}
	for t := range l.Terms {
		if old := s.cert[t]; old != 0 && l.ch.conflict(old-1, c) {
			s.flaw, s.f1, s.f2 = flawConflict, old-1, c
			return
		}
	}
	t := l.ch.last[c] - 1
	if s.cert[t] == 0 || l.ch.size[c] > l.ch.size[s.cert[t]-1] {
		s.cert[t] = c + 1
	}
}

// lostDraws: with two partial evaluations to a draw, one honest ack shows it to the liar.
func (l *Log) lostDraws(s *logState) {
	for n := range l.honest {
		for t := range l.Terms {
			if a := s.reg[n].ack[t]; a != 0 && s.flaw == noFlaw && l.ch.conflict(a-1, s.longest()) {
				s.flaw, s.f1, s.f2 = flawDraw, a-1, s.longest()
			}
		}
	}
}

// checkBases: whatever is certified in an earlier term must be part of every base that an
// honest leader used or the liar can prove.
func (l *Log) checkBases(s *logState, b *beliefs, emit func(logState, move)) {
	if !l.Bases || s.flaw != noFlaw {
		return
	}
	for t := range l.Terms {
		var held mask
		if s.lead[t] == honest {
			held.add(l.root(s.top[t] - 1))
		}
		held = held.or(b.base[t].and(b.valid))
		for x := range t {
			if s.cert[x] == 0 {
				continue
			}
			held.each(func(base chainID) {
				if c := s.cert[x] - 1; !l.holding[c].has(base) {
					r := *s
					r.flaw, r.f1, r.f2 = flawBase, c, base
					emit(r, move{proves, 0, uint8(t + 1), base, 0})
				}
			})
		}
	}
}

// forget drops what cannot matter any more. With rules off that make old messages matter, it keeps more.
func (l *Log) forget(s *logState) {
	for n := range l.honest {
		if r := &s.reg[n]; r.term > 1 {
			r.leads &= 1 << (r.term - 1)
		}
	}
	keepAcks := !l.Rules.has(AckCurrentTerm | SameTuple | DrawThree)
	for t := range l.Terms {
		if !l.left(s, t) {
			break
		}
		for n := range l.honest {
			if !keepAcks {
				s.reg[n].ack[t] = 0
			}
		}
		l.close(s, t)
	}
	if l.Liar && l.Rules.has(CutOthers|OneVote|CutRivals) {
		l.idleReports(s)
	}
}

// left: every honest region is past term t.
func (l *Log) left(s *logState, t int) bool {
	for n := range l.honest {
		if int(s.reg[n].term) <= t+1 {
			return false
		}
	}
	return true
}

// close replaces the reports of a term that all have left by what the liar can prove with them.
func (l *Log) close(s *logState, t int) {
	switch {
	case !l.Liar:
		s.lead[t], s.top[t] = nobody, 0
	case !l.Rules.has(OneVote):
		return
	case s.lead[t] != honest && s.proofs[t] == 0:
		b := l.believe(s)
		m := b.base[t]
		if l.Rules.has(ProofInside) {
			m = m.and(b.valid)
		}
		s.lead[t], s.proofs[t] = liar, l.name(m)
	}
	for n := range l.honest {
		s.reg[n].report[t] = 0
	}
}

func (l *Log) name(m mask) uint16 {
	n, ok := l.setName[m]
	if !ok {
		n = uint16(len(l.sets))
		l.sets, l.setName[m] = append(l.sets, m), n
	}
	return n
}

// idleReports drops reports of an honest leader's term once no cut can come of them.
func (l *Log) idleReports(s *logState) {
	for t := range l.Terms {
		if s.lead[t] != honest {
			continue
		}
		var reps [3]chainID
		all, any := true, false
		for n := range l.honest {
			if rep := s.reg[n].report[t]; rep != 0 {
				reps[n], any = rep-1, true
			} else if int(s.reg[n].term) > t {
				all = false // dropped before
			} else {
				all = false
			}
		}
		if !any || !all || l.rivals(s, reps).conflict {
			continue
		}
		for n := range l.honest {
			s.reg[n].report[t] = 0
		}
	}
}
