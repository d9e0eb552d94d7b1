package fsm

import "time"

// Limits of the state. Those that decide outcomes are the same on every replica, so a
// change of one is a change of format.
const (
	MaxTenants    = 1024
	MaxPrincipals = 4096 // removed ones included: a credential is revoked for ever
	MaxKeys       = 16384
	MaxRemembered = 1 << 20 // commands and requests remembered at once
	MaxAttempts   = 3
	MaxSessions   = 4  // of one region, newest first
	MaxLifted     = 32 // local stops whose end is remembered, over all regions
	MaxFormer     = 16 // identities that one region had before

	// ReservedMemory is what only the vault's own principals may fill beyond MaxRemembered.
	ReservedMemory = 1 << 16

	// CompletionGrace is how long after its expiry an open request may still be
	// completed: co-signers stop at the expiry, what they released just before has to
	// reach the log.
	CompletionGrace = 15 * time.Second

	// Retention is how long a final request stays readable after its expiry, unless
	// there are more than MaxRetained rows; then the oldest past expiry go first.
	Retention   = 5 * time.Minute
	MaxRetained = 16384

	// ReenrolTime is how long after a region was enrolled with another HSM no other one is:
	// time for people to see it, and to freeze.
	ReenrolTime = 24 * time.Hour

	// WordAge is how far a word on a region's health may be from the clock.
	WordAge = time.Minute

	// Of threshold keys, see docs/design/threshold.md.
	StepTime       = 30 * time.Second // each step of a try, by the committed clock
	RetireTime     = time.Minute      // how long attempts opened under a sharing may be answered after the next went live
	MaxTries       = 4                // of one ceremony
	MaxFaults      = 20               // kept of one ceremony: as many as five regions cause in four tries
	MaxCeremonies  = 256              // running at once
	MaxRolling     = 64               // running at once before a refresh of all keys waits
	MaxWraps       = 64               // wrapping epochs that some region has not destroyed
	MaxPool        = 2048             // commitments in one pool
	MaxEscrows     = 4                // of one key, for ever
	MaxFrozenPaths = 128              // of one key
	MaxBranches    = 256              // of one key, from which addresses were given out
	MaxSkip        = 1 << 20          // indices that naming a path passes over, where an asset class has few branches
	ImportTime     = 10 * time.Minute // for the holders of a key from outside to take it

	// Of the refresh of all threshold keys by schedule. What could not be refreshed is tried
	// again after a part of the period, some times; a key at which many tries failed is left
	// to people.
	refreshParts  = 16
	MinRetry      = 5 * time.Minute
	MaxRetry      = 6 * time.Hour
	MaxRetries    = 15
	ScheduleTries = 128         // of one sharing
	OfferTime     = time.Minute // for regions to offer a wrapping key before keys are passed by

	sweepKeys     = 64   // keys an entry times out, or looks at for a refresh of all
	sweepSlots    = 1024 // rows an entry expires or prunes, a bucket more or less
	signatureLen  = 64   // every curve's signatures
	maxRecord     = 1 << 20
	maxAddress    = 256
	maxServerID   = 64
	maxShort      = 256
	maxWrapping   = 1024
	maxAttributes = 16 << 10
	maxPublicKey  = 128
)
