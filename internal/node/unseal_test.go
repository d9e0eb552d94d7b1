package node

import (
	"math/rand"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// TestBeaconShare: the share of the genesis is the one the genesis names, or there is none.
func TestBeaconShare(t *testing.T) {
	session, random := []byte("a session of the node's tests"), rand.New(rand.NewSource(1))
	dealings, dealt := make([]*draw.Dealing, 4), make([][][32]byte, 4)
	for i := range dealings {
		var err error
		if dealings[i], dealt[i], err = draw.NewDealing(random, session, uint8(i+1), 4, 3); err != nil {
			t.Fatal(err)
		}
	}
	var shares []draw.Share
	doc := &genesis.Document{Beacon: genesis.Beacon{Threshold: 3}}
	for i := range dealings {
		var mine [][32]byte
		for j := range dealings {
			mine = append(mine, dealt[j][i])
		}
		s, public, err := draw.Finish(session, uint8(i+1), 4, 3, dealings, mine)
		if err != nil {
			t.Fatal(err)
		}
		shares, doc.Beacon.Public = append(shares, s), public.Group
		doc.Beacon.Shares = append(doc.Beacon.Shares, public.Shares[i][:])
	}
	got, err := beaconShare(seal.Secrets{ceremony.SecretBeacon: shares[1].Encode()}, doc)
	if err != nil || got.Region != 2 || got.Public() != shares[1].Public() {
		t.Errorf("%v: %v", got, err)
	}
	if got, err = beaconShare(seal.Secrets{}, doc); err != nil || got.Region != 0 {
		t.Errorf("without one: %v, %v", got, err)
	}
	moved := shares[1].Encode()
	moved[1] = 3
	for name, b := range map[string][]byte{"cut": moved[:20], "another region's": moved} {
		if _, err := beaconShare(seal.Secrets{ceremony.SecretBeacon: b}, doc); errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}
