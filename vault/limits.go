package vault

import "time"

// Limits of the room. What is beyond one is refused or left to a later sweep over the
// open requests, never queued without bound.
const (
	defaultHSMWorkers = 2 // more only burn the locks of a software token

	defaultKeep   = 10 * time.Minute // an opened share that nobody uses
	defaultShares = 4096             // opened at once

	maxRounds      = 128       // entries whose draws the leader works on at once
	maxQuestions   = 128       // co-sign questions of one region answered at once
	maxQuestion    = 256 << 10 // bytes of one encoded question
	maxAnswerBytes = 64 << 10  // signatures asked of one region in one question: four answers fit one command field
	maxStatements  = 16        // own statements filed at one check
	maxProposals   = 64        // of our own, side by side, after a failed round
	maxBatch       = 1024      // commands of one SignBatch
	maxWaiters     = 64 << 10  // callers of Sign and Await at once
	maxMetas       = 1024      // opened entries whose partials are remembered
	maxStrays      = 64        // entries that one other region alone spoke of
	maxStands      = 8         // shares of the beacon key in memory: two are in use
	maxRefusals    = 16 << 10  // own refusals remembered in case a word on them is asked for
	maxAnswers     = 64 << 10  // answers remembered until their requests are final
	maxAnswersFile = 16 << 20  // bytes of one file of answers
	maxPast        = 16 << 10  // answers for requests that ended without signatures, remembered in case a word is asked for
	maxNothings    = 16        // attempts in one question for words that nothing was released
	maxRefunds     = 1024      // requests whose charge the leader tries to give back
	refundsAtOnce  = 16
	maxPlaces      = 1024     // commands that took rights away whose place is remembered
	maxDealings    = 64       // key ceremonies whose next message is computed or on its way into the log at once
	maxTries       = 256      // key ceremonies remembered between two steps; the others are made again from the state
	maxAttempts    = 3        // draws of one request; opening a fourth means giving up
	maxRoots       = 4096     // decoded public keys of threshold keys
	maxChildren    = 16 << 10 // keys derived from them
	maxSums        = 16 << 10 // threshold requests whose signatures are remembered
	leastNonces    = 128      // commitments a pool holds when nothing is asked of it
	mostNonces     = 2048     // and at most: what the committed state takes
	maxNonces      = 4096     // nonces of a curve in memory: offered, being offered, named by open attempts
	maxOffer       = 256      // commitments in one offer, so that making them takes no processor for long
	maxOffers      = 8        // offers of a curve on their way at once

	calmNonces = time.Minute // without much use, after which a pool is to hold less

	mostRest   = 50 * time.Millisecond // of the dealer after a computation; one that opened a key in the HSM took longer
	leasePause = 10 * time.Millisecond // between two looks for a lease
	coverPause = 20 * time.Millisecond // between two looks for the proof of an entry

	refundTime    = 2 * time.Minute // for which the leader tries
	statementLife = time.Minute     // expiry of commands the region signs itself; ids are remembered that long
)
