//go:build liar

package cluster

import (
	"crypto/sha256"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// What the tests of lies look at from outside. All defences are up when they do.

// DataDigest is a state's digest.
func DataDigest(state []byte) [32]byte { return sha256.Sum256(state) }

// Certified returns the highest place this region takes for certified.
func (c *Cluster) Certified() chain.Link {
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	return c.book.floor
}

// Link returns the chain hash and term at an index.
func (c *Cluster) Link(index uint64) (chain.Link, bool) {
	l, ok := c.chain.at(index)
	return l.place(), ok
}

// BadCertificates counts certificates at hand of entries above an index that do not verify, or that a session of
// an earlier boot signed.
func (c *Cluster) BadCertificates(above uint64) (n int) {
	c.book.mu.Lock()
	certs := make([]*chain.Certificate, 0, len(c.book.certs))
	for _, cert := range c.book.certs {
		if cert.Index <= above {
			continue
		}
		certs = append(certs, cert)
	}
	c.book.mu.Unlock()
	for _, cert := range certs {
		bad := cert.Verify(c.book.roster, c.cfg.Lineage) != nil
		for i := range cert.Witnesses {
			bad = bad || chain.Fresh(c.book.roster, &cert.Witnesses[i].Signature) != nil
		}
		if bad {
			n++
		}
	}
	return n
}

// Unsigned counts entries in the log whose leader's signature does not verify.
func (c *Cluster) Unsigned() (n int) {
	for i := c.book.founding.Index + 1; i <= c.lastStored(); i++ {
		var l raft.Log
		if c.chain.LogStore.GetLog(i, &l) != nil {
			continue
		}
		x, err := DecodeExtension(l.Extensions)
		if err != nil || x.Signature == nil {
			n++
			continue
		}
		sig := chain.EntrySignature{Tuple: c.book.tuple(chain.Link{Term: l.Term, Index: l.Index, Hash: x.Chain}), Signature: *x.Signature}
		if sig.Verify(c.book.roster) != nil {
			n++
		}
	}
	return n
}

// Convicted returns the regions this one holds for liars.
func (c *Cluster) Convicted() []identity.RegionID { return c.book.convicts() }

// Term returns the term of the record, with who was proven to lead it.
func (c *Cluster) Term() (term uint64, leader identity.RegionID) {
	rec := c.book.record()
	if rec.Proof != nil {
		leader = rec.Proof.Leader
	}
	return rec.Term, leader
}

// LeftLeaders are the regions that were left as leaders because they decided nothing.
func (c *Cluster) LeftLeaders() (out []identity.RegionID) {
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	for r := range c.book.passed {
		out = append(out, r)
	}
	return out
}
