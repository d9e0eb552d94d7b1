package cluster

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Stand makes the speaker an honest candidate of a term, whose log ends at last.
func (l *Liar) Stand(term uint64, last chain.Link) error {
	l.log.links[last.Index], l.log.last = last, last
	l.b.rec.Store(&record{Term: term})
	l.b.store = func(_, _ []byte) error { return nil }
	return l.b.stand(term)
}

func (l *Liar) signer(s *identity.Session) *chain.Signer {
	l.b.roster.trust(s.Cert)
	signer, err := chain.NewSigner(s.Cert.Region, s)
	if err != nil {
		panic(err)
	}
	return signer
}

// Voted gives the candidate a grant with the report of a session's region.
func (l *Liar) Voted(s *identity.Session, term uint64, last chain.Link) error {
	v, err := chain.SignVote(l.signer(s), chain.Vote{Lineage: l.cfg.Lineage, Term: term, Candidate: l.b.self, Last: last, Granted: true})
	if err == nil {
		_, _, err = l.b.voted(s.Cert.Region, term, &v)
	}
	return err
}

// Proven reports whether the candidate has its leader proof.
func (l *Liar) Proven() bool { return l.b.record().Proof != nil }

// Certify gives the book certificates of an own log that has all entries.
func (l *Liar) Certify(index uint64) {
	at := chain.Link{Term: 1, Index: index}
	l.log.links[index] = at
	l.b.certify(&chain.Certificate{Tuple: l.b.tuple(at)})
}

// Newest is the highest certificate the book would pass on.
func (l *Liar) Newest() uint64 {
	if c := l.b.newest(0, ^uint64(0)); c != nil {
		return c.Index
	}
	return 0
}

// Carry puts into a signed entry what its chain hash does not cover.
func Carry(e *raft.Log, cert *chain.Certificate, proof *chain.LeaderProof) *raft.Log {
	x, err := DecodeExtension(e.Extensions)
	if err != nil {
		panic(err)
	}
	if cert != nil {
		x.Certificate = cert
	}
	if proof != nil {
		x.Proof = proof
	}
	e.Extensions = x.Encode()
	return e
}

// LeaseOf is the lease alone, whether or not the region is ready.
func LeaseOf(c *Cluster) error { return c.book.lease() }

// LedBy is who leads a term, as far as a node's log says.
func LedBy(c *Cluster, term uint64) identity.RegionID {
	if p := c.chain.proofOf(term); p != nil {
		return p.Leader
	}
	return 0
}

// Introduce makes the liar show certificates along with what it says from now on.
func (l *Liar) Introduce(certs ...*identity.SessionCert) {
	for _, c := range certs {
		l.b.roster.trust(c)
	}
}

// Flood sends certificates, eight in a message that says nothing else.
func (l *Liar) Flood(id raft.ServerID, addr string, certs []*identity.SessionCert) error {
	for n := 0; len(certs) > 0; n = min(maxExtSessions, len(certs)) { // the first message introduces the liar
		q := &request{Kind: kindNudge, Header: l.t.header(), Nudge: &nudge{}, Items: []item{sessionsItem(certs[:n])}}
		if err := l.t.tell(l.t.ctx, id, raft.ServerAddress(addr), q, time.Second); err != nil {
			return err
		}
		certs = certs[n:]
	}
	return nil
}

// Reports sends reports of a lost election.
func (l *Liar) Reports(id raft.ServerID, addr string, term uint64, last chain.Link, voters ...*identity.Session) error {
	var votes []chain.Vote
	for _, s := range voters {
		v, err := chain.SignVote(l.signer(s), chain.Vote{Lineage: l.cfg.Lineage, Term: term, Candidate: l.b.self, Last: last})
		if err != nil {
			return err
		}
		votes = append(votes, v)
	}
	q := &request{Kind: kindReports, Header: l.t.header(), Items: []item{reportsItem(votes)}}
	for i := range votes {
		q.sessions = append(q.sessions, votes[i].Session)
	}
	return l.t.tell(l.t.ctx, id, raft.ServerAddress(addr), q, time.Second)
}

// Accuse files evidence in the liar's name and sends it.
func (l *Liar) Accuse(id raft.ServerID, addr string, kind chain.Kind, accused identity.RegionID, first, second []byte, sessions ...*identity.SessionCert) error {
	e, err := chain.Accuse(l.b.signer, chain.Evidence{Kind: kind, Cluster: l.cfg.Cluster, Lineage: l.cfg.Lineage, Accused: accused,
		Noticed: time.Now(), First: first, Second: second, Sessions: append(sessions, l.cfg.Session.Cert)})
	if err != nil {
		return err
	}
	q := &request{Kind: kindEvidence, Header: l.t.header(), Items: []item{{itemEvidence, e.Encode()}}}
	return l.t.tell(l.t.ctx, id, raft.ServerAddress(addr), q, time.Second)
}

// Entry signs a no-op as a leader, and gives it as an exhibit of a refusal, and bare.
func (l *Liar) Entry(term, index uint64, prev [32]byte, why errs.Code) (refused, bare []byte) {
	h := chain.Header{Prev: prev, Term: term, Index: index, Type: chain.TypeNoop, Data: DataHash(nil)}
	s, err := chain.SignEntry(l.b.signer, l.b.tuple(h.Link()))
	if err != nil {
		panic(err)
	}
	return (&chain.Refused{Header: h, Sig: s.Signature, Code: why}).Encode(), s.Encode()
}

// Justify is a quorum of pre-votes for the liar in a term.
func (l *Liar) Justify(term uint64, voters ...*identity.Session) *chain.Justification {
	j := &chain.Justification{}
	for _, s := range voters {
		p, err := chain.SignPreVote(l.signer(s), chain.PreVote{Lineage: l.cfg.Lineage, Term: term, Candidate: l.b.self, Cause: chain.Silence, At: time.Now()})
		if err != nil {
			panic(err)
		}
		j.PreVotes = append(j.PreVotes, p)
	}
	return j
}

// AskPreVote and AskVote ask in the liar's name, with whatever makes the term believed.
func (l *Liar) AskPreVote(id raft.ServerID, addr string, term uint64, last chain.Link, why *chain.Justification) (granted bool, err error) {
	q := &request{Kind: kindPreVote, Header: l.t.header(), PreVote: &raft.RequestPreVoteRequest{RPCHeader: l.t.header(), Term: term, LastLogIndex: last.Index, LastLogTerm: last.Term}}
	return l.ask(id, addr, q, why)
}

func (l *Liar) AskVote(id raft.ServerID, addr string, term uint64, last chain.Link, why *chain.Justification) (granted bool, err error) {
	q := &request{Kind: kindVote, Header: l.t.header(), Vote: &raft.RequestVoteRequest{RPCHeader: l.t.header(), Term: term, LastLogIndex: last.Index, LastLogTerm: last.Term},
		Items: []item{candidacyItem(last, last.Hash)}}
	return l.ask(id, addr, q, why)
}

func (l *Liar) ask(id raft.ServerID, addr string, q *request, why *chain.Justification) (bool, error) {
	if why != nil {
		q.Items = append(q.Items, item{itemJustification, why.Encode()})
		q.sessions = sessionsOf(nil, why, nil)
	}
	p, _, err := l.t.call(id, raft.ServerAddress(addr), q, time.Second, nil)
	return err == nil && p.Yes, err
}

// Acked tells the liar of every ack it gets.
func (l *Liar) Acked(hear func(chain.Ack)) {
	l.t.onReply = func(_ remote, _ *raft.AppendEntriesRequest, p *reply) error {
		acks, err := decodeAcks(find(p.Items, itemAcks))
		for _, a := range acks {
			hear(a)
		}
		return err
	}
}

// TermOf is the term of the record.
func TermOf(c *Cluster) uint64 { return c.book.record().Term }

// Tried tells whether rivals were looked for in a term without one region's report.
func Tried(c *Cluster, term uint64, without identity.RegionID) bool {
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	return c.book.tried.term == term && c.book.tried.left[without]
}
