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
// holder of Session speaks for it during one boot. The session key agrees by a signature
// of its own: nobody certifies a key as theirs that they only saw.
type SessionCert struct {
	Cluster    ClusterID
	Region     RegionID
	ServerID   string // raft server id: region name and incarnation
	Boot       Boot
	Session    PublicKey // Ed25519
	Issued     time.Time // millisecond resolution
	Possession [64]byte  // by the session key over PossessionBytes
	Sig        []byte    // by the region's identity key over SignedBytes
}

const (
	certVersion = 2 // 1 had no possession: a key could be certified by whoever saw it
	maxServerID = 64
)

func (c *SessionCert) writeBody(w *wire.Writer) {
	w.U8(certVersion)
	w.Fixed(c.Cluster[:])
	w.U8(uint8(c.Region))
	w.String(c.ServerID)
	w.Fixed(c.Boot[:])
	c.Session.Write(w)
	w.Time(c.Issued)
}

// PossessionBytes returns what the session key signs: all that the certificate says.
func (c *SessionCert) PossessionBytes() []byte {
	w := wire.NewWriter(192)
	w.String("tetrad/session-possession/v2")
	c.writeBody(w)
	return w.Bytes()
}

// SignedBytes returns what the identity key signs: the same, and the session key's
// signature.
func (c *SessionCert) SignedBytes() []byte {
	w := wire.NewWriter(256)
	w.String("tetrad/session/v2")
	c.writeBody(w)
	w.Fixed(c.Possession[:])
	return w.Bytes()
}

// Encode returns the canonical form.
func (c *SessionCert) Encode() []byte {
	w := wire.NewWriter(384)
	c.writeBody(w)
	w.Fixed(c.Possession[:])
	w.Blob(c.Sig)
	return w.Bytes()
}

// DecodeSessionCert parses the canonical form without verifying its signatures.
func DecodeSessionCert(b []byte) (*SessionCert, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != certVersion {
		r.Fail("session certificate version %d", v)
	}
	c := &SessionCert{}
	r.Fixed(c.Cluster[:])
	c.Region = RegionID(r.U8())
	c.ServerID = r.String(maxServerID)
	r.Fixed(c.Boot[:])
	c.Session = ReadPublicKey(r)
	c.Issued = r.Time()
	r.Fixed(c.Possession[:])
	c.Sig = bytes.Clone(r.Blob(1024))
	if err := r.Done(); err != nil {
		return nil, err
	}
	if c.Session.Alg != Ed25519 {
		return nil, errs.New(errs.Invalid, "session key of region %d is %s, not ed25519", c.Region, c.Session.Alg)
	}
	return c, c.Session.Check()
}

// Verify checks the certificate against the pinned identity key of its region, and that
// the session key agreed to it.
func (c *SessionCert) Verify(cluster ClusterID, id PublicKey) error {
	if c.Cluster != cluster {
		return errs.New(errs.Unauthenticated, "session certificate of region %d belongs to another cluster", c.Region)
	}
	if !id.Verify(c.SignedBytes(), c.Sig) {
		return errs.New(errs.Unauthenticated, "session certificate of region %d is not signed by its identity key", c.Region)
	}
	if !c.Session.Verify(c.PossessionBytes(), c.Possession[:]) {
		return errs.New(errs.Unauthenticated, "session certificate of region %d is not signed by its session key", c.Region)
	}
	return nil
}

// IssueSession completes a certificate: Session, and the signatures of the session key and
// of the region's identity key.
func IssueSession(ctx context.Context, id, session Signer, c SessionCert) (*SessionCert, error) {
	c.Session, c.Issued = session.Public(), c.Issued.Truncate(time.Millisecond).UTC()
	possession, err := session.Sign(ctx, c.PossessionBytes())
	if err != nil {
		return nil, err
	}
	if len(possession) != len(c.Possession) {
		return nil, errs.New(errs.Invalid, "a session key signs with %d bytes, not %d: it is no Ed25519 key", len(possession), len(c.Possession))
	}
	copy(c.Possession[:], possession)
	if c.Sig, err = id.Sign(ctx, c.SignedBytes()); err != nil {
		return nil, err
	}
	return &c, nil
}

// Session is a region's running identity: the key in memory and its certificate.
type Session struct {
	*KeySigner
	Cert *SessionCert
}
