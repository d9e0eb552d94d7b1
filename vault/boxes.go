package vault

import (
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// What a box is bound to (docs/spec/sealed.md): one that is moved to another place in
// the state opens nowhere.

// shareInfo is of a region's share of a sharing, sealed to itself.
func shareInfo(cluster identity.ClusterID, key command.KeyID, epoch uint32, region identity.RegionID) []byte {
	w := wire.NewWriter(96)
	w.String("tetrad/box/share/v1")
	w.Fixed(cluster[:])
	w.Fixed(key[:])
	w.U32(epoch)
	w.U8(uint8(region))
	return w.Bytes()
}
