package chain

import (
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Log is a region's view of a chain: its own, or its own overlaid with what it is sent.
type Log interface {
	// At returns the link at index; false if the log does not reach there or was
	// compacted. At(0) is the genesis link.
	At(index uint64) (Link, bool)
	Last() Link
	// Floor is the highest index known to be certified on this log; nothing at or below
	// it is ever cut, and what was compacted lies below it.
	Floor() uint64
}

func refuse(format string, args ...any) error { return errs.New(errs.BadState, format, args...) }

// AckState is what a region knows when it is to ack.
type AckState struct {
	Lineage  [32]byte
	Self     identity.RegionID
	Term     uint64       // current
	Proof    *LeaderProof // of the current term, verified; nil: none
	Fenced   bool         // the leader of the term is fenced
	Log      Log
	Durable  uint64 // index up to which the log is on disk
	Acked    Tuple  // highest tuple this region acked, zero for none
	Follower uint64 // as leader: highest index of this term a follower acked on this log
}

// MayAck returns the tuple that may be acked at index.
//
// Only entries of the current term are acked: an older one may still be overwritten by
// a leader that never saw it. A leader acks after one follower did: alone it may lose
// the entry to a later term without anybody's lie. And never two hashes for one place:
// that is what makes certificates unique.
func MayAck(s AckState, index uint64) (Tuple, error) {
	l, ok := s.Log.At(index)
	t := Tuple{s.Lineage, l}
	switch {
	case !ok || index == 0:
		return t, refuse("index %d is not in the log", index)
	case s.Proof == nil || s.Proof.Term != s.Term:
		return t, refuse("term %d has no leader proof yet", s.Term)
	case s.Fenced:
		return t, refuse("region %d is fenced in term %d", s.Proof.Leader, s.Term)
	case l.Term != s.Term:
		return t, refuse("entry %d is of term %d, the current term is %d", index, l.Term, s.Term)
	case index > s.Durable:
		return t, refuse("entry %d is not on disk", index)
	case s.Proof.Leader == s.Self && index > s.Follower:
		return t, refuse("entry %d: a leader acks after a follower", index)
	case s.Acked.Term > s.Term:
		return t, refuse("acked in term %d already", s.Acked.Term)
	}
	if base, ok := s.Log.At(s.Proof.Base.Index); ok && base != s.Proof.Base {
		return t, refuse("the log does not stand on the base of term %d", s.Term)
	}
	if s.Acked.Term == s.Term {
		if was, ok := s.Log.At(s.Acked.Index); ok && was != s.Acked.Link {
			return t, refuse("another entry was acked at term %d index %d", s.Term, s.Acked.Index)
		}
	}
	return t, nil
}

// Truncation is a region's own suffix about to be replaced.
type Truncation struct {
	Term      uint64       // of the request, current
	Proof     *LeaderProof // of Term, verified; nil: none
	From      uint64       // first own index that goes
	Own, New  Log          // before and after
	Certified []Tuple      // of verified certificates, any order
	Acked     uint64       // highest own index ever acked
}

// MayTruncate says whether the suffix may go, and whether that is an alarm: without a
// liar no acked entry is ever truncated.
//
// Never entries of this term's own leader: a leader replaces nothing it sent. And only
// for a log that is shown to lead to the base of the term, or through a certificate:
// otherwise a liar that leads could walk a region back to an old branch, one that no
// vote spoke for, and so take back its ack.
func MayTruncate(t Truncation) (alarm bool, err error) {
	alarm = t.From <= t.Acked
	switch {
	case t.Proof == nil || t.Proof.Term != t.Term:
		return alarm, refuse("term %d has no leader proof: nothing is truncated", t.Term)
	case t.Own.Last().Term >= t.Term:
		return alarm, refuse("entries of the leader of term %d are not replaced in its term", t.Term)
	case t.From <= t.Own.Floor():
		return alarm, refuse("index %d is certified", t.From)
	}
	if base, ok := t.New.At(t.Proof.Base.Index); ok && base == t.Proof.Base {
		return alarm, nil
	}
	for _, c := range t.Certified {
		if at, ok := t.New.At(c.Index); ok && at == c.Link && c.Index >= t.From {
			return alarm, nil
		}
	}
	return alarm, refuse("what replaces index %d does not reach the base of term %d (index %d) or a certificate", t.From, t.Term, t.Proof.Base.Index)
}

// MayYield says whether a suffix may go that MayTruncate keeps, because the leader of the
// present term sent it: it conflicts with a certificate, so that it can never get one
// itself. Who cuts it acks and votes no more in the term. A certificate on the own log, of
// the very suffix, speaks for that: what came with it may be anything.
func MayYield(t Truncation) (alarm bool, err error) {
	alarm = t.From <= t.Acked
	if t.From <= t.Own.Floor() {
		return alarm, refuse("index %d is certified", t.From)
	}
	for _, c := range t.Certified {
		own, held := t.Own.At(c.Index)
		if at, ok := t.New.At(c.Index); ok && at == c.Link && c.Index >= t.From && !(held && own == c.Link) {
			return alarm, nil
		}
	}
	return alarm, refuse("no certificate shows that index %d gives way", t.From)
}

// CapCommit returns how far a follower may commit: up to the highest certificate on
// its own log, overlaid with what the request brings. A leader's word for its commit
// index counts as an upper bound only. Certificates of other logs, or ahead of this
// one, are passed over: a node that catches up keeps its own.
func CapCommit(leader uint64, certified []Tuple, l Log) uint64 {
	commit := l.Floor()
	for _, c := range certified {
		if at, ok := l.At(c.Index); ok && at == c.Link {
			commit = max(commit, c.Index)
		}
	}
	return min(leader, commit)
}

// MayInstall says whether a snapshot may replace the state: attested by a quorum, and
// never below what was applied, which would undo it.
func MayInstall(r Roster, lineage [32]byte, applied uint64, p *SnapshotProof) error {
	if err := p.Verify(r, lineage); err != nil {
		return err
	}
	if p.Index <= applied {
		return refuse("snapshot of index %d does not reach beyond the applied index %d", p.Index, applied)
	}
	return nil
}
