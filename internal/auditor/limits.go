package auditor

import (
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

// Limits of an export and of what is remembered while verifying it.
const (
	maxFrame       = audit.MaxLeaf
	maxHeader      = command.MaxField + 4096
	maxEntryLeaves = command.MaxCommands
	findingsMax    = 1000    // findings reported one by one; the rest is counted
	waitingMax     = 1 << 10 // certificates whose sessions are not registered yet
	settledMax     = 1 << 16 // closed requests remembered for answers that come late
	underWay       = 256     // entries that may be acked, under an identity that ends, before all know that it did
	sharingsMax    = 4       // epochs of a threshold key that are remembered
)
