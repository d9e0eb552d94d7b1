package rpctest

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/rpc"
)

var errNoProof = errs.New(errs.NotFound, "the entry is not certified")

// Prove makes the proof of an entry; nil makes none.
type Prove func(index uint64) *rpc.Proof

// Place is where the pretended log has an entry.
func Place(index uint64) chain.Link {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], index)
	return chain.Link{Term: 1, Index: index, Hash: sha256.Sum256(b[:])}
}

// OnProve replaces the proofs a node gives; by default they are Certify's, of all nodes.
func (n *Node) OnProve(f Prove) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onProve = f
}

// Certify proves a place by the sessions of some nodes.
func (c *Cluster) Certify(at chain.Link, by ...*Node) *rpc.Proof {
	p := &rpc.Proof{}
	var acks []chain.Ack
	for _, n := range by {
		s, err := chain.NewSigner(n.Region, n.Session)
		must(err)
		a, err := chain.SignAck(s, chain.Tuple{Lineage: c.State.Lineage(), Link: at}, time.Now())
		must(err)
		acks = append(acks, a)
		p.Sessions = append(p.Sessions, n.Session.Cert.Encode())
	}
	cert, err := chain.Certify(acks)
	must(err)
	p.Cover = (&chain.Cover{Certificate: *cert}).Encode()
	return p
}

type covers struct{ n *Node }

// Proof implements rpc.Covers.
func (c covers) Proof(index uint64) (*rpc.Proof, error) {
	c.n.mu.Lock()
	prove := c.n.onProve
	c.n.mu.Unlock()
	if prove == nil {
		return c.n.cluster.Certify(Place(index), c.n.cluster.Nodes...), nil
	}
	if p := prove(index); p != nil {
		return p, nil
	}
	return nil, errNoProof
}
