// Package audit is the vault's history for outsiders: leaves that come out of
// Apply, hashed into an RFC 6962 tree whose frontier is part of the replicated
// state, and the proofs that tie a leaf to a root. Pure.
package audit

import (
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Leaf is one line of the audit log: a command as it was judged. What is hashed is
// the commitment and the outcome (Canonical); the field values ride beside it, each
// provable against the commitment's root, so a leaf can be shown redacted.
type Leaf struct {
	Seq      uint64 // position in the tree, from 0 (the genesis)
	Meta     command.Meta
	Stamp    time.Time
	Position uint32 // of the command in its entry
	Command  command.Commitment
	Code     errs.Code
	Text     string
	Effect   []byte          // canonical effects (Effect), e.g. attempts opened with their eligible regions
	Fields   []command.Field // disclosed; nil when withheld
}
