package auditor

import (
	"encoding/hex"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// BeaconSharing is one sharing of the beacon key: what partials of the entries after Since,
// up to and with the one that the next sharing's Since names, were verified under.
type BeaconSharing struct {
	Epoch   uint32              `json:"epoch"` // 0: the genesis's
	Since   uint64              `json:"since"` // index of the entry that made it live
	Holders []identity.RegionID `json:"holders"`
	Public  []string            `json:"public_shares"` // hex, by holder
	key     draw.PublicKey
}

func newBeaconSharing(since uint64, key draw.PublicKey) BeaconSharing {
	b := BeaconSharing{Epoch: key.Epoch, Since: since, key: key}
	for i := range key.Shares {
		if key.Holds(uint8(i + 1)) {
			b.Holders = append(b.Holders, identity.RegionID(i+1))
			b.Public = append(b.Public, hex.EncodeToString(key.Shares[i][:]))
		}
	}
	return b
}

// beaconAt is the public side that the partials of an entry are verified under: of the
// sharing that was live when the entry began.
func (v *verifier) beaconAt(index uint64) draw.PublicKey {
	all := v.report.Beacon
	for i := len(all) - 1; i > 0; i-- {
		if all[i].Since < index {
			return all[i].key
		}
	}
	return all[0].key
}

// reshared enters a sharing of the beacon key that this leaf made live.
func (v *verifier) reshared(l *audit.Leaf, s *fsm.Sharing, public *frost.PublicKey) {
	if last := v.report.Beacon[len(v.report.Beacon)-1]; last.Epoch >= s.Epoch {
		return // another holder's word in the same entry
	}
	key, err := draw.KeyOf(public)
	if err != nil {
		v.report.found(l.Seq, KindKey, "beacon key, epoch %d: %v", s.Epoch, err)
		return
	}
	v.report.Beacon = append(v.report.Beacon, newBeaconSharing(l.Meta.Index, key))
}
