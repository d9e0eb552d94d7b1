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
	stands  func(*identity.SessionCert) standing             // against the region's pins
	former  func(*identity.SessionCert) bool                 // by an identity that its region had before; may be nil
	lookup  func(identity.Fingerprint) *identity.SessionCert // of earlier boots, from the state; may be nil

	checks, signs atomic.Uint64 // signatures checked and made, for tests of what an entry costs

	mu      sync.Mutex
	self    seat // the own session: a region speaks for itself, whatever is pinned
	holders map[seat]chain.Holder
	outdone map[seat]bool                                 // under an identity that its region does not have any more
	certs   map[identity.RegionID][]*identity.SessionCert // as they were shown, newest last
	past    map[identity.RegionID][]*identity.SessionCert // of former identities: they signed entries of earlier terms, and nothing else counts
	good    map[[32]byte]struct{}
	order   [][32]byte
	next    int
}

// standing is what a certificate is worth.
type standing uint8

const (
	strange standing = iota // nobody pinned vouches for it
	older                   // under an identity that was replaced: it verifies history
	present
)

// seat is one session of one region.
type seat struct {
	region  identity.RegionID
	session identity.Fingerprint
}

func seatOf(c *identity.SessionCert) seat { return seat{c.Region, c.Session.Fingerprint()} }

var (
	_ chain.Roster  = (*roster)(nil)
	_ chain.Checker = (*roster)(nil)
)

func newRoster(regions int, stands func(*identity.SessionCert) standing) *roster {
	return &roster{regions: regions, stands: stands, holders: map[seat]chain.Holder{}, outdone: map[seat]bool{},
		certs: map[identity.RegionID][]*identity.SessionCert{}, past: map[identity.RegionID][]*identity.SessionCert{}, good: map[[32]byte]struct{}{}, order: make([][32]byte, maxChecked)}
}

// add takes a certificate whose region's pinned key vouches for it.
func (r *roster) add(cert *identity.SessionCert) {
	if cert.Region == 0 || r.touch(cert) {
		return
	}
	stands := r.stands(cert)
	was := stands == strange && r.former != nil && r.former(cert)
	if stands == strange && !was {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if was {
		r.bury(cert)
		return
	}
	if stands == older {
		r.outdone[seatOf(cert)] = true
	}
	r.put(cert)
}

// bury keeps a session of a former identity. The first ones stay: who has that identity's
// HSM now pushes none of them out.
func (r *roster) bury(cert *identity.SessionCert) {
	past := r.past[cert.Region]
	known := func(c *identity.SessionCert) bool { return seatOf(c) == seatOf(cert) }
	if len(past) < maxSessions && !slices.ContainsFunc(past, known) {
		r.past[cert.Region] = append(past, cert)
	}
}

// touch notes that a known certificate was shown again.
func (r *roster) touch(cert *identity.SessionCert) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.holders[seatOf(cert)]; !known {
		return false
	}
	all := r.certs[cert.Region]
	for i, c := range all {
		if c.Session.Fingerprint() == cert.Session.Fingerprint() {
			copy(all[i:], all[i+1:])
			all[len(all)-1] = c
			break
		}
	}
	return true
}

// put adds a certificate. What was not shown for longest goes when there are too many: a
// region may issue itself any number, but what comes along with a message is at hand
// when the message is judged.
func (r *roster) put(cert *identity.SessionCert) {
	if _, again := r.holders[seatOf(cert)]; again {
		return
	}
	known := append(r.certs[cert.Region], cert)
	if len(known) > maxSessions {
		out := 0
		if known[out] == r.newestOf(known) {
			out = 1
		}
		r.forget(seatOf(known[out]))
		known = slices.Delete(known, out, out+1)
	}
	r.seatAll(cert.Region, known)
}

// seatAll notes a region's certificates, and which of them is of the newest boot.
func (r *roster) seatAll(region identity.RegionID, known []*identity.SessionCert) {
	r.certs[region] = known
	newest := r.newestOf(known)
	for _, c := range known {
		r.holders[seatOf(c)] = chain.Holder{Region: c.Region, Key: c.Session, Current: c == newest}
	}
}

func (r *roster) forget(s seat) {
	delete(r.holders, s)
	delete(r.outdone, s)
}

// newestOf is the certificate of the newest boot, nil of none. Whatever an HSM that was
// replaced says it issued, and when: it speaks for nobody now.
func (r *roster) newestOf(certs []*identity.SessionCert) (newest *identity.SessionCert) {
	for _, c := range certs {
		if !r.outdone[seatOf(c)] && (newest == nil || !c.Issued.Before(newest.Issued)) {
			newest = c
		}
	}
	return newest
}

// repin judges what is known again, after pins may have changed, and returns the regions
// that lost a session by it.
func (r *roster) repin() (lost []identity.RegionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for region, certs := range r.certs {
		kept := certs[:0:0]
		for _, c := range certs {
			s := seatOf(c)
			stands := r.stands(c)
			if s == r.self || stands == present {
				kept = append(kept, c)
				delete(r.outdone, s)
				continue
			}
			if stands == older {
				kept, r.outdone[s] = append(kept, c), true
				continue
			}
			r.forget(s)
			if r.former != nil && r.former(c) {
				r.bury(c)
			}
		}
		if len(kept) < len(certs) {
			lost = append(lost, region)
		}
		r.seatAll(region, kept)
	}
	return lost
}

// trust takes the own certificate, whatever is pinned: a region speaks for itself.
func (r *roster) trust(cert *identity.SessionCert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self = seatOf(cert)
	r.put(cert)
}

// Holder implements chain.Roster.
func (r *roster) Holder(region identity.RegionID, session identity.Fingerprint) (chain.Holder, bool) {
	if h, ok := r.known(region, session); ok || r.lookup == nil {
		return h, ok
	}
	cert := r.lookup(session)
	if cert == nil {
		return chain.Holder{}, false
	}
	r.add(cert)
	return r.known(region, session)
}

func (r *roster) known(region identity.RegionID, session identity.Fingerprint) (chain.Holder, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.holders[seat{region, session}]
	return h, ok
}

// signers knows who signed entries of earlier terms as well: a leader whose region was given
// another HSM since. What it led the term for is proven by those who elected it.
type signers struct{ *roster }

// Holder implements chain.Roster.
func (r signers) Holder(region identity.RegionID, session identity.Fingerprint) (chain.Holder, bool) {
	if h, ok := r.roster.Holder(region, session); ok {
		return h, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.past[region] {
		if c.Session.Fingerprint() == session {
			return chain.Holder{Region: region, Key: c.Session}, true
		}
	}
	return chain.Holder{}, false
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

// all returns every certificate, current those of the newest boots.
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
		if newest := r.newestOf(known); newest != nil {
			out = append(out, newest)
		}
	}
	return out
}

// named returns the certificates of a session: more than one if a region certified
// another's key.
func (r *roster) named(session identity.Fingerprint) (out []*identity.SessionCert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for region, certs := range r.certs {
		if _, ok := r.holders[seat{region, session}]; !ok {
			continue
		}
		for _, c := range certs {
			if c.Session.Fingerprint() == session {
				out = append(out, c)
			}
		}
	}
	for _, certs := range r.past {
		for _, c := range certs {
			if c.Session.Fingerprint() == session {
				out = append(out, c)
			}
		}
	}
	return out
}

// of returns the certificates of the given sessions, as far as they are known.
func (r *roster) of(sessions []identity.Fingerprint) (out []*identity.SessionCert) {
	for _, s := range sessions {
		for _, c := range r.named(s) {
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}
