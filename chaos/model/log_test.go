package model

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// long runs (MODEL_LONG=1, about 22 minutes) go further; docs/design/certificates.md has their figures.
var long = os.Getenv("MODEL_LONG") != ""

func run(t *testing.T, l Log, lim Limit) Result {
	t.Helper()
	r := search[logState](NewLog(l), lim)
	t.Logf("%d terms, %d entries, %d values, without %q: %v", l.Terms, l.Length, l.Values, All.Without(l.Rules), r)
	return r
}

func wantSound(t *testing.T, r Result) {
	t.Helper()
	if r.Flaw != "" || !r.Complete {
		t.Fatalf("want an exhaustive search without a flaw, got %v", r)
	}
}

func byzantine(terms, length, values int) Log {
	return Log{Rules: All, Terms: terms, Length: length, Values: values, Liar: true, Live: true, Bases: true}
}

func TestOneLiar(t *testing.T) {
	wantSound(t, run(t, byzantine(2, 2, 2), Limit{Trace: true}))
	wantSound(t, run(t, byzantine(2, 2, 3), Limit{Trace: true}))
	s := byzantine(2, 2, 2)
	s.Snapshots = true
	wantSound(t, run(t, s, Limit{Trace: true}))
}

func TestOneLiarLong(t *testing.T) {
	if !long {
		t.Skip("MODEL_LONG=1")
	}
	snaps := byzantine(3, 2, 2)
	snaps.Snapshots = true
	yields, longer := byzantine(3, 2, 2), byzantine(2, 3, 2)
	yields.Yields, longer.Yields = true, true
	for _, l := range []Log{byzantine(3, 2, 2), byzantine(2, 3, 2), snaps, yields, longer, byzantine(3, 2, 3)} {
		wantSound(t, run(t, l, Limit{Every: func(states, depth, width int) {
			fmt.Fprintf(os.Stderr, "%dx%dx%d: depth %d, %d states, %d to expand\n", l.Terms, l.Length, l.Values, depth, states, width)
		}}))
	}
}

// What the leader of a region's own term sent it does give way in the search, to a longer and
// to a shorter log, and a region that gave it up goes on in a later term.
func TestYields(t *testing.T) {
	l := byzantine(2, 2, 2)
	l.Yields = true
	sys, silent, shorter, after := NewLog(l), 0, 0, 0
	sys.seenState = func(s *logState) {
		for n := range sys.honest {
			r := &s.reg[n]
			old := r.ack[max(r.term, 1)-1]
			switch {
			case r.silent && old != 0 && sys.ch.conflict(old-1, r.log):
				silent++
			case r.silent && old != 0:
				shorter++ // it crashed before it stored the certified entries
			case r.term == 2 && r.ack[1] != 0 && s.cert[0] != 0:
				after++
			}
		}
	}
	wantSound(t, search[logState](sys, Limit{}))
	if silent == 0 || shorter == 0 || after == 0 {
		t.Errorf("%d regions gave way, %d of them crashed, %d acked in a later term", silent, shorter, after)
	}
}

// Without a liar nothing that was acked is ever truncated.
func TestCrashes(t *testing.T) {
	wantSound(t, run(t, Log{Rules: All, Terms: 3, Length: 3, Values: 1}, Limit{Trace: true}))
	wantSound(t, run(t, Log{Rules: All, Terms: 4, Length: 3, Values: 1}, Limit{Trace: true}))
	if long {
		wantSound(t, run(t, Log{Rules: All, Terms: 3, Length: 2, Values: 1, Interleaved: true}, Limit{}))
	}
}

// The schedule the current-term rule is there for: an entry of an older term reaches a second
// region under a newer leader, and is overwritten all the same.
func TestOlderTermOverwritten(t *testing.T) {
	r := run(t, Log{Rules: All.Without(AckCurrentTerm), Terms: 4, Length: 2, Values: 1}, Limit{Trace: true})
	all := strings.Join(r.Schedule, "\n")
	for _, want := range []string{"A wins term 1", "B wins term 2", "A wins term 3 on base [1x]", "C takes [1x] from the honest leader of term 3", "B wins term 4 on base [2x]"} {
		if !strings.Contains(all, want) {
			t.Errorf("schedule lacks %q:\n%s", want, all)
		}
	}
}

// Each rule left out lets its flaw through.
func TestEachRule(t *testing.T) {
	small, wide := byzantine(2, 2, 2), byzantine(3, 2, 2)
	small.Bases, wide.Bases = false, false
	bases, narrow, snaps := wide, wide, small
	bases.Bases, narrow.Length, snaps.Snapshots = true, 1, true
	yields := bases
	yields.Yields, yields.Terms = true, 2
	crash := Log{Rules: All, Terms: 4, Length: 2, Values: 1}
	for _, c := range []struct {
		rule  Rule
		in    Log
		flaws string
	}{
		{AckCurrentTerm, crash, "truncated"},
		{AckCurrentTerm, small, "conflict"},
		{LeaderWaits, crash, "truncated"},
		{AckAfterStore, small, "conflict"},
		{AckOneHash | TruncateForeign, small, "conflict"},
		{TruncateForeign, small, "conflict"},
		{TruncateCurrent, narrow, "conflict"},
		{SameTuple, small, "conflict"},
		{CountRegions, small, "conflict"},
		{VoteUpToDate, small, "conflict"},
		{VoteHash, small, "conflict"},
		{OneVote, small, "halt"},
		{ProofNeeded, small, "conflict"},
		{ProofBase, small, "conflict"},
		{ProofInside, wide, "conflict"},
		{CutRivals, small, "halt"},
		{CutBases, small, "halt"},
		{CutShared, bases, "without the certified"},
		{CutOthers, wide, "conflict"},
		{DrawThree, small, "draw"},
		{SnapshotSigned, snaps, "conflict"},
		{YieldProven, yields, "without the certified"},
		{YieldBeyond, yields, "without the certified"},
		{YieldOther, yields, "without the certified"},
		{YieldSilent, yields, "acked two entries"},
	} {
		t.Run(c.rule.String(), func(t *testing.T) {
			c.in.Rules = All.Without(c.rule)
			r := run(t, c.in, Limit{Trace: true})
			if !strings.Contains(r.Flaw, c.flaws) {
				t.Errorf("want the flaw %q, got %v", c.flaws, r)
			}
		})
	}
}

// Two rules are second lines: alone, their loss shows nothing. AckOneHash follows from
// AckAfterStore and TruncateForeign as long as disks keep what they stored; CutNoVote keeps a
// region to one report a term.
func TestSecondLines(t *testing.T) {
	for _, rule := range []Rule{AckOneHash, CutNoVote} {
		l := byzantine(2, 2, 2)
		if long {
			l = byzantine(3, 2, 2)
		}
		l.Rules = All.Without(rule)
		wantSound(t, run(t, l, Limit{}))
	}
}

// Entering terms together is no restriction: one by one, no other logs are reached, and with a
// liar (who needs no more than that an ack was sent) no other certificates.
func TestTogether(t *testing.T) {
	reach := func(l Log) map[string]bool {
		out := map[string]bool{}
		sys := NewLog(l)
		sys.seenState = func(s *logState) { out[sys.shape(s)] = true }
		wantSound(t, search[logState](sys, Limit{}))
		return out
	}
	yields := byzantine(2, 2, 2)
	yields.Yields = true
	systems := []Log{byzantine(2, 2, 2), byzantine(3, 1, 2), {Rules: All, Terms: 3, Length: 2, Values: 1}}
	if long {
		systems = append(systems, yields)
	}
	for _, l := range systems {
		together := reach(l)
		l.Interleaved = true
		single := reach(l)
		t.Logf("%d shapes together, %d one by one", len(together), len(single))
		for s := range single {
			if !together[s] {
				t.Fatalf("only one by one: %s", s)
			}
		}
	}
}

// shape is a state's logs and, with a liar, its certified chain, up to names of regions and values.
func (l *Log) shape(s *logState) string {
	logs := make([]chainID, l.honest)
	for n := range logs {
		logs[n] = s.reg[n].log
	}
	best := ""
	permute(logs, 0, func(order []chainID) {
		if l.Liar {
			order = append(append([]chainID(nil), order...), s.longest())
		}
		if out := l.rename(order); best == "" || out < best {
			best = out
		}
	})
	return best
}

func permute(c []chainID, k int, f func([]chainID)) {
	if k == len(c) {
		f(c)
		return
	}
	for i := k; i < len(c); i++ {
		c[k], c[i] = c[i], c[k]
		permute(c, k+1, f)
		c[k], c[i] = c[i], c[k]
	}
}

// rename names rivals in the order in which they first appear.
func (l *Log) rename(order []chainID) string {
	names, used := map[chainID]string{0: ""}, map[string]rune{}
	out := ""
	for _, c := range order {
		for _, p := range l.ch.prefix[c] {
			if _, ok := names[p]; !ok {
				place := fmt.Sprintf("%s%d", names[l.ch.parent[p]], l.ch.last[p])
				names[p] = place + string('x'+used[place])
				used[place]++
			}
		}
		out += "[" + names[c] + "] "
	}
	return out
}

func TestWalks(t *testing.T) {
	lim, seeds := Limit{States: 100_000, Trace: true}, uint64(2)
	if long {
		lim, seeds = Limit{States: 50_000_000}, 2
	}
	for seed := range seeds {
		r := walk[logState](NewLog(byzantine(4, 3, 2)), seed, 60, lim)
		t.Logf("seed %d: %v", seed, r)
		if r.Flaw != "" {
			t.Error(r)
		}
	}
}

// A walk, too, must be able to fail.
func TestWalkFindsFlaw(t *testing.T) {
	l := byzantine(4, 3, 2)
	l.Rules = All.Without(VoteHash)
	if r := walk[logState](NewLog(l), 1, 60, Limit{Time: 20 * time.Second, Trace: true}); r.Flaw == "" {
		t.Errorf("no flaw in %v", r)
	}
}
