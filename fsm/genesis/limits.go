package genesis

// Limits of a genesis; sizes are in bytes.
const (
	Regions           = 4 // founding regions, exactly
	MinAdministrators = 2
	MaxAdministrators = 16
	MaxOfficers       = 32
	MaxRecipient      = 4096 // a post-quantum age recipient has about 2000
	MaxGenesis        = 512 << 10
	maxShort          = 256
	maxWrapping       = 1024
	maxAttributes     = 16 << 10
	maxServerID       = 64
)
