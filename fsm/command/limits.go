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

	// MaxLifetime bounds how far ahead of the entry's stamp a command may expire;
	// ids are remembered until then.
	MaxLifetime = 24 * time.Hour
)
