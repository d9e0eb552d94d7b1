package solana

// Limits of what is decoded.
const (
	maxTransaction = 1232 // bytes on the network, signatures included
	minMessage     = 1 + 32 + 32
	maxAccounts    = 256 // an instruction names accounts by one byte
	maxUnits       = 1_400_000
	unitsPerCall   = 200_000 // compute units of an instruction where no limit is set, at most
	maxAddressText = 44      // characters of 32 bytes in base58
	baseFee        = 5000    // lamports a signature
)
