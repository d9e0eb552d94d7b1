package identity

import (
	"bytes"
	"context"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// ClusterID names a cluster; drawn at random when its genesis is planned.
type ClusterID [16]byte

// RegionID numbers a region from 1 in the order of the genesis. Never reused.
type RegionID uint8

// Boot identifies one unseal of one region; drawn at random each time.
type Boot [16]byte

// SessionCert is a region's word, signed by the identity key in its HSM, that the
// holder of Session speaks for it during one boot.
type SessionCert struct {
	Cluster  ClusterID
	Region   RegionID
	ServerID string // raft server id: region name and incarnation
	Boot     Boot
	Session  PublicKey // Ed25519
	Issued   time.Time // millisecond resolution
	Sig      []byte    // by the region's identity key over SignedBytes
}

const maxServerID = 64

func (c *SessionCert) writeBody(w *wire.Writer) {
	w.U8(1)
	w.Fixed(c.Cluster[:])
	w.U8(uint8(c.Region))
	w.String(c.ServerID)
	w.Fixed(c.Boot[:])
	c.Session.Write(w)
	w.Time(c.Issued)
}

// SignedBytes returns what the identity key signs.
func (c *SessionCert) SignedBytes() []byte {
	w := wire.NewWriter(192)
	w.String("tetrad/session/v1")
	c.writeBody(w)
	return w.Bytes()
}

// Encode returns the canonical form.
func (c *SessionCert) Encode() []byte {
	w := wire.NewWriter(320)
	c.writeBody(w)
	w.Blob(c.Sig)
	return w.Bytes()
}

// DecodeSessionCert parses the canonical form without verifying its signature.
func DecodeSessionCert(b []byte) (*SessionCert, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != 1 {
		r.Fail("session certificate version %d", v)
	}
	c := &SessionCert{}
	r.Fixed(c.Cluster[:])
	c.Region = RegionID(r.U8())
	c.ServerID = r.String(maxServerID)
	r.Fixed(c.Boot[:])
	c.Session = ReadPublicKey(r)
	c.Issued = r.Time()
	c.Sig = bytes.Clone(r.Blob(1024))
	if err := r.Done(); err != nil {
		return nil, err
	}
	if c.Session.Alg != Ed25519 {
		return nil, errs.New(errs.Invalid, "session key of region %d is %s, not ed25519", c.Region, c.Session.Alg)
	}
	return c, c.Session.Check()
}

// Verify checks the certificate against the pinned identity key of its region.
func (c *SessionCert) Verify(cluster ClusterID, id PublicKey) error {
	if c.Cluster != cluster {
		return errs.New(errs.Unauthenticated, "session certificate of region %d belongs to another cluster", c.Region)
	}
	if !id.Verify(c.SignedBytes(), c.Sig) {
		return errs.New(errs.Unauthenticated, "session certificate of region %d is not signed by its identity key", c.Region)
	}
	return nil
}

// IssueSession signs a fresh session certificate with the region's identity key.
func IssueSession(ctx context.Context, id Signer, c SessionCert) (*SessionCert, error) {
	c.Issued = c.Issued.Truncate(time.Millisecond).UTC()
	sig, err := id.Sign(ctx, c.SignedBytes())
	if err != nil {
		return nil, err
	}
	c.Sig = sig
	return &c, nil
}

// Session is a region's running identity: the key in memory and its certificate.
type Session struct {
	*KeySigner
	Cert *SessionCert
}
