package cluster

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// roster knows whose session key is whose. Certificates come from TLS, from messages
// and from the log itself, each verified against the pinned identity key of its region.
// It remembers signatures found good, so that none is checked twice.
type roster struct {
	regions int
	verify  func(*identity.SessionCert) bool                 // against the region's pins
	lookup  func(identity.Fingerprint) *identity.SessionCert // of earlier boots, from the state; may be nil

	checks, signs atomic.Uint64 // signatures checked and made, for tests of what an entry costs

	mu      sync.Mutex
	holders map[identity.Fingerprint]chain.Holder
	certs   map[identity.RegionID][]*identity.SessionCert // newest last
	good    map[[32]byte]struct{}
	order   [][32]byte
	next    int
}

var (
	_ chain.Roster  = (*roster)(nil)
	_ chain.Checker = (*roster)(nil)
)

func newRoster(regions int, verify func(*identity.SessionCert) bool) *roster {
	return &roster{regions: regions, verify: verify, holders: map[identity.Fingerprint]chain.Holder{},
		certs: map[identity.RegionID][]*identity.SessionCert{}, good: map[[32]byte]struct{}{}, order: make([][32]byte, maxChecked)}
}

// add takes a certificate whose region's pinned key vouches for it.
func (r *roster) add(cert *identity.SessionCert) {
	if _, ok := r.known(cert.Session.Fingerprint()); ok || cert.Region == 0 || !r.verify(cert) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(cert)
}

func (r *roster) put(cert *identity.SessionCert) {
	if _, again := r.holders[cert.Session.Fingerprint()]; again {
		return
	}
	known := append(r.certs[cert.Region], cert)
	slices.SortStableFunc(known, func(a, b *identity.SessionCert) int { return a.Issued.Compare(b.Issued) })
	if len(known) > maxSessions {
		delete(r.holders, known[0].Session.Fingerprint())
		known = known[1:]
	}
	r.certs[cert.Region] = known
	for i, c := range known {
		r.holders[c.Session.Fingerprint()] = chain.Holder{Region: c.Region, Key: c.Session, Current: i == len(known)-1}
	}
}

// trust takes the own certificate, whatever is pinned: a region speaks for itself.
func (r *roster) trust(cert *identity.SessionCert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(cert)
}

// Holder implements chain.Roster.
func (r *roster) Holder(session identity.Fingerprint) (chain.Holder, bool) {
	if h, ok := r.known(session); ok || r.lookup == nil {
		return h, ok
	}
	cert := r.lookup(session)
	if cert == nil {
		return chain.Holder{}, false
	}
	r.add(cert)
	return r.known(session)
}

func (r *roster) known(session identity.Fingerprint) (chain.Holder, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.holders[session]
	return h, ok
}

// Regions implements chain.Roster.
func (r *roster) Regions() int { return r.regions }

// Check implements chain.Checker.
func (r *roster) Check(key identity.PublicKey, msg, sig []byte) bool {
	id := checkedID(key, msg, sig)
	r.mu.Lock()
	_, ok := r.good[id]
	r.mu.Unlock()
	if ok {
		return true
	}
	if r.checks.Add(1); !key.Verify(msg, sig) {
		return false
	}
	r.remember(id)
	return true
}

func checkedID(key identity.PublicKey, msg, sig []byte) [32]byte {
	h := sha256.New()
	fp := key.Fingerprint()
	h.Write(fp[:])
	h.Write(sig)
	h.Write(msg)
	return [32]byte(h.Sum(nil))
}

func (r *roster) remember(id [32]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, again := r.good[id]; !again {
		delete(r.good, r.order[r.next])
		r.good[id], r.order[r.next] = struct{}{}, id
		r.next = (r.next + 1) % len(r.order)
	}
}

// ownSigner signs with the session key and remembers its signatures: they come back in
// certificates.
type ownSigner struct {
	identity.Signer
	roster *roster
}

func (s ownSigner) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	sig, err := s.Signer.Sign(ctx, msg)
	if s.roster.signs.Add(1); err == nil {
		s.roster.remember(checkedID(s.Public(), msg, sig))
	}
	return sig, err
}

// certified verifies a certificate, its signatures side by side: whoever waits for it
// waits for one.
func (r *roster) certified(c *chain.Certificate, lineage [32]byte) error {
	var wg sync.WaitGroup
	for i := 1; i < len(c.Witnesses); i++ {
		wg.Go(func() {
			a := c.Ack(i)
			_ = a.Verify(r) // remembered if it is good
		})
	}
	if len(c.Witnesses) > 0 {
		first := c.Ack(0)
		_ = first.Verify(r)
	}
	wg.Wait()
	return c.Verify(r, lineage)
}

// all returns every certificate, current those of the newest boots, cert one of any.
func (r *roster) all() (out []*identity.SessionCert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.certs {
		out = append(out, known...)
	}
	return out
}

func (r *roster) current() (out []*identity.SessionCert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.certs {
		out = append(out, known[len(known)-1])
	}
	return out
}

func (r *roster) cert(session identity.Fingerprint) *identity.SessionCert {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.certs[r.holders[session].Region] {
		if c.Session.Fingerprint() == session {
			return c
		}
	}
	return nil
}

// of returns the certificates of the given sessions, as far as they are known.
func (r *roster) of(sessions []identity.Fingerprint) (out []*identity.SessionCert) {
	for _, s := range sessions {
		if c := r.cert(s); c != nil && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}
