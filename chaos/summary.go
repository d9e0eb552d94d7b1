package chaos

import (
	"fmt"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// Summary says how much happened: a run in which nothing went wrong proves little.
type Summary struct {
	Runs, Ops, Acked, Reads int
	Entries, Terms, Boots   int
	Made, Requests, Redraws int // signatures in HSMs; requests; attempts after the first
	SecondPairs, Isolations int // requests answered with two pairs, as the design allows
	Beacons                 int // sharings of the beacon key that went live after the genesis's
	Shares, Sharings, Tries int // of threshold signatures that left; that went live; failed tries at one
}

// Add counts one history.
func (s *Summary) Add(h *History) {
	s.Runs++
	s.Ops, s.Made, s.Boots, s.Isolations = s.Ops+len(h.Ops), s.Made+len(h.Made), s.Boots+len(h.Boots), s.Isolations+len(h.Isolations)
	answers := map[command.RequestID]*Op{}
	second := map[command.RequestID]bool{}
	for i := range h.Ops {
		o := &h.Ops[i]
		if o.OK() {
			s.Acked++
		}
		if o.Kind == OpRead {
			s.Reads++
		}
		if o.Kind == OpSign && o.OK() {
			id := command.RequestIDOf(o.Command.Principal, o.Command.ID)
			if before := answers[id]; before != nil && !sameAnswer(before, o) {
				second[id] = true
			}
			answers[id] = o
		}
	}
	s.SecondPairs += len(second)
	terms, last := map[uint64]bool{}, uint64(0)
	for _, a := range h.Applied {
		terms[a.Meta.Term] = true
		last = max(last, a.Meta.Index)
	}
	s.Terms, s.Entries = s.Terms+len(terms), s.Entries+int(last)
	if len(h.Exports) == 0 {
		return
	}
	if l, err := readLedger(h, h.longest()); err == nil {
		s.Requests += len(l.requests)
		s.Shares += len(l.shares)
		s.Beacons += len(l.beacon)
		s.Sharings, s.Tries = s.Sharings+l.live(), s.Tries+len(l.tries)-l.live()
		for _, q := range l.requests {
			s.Redraws += len(q.attempts) - 1
		}
	}
}

// String returns one line.
func (s Summary) String() string {
	return fmt.Sprintf("%d runs: %d operations (%d acknowledged, %d reads), %d log entries in %d terms, %d node starts, %d isolations; %d requests, %d further attempts, %d second pairs, %d signatures in HSMs; %d sharings (%d of the beacon) after %d failed tries, %d shares",
		s.Runs, s.Ops, s.Acked, s.Reads, s.Entries, s.Terms, s.Boots, s.Isolations, s.Requests, s.Redraws, s.SecondPairs, s.Made, s.Sharings, s.Beacons, s.Tries, s.Shares)
}
