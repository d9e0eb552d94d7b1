package model

import (
	"fmt"
	"strings"
)

// region is what one honest region has on disk (all of it survives a crash), plus what it
// has sent: messages are never taken back, so they may arrive late, twice or never.
type region struct {
	term, log uint8
	acked     uint8        // crash system only: how much of log was ever acked
	leads     uint8        // bit t: it won term t
	silent    bool         // it gave up what its term's leader sent, and acks no more in this term
	report    [maxTerm]ref // log it reported on entering a term
	ack       [maxTerm]ref // longest chain ending in that term which it acked
	fork      ref          // an ack that contradicts another one (only if a rule is off)
}

// Who leads a term. Votes are decided late: a report is a vote still free, until a proof is used.
const (
	nobody uint8 = iota
	honest
	liar
)

type logState struct {
	reg    [maxRegions]region
	lead   [maxTerm]uint8
	top    [maxTerm]ref    // log of the honest leader of a term: every prefix may arrive at any time
	cert   [maxTerm]ref    // longest certified chain ending in that term
	proofs [maxTerm]uint16 // for a term all have left: number of the set of bases the liar can prove
	flaw   uint8
	f1, f2 chainID
}

const (
	noFlaw uint8 = iota
	flawConflict
	flawBase
	flawTruncated
	flawDraw
	flawHalt
)

// less orders regions; a state is canonical when its regions are in order, because all that
// concerns a region is in its own record.
func (a *region) less(b *region) bool {
	ka, kb := a.key(), b.key()
	for i := range ka {
		if ka[i] != kb[i] {
			return ka[i] < kb[i]
		}
	}
	return false
}

func (a *region) key() (k [6 + 2*maxTerm]uint8) {
	k[0], k[1], k[2], k[3], k[4] = a.term, a.log, a.acked, a.leads, a.fork
	if a.silent {
		k[5] = 1
	}
	copy(k[6:], a.report[:])
	copy(k[6+maxTerm:], a.ack[:])
	return k
}

func (s *logState) sort(n int) {
	for i := 1; i < n; i++ {
		for j := i; j > 0 && s.reg[j].less(&s.reg[j-1]); j-- {
			s.reg[j], s.reg[j-1] = s.reg[j-1], s.reg[j]
		}
	}
}

// longest is the longest certified chain.
func (s *logState) longest() chainID {
	for t := maxTerm - 1; t >= 0; t-- {
		if s.cert[t] != 0 {
			return s.cert[t] - 1
		}
	}
	return 0
}

func (l *Log) show(s logState) string {
	var b strings.Builder
	for n := range l.honest {
		r := &s.reg[n]
		fmt.Fprintf(&b, "%c t%d", 'A'+n, r.term)
		if r.term > 0 && r.leads>>(r.term-1)&1 != 0 {
			b.WriteByte('L')
		}
		b.WriteString(" " + l.ch.name(r.log))
		for t := range l.ch.terms {
			if r.ack[t] != 0 {
				b.WriteString(" ack" + l.ch.name(r.ack[t]-1))
			}
		}
		b.WriteString(" | ")
	}
	return b.String() + "certified " + l.ch.name(s.longest())
}

func (l *Log) flaw(s logState) string {
	if l.seenState != nil {
		l.seenState(&s)
	}
	a, b := l.ch.name(s.f1), l.ch.name(s.f2)
	switch s.flaw {
	case flawConflict:
		return "two certificates conflict: " + a + " and " + b
	case flawBase:
		return "a leader proof of a later term has the base " + b + ", without the certified " + a
	case flawTruncated:
		return "without a liar, the acked " + a + " is truncated to " + b
	case flawDraw:
		return "the liar could compute the draw of " + a + ", yet " + b + " was certified instead"
	}
	if l.Yields && l.acksTwice(&s) {
		return "an honest region acked two entries at one place: its own signatures convict it"
	}
	if l.Live && !l.goesOn(&s) {
		return "halt: the three others, connected and with the liar silent, can never commit again"
	}
	return ""
}
