package identity

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// Peer is who a verified TLS connection speaks with: a region (Cert set) or a
// principal (only Key set).
type Peer struct {
	Key  PublicKey    // key of the TLS certificate
	Cert *SessionCert // verified session certificate, nil for a principal
}

// Pins returns the identity keys that may vouch for a region now.
type Pins func(RegionID) []PublicKey

// handshakeSkew is how far a self-signed certificate's dates reach around now; they
// carry no trust, the pins do.
const handshakeSkew = 365 * 24 * time.Hour

var _ = []any{tls.VersionTLS13, x509.Certificate{}, handshakeSkew}
