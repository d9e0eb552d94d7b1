package seal

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Root is one version of the root key. It prints as nothing.
type Root [32]byte

// Format keeps the key out of logs and errors whatever the verb.
func (Root) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[root key]")) }

// ContributionSize is the length of one region's contribution to the root key.
const ContributionSize = 32

// RootFromContributions derives root key version 1 from all regions' contributions in
// order of region id. As long as one of them is unknown to somebody, so is the key.
// The caller has checked each against its commitment.
func RootFromContributions(cluster identity.ClusterID, contributions [][]byte) (Root, error) {
	if len(contributions) < 2 {
		return Root{}, errs.New(errs.Invalid, "root key needs contributions of at least 2 regions, have %d", len(contributions))
	}
	w := wire.NewWriter(len(contributions) * (4 + ContributionSize))
	for i, c := range contributions {
		if len(c) != ContributionSize {
			return Root{}, errs.New(errs.Invalid, "contribution of region %d has %d bytes, want %d", i+1, len(c), ContributionSize)
		}
		w.Blob(c)
	}
	secret := w.Bytes()
	defer clear(secret)
	return Root(derive(secret, cluster, "tetrad/root/v1")), nil
}

// RootCheck is a public commitment to a root key: it stands in the signed genesis and
// tells a region that what it unwrapped is the key all founders agreed on.
func RootCheck(cluster identity.ClusterID, root Root) [32]byte {
	return [32]byte(derive(root[:], cluster, "tetrad/root-check/v1"))
}

// derive is HKDF-SHA256 with the cluster as salt.
func derive(secret []byte, cluster identity.ClusterID, info string) []byte {
	out, err := hkdf.Key(sha256.New, secret, cluster[:], info, 32)
	if err != nil {
		panic(err) // only for absurd lengths
	}
	return out
}
