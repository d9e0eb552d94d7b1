package command

import (
	"bytes"
	"context"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// FreezeAck is a region's word that its own replica carried out one command: from then
// on it signs nothing against it. It names the command by its content, so that it holds
// for no other, and repeats the asker's nonce, so that it was given now.
type FreezeAck struct {
	Lineage [32]byte
	Meta    Meta          // of the entry that holds the command, as the region applied it
	Command [32]byte      // hash of the command's content
	Nonce   [16]byte      // of who asked
	Applied uint64        // index the region had applied when it signed, at least Meta.Index
	Skew    time.Duration // MaxSkew of the settings the region holds, which bounds the wait
	Region  identity.RegionID
	Session identity.Fingerprint
	At      time.Time // its own clock
	Sig     []byte
}

func (a *FreezeAck) write(w *wire.Writer) {
	w.U8(1)
	w.Fixed(a.Lineage[:])
	w.U64(a.Meta.Index)
	w.U64(a.Meta.Term)
	w.Fixed(a.Meta.Chain[:])
	w.Fixed(a.Command[:])
	w.Fixed(a.Nonce[:])
	w.U64(a.Applied)
	w.U64(uint64(a.Skew.Milliseconds()))
	w.U8(uint8(a.Region))
	w.Fixed(a.Session[:])
	w.Time(a.At)
}

// SignedBytes returns what the session key signs.
func (a *FreezeAck) SignedBytes(cluster identity.ClusterID) []byte {
	w := wire.NewWriter(320)
	w.String("tetrad/freeze-ack/v1")
	w.Fixed(cluster[:])
	a.write(w)
	return w.Bytes()
}

// Sign sets Session and Sig.
func (a *FreezeAck) Sign(ctx context.Context, cluster identity.ClusterID, s identity.Signer) (err error) {
	a.Session = s.Public().Fingerprint()
	a.Sig, err = s.Sign(ctx, a.SignedBytes(cluster))
	return err
}

// Verify checks the signature by the session key of the region it names.
func (a *FreezeAck) Verify(cluster identity.ClusterID, session identity.PublicKey) error {
	if session.Fingerprint() != a.Session || !session.Verify(a.SignedBytes(cluster), a.Sig) {
		return errs.New(errs.Unverified, "the freeze acknowledgement of region %d does not verify", a.Region)
	}
	return nil
}

// Encode returns the canonical form.
func (a *FreezeAck) Encode() []byte {
	w := wire.NewWriter(384)
	a.write(w)
	w.Blob(a.Sig)
	return w.Bytes()
}

// DecodeFreezeAck parses the canonical form without verifying the signature.
func DecodeFreezeAck(b []byte) (*FreezeAck, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != 1 {
		r.Fail("freeze acknowledgement version %d", v)
	}
	a := &FreezeAck{}
	r.Fixed(a.Lineage[:])
	a.Meta.Index, a.Meta.Term = r.U64(), r.U64()
	r.Fixed(a.Meta.Chain[:])
	r.Fixed(a.Command[:])
	r.Fixed(a.Nonce[:])
	a.Applied = r.U64()
	skew := r.U64()
	if skew > uint64(MaxSkew.Milliseconds()) {
		r.Fail("a skew of %d ms, limit %s", skew, MaxSkew)
	}
	a.Skew = time.Duration(skew) * time.Millisecond
	a.Region = identity.RegionID(r.U8())
	r.Fixed(a.Session[:])
	a.At = r.Time()
	a.Sig = bytes.Clone(r.Blob(MaxSignatureLen))
	if r.Err() == nil && a.Applied < a.Meta.Index {
		r.Fail("acknowledges entry %d, applied up to %d", a.Meta.Index, a.Applied)
	}
	return a, r.Done()
}

// ClockWord is a region's word that the committed clock stands at Clock while its own
// shows At: what a repair of the clock must carry of two regions.
type ClockWord struct {
	Lineage [32]byte
	Clock   time.Time // committed, as the region has it
	At      time.Time // its own
	By      identity.RegionID
	Session identity.Fingerprint
	Sig     []byte
}

func (v *ClockWord) write(w *wire.Writer) {
	w.U8(1)
	w.Fixed(v.Lineage[:])
	w.Time(v.Clock)
	w.Time(v.At)
	w.U8(uint8(v.By))
	w.Fixed(v.Session[:])
}

// SignedBytes returns what the session key signs.
func (v *ClockWord) SignedBytes(cluster identity.ClusterID) []byte {
	w := wire.NewWriter(192)
	w.String("tetrad/clock-word/v1")
	w.Fixed(cluster[:])
	v.write(w)
	return w.Bytes()
}

// Sign sets Session and Sig.
func (v *ClockWord) Sign(ctx context.Context, cluster identity.ClusterID, s identity.Signer) (err error) {
	v.Session = s.Public().Fingerprint()
	v.Sig, err = s.Sign(ctx, v.SignedBytes(cluster))
	return err
}

// Encode returns the canonical form.
func (v *ClockWord) Encode() []byte {
	w := wire.NewWriter(224)
	v.write(w)
	w.Blob(v.Sig)
	return w.Bytes()
}

// DecodeClockWord parses the canonical form without verifying the signature.
func DecodeClockWord(b []byte) (*ClockWord, error) {
	r := wire.NewReader(b)
	if x := r.U8(); x != 1 {
		r.Fail("clock word version %d", x)
	}
	v := &ClockWord{}
	r.Fixed(v.Lineage[:])
	v.Clock, v.At = r.Time(), r.Time()
	v.By = identity.RegionID(r.U8())
	r.Fixed(v.Session[:])
	v.Sig = bytes.Clone(r.Blob(MaxSignatureLen))
	return v, r.Done()
}
