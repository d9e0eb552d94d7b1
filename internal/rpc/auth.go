package rpc

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// principalKey is the metadata by which a region names the principal it forwards for.
const principalKey = "tetrad-principal-bin"

// leaderKey is the response header that tells a client which region to ask directly.
const leaderKey = "tetrad-leader"

// auth is what the TLS handshake proved, worked out once a connection.
type auth struct {
	credentials.TLSInfo
	peer identity.Peer
	fp   identity.Fingerprint
}

// creds is TLS whose AuthInfo already names the peer.
type creds struct {
	credentials.TransportCredentials
	known func(auth) bool
}

func (c creds) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	tlsInfo, ok := info.(credentials.TLSInfo)
	if !ok {
		_ = conn.Close()
		return nil, nil, errs.New(errs.Unauthenticated, "connection without TLS")
	}
	p, err := identity.PeerOf(tlsInfo.State)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	a := auth{tlsInfo, p, p.Key.Fingerprint()}
	if lc, ok := raw.(*limitedConn); ok {
		region := p.Region() != 0
		if err := lc.limiter.identified(lc, region, region || c.known(a)); err != nil {
			_ = conn.Close()
			return nil, nil, err
		}
	}
	return conn, a, nil
}

func (c creds) Clone() credentials.TransportCredentials {
	return creds{c.TransportCredentials.Clone(), c.known}
}

func authOf(p *peer.Peer) (auth, error) {
	if a, ok := p.AuthInfo.(auth); ok {
		return a, nil
	}
	return auth{}, errs.New(errs.Unauthenticated, "connection without a verified peer")
}

// caller is on whose behalf a call is made.
type caller struct {
	principal identity.Fingerprint // zero when a region speaks for itself
	region    identity.RegionID    // of the TLS peer; 0 for a principal
	server    string               // raft id of that region's incarnation
	cert      *identity.SessionCert
	forwarded bool // principal was named by region
}

type callerKey struct{}

func withCaller(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// identify reads the caller from the connection and, for a region, from the metadata.
func identify(ctx context.Context) (caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return caller{}, errs.New(errs.Unauthenticated, "a call without a peer")
	}
	a, err := authOf(p)
	if err != nil {
		return caller{}, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	named, ok, err := forwardedFor(md)
	switch {
	case err != nil:
		return caller{}, err
	case a.peer.Region() == 0 && ok:
		return caller{}, errs.New(errs.Denied, "only regions may name another principal")
	case a.peer.Region() == 0:
		return caller{principal: a.fp}, nil
	case ok:
		return caller{principal: named, region: a.peer.Region(), server: a.peer.Cert.ServerID, cert: a.peer.Cert, forwarded: true}, nil
	}
	return caller{region: a.peer.Region(), server: a.peer.Cert.ServerID, cert: a.peer.Cert}, nil
}

// forwardedFor parses the metadata of a forwarded call.
func forwardedFor(md metadata.MD) (fp identity.Fingerprint, ok bool, err error) {
	vals := md.Get(principalKey)
	if len(vals) == 0 {
		return fp, false, nil
	}
	if len(vals) > 1 || len(vals[0]) != len(fp) {
		return fp, false, errs.New(errs.Malformed, "metadata %s must be one fingerprint of %d bytes", principalKey, len(fp))
	}
	copy(fp[:], vals[0])
	if fp.IsZero() {
		return fp, false, errs.New(errs.Malformed, "metadata %s is zero", principalKey)
	}
	return fp, true, nil
}

// principal returns the live principal behind a fingerprint.
func principal(v View, fp identity.Fingerprint) (*fsm.Principal, error) {
	p, ok := v.Principal(fp)
	switch {
	case !ok:
		return nil, errs.New(errs.Unauthenticated, "no principal has the key %s", fp.Short()).
			WithHint("an administrator can add it with put-principal")
	case p.Removed:
		return nil, errs.New(errs.Unauthenticated, "the principal with the key %s was removed", fp.Short())
	}
	return p, nil
}

// member checks that a region's word counts now: it is active, and the caller is the
// incarnation that was approved, not an older disk.
func member(v View, c caller) error {
	r, ok := v.Region(c.region)
	switch {
	case !ok:
		return errs.New(errs.Denied, "region %d is no member", c.region)
	case r.Status != fsm.RegionActive:
		return errs.New(errs.NotReady, "region %d is quarantined", c.region).WithHint("ask another region")
	case r.ServerID != c.server:
		return errs.New(errs.Denied, "server %s is not the approved one of region %d", c.server, c.region).
			WithHint("an administrator approves a new incarnation with replace-member")
	case !speaks(v, r, c.cert):
		return errs.New(errs.Denied, "region %d was enrolled with another HSM, and this connection is of the one before", c.region)
	}
	return nil
}

// speaks reports whether a region's present identity vouches for the session of a
// connection, which outlives the identity it was made under. The server id alone says
// nothing of that: who has the HSM before knows the new one too.
func speaks(v View, r *fsm.Region, c *identity.SessionCert) bool {
	if len(r.Former) == 0 || c == nil {
		return len(r.Former) == 0
	}
	if known, _, ok := v.RegionBySession(c.Session.Fingerprint()); ok && known.ID == r.ID {
		return true
	}
	return c.Verify(v.Cluster(), r.Identity) == nil
}
