//go:build liar

package liar_test

import (
	"time"

	"github.com/tetrad-vault/tetrad/internal/liar"
)

// lie is one row of the table, as real processes can tell it.
type lie struct {
	name     string
	follower bool
	first    bool           // told by the first region, which does not lead
	silent   bool           // killed once it lied
	whole    bool           // logs stay whole: a region that gets no entries gets no snapshot either
	anew     bool           // only what is asked for once it lies counts: before, all is well
	short    bool           // part of make test
	joint    bool           // signed is with a threshold key
	stays    bool           // it does harm only after a while
	soon     bool           // what was taken in shows at once when the defence is up again
	starves  bool           // without liar.Willing nothing is signed while it is told; the row's own defence is another
	idle     time.Duration  // that passes, with nothing asked for, when the lie begins
	lower    []liar.Defence // what stands in its way
	before   func(*world)
	during   func(*world)
	watch    func(*world) // what must not be, besides what all lies are watched for
	after    func(*world) // likewise, when the lie is over, under load
	names    func(*world) // wants the culprit to be named
}

func ds(d ...liar.Defence) []liar.Defence { return d }

var lies = []lie{
	{name: "mute-leader", anew: true, lower: ds(liar.Willing)},
	{name: "ignored-requests", anew: true, lower: ds(liar.Willing)},
	{name: "false-commit", silent: true, lower: ds(liar.CommitCap, liar.Applying)},
	{name: "one-region-only", silent: true},
	{name: "rival-entries"},
	{name: "equivocation-silence", silent: true, short: true, lower: ds(liar.Rivals)},
	{name: "rivals-certified", stays: true, lower: ds(liar.Signatures)},
	{name: "forged-certificate", silent: true, soon: true, lower: ds(liar.Signatures)},
	{name: "two-of-one-region", silent: true, lower: ds(liar.Quorums)},
	{name: "unsigned-entry", lower: ds(liar.Signatures)},
	{name: "rewritten-entry", lower: ds(liar.Truncation)},
	{name: "membership-remove", lower: ds(liar.Membership)},
	{name: "membership-add", lower: ds(liar.Membership)},
	{name: "stamp-forward", short: true, lower: ds(liar.Stamps)},
	{name: "stamp-backward", watch: standing, lower: ds(liar.Stamps)},
	{name: "stamp-idle-forward", idle: 72 * time.Hour, lower: ds(liar.Stamps)},
	{name: "stamp-idle-backward", idle: 72 * time.Hour, lower: ds(liar.Stamps)},
	{name: "poison-bytes", lower: ds(liar.Opening)},
	{name: "poison-body", lower: ds(liar.Opening)},
	{name: "forged-snapshot"},
	{name: "swapped-snapshot"},
	{name: "starved-region"},
	{name: "shunned-region"},
	{name: "attest-other", lower: ds(liar.Attesting)},
	{name: "term-answer", follower: true, lower: ds(liar.Terms)},
	{name: "term-vote", follower: true, lower: ds(liar.Terms)},
	{name: "unproven-leader", follower: true, lower: ds(liar.LeaderProofs)},
	{name: "forged-transfer", follower: true},
	{name: "ack-forged", follower: true, lower: ds(liar.Signatures)},
	{name: "ack-another", follower: true, lower: ds(liar.Acks, liar.Signatures)},
	{name: "ack-earlier-boot", follower: true, before: reboot, lower: ds(liar.AckBoots)},
	{name: "ack-lineage", follower: true},
	{name: "ack-index", follower: true},
	{name: "ack-replayed", follower: true},
	{name: "rival-acks", follower: true},
	{name: "false-accusation", follower: true, lower: ds(liar.Accusations), watch: framed},
	{name: "undrawn", lower: ds(liar.Drawn)},
	{name: "forged-value", lower: ds(liar.Draws)},
	{name: "grind-partials", lower: ds(liar.Partials)},
	{name: "no-reason", lower: ds(liar.Reasons)},
	{name: "lone-attempt", lower: ds(liar.Reasons)},
	{name: "health-by-one", lower: ds(liar.Health)},
	{name: "bad-partial", follower: true, lower: ds(liar.PartialProofs)},
	{name: "wrong-signature", follower: true, names: namedByWords, lower: ds(liar.Answers)},
	{name: "own-signature", names: namedByRefusal, lower: ds(liar.Filed)},
	{name: "other-digest", follower: true, names: namedByWords, lower: ds(liar.Answers)},
	{name: "foreign-key", during: anotherKey, lower: ds(liar.Attestations)},
	{name: "other-payload", anew: true, starves: true, lower: ds(liar.Commands)},
	{name: "false-complaint", follower: true, lower: ds(liar.Complaints), watch: left},
	{name: "foreign-session", lower: ds(liar.Sessions, liar.Possession)},
	{name: "foreign-session-first", during: rebootVictim, lower: ds(liar.Possession)},
	{name: "stolen-admin", during: stolen, lower: ds(liar.DualControl)},
	{name: "forged-second", during: stolen, lower: ds(liar.Commands)},
	{name: "freeze-unproposed", during: freezeThroughLiar},
	{name: "path-unproposed", joint: true, during: freezeChildThroughLiar},
	{name: "freeze-starved", whole: true, during: freezeOnceHeld},
	{name: "refund-released", before: limitedKey(2, time.Hour), during: askBeyond, after: signedWithin(2), lower: ds(liar.Refunds)},
	{name: "window-early", before: usedUp, during: askEarly, after: openedWithin(1), lower: ds(liar.Stamps)},
	{name: "limit-alone", before: limitedKey(2, time.Hour), during: raiseAlone, lower: ds(liar.DualControl)},
	{name: "completion-hidden", during: collude, lower: ds(liar.Statements)},
	{name: "other-dealing", follower: true, joint: true, during: refreshed, names: accused(2)},
	{name: "wrong-value", follower: true, joint: true, during: refreshedInTime, names: accused(1)},
	{name: "finish-withheld", follower: true, joint: true, during: unfinished, after: refreshedAfter, names: blamed},
	{name: "two-finishes", first: true, joint: true, during: disagreed, after: refreshedAfter, names: blamed, lower: ds(liar.Agreement)},
	{name: "lone-accusation", follower: true, joint: true, during: refreshed, names: accuses, lower: ds(liar.Accusers)},
	{name: "soft-wrap", follower: true, joint: true, during: wrapped, after: refreshedWithout, names: blamed, lower: ds(liar.Wrapping)},
	{name: "ceremony-starved", joint: true, during: starved, after: refreshedAfter},
	{name: "nonces-twice", follower: true, joint: true, during: offered, names: refusedOffers, lower: ds(liar.Serials)},
	{name: "wrong-share", follower: true, joint: true, names: namedByWords, lower: ds(liar.Answers)},
	{name: "own-share", joint: true, names: namedByRefusal, lower: ds(liar.Filed)},
	{name: "old-share", follower: true, joint: true, names: namedByWords, lower: ds(liar.Answers)},
	{name: "refresh-other-key", first: true, joint: true, during: anotherPublic, names: refusedFinish, lower: ds(liar.SameKey, liar.Agreement)},
	{name: "import-replayed", during: forbidsAgain, lower: ds(liar.Once)},
	{name: "beacon-old-share", follower: true, before: beaconRefreshed, lower: ds(liar.PartialProofs)},
	{name: "beacon-mixed", before: beaconRefreshed, lower: ds(liar.Draws)},
}
