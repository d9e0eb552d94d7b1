package intent

import "github.com/tetrad-vault/tetrad/fsm/command"

// Limits of what is decoded. Every count is also checked against the bytes that are
// left before anything is allocated.
const (
	maxInputs  = command.MaxMessages
	maxOutputs = 2048
	maxPairs   = 4096                    // key-value pairs in one PSBT map
	maxPath    = 5                       // levels below the key that an input's derivation may name
	maxMoney   = int64(21_000_000 * 1e8) // satoshi
)
