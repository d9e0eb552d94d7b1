package command

import (
	"bytes"
	"context"
	"time"

	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

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
