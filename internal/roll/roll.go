// Package roll is who the regions are now, for those who only know who they were: a client
// with an old genesis, a region that comes with an empty disk. A roll is one region's word
// on the identity keys of all, as its own certified state has them; Believe says which of
// many regions' words add up to a change. One region alone, whoever it is, changes nothing.
//
// For a region that comes back with another HSM a roll also carries the root keyring,
// wrapped to the key that two administrators approved.
package roll

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Bounds of a roll.
const (
	regionsMax   = 5
	sealedMax    = 8 << 10
	signatureMax = 512
	certMax      = 2 << 10
)

// Roll is one region's word. Identities[i] is the key of region i+1.
type Roll struct {
	Lineage    [32]byte // hash of the genesis
	Nonce      [16]byte // of who asked
	Applied    uint64   // index of the state it was read from
	Identities []identity.PublicKey
	Guest      identity.RegionID // whose HSM opens Sealed; 0: nothing is sealed
	Sealed     []byte            // root keyring (seal.Keyring.WrapRoots), wrapped to the guest's key
	Region     identity.RegionID // who says so
	At         time.Time         // its own clock
	Cert       []byte            // its session certificate
	Sig        []byte            // by that session
}

const version = 1

func (o *Roll) write(w *wire.Writer) {
	w.U8(version)
	w.Fixed(o.Lineage[:])
	w.Fixed(o.Nonce[:])
	w.U64(o.Applied)
	w.U8(uint8(len(o.Identities)))
	for _, k := range o.Identities {
		k.Write(w)
	}
	w.U8(uint8(o.Guest))
	w.Blob(o.Sealed)
	w.U8(uint8(o.Region))
	w.Time(o.At)
	w.Blob(o.Cert)
}

// SignedBytes returns what the session key signs.
func (o *Roll) SignedBytes(cluster identity.ClusterID) []byte {
	w := wire.NewWriter(2048)
	w.String("tetrad/roll/v1")
	w.Fixed(cluster[:])
	o.write(w)
	return w.Bytes()
}

// Sign sets Region, Cert and Sig.
func (o *Roll) Sign(ctx context.Context, s *identity.Session) (err error) {
	o.Region, o.Cert = s.Cert.Region, s.Cert.Encode()
	o.Sig, err = s.Sign(ctx, o.SignedBytes(s.Cert.Cluster))
	return err
}

// Encode returns the canonical form.
func (o *Roll) Encode() []byte {
	w := wire.NewWriter(2048)
	o.write(w)
	w.Blob(o.Sig)
	return w.Bytes()
}

// Decode parses the canonical form without verifying the signature.
func Decode(b []byte) (*Roll, error) {
	r, o := wire.NewReader(b), &Roll{}
	if v := r.U8(); v != version {
		r.Fail("roll version %d", v)
	}
	r.Fixed(o.Lineage[:])
	r.Fixed(o.Nonce[:])
	o.Applied = r.U64()
	for range r.Few(regionsMax) {
		o.Identities = append(o.Identities, identity.ReadPublicKey(r))
	}
	o.Guest = identity.RegionID(r.U8())
	o.Sealed = bytes.Clone(r.Blob(sealedMax))
	o.Region = identity.RegionID(r.U8())
	o.At = r.Time()
	o.Cert = bytes.Clone(r.Blob(certMax))
	o.Sig = bytes.Clone(r.Blob(signatureMax))
	if r.Err() == nil {
		o.check(r)
	}
	return o, r.Done()
}

func (o *Roll) check(r *wire.Reader) {
	n := identity.RegionID(len(o.Identities))
	switch {
	case n == 0 || o.Region < 1 || o.Region > n || o.Guest > n:
		r.Fail("a roll of %d regions by region %d for region %d", n, o.Region, o.Guest)
	case (o.Guest == 0) != (len(o.Sealed) == 0):
		r.Fail("something sealed for nobody, or nothing for somebody")
	}
	for _, k := range o.Identities {
		if err := k.Check(); err != nil {
			r.Fail("an identity key that is none: %s", err)
		}
	}
}

// Verify checks the roll by the identity key of the region it names, without asking what
// it says.
func (o *Roll) Verify(cluster identity.ClusterID, by identity.PublicKey) error {
	cert, err := identity.DecodeSessionCert(o.Cert)
	if err != nil {
		return err
	}
	if cert.Region != o.Region {
		return errs.New(errs.Unverified, "the word of region %d is signed by a session of region %d", o.Region, cert.Region)
	}
	if err := cert.Verify(cluster, by); err != nil {
		return err
	}
	if !cert.Session.Verify(o.SignedBytes(cluster), o.Sig) {
		return errs.New(errs.Unverified, "the word of region %d on who the regions are does not verify", o.Region)
	}
	return nil
}

// Label binds a wrapped keyring to the vault, to who wraps it and to whom it is for.
func Label(lineage [32]byte, from, to identity.RegionID) string {
	return fmt.Sprintf("tetrad/welcome/v1 %s %d %d", hex.EncodeToString(lineage[:]), from, to)
}
