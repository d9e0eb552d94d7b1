//go:build liar

package cluster

import (
	"crypto/rand"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Signed things that nobody signed.

// forgedBy is a signature in another region's name, by its real session.
func (c *Cluster) forgedBy(region identity.RegionID) (s chain.Signature) {
	for _, cert := range c.book.roster.current() {
		if cert.Region == region {
			s.Region, s.Session = region, cert.Session.Fingerprint()
		}
	}
	_, _ = rand.Read(s.Sig[:])
	return s
}

// others are the regions besides this one, ascending, without one.
func (c *Cluster) others(without identity.RegionID) (out []identity.RegionID) {
	for r := identity.RegionID(1); r <= 4; r++ {
		if r != c.book.self && r != without {
			out = append(out, r)
		}
	}
	return out
}

// falseTerm justifies a term by pre-votes of which two are forged.
func (c *Cluster) falseTerm(term uint64) *chain.Justification {
	j := &chain.Justification{}
	for r := identity.RegionID(1); r <= 4 && len(j.PreVotes) < 3; r++ {
		p := chain.PreVote{Lineage: c.cfg.Lineage, Term: term, Candidate: c.book.self, Cause: chain.Silence, At: c.cfg.Now().UTC().Truncate(time.Millisecond)}
		if r == c.book.self {
			p, _ = chain.SignPreVote(c.book.signer, p)
		} else {
			p.Signature = c.forgedBy(r)
		}
		j.PreVotes = append(j.PreVotes, p)
	}
	return j
}

// falseProof makes this region the leader of a term by votes nobody gave.
func (c *Cluster) falseProof(term uint64) *chain.LeaderProof {
	base := c.book.own.Last()
	p := &chain.LeaderProof{Lineage: c.cfg.Lineage, Term: term, Leader: c.book.self, Base: base}
	have := append([]identity.RegionID{c.book.self}, c.others(0)[:2]...)
	for r := identity.RegionID(1); r <= 4; r++ {
		switch {
		case r == have[0]:
			v, _ := chain.SignVote(c.book.signer, chain.Vote{Lineage: c.cfg.Lineage, Term: term, Candidate: r, Last: base, Granted: true})
			p.Ballots = append(p.Ballots, chain.Ballot{Last: base, Signature: v.Signature})
		case r == have[1] || r == have[2]:
			p.Ballots = append(p.Ballots, chain.Ballot{Last: base, Signature: c.forgedBy(r)})
		}
	}
	return p
}

// falseCertificate certifies a place by one true ack and two forged ones.
func (c *Cluster) falseCertificate(at chain.Link, twice bool) *chain.Certificate {
	t := c.book.tuple(at)
	cert := &chain.Certificate{Tuple: t}
	now := c.cfg.Now().UTC().Truncate(time.Millisecond)
	mine, _ := chain.SignAck(c.book.signer, t, now)
	for r := identity.RegionID(1); r <= 4 && len(cert.Witnesses) < 3; r++ {
		switch {
		case twice:
			cert.Witnesses = append(cert.Witnesses, chain.Witness{At: mine.At, Signature: mine.Signature})
		case r == c.book.self:
			cert.Witnesses = append(cert.Witnesses, chain.Witness{At: mine.At, Signature: mine.Signature})
		default:
			cert.Witnesses = append(cert.Witnesses, chain.Witness{At: now, Signature: c.forgedBy(r)})
		}
	}
	return cert
}
