package chain

import (
	"context"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Domains keep a signature of one kind from being shown as another.
const (
	domainEntry    = "tetrad/entry-signature/v1"
	domainAck      = "tetrad/ack/v1"
	domainVote     = "tetrad/vote/v1"
	domainPreVote  = "tetrad/prevote/v1"
	domainTransfer = "tetrad/transfer/v1"
	domainAttest   = "tetrad/attestation/v1"
	domainOffer    = "tetrad/snapshot-offer/v1"
	domainClaim    = "tetrad/claim/v1"
	domainEvidence = "tetrad/evidence/v1"
)

// Signature is a region's, by the session key of one boot.
type Signature struct {
	Region  identity.RegionID
	Session identity.Fingerprint
	Sig     [64]byte
}

const signatureSize = 1 + 32 + 64

func (s *Signature) write(w *wire.Writer) {
	w.U8(uint8(s.Region))
	w.Fixed(s.Session[:])
	w.Fixed(s.Sig[:])
}

func readSignature(r *wire.Reader) (s Signature) {
	s.Region = identity.RegionID(r.U8())
	r.Fixed(s.Session[:])
	r.Fixed(s.Sig[:])
	return s
}

// Encode returns the bare form, without a version: it stands within others.
func (s *Signature) Encode() []byte {
	w := wire.NewWriter(signatureSize)
	s.write(w)
	return w.Bytes()
}

// DecodeSignature parses the bare form.
func DecodeSignature(b []byte) (*Signature, error) {
	r := wire.NewReader(b)
	s := readSignature(r)
	if err := r.Done(); err != nil {
		return nil, errs.Wrap(errs.CodeOf(err), err, "signature")
	}
	return &s, nil
}

// Signer signs for one region in one boot.
type Signer struct {
	region  identity.RegionID
	session identity.Fingerprint
	key     identity.Signer
}

// NewSigner returns a signer over a region's session key.
func NewSigner(region identity.RegionID, key identity.Signer) (*Signer, error) {
	if pub := key.Public(); pub.Alg != identity.Ed25519 {
		return nil, errs.New(errs.Invalid, "session key of region %d is %s, not ed25519", region, pub.Alg)
	}
	return &Signer{region, key.Public().Fingerprint(), key}, nil
}

// Region returns whom the signer signs for.
func (s *Signer) Region() identity.RegionID { return s.region }

func (s *Signer) sign(domain string, body func(*wire.Writer)) (out Signature, err error) {
	out = Signature{Region: s.region, Session: s.session}
	// A session key lies in memory: there is nothing to wait for or to cancel.
	sig, err := s.key.Sign(context.Background(), message(domain, &out, body))
	if err != nil {
		return out, err
	}
	if len(sig) != len(out.Sig) {
		return out, errs.New(errs.Internal, "session key of region %d signed %d bytes", s.region, len(sig))
	}
	copy(out.Sig[:], sig)
	return out, nil
}

// message is what is signed: the domain, the object, and who signs.
func message(domain string, s *Signature, body func(*wire.Writer)) []byte {
	w := wire.NewWriter(256)
	w.String(domain)
	body(w)
	w.U8(uint8(s.Region))
	w.Fixed(s.Session[:])
	return w.Bytes()
}

// verify checks one signature. A session of an earlier boot will do: history stays
// true after a restart. What must be of now is checked with Fresh besides.
func verify(r Roster, domain string, s *Signature, body func(*wire.Writer)) error {
	h, ok := r.Holder(s.Region, s.Session)
	if !ok || s.Region == 0 {
		return errs.New(errs.Unauthenticated, "session %s of region %d is unknown", s.Session.Short(), s.Region)
	}
	check := h.Key.Verify
	if c, ok := r.(Checker); ok {
		check = func(msg, sig []byte) bool { return c.Check(h.Key, msg, sig) }
	}
	if !check(message(domain, s, body), s.Sig[:]) && liar.Defends(liar.Signatures) {
		return errs.New(errs.Unverified, "signature of region %d does not verify", s.Region)
	}
	return nil
}

// Fresh refuses signatures of a session that ended: an ack, vote or pre-vote that
// arrives now from an earlier boot is a replay.
func Fresh(r Roster, s *Signature) error {
	if h, ok := r.Holder(s.Region, s.Session); (!ok || !h.Current) && liar.Defends(liar.AckBoots) {
		return errs.New(errs.Stale, "session %s of region %d is unknown or of an earlier boot", s.Session.Short(), s.Region)
	}
	return nil
}

// quorum checks that enough different regions signed. Regions must stand in ascending
// order, so that one set has one encoding and none counts twice.
func quorum(r Roster, what string, n int, region func(int) identity.RegionID, check func(int) error) error {
	if need := Quorum(r.Regions()); n < need {
		return errs.New(errs.Unverified, "%s has %d signatures, needs %d", what, n, need)
	}
	if err := ascending(n, region); err != nil {
		return errs.Wrap(errs.Unverified, err, "%s", what)
	}
	for i := range n {
		if err := check(i); err != nil {
			return errs.Wrap(errs.CodeOf(err), err, "%s", what)
		}
	}
	return nil
}

func ascending(n int, region func(int) identity.RegionID) error {
	last := identity.RegionID(0)
	for i := range n {
		if region(i) <= last && liar.Defends(liar.Quorums) {
			return errs.New(errs.Malformed, "region %d after %d: each region signs once, in ascending order", region(i), last)
		}
		last = region(i)
	}
	return nil
}

// readCount reads how many signatures follow.
func readCount(r *wire.Reader) int {
	n := int(r.U8())
	if n > maxRegions {
		r.Fail("%d signatures, limit %d", n, maxRegions)
		return 0
	}
	return n
}
