package ceremony

import (
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
)

// A cluster is founded by four regions, of which any three make a beacon value.
const (
	Regions         = genesis.Regions
	beaconThreshold = 3
)

// AdministratorRoles are the founding administrators' rights: the vault's own
// business, nothing that signs with a tenant's keys.
const AdministratorRoles = command.RoleAdmin | command.RoleOperator | command.RoleAuditor

const (
	maxPlan       = 64 << 10
	maxFile       = 4 << 20 // one file of the ceremony
	maxBlocks     = 64      // PEM blocks in one file
	maxText       = 256
	maxWrapping   = 1024
	maxAttributes = 4096
	maxBox        = 8 << 10
	maxCiphertext = 16 << 10 // of age
)
