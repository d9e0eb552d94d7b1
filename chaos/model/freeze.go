package model

import "fmt"

// Freeze is the system of leases and clocks. The log holds an attempt that everyone may answer,
// then a freeze. Time goes in ticks; a clock may read anything within Skew of true time, at
// every reading anew (so it may step inside that band, also back). The liar acks whatever it likes with whatever time it likes.
//
// A lease holds while the age of what it rests on is less than Lease ticks. Once someone (the
// watcher, with a clock of its own) has acknowledged the freeze, nothing may leave an honest region.
type Freeze struct {
	Rules       Rule
	Lease, Skew int
	Wait        int // ticks after the certificate; the rule is Lease + 2*Skew
	Horizon     int
}

const stale = 0xff // older than any horizon

type freezeRegion struct {
	stored uint8 // 1 + Skew + own clock when it stored and acked the freeze; 0 not yet
	before uint8 // 1 + the newest time it may have put under an earlier entry, if times can go back
	state  uint8 // bit 0: applied the freeze, bit 1: waits for its HSM
}

const (
	applied uint8 = 1 << iota
	waiting
)

type freezeState struct {
	reg   [3]freezeRegion
	now   uint8
	told  bool // the freeze was acknowledged
	wrong bool
}

const (
	ticks uint8 = iota
	stores
	applies
	hands
	leaves
	acknowledges
)

func (f Freeze) initial() []freezeState { return []freezeState{{}} }

func (f Freeze) next(s freezeState, emit func(freezeState, move)) {
	if int(s.now) < f.Horizon {
		r := s
		r.now++
		emit(r, move{kind: ticks})
	}
	for n := range s.reg {
		f.region(s, n, emit)
	}
	if !s.told && f.mayTell(&s) {
		r := s
		r.told = true
		emit(r, move{kind: acknowledges})
	}
}

func (f Freeze) region(s freezeState, n int, emit func(freezeState, move)) {
	me := s.reg[n]
	change := func(kind uint8, to freezeRegion) {
		r := s
		r.reg[n] = to
		emit(r, move{kind: kind, region: uint8(n), other: to.stored})
	}
	for c := f.slow(&s); me.stored == 0 && c <= f.fast(&s); c++ {
		before := uint8(0)
		if !f.Rules.has(TimesRise) {
			before = 1 + f.fast(&s)
		}
		change(stores, freezeRegion{1 + c, before, me.state})
	}
	if me.stored != 0 && f.certified(&s) {
		change(applies, freezeRegion{me.stored, me.before, me.state | applied})
	}
	if me.state == 0 && f.holds(&s, n) {
		change(hands, freezeRegion{me.stored, me.before, waiting})
	}
	if me.state&waiting != 0 && (!f.Rules.has(LeaseAgain) || me.state&applied == 0 && f.holds(&s, n)) {
		r := s
		r.reg[n].state &^= waiting
		r.wrong = s.told
		emit(r, move{kind: leaves, region: uint8(n)})
	}
}

// slow and fast are the extreme readings of a clock (plus Skew, to stay above zero).
func (f Freeze) slow(s *freezeState) uint8 { return s.now }
func (f Freeze) fast(s *freezeState) uint8 { return s.now + uint8(2*f.Skew) }

func (f Freeze) certified(s *freezeState) bool {
	signers := 1 // the liar
	for _, r := range s.reg {
		if r.stored != 0 {
			signers++
		}
	}
	return signers >= 3
}

// holds: region n, which has not applied the freeze, has a lease. The acks it may rest on name
// entries before the freeze; late ones included, the best of each region is the newest one.
func (f Freeze) holds(s *freezeState, n int) bool {
	now, others := f.slow(s), 1 // at worst its clock is slow; the liar's ack is as fresh as it likes
	for x, r := range s.reg {
		if x == n {
			continue
		}
		newest := f.fast(s)
		if r.stored != 0 && f.Rules.has(LeaseNewest|LeaseApplied) {
			newest = max(r.stored, r.before) - 1
		}
		if f.fresh(now, newest) {
			others++
		}
	}
	need := 2
	if !f.Rules.has(LeaseTwo) {
		need = 1
	}
	if own := s.reg[n].stored; own != 0 && f.Rules.has(LeaseOwn) && !f.fresh(now, own-1) {
		return false
	}
	return others >= need
}

func (f Freeze) fresh(now, stamp uint8) bool {
	return !f.Rules.has(LeaseFresh) || int(now)-int(stamp) < f.Lease
}

// mayTell: every region confirmed it, or the watcher's clock is Wait past the times in a
// certificate, for which it may be shown any three signatures.
func (f Freeze) mayTell(s *freezeState) bool {
	all := true
	for _, r := range s.reg {
		all = all && r.state&applied != 0
	}
	if all {
		return true
	}
	clock := int(f.fast(s))
	for i, a := range s.reg {
		for _, b := range s.reg[:i] {
			if a.stored == 0 || b.stored == 0 {
				continue
			}
			from := int(max(a.stored, b.stored)) - 1
			if !f.Rules.has(FreezeNewest) {
				from = -stale // the liar's own, as old as it likes
			}
			if !f.Rules.has(FreezeWait) || clock-from >= f.Wait {
				return true
			}
		}
	}
	return false
}

func (f Freeze) canon(s freezeState) freezeState {
	for i := 1; i < len(s.reg); i++ {
		for j := i; j > 0 && s.reg[j].rank() < s.reg[j-1].rank(); j-- {
			s.reg[j], s.reg[j-1] = s.reg[j-1], s.reg[j]
		}
	}
	return s
}

func (r freezeRegion) rank() int { return int(r.before)<<16 | int(r.stored)<<8 | int(r.state) }

func (f Freeze) flaw(s freezeState) string {
	if s.wrong {
		return "a signature left an honest region after the freeze was acknowledged"
	}
	return ""
}

func (f Freeze) say(m move) string {
	who := "ABC"[m.region : m.region+1]
	switch m.kind {
	case ticks:
		return "a tick passes"
	case stores:
		return fmt.Sprintf("%s stores and acks the freeze, at %d by its clock", who, int(m.other)-1-f.Skew)
	case applies:
		return who + " learns the certificate, applies the freeze"
	case hands:
		return who + " holds a lease, asks its HSM to sign"
	case leaves:
		return who + "'s HSM has answered, the signature leaves"
	}
	return "the watcher acknowledges the freeze"
}

func (f Freeze) show(s freezeState) string {
	out := fmt.Sprintf("time %d", s.now)
	for n, r := range s.reg {
		out += fmt.Sprintf(" | %c", 'A'+n)
		if r.stored != 0 {
			out += fmt.Sprintf(" acked@%d", int(r.stored)-1-f.Skew)
		}
		if r.state&applied != 0 {
			out += " applied"
		}
		if r.state&waiting != 0 {
			out += " HSM"
		}
	}
	return out
}
