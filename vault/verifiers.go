package vault

import (
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// verifiers are one region's attested keys, prepared once for all signatures of a
// question.
type verifiers map[command.KeyID]*intent.Verifier

// add prepares what region attested of a key; without that, nothing verifies.
func (v verifiers) add(key *fsm.Key, region identity.RegionID) {
	if a := key.Attested(region); a != nil && v[key.ID] == nil {
		v[key.ID] = intent.NewVerifier(key.Curve, a.PublicKey)
	}
}
