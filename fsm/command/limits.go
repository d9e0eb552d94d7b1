package command

import "time"

// Limits of the log's language; a command beyond one is refused with TooLarge or
// Malformed before it is stored. Sizes are in bytes.
const (
	MaxPayload      = 256 << 10 // one payload to sign (a PSBT with ~100 inputs and their transactions)
	MaxField        = 320 << 10 // one field
	MaxFields       = 16
	MaxCommand      = 512 << 10 // one encoded command
	MaxEntry        = 2 << 20   // one encoded entry
	MaxCommands     = 1024      // commands in one entry
	MaxSignatures   = 4
	MaxName         = 64
	MaxNote         = 256
	MaxMessages     = 256 // digests one request may ask to be signed (PSBT inputs)
	MaxItems        = 1024
	MaxSignatureLen = 512
	MaxRegions      = 5
	MaxCover        = 32 << 10 // proof that an entry is certified
	MaxDepth        = 8        // indices of a derivation path
	MaxAddresses    = 256      // addresses one command issues
	MaxFallback     = 16       // keys of a Taproot script path: the largest number that one opcode pushes

	MaxWrapKey     = 2048 // public key that shares are sealed to, and its wrapped secret
	MaxSealedShare = 2048 // one sealed share, dealt value or seed: 39, 132 or 32 bytes and the envelope
	MaxDealing     = 512  // frost.Dealing of a threshold of at most four
	MaxThresholdPK = 512  // frost.PublicKey of at most five holders
	MaxComplaint   = 256
	CommitmentLen  = 81  // longest encoded frost.Commitment
	MaxOffer       = 512 // nonce commitments in one offer

	MaxSplit = 256 // frost.Split of a threshold of at most four

	MaxWrapping = 1024     // a region's wrapping key, PKIX
	MaxReenrol  = 32 << 10 // enrolment of a region with another HSM

	MaxEscrowOfficers = 10       // officers one escrow encrypts to
	MaxRecipient      = 4096     // an age recipient; a post-quantum one has about 2000
	MaxEscrowBox      = 32 << 10 // one region's escrowed share

	// MinEscrowDelay and MaxEscrowDelay bound how long an escrow waits, and what the
	// settings may ask for at least.
	MinEscrowDelay = time.Second
	MaxEscrowDelay = 365 * 24 * time.Hour

	// MinRefreshEvery and MaxRefreshEvery bound how often threshold keys are refreshed by
	// themselves.
	MinRefreshEvery = time.Hour
	MaxRefreshEvery = 365 * 24 * time.Hour

	// MaxLifetime bounds how far ahead of the entry's stamp a command may expire;
	// ids are remembered until then.
	MaxLifetime = 24 * time.Hour
)
