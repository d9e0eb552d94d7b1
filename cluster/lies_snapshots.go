//go:build liar

package cluster

import (
	"bytes"
	"crypto/sha256"
	"io"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// Lies about snapshots.

// sealedState is the present state with some of it changed, sealed as a snapshot at a
// place, and its digest.
func (c *Cluster) sealedState(state io.WriterTo, h *envelopeHeader) ([]byte, [32]byte, error) {
	var plain, out bytes.Buffer
	if _, err := state.WriteTo(&plain); err != nil {
		return nil, [32]byte{}, err
	}
	forged := bytes.ReplaceAll(plain.Bytes(), []byte("desk"), []byte("dusk"))
	if end := len(forged) - sha256.Size; end > 5 { // the state's own checksum stands at its end, after a tag and a length
		sum := sha256.Sum256(forged[:end-5])
		copy(forged[end:], sum[:])
	}
	w, err := newEnvelopeWriter(&out, h, c.cfg.SnapshotSealer)
	if err != nil {
		return nil, [32]byte{}, err
	}
	if _, err := w.Write(forged); err != nil {
		return nil, [32]byte{}, err
	}
	err = w.Close()
	return out.Bytes(), DataDigest(forged), err
}

func (c *Cluster) sendSnapshot(told liar.Lie, p *chain.SnapshotProof, conf raft.Configuration, sealed []byte) error {
	term, leads := c.leads()
	if !leads {
		return nil
	}
	o, err := chain.SignOffer(c.book.signer, p.Tuple, p.Encode())
	if err != nil {
		return err
	}
	s := &raft.InstallSnapshotRequest{RPCHeader: c.transport.header(), SnapshotVersion: 1, Term: term, Leader: []byte(c.transport.self.Address),
		LastLogIndex: p.Index, LastLogTerm: p.Term, Configuration: raft.EncodeConfiguration(conf), ConfigurationIndex: p.ConfigIndex, Size: int64(len(sealed))}
	v := &voucher{Proof: p, Leader: c.leaders(p.Term)}
	for i := range p.Signatures {
		v.Sessions = append(v.Sessions, c.book.roster.of([]identity.Fingerprint{p.Signatures[i].Session})...)
	}
	q := &request{Kind: kindSnapshot, Snapshot: s, Items: []item{offerItem(&o, v)}}
	liar.Did(told.Name)
	_, err = c.put(told.Victim, q, bytes.NewReader(sealed))
	return err
}

// forgeSnapshot sends a changed state that two forged signatures vouch for.
func (c *Cluster) forgeSnapshot(told liar.Lie) error {
	before := c.replica.at()
	state, err := c.cfg.Machine.Snapshot()
	if err != nil || c.replica.at() != before {
		return err
	}
	conf, index := c.committedConfiguration()
	sealed, digest, err := c.sealedState(state, &envelopeHeader{Lineage: c.cfg.Lineage, Link: before, Config: raft.EncodeConfiguration(conf), ConfigIndex: index})
	if err != nil {
		return err
	}
	a := chain.Attestation{Tuple: c.book.tuple(before.place()), State: digest, ConfigIndex: index, Members: c.attestedMembers(conf)}
	mine, err := chain.Attest(c.book.signer, &a)
	if err != nil {
		return err
	}
	sigs := []chain.Signature{mine}
	for _, r := range c.others(told.Victim) {
		sigs = append(sigs, c.forgedBy(r))
	}
	p, err := chain.Attested(a, sigs)
	if err != nil {
		return err
	}
	return c.sendSnapshot(told, p, conf, sealed)
}

func (c *Cluster) committedConfiguration() (raft.Configuration, uint64) {
	c.replica.mu.Lock()
	defer c.replica.mu.Unlock()
	return c.replica.members.Clone(), c.replica.config
}

// swapSnapshot sends another state than the one three regions vouched for.
func (c *Cluster) swapSnapshot(told liar.Lie) error {
	k := c.marks.newest(0)
	if k == nil {
		return nil
	}
	p, err := c.attested(k)
	if err != nil {
		return err
	}
	sealed, _, err := c.sealedState(k.state, &envelopeHeader{Lineage: c.cfg.Lineage, Link: k.at, Config: raft.EncodeConfiguration(k.config), ConfigIndex: k.configIndex})
	if err != nil {
		return err
	}
	return c.sendSnapshot(told, p, k.config, sealed)
}

// askFalseAttestation asks another region to vouch for a state it does not have.
func (c *Cluster) askFalseAttestation(told liar.Lie) error {
	k := c.marks.newest(0)
	if k == nil {
		return nil
	}
	a, err := c.attestation(k)
	if err != nil {
		return err
	}
	a.State[0] ^= 1
	mine, err := chain.Attest(c.book.signer, a)
	if err != nil {
		return err
	}
	ask := (&chain.SnapshotProof{Attestation: *a, Signatures: []chain.Signature{mine}}).Encode()
	liar.Did(told.Name)
	p, err := c.put(told.Victim, &request{Kind: kindAttest, Items: []item{{itemAttestation, ask}}}, nil)
	if err != nil {
		return err
	}
	if s, err := chain.DecodeSignature(find(p.Items, itemAttestation)); err == nil && chain.VerifyAttester(c.book.roster, a, s) == nil {
		liar.Did(told.Name + ": signed")
	}
	return nil
}
