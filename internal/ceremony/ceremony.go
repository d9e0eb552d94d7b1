// Package ceremony is genesis: the three rounds in which four regions, each at its
// own site with its own HSM, found a cluster. One reviewable plan drives it; what
// crosses between sites are text files signed by the regions' identity keys.
//
//	plan ─> enrol (x4) ─> contribute (x4) ─> sign (x4), approve (admins), officers ─> finish ─> install (x4)
//
// No file that leaves a site holds anything an outsider could use: contributions
// are sealed to the receiving region's HSM, officers' shares to their age keys.
// Nothing here talks to the network, and no running node needs this package for
// more than reading what install left behind (Load).
package ceremony

import (
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Names below the data directory. A node reads the first three; the rest is the
// ceremony's own progress and may be removed once the region runs.
const (
	FileGenesis = "genesis.pem"  // the signed genesis: public, the trust anchor
	FileRegion  = "region"       // which region this is and its incarnation
	FileUnseal  = "unseal"       // seal.State: root key and beacon share, sealed to the HSM
	FileBundle  = "ceremony.pem" // enrolments and contributions, to rebuild FileUnseal from the HSM
)

// Installed is what install left in a data directory.
type Installed struct {
	Genesis  *genesis.Genesis
	Region   identity.RegionID
	ServerID string // this disk's incarnation; differs from the genesis after a replacement
	Unseal   []byte // encoded seal.State
}

// Load reads what install left below fs. NotFound means the region was never
// founded here; Corrupt names the file.
func Load(fs durable.FS) (*Installed, error) { return nil, errs.New(errs.Internal, "not yet") }
