package identity

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Peer is who a verified TLS connection speaks with: a region (Cert set) or a
// principal (only Key set).
type Peer struct {
	Key  PublicKey    // key of the TLS certificate
	Cert *SessionCert // verified session certificate, nil for a principal
}

// Region returns the peer's region, 0 for a principal.
func (p Peer) Region() RegionID {
	if p.Cert == nil {
		return 0
	}
	return p.Cert.Region
}

// Pins returns the identity keys that may vouch for a region now. It is asked at
// every handshake, so that a replaced region is shut out without a restart.
type Pins func(RegionID) []PublicKey

// The dates of a certificate carry no trust here, the pins do. They reach around
// every clock a node can have, a simulated one included.
var (
	validFrom = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	validTo   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // RFC 5280 4.1.2.5: does not expire
)

// oidSessionCert marks the extension that carries an encoded SessionCert.
var oidSessionCert = asn1.ObjectIdentifier{2, 25, 1952805490, 1}

// ServerTLS accepts regions that show a session certificate vouched for by pins
// and, when clients is true, also principals: any Ed25519 or P-256 key whose holder
// proves possession. Whether such a key means anything is for the FSM to say.
// The caller sets NextProtos.
func ServerTLS(s *Session, pins Pins, cluster ClusterID, clients bool) *tls.Config {
	c := newConfig(s.KeySigner, s.Cert)
	c.ClientAuth = tls.RequireAnyClientCert
	c.VerifyConnection = verifier{pins: pins, cluster: cluster, principals: clients}.verify
	return c
}

// ClientTLS dials, as a region, exactly the region expect (0: any region).
func ClientTLS(s *Session, expect RegionID, pins Pins, cluster ClusterID) *tls.Config {
	c := newConfig(s.KeySigner, s.Cert)
	c.VerifyConnection = verifier{pins: pins, cluster: cluster, expect: expect}.verify
	return c
}

// PrincipalTLS dials, as a principal, exactly the region expect (0: any region).
func PrincipalTLS(signer *KeySigner, expect RegionID, pins Pins, cluster ClusterID) *tls.Config {
	c := newConfig(signer, nil)
	c.VerifyConnection = verifier{pins: pins, cluster: cluster, expect: expect}.verify
	return c
}

// PeerOf returns who is at the other end of a connection whose handshake one of the
// configurations above has verified.
func PeerOf(cs tls.ConnectionState) (Peer, error) {
	if !cs.HandshakeComplete {
		return Peer{}, errs.New(errs.Unauthenticated, "TLS handshake is not complete")
	}
	return parsePeer(cs)
}

func newConfig(s *KeySigner, session *SessionCert) *tls.Config {
	c := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768},
		SessionTicketsDisabled: true, // every connection proves who it is
		InsecureSkipVerify:     true, // no CA and no names: VerifyConnection decides
	}
	cert, err := selfSigned(s, session)
	if err != nil { // surfaces at the handshake, where callers expect errors
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, err }
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, err }
		return c
	}
	// Without the callback Go sends no certificate when the server's hints exclude it.
	c.Certificates = []tls.Certificate{cert}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	return c
}

func selfSigned(s *KeySigner, session *SessionCert) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "tetrad"}, // says nothing: the key is the identity
		NotBefore:    validFrom,
		NotAfter:     validTo,
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	if session != nil {
		if !session.Session.Equal(s.Public()) {
			return tls.Certificate{}, errs.New(errs.Invalid, "session certificate of region %d is for another key", session.Region)
		}
		template.ExtraExtensions = []pkix.Extension{{Id: oidSessionCert, Value: session.Encode()}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.Private().Public(), s.Private())
	if err != nil {
		return tls.Certificate{}, errs.Wrap(errs.Invalid, err, "self-signed certificate")
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, errs.Wrap(errs.Internal, err, "self-signed certificate")
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: s.Private(), Leaf: leaf}, nil
}

// parsePeer reads the peer's certificate. TLS has proved possession of its key; what
// the session certificate claims is checked by verify.
func parsePeer(cs tls.ConnectionState) (Peer, error) {
	if len(cs.PeerCertificates) != 1 {
		return Peer{}, errs.New(errs.Unauthenticated, "peer shows %d certificates, want one", len(cs.PeerCertificates))
	}
	leaf := cs.PeerCertificates[0]
	key, err := FromCrypto(leaf.PublicKey)
	if err != nil {
		return Peer{}, errs.Wrap(errs.Unauthenticated, err, "certificate of peer")
	}
	peer := Peer{Key: key}
	for _, ext := range leaf.Extensions { // x509 refuses an extension that comes twice
		if !ext.Id.Equal(oidSessionCert) {
			continue
		}
		if peer.Cert, err = DecodeSessionCert(ext.Value); err != nil {
			return Peer{}, errs.Wrap(errs.Unauthenticated, err, "session certificate of peer")
		}
	}
	return peer, nil
}

// verifier decides who may be at the other end.
type verifier struct {
	pins       Pins
	cluster    ClusterID
	expect     RegionID // 0: any region
	principals bool
}

func (v verifier) verify(cs tls.ConnectionState) error {
	if cs.Version != tls.VersionTLS13 || cs.CurveID != tls.X25519MLKEM768 {
		return errs.New(errs.Unauthenticated, "peer negotiated %s with %s", tls.VersionName(cs.Version), cs.CurveID)
	}
	peer, err := parsePeer(cs)
	if err != nil {
		return err
	}
	if peer.Cert != nil {
		return v.verifyRegion(peer)
	}
	if !v.principals {
		return errs.New(errs.Unauthenticated, "peer %s shows no session certificate of a region", peer.Key.Fingerprint().Short())
	}
	if peer.Key.Alg == RSAPSS {
		return errs.New(errs.Unauthenticated, "principals use Ed25519 or P-256 keys, not RSA")
	}
	return peer.Key.Check()
}

func (v verifier) verifyRegion(peer Peer) error {
	c := peer.Cert
	if !c.Session.Equal(peer.Key) {
		return errs.New(errs.Unauthenticated, "peer shows the session certificate of region %d but holds another key", c.Region)
	}
	if c.Region == 0 || v.expect != 0 && c.Region != v.expect {
		return errs.New(errs.Unauthenticated, "peer is region %d, want region %d", c.Region, v.expect)
	}
	err := error(errs.New(errs.Unauthenticated, "no identity key is pinned for region %d", c.Region))
	for _, id := range v.pins(c.Region) {
		if err = c.Verify(v.cluster, id); err == nil {
			return nil
		}
	}
	return err
}
