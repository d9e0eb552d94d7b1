package model

// rival is the outcome of the equivocation rule on three reports.
type rival struct {
	conflict bool      // rivals stand at the highest last term
	term     uint8     // that term
	keep     []chainID // R, or all that tie for it (the hash decides; here either may)
}

// rivals applies the equivocation rule to the reports of the three regions other than the convicted one.
func (l *Log) rivals(s *logState, reps [3]chainID) (v rival) {
	for _, r := range reps {
		v.term = max(v.term, l.ch.last[r])
	}
	if v.term == 0 {
		return v
	}
	var top []chainID
	for _, r := range reps {
		if l.ch.last[r] == v.term {
			top = append(top, r)
		}
	}
	var shared chainID // longest prefix of that term which two reports share
	for i, a := range top {
		for _, b := range top[:i] {
			v.conflict = v.conflict || l.convicts(s, a, b)
			if m := l.ch.meet[a][b]; l.ch.last[m] == v.term && l.ch.size[m] > l.ch.size[shared] {
				shared = m
			}
		}
	}
	if !v.conflict {
		return v
	}
	if !l.Rules.has(CutShared) {
		shared = 0
	}
	for _, r := range top {
		switch {
		case !l.ch.within(shared, r) || len(v.keep) > 0 && l.ch.size[r] < l.ch.size[v.keep[0]]:
		case len(v.keep) > 0 && l.ch.size[r] == l.ch.size[v.keep[0]]:
			v.keep = append(v.keep, r)
		default:
			v.keep = []chainID{r}
		}
	}
	return v
}

// convicts: two chains of one last term prove that its leader signed two hashes for one (term,
// index), or began the term on two bases. Entries of two leaders of one term convict neither.
func (l *Log) convicts(s *logState, a, b chainID) bool {
	if !l.ch.conflict(a, b) {
		return false
	}
	t := l.ch.last[a]
	fork := l.ch.size[l.ch.meet[a][b]]
	if top := s.top[t-1]; top != 0 {
		for _, c := range []chainID{a, b} {
			if l.ch.within(l.ch.prefix[c][fork+1], top-1) {
				return false
			}
		}
	}
	return l.Rules.has(CutBases) || l.onePlace(a, b)
}

// equivocation: a region that reported one of the rivals, and is not R, cuts to the common prefix.
func (l *Log) equivocation(s *logState, b *beliefs, n int, emit func(logState, move)) {
	me := &s.reg[n]
	if !l.Rules.has(CutRivals) || me.term == 0 {
		return
	}
	t := int(me.term) - 1
	if me.report[t] != me.log+1 || me.leads>>t&1 != 0 {
		return
	}
	var reps [3]chainID
	missing := -1
	for x := range l.honest {
		rep := s.reg[x].report[t]
		if rep == 0 {
			if missing >= 0 {
				return
			}
			missing = x
			continue
		}
		reps[x] = rep - 1
	}
	if missing < 0 {
		l.cut(s, n, reps, emit)
	}
	if l.Rules.has(CutOthers) {
		return
	}
	for x := range l.honest {
		if x == n || missing >= 0 && x != missing {
			continue
		}
		old := b.valid.and(l.ch.below[t+1])
		old.each(func(c chainID) { // the liar's report in place of x's
			forged := reps
			forged[x] = c
			l.cut(s, n, forged, emit)
		})
	}
}

func (l *Log) cut(s *logState, n int, reps [3]chainID, emit func(logState, move)) {
	v := l.rivals(s, reps)
	me := &s.reg[n]
	if !v.conflict || l.ch.last[me.log] != v.term {
		return
	}
	for _, keep := range v.keep {
		if !l.ch.conflict(me.log, keep) {
			continue
		}
		r := *s
		r.reg[n].log = l.ch.meet[me.log][keep]
		if !l.Rules.has(CutNoVote) {
			r.reg[n].report[me.term-1] = r.reg[n].log + 1
		}
		emit(r, move{cuts, uint8(n), me.term, r.reg[n].log, keep})
	}
}

// goesOn: with the liar silent and the three others connected, some continuation commits.
// Terms are no bound here: only the three logs matter, so fresh terms are played on them alone.
func (l *Log) goesOn(s *logState) bool {
	if !l.Liar {
		return true
	}
	logs := [3]chainID{s.reg[0].log, s.reg[1].log, s.reg[2].log}
	if bad, ok := l.halted[logs]; ok && l.Rules.has(OneVote) {
		return !bad
	}
	seen := map[[3]chainID]bool{}
	ok := l.electable(s, logs, seen)
	l.halted[logs] = !ok
	return ok
}

// electable: in a fresh term all three report their logs. Either one of them gets all three
// votes, then commits with three acks; or who must cut does so, and another term follows.
func (l *Log) electable(s *logState, logs [3]chainID, seen map[[3]chainID]bool) bool {
	if seen[logs] {
		return false
	}
	seen[logs] = true
	for k := range logs {
		votes := 0
		for v := range logs {
			if l.agree[logs[v]].has(logs[k]) {
				votes++
			}
		}
		if votes == 3 {
			return true
		}
	}
	v := l.rivals(s, logs)
	if !v.conflict || !l.Rules.has(CutRivals) {
		return false
	}
	keep := v.keep[0]
	for _, k := range v.keep {
		keep = min(keep, k) // lowest hash
	}
	for n, c := range logs {
		if l.ch.last[c] == v.term && l.ch.conflict(c, keep) {
			after := logs
			after[n] = l.ch.meet[c][keep]
			if l.electable(s, after, seen) {
				return true
			}
		}
	}
	return false
}
