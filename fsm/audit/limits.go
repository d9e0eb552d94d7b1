package audit

import "github.com/tetrad-vault/tetrad/fsm/command"

// Limits of a leaf, in bytes unless said.
const (
	MaxText   = 1024
	MaxEffect = 256 << 10
	MaxLeaf   = command.MaxCommand + MaxEffect + 8<<10 // stored form
	MaxItems  = 4096                                   // elements in one list of an effect

	MaxSize = 1 << 48 // leaves in a tree

	maxCommitment = 4 << 10
	maxProof      = 128 // hashes
	maxExtra      = 4 << 10
)
