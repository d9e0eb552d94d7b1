package command

import (
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// The commands of threshold keys (docs/design/threshold.md). Of what they carry the state
// machine checks sizes, order and authors; the mathematics is the regions', and what they
// find they say in commands of their own.

// RefreshKey makes a new sharing of a threshold key, or of every one: the key stays, the
// shares are new, and once no live share is under it the old wrapping key is destroyed in
// every HSM. Holders, if any, are the regions that hold the new sharing: a reshare. Two
// administrators.
type RefreshKey struct {
	Key     KeyID // zero: every live threshold key
	Holders []identity.RegionID
	Reason  string
}

// CeremonyID names one try at one sharing of a key.
type CeremonyID struct {
	Key   KeyID
	Epoch uint32 // of the sharing made: 1 for a new key
	Try   uint8  // from 1
}

// OfferWrap announces the region's wrapping key of an epoch: the public half of what its
// shares are sealed to (HPKE, X25519 with ML-KEM-768), and the seed of the private half,
// wrapped to a key in its HSM that is destroyed with the epoch.
type OfferWrap struct {
	Epoch      uint32
	Public     []byte
	Sealed     []byte
	Attributes []byte // of the key in the HSM, as read back
	Identity   []byte // signature by the region's identity key over WrapBytes
}

// HashDealing commits the author to its dealing before any is revealed. Seed is what the
// dealing was made from, sealed to the author's own wrapping key: a region that restarts
// makes the same again.
type HashDealing struct {
	Ceremony CeremonyID
	Hash     [32]byte
	Seed     []byte
}

// Deal reveals the author's dealing (frost.Dealing).
type Deal struct {
	Ceremony CeremonyID
	Dealing  []byte
}

// DealShares carries the author's dealt values (frost.Dealt), each sealed to its holder's
// wrapping key, in the order of the ceremony's holders.
type DealShares struct {
	Ceremony CeremonyID
	Sealed   [][]byte
}

// FinishShare is a holder's word that it verified everything: the transcript's hash, the
// public key that came out, and its share sealed to its own wrapping key. The sharing
// goes live when all holders have said the same.
type FinishShare struct {
	Ceremony   CeremonyID
	Transcript [32]byte
	Public     []byte   // frost.PublicKey: the key and each holder's point
	Point      []byte   // the key alone: 33 bytes compressed, or 32 for Ed25519
	Chain      [32]byte // chain code of the key, as its first ceremony gave it
	Share      []byte
}

// AccuseDealer ends a try for what a region sent in it. Two regions must say so.
type AccuseDealer struct {
	Ceremony  CeremonyID
	Against   identity.RegionID
	Complaint []byte // frost.Complaint, where the fault was in a sealed value; else empty
	Note      string
}

// DropWrap says that the author destroyed its wrapping key of an epoch in its HSM.
type DropWrap struct{ Epoch uint32 }

// OfferNonces adds fresh nonce commitments (frost.Commitment, one after the other) of the
// author's present session to its pool for a curve. Opened attempts take them in order.
type OfferNonces struct {
	Curve       Curve
	Commitments []byte
}

func (*RefreshKey) Type() Type   { return TypeRefreshKey }
func (*OfferWrap) Type() Type    { return TypeOfferWrap }
func (*HashDealing) Type() Type  { return TypeHashDealing }
func (*Deal) Type() Type         { return TypeDeal }
func (*DealShares) Type() Type   { return TypeDealShares }
func (*FinishShare) Type() Type  { return TypeFinishShare }
func (*AccuseDealer) Type() Type { return TypeAccuseDealer }
func (*DropWrap) Type() Type     { return TypeDropWrap }
func (*OfferNonces) Type() Type  { return TypeOfferNonces }

func (b *RefreshKey) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.regions("holders", &b.Holders)
	f.text("reason", &b.Reason, MaxNote)
}

func (c *CeremonyID) fields(f *fields) {
	f.fixed("key", c.Key[:])
	f.u32("epoch", &c.Epoch)
	f.u8("try", &c.Try)
}

func (b *OfferWrap) fields(f *fields) {
	f.u32("epoch", &b.Epoch)
	f.bytes("public", &b.Public, MaxWrapKey)
	f.bytes("sealed", &b.Sealed, MaxWrapKey)
	f.bytes("attributes", &b.Attributes, 1024)
	f.bytes("identity", &b.Identity, MaxSignatureLen)
}

func (b *HashDealing) fields(f *fields) {
	b.Ceremony.fields(f)
	f.fixed("hash", b.Hash[:])
	f.bytes("seed", &b.Seed, MaxSealedShare)
}

func (b *Deal) fields(f *fields) {
	b.Ceremony.fields(f)
	f.bytes("dealing", &b.Dealing, MaxDealing)
}

func (b *DealShares) fields(f *fields) {
	b.Ceremony.fields(f)
	f.list("sealed", &b.Sealed, MaxRegions, MaxSealedShare)
}

func (b *FinishShare) fields(f *fields) {
	b.Ceremony.fields(f)
	f.fixed("transcript", b.Transcript[:])
	f.bytes("public", &b.Public, MaxThresholdPK)
	f.bytes("point", &b.Point, 33)
	f.fixed("chain", b.Chain[:])
	f.bytes("share", &b.Share, MaxSealedShare)
}

func (b *AccuseDealer) fields(f *fields) {
	b.Ceremony.fields(f)
	f.u8("against", (*uint8)(&b.Against))
	f.bytes("complaint", &b.Complaint, MaxComplaint)
	f.text("note", &b.Note, MaxNote)
}

func (b *DropWrap) fields(f *fields) { f.u32("epoch", &b.Epoch) }

func (b *OfferNonces) fields(f *fields) {
	f.u8("curve", (*uint8)(&b.Curve))
	f.bytes("commitments", &b.Commitments, MaxOffer*CommitmentLen)
}

// WrapBytes is what a region's identity key signs over its wrapping key of an epoch.
func WrapBytes(cluster identity.ClusterID, region identity.RegionID, epoch uint32, public, sealed, attributes []byte) []byte {
	w := wire.NewWriter(4096)
	w.String("tetrad/wrap/v1")
	w.Fixed(cluster[:])
	w.U8(uint8(region))
	w.U32(epoch)
	w.Blob(public)
	w.Blob(sealed)
	w.Blob(attributes)
	return w.Bytes()
}
