package chain

import (
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// MayPreVote says whether a region may ask for an election of term: it believes no
// leader, and terms go up one at a time, so that they cannot be used up.
func MayPreVote(current, term uint64, leaderSeen bool) error {
	if leaderSeen {
		return refuse("a leader is seen in term %d", current)
	}
	if term < current || term > current+1 || term == 0 {
		return refuse("pre-vote for term %d in term %d", term, current)
	}
	return nil
}

// VoteState is what a region knows when it is asked for its vote.
type VoteState struct {
	Term     uint64 // current, believed
	Last     Link   // own
	Followed bool   // it has taken entries of this term's leader
	Cut      bool   // it cut its log in this term (ResolveEquivocation)
	Fenced   []identity.RegionID
	Reported []Vote // its own reports of this term, stored before they were sent
}

// Candidacy is a request for a vote.
type Candidacy struct {
	Term      uint64
	Candidate identity.RegionID
	Last      Link
	Shown     [32]byte // the candidate's hash at the voter's last index
}

// MayGrant says whether a vote is granted: nil, or the reason of the refusal.
//
// The candidate must hold what the voter may have acked: a log at least as up to date
// and, within one last term, the very same entries, which raft never looks at. A
// report is of the log at the entry into the term; were it of two logs, each of two
// leaders could be shown the one it needs.
func MayGrant(s VoteState, q Candidacy) error {
	switch {
	case q.Term != s.Term || q.Candidate == 0:
		return refuse("asked for a vote in term %d in term %d", q.Term, s.Term)
	case q.Last.Term >= q.Term:
		return refuse("a candidate of term %d with a log of term %d", q.Term, q.Last.Term)
	case s.Followed || s.Last.Term >= s.Term:
		return refuse("term %d has a leader already", s.Term)
	case s.Cut:
		return refuse("the log was cut in term %d", s.Term)
	}
	for _, f := range s.Fenced {
		if f == q.Candidate {
			return refuse("region %d is fenced", f)
		}
	}
	for _, v := range s.Reported {
		if v.Term != s.Term {
			continue
		}
		if v.Granted && v.Candidate != q.Candidate {
			return refuse("voted for region %d in term %d", v.Candidate, s.Term)
		}
		if v.Last != s.Last {
			return refuse("reported another log in term %d", s.Term)
		}
	}
	if !upToDate(q.Last, s.Last) {
		return refuse("the log of region %d is older", q.Candidate)
	}
	return contains(q.Last, s.Last, q.Shown)
}

// Report builds the vote to sign: granted or not, a signed word about the own log as it
// stood at the entry into the term. A second report in a term repeats the log of the
// first. False: there is nothing true to say any more (the log has moved on under this
// term's leader), and the request is refused without a report.
func Report(lineage [32]byte, s VoteState, q Candidacy) (Vote, bool) {
	if q.Term != s.Term {
		return Vote{}, false
	}
	v := Vote{Lineage: lineage, Term: s.Term, Candidate: q.Candidate, Last: s.Last, Granted: MayGrant(s, q) == nil}
	fresh := !s.Followed && !s.Cut && s.Last.Term < s.Term
	for _, old := range s.Reported {
		if old.Term != s.Term {
			continue
		}
		if old.Candidate == q.Candidate && (old.Granted || !v.Granted) {
			return old, true // as sent before: a vote lost on the way counts once it arrives
		}
		v.Last, fresh = old.Last, true
	}
	return v, fresh
}

// contains says whether a log that ends at base, and has hash at the report's index,
// contains the reported log. A later last term contains by its own leader proof.
func contains(base, report Link, hash [32]byte) error {
	if base.Term != report.Term {
		return nil
	}
	if base.Index == report.Index {
		hash = base.Hash
	}
	if hash != report.Hash {
		return refuse("rival entry at term %d index %d", report.Term, report.Index)
	}
	return nil
}

// MayCount says whether a candidate may count a vote it got towards a proof over its
// own log: what it cannot judge it does not count, or others would refuse the proof.
func MayCount(own Log, v *Vote) error {
	base := own.Last()
	if !v.Granted || !upToDate(base, v.Last) {
		return refuse("region %d did not grant, or reports a newer log", v.Region)
	}
	at, ok := own.At(v.Last.Index)
	if !ok && base.Term == v.Last.Term {
		return refuse("region %d reports index %d, which is not in the log", v.Region, v.Last.Index)
	}
	return contains(base, v.Last, at.Hash)
}

// ProofBase is the other half of LeaderProof.Verify, over a log that has the base: the
// base contains every report. A report the log no longer reaches lies below the
// floor, where everything is certified: no certificate is lost by it.
func ProofBase(p *LeaderProof, l Log) error {
	if base, ok := l.At(p.Base.Index); (ok && base != p.Base) || (!ok && p.Base.Index > l.Floor()) {
		return refuse("the log does not have the base of term %d at index %d", p.Term, p.Base.Index)
	}
	for i := range p.Ballots {
		report := p.Ballots[i].Last
		if report.Term != p.Base.Term {
			continue
		}
		at, ok := l.At(report.Index)
		if !ok && report.Index <= l.Floor() {
			continue
		}
		if !ok {
			return refuse("term %d: report of index %d cannot be judged", p.Term, report.Index)
		}
		if err := contains(p.Base, report, at.Hash); err != nil {
			return err
		}
	}
	return nil
}
