package model

import (
	"math/bits"
	"strings"
)

// Rule is a set of rules; each constant is one of them.
type Rule uint64

const (
	AckCurrentTerm  Rule = 1 << iota // a region acks only entries of its current term
	AckOneHash                       // never two hashes for one (term, index)
	AckAfterStore                    // the entry is on disk before its ack leaves
	LeaderWaits                      // the leader acks after one follower did
	SameTuple                        // acks of different tuples never add up
	CountRegions                     // two signatures of one region count once
	VoteUpToDate                     // the candidate's log is at least as up to date as the voter's
	VoteHash                         // where the last terms are equal, it contains the voter's hash
	OneVote                          // one vote a term, for one region
	ProofNeeded                      // nothing of a term is believed without its leader proof
	ProofBase                        // each of the three reports agrees with the proof's base
	ProofInside                      // a log is valid only with a proof at each change of term
	TruncateCurrent                  // truncation only under the current term's proof
	TruncateForeign                  // never of entries taken from that term's own leader
	CutRivals                        // the equivocation rule as a whole
	CutShared                        // R extends the longest prefix that two reports share
	CutOthers                        // R comes from the three other regions' reports
	CutBases                         // two bases for one term convict as two hashes do
	CutNoVote                        // who cut does not vote again in that term
	DrawThree                        // three partial evaluations make a draw, not two
	SnapshotSigned                   // a snapshot needs three regions' signatures
	YieldProven                      // what the present leader sent gives way to a certificate only
	YieldBeyond                      // one of an entry at or after where it parts, not of what stays
	YieldOther                       // and not of the very suffix that is to go
	YieldSilent                      // who gave it up acks no more in the term
	TermJustified                    // a term is believed only with a justification
	TermNext                         // a pre-vote is for the next term only
	LeaseFresh                       // the acks under a lease are no older than the lease
	LeaseTwo                         // they come from two other regions
	LeaseOwn                         // what the region itself acked longer ago is applied
	LeaseApplied                     // they name an entry the region has itself applied
	LeaseNewest                      // a renewed ack names the newest entry, never an older one
	TimesRise                        // the times a region signs never go back
	LeaseAgain                       // lease and clocks are checked again before the answer leaves
	FreezeWait                       // a freeze is acknowledged one lease and twice the skew after it
	FreezeNewest                     // that wait counts from the newest time in the certificate
	ruleEnd
)

// All is every rule.
const All = ruleEnd - 1

var ruleNames = [...]string{"AckCurrentTerm", "AckOneHash", "AckAfterStore", "LeaderWaits", "SameTuple", "CountRegions",
	"VoteUpToDate", "VoteHash", "OneVote", "ProofNeeded", "ProofBase", "ProofInside", "TruncateCurrent", "TruncateForeign",
	"CutRivals", "CutShared", "CutOthers", "CutBases", "CutNoVote", "DrawThree", "SnapshotSigned", "YieldProven", "YieldBeyond", "YieldOther", "YieldSilent", "TermJustified", "TermNext",
	"LeaseFresh", "LeaseTwo", "LeaseOwn", "LeaseApplied", "LeaseNewest", "TimesRise", "LeaseAgain", "FreezeWait", "FreezeNewest"}

func (r Rule) has(x Rule) bool { return r&x == x }

// Without is r less the rules of x.
func (r Rule) Without(x Rule) Rule { return r &^ x }

func (r Rule) String() string {
	var names []string
	for x := r & All; x != 0; x &= x - 1 {
		names = append(names, ruleNames[bits.TrailingZeros64(uint64(x))])
	}
	return strings.Join(names, "+")
}
