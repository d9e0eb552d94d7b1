package cluster

import (
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// told is what the peer of one connection was told on it already.
type told struct {
	mu          sync.Mutex
	proof       uint64 // term
	certificate uint64 // index
	sessions    map[seat]bool
}

// dress adds to a request what its receiver needs to believe it, as far as it was not
// told on this connection.
func (b *book) dress(c *conn, q *request) {
	rec := b.record()
	c.told.mu.Lock()
	defer c.told.mu.Unlock()
	var proof *chain.LeaderProof
	var cert *chain.Certificate
	if term, most, ok := spokenFor(q); ok {
		if rec.Proof != nil && rec.Proof.Term == term && c.told.proof != term {
			proof, c.told.proof = rec.Proof, term
			q.Items = append(q.Items, item{itemProof, proof.Encode()})
		}
		if cert = b.newest(c.told.certificate, most); cert != nil {
			c.told.certificate = cert.Index
			q.Items = append(q.Items, item{itemCertificate, cert.Encode()})
		}
		if q.Kind == kindAppend && len(q.Append.Entries) == 0 {
			q.Items = append(q.Items, acksItem(b.passedOn()))
		}
	}
	q.Items = b.introduce(c, q.Items, append(sessionsOf(proof, rec.Why, cert), q.sessions...))
}

// spokenFor tells in which term a leader's request speaks, and up to which index it may
// be about; false for requests that no leader sends.
func spokenFor(q *request) (term, most uint64, ok bool) {
	switch q.Kind {
	case kindAppend:
		most = q.Append.PrevLogEntry + uint64(len(q.Append.Entries))
		if isHeartbeat(q.Append) {
			most = ^uint64(0)
		}
		return q.Append.Term, most, true
	case kindNudge:
		return q.Nudge.Term, q.Nudge.Index, true
	case kindSnapshot:
		return q.Snapshot.Term, 0, true
	}
	return 0, 0, false
}

// isHeartbeat recognises raft's heartbeats, which say nothing of the log.
func isHeartbeat(a *raft.AppendEntriesRequest) bool {
	return len(a.Entries) == 0 && a.PrevLogEntry == 0 && a.LeaderCommitIndex == 0
}

// passedOn are the newest acks of all, so that every region has a lease by any two.
func (b *book) passedOn() []chain.Ack {
	acks := b.relayed()
	if own := b.renew(); own != nil {
		b.mu.Lock()
		b.ownAck = *own
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ownAck.Region != 0 {
		acks = append(acks, b.ownAck)
	}
	return acks
}

// introduce adds the session certificates the peer may not know: of the regions' newest
// boots, and of those whose signatures go along.
func (b *book) introduce(c *conn, items []item, sessions []identity.Fingerprint) []item {
	var fresh []*identity.SessionCert
	for _, cert := range append(b.roster.current(), b.roster.of(sessions)...) {
		if id := seatOf(cert); !c.told.sessions[id] && len(fresh) < maxExtSessions {
			c.told.sessions[id] = true
			fresh = append(fresh, cert)
		}
	}
	if len(fresh) > 0 { // first: what follows is judged by them
		items = append([]item{sessionsItem(fresh)}, items...)
	}
	return items
}

// answer adds session certificates to a reply.
func (b *book) answer(c *conn, p *reply) {
	c.told.mu.Lock()
	defer c.told.mu.Unlock()
	p.Items = b.introduce(c, p.Items, append(sessionsOf(nil, b.record().Why, nil), p.sessions...))
}

// meet takes the session certificates that came with a message.
func (r *roster) meet(items []item) {
	if certs, err := decodeSessionsItem(find(items, itemSessions)); err == nil {
		for _, cert := range certs {
			r.add(cert)
		}
	}
}
