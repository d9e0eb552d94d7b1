package vault

import "sync/atomic"

// Stats counts what the vault did since it was made; internal/node turns them into
// metrics.
type Stats struct {
	Questions      uint64 // co-sign questions answered
	Refusals       uint64 // items refused in them
	HSMSignatures  uint64 // made by the own HSM
	CachedAnswers  uint64 // items answered from the cache
	Rounds         uint64 // entries whose draws the leader worked on
	Completed      uint64 // requests whose signatures verified here
	SecondAttempts uint64 // attempts opened after a failed one
	BadAnswers     uint64 // answers of regions that did not verify
	Shares         uint64 // of threshold signatures, made here
	NoncesOffered  uint64 // commitments accepted into the committed pools
	TurnedAway     uint64 // commands decided here that found too few regions with nonces left, or well: the same in each region
	Ceremonies     uint64 // threshold keys whose sharing is being made now
	FailedTries    uint64 // tries at one that failed
}

type counters struct {
	questions, refusals, hsmSignatures, cachedAnswers atomic.Uint64
	rounds, completed, secondAttempts, badAnswers     atomic.Uint64
	shares, noncesOffered, turnedAway                 atomic.Uint64
	ceremonies, failedTries                           atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		Questions: c.questions.Load(), Refusals: c.refusals.Load(), HSMSignatures: c.hsmSignatures.Load(),
		CachedAnswers: c.cachedAnswers.Load(), Rounds: c.rounds.Load(), Completed: c.completed.Load(),
		SecondAttempts: c.secondAttempts.Load(), BadAnswers: c.badAnswers.Load(),
		Shares: c.shares.Load(), NoncesOffered: c.noncesOffered.Load(), TurnedAway: c.turnedAway.Load(),
		Ceremonies: c.ceremonies.Load(), FailedTries: c.failedTries.Load(),
	}
}
