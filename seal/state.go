package seal

import (
	"context"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// State is a region's unseal file: what it needs, beside its HSM, to open itself.
type State struct {
	Cluster       identity.ClusterID
	Region        identity.RegionID
	IdentityLabel string // of the identity key in the HSM
	WrappingLabel string // of the key that opens Wrapped
	Hash          uint8  // OAEP hash
	Wrapped       []byte // root keys, the region's own key and its secrets, wrapped to the HSM
}

// Secrets are a region's named secrets, such as its share of the beacon key.
type Secrets map[string][]byte

// Contents is what an unseal file protects.
type Contents struct {
	Roots   map[uint32]Root
	Secrets Secrets
}

// InitState makes the unseal file of a region: s without Wrapped, and the public
// wrapping key of its HSM.
func InitState(s State, wrapping []byte, c Contents) (*State, error) {
	return nil, errs.New(errs.Internal, "not yet")
}

// Encode returns the canonical form.
func (s *State) Encode() []byte { return nil }

// DecodeState parses the canonical form.
func DecodeState(b []byte) (*State, error) { return nil, errs.New(errs.Internal, "not yet") }

// Unseal opens a region: it finds the region's keys in the HSM, unwraps the state and
// checks it against the genesis.
func Unseal(ctx context.Context, h *HSM, s *State, cluster identity.ClusterID, rootCheck [32]byte) (*Keyring, Secrets, error) {
	return nil, nil, errs.New(errs.Internal, "not yet")
}
