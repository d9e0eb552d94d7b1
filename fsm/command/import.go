package command

import (
	"crypto/sha256"

	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// ImportKey brings in a key that existed as a whole somewhere else, as a threshold key that
// is marked so for ever (docs/design/threshold.md, section Import). Who imports it deals it:
// each of Regions gets its share in a box of its own and checks it against Split. Only where
// Settings allow it; two administrators.
type ImportKey struct {
	Name       string
	Tenant     string
	Curve      Curve
	Signers    uint8
	AllowBlind bool
	Regions    []identity.RegionID // that hold it; all of them have to be named
	Note       string
	Wrap       uint32   // epoch of the wrapping keys the boxes are sealed to: the newest
	Point      []byte   // the public key: 33 bytes compressed, or 32 for Ed25519
	Chain      [32]byte // chain code
	Split      []byte   // frost.Split
	Boxes      [][]byte // frost.Share of epoch 1 sealed to each of Regions, in their order; bound to ImportInfo
	Fallback   *Fallback
	Asset      Asset
}

func (*ImportKey) Type() Type { return TypeImportKey }

func (b *ImportKey) fields(f *fields) {
	f.text("name", &b.Name, MaxName)
	f.text("tenant", &b.Tenant, MaxName)
	f.u8("curve", (*uint8)(&b.Curve))
	f.u8("signers", &b.Signers)
	f.flag("allow_blind", &b.AllowBlind)
	f.regions("regions", &b.Regions)
	f.text("note", &b.Note, MaxNote)
	f.u32("wrap", &b.Wrap)
	f.bytes("point", &b.Point, 33)
	f.fixed("chain", b.Chain[:])
	f.bytes("split", &b.Split, MaxSplit)
	f.list("boxes", &b.Boxes, MaxRegions, MaxSealedShare)
	f.fixedFor(&b.Fallback, &b.Asset)
}

// Created returns what the key is asked to be, as CreateKey says it.
func (b *ImportKey) Created() *CreateKey {
	return &CreateKey{Name: b.Name, Tenant: b.Tenant, Scheme: SchemeThreshold, Curve: b.Curve, Signers: b.Signers, AllowBlind: b.AllowBlind,
		Regions: b.Regions, Note: b.Note, Fallback: b.Fallback, Asset: b.Asset}
}

// ImportInfo is what the box with a region's share of an imported key is bound to: taken
// elsewhere, or put beside another split, it does not open.
func ImportInfo(cluster identity.ClusterID, region identity.RegionID, wrap uint32, split []byte) []byte {
	sum := sha256.Sum256(split)
	w := wire.NewWriter(128)
	w.String("tetrad/box/import/v1")
	w.Fixed(cluster[:])
	w.U8(uint8(region))
	w.U32(wrap)
	w.Fixed(sum[:])
	return w.Bytes()
}
