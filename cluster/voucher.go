package cluster

import (
	"bytes"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// voucher stands beside a snapshot: the regions' signatures over it, and what the log
// behind it no longer shows: who led the term in which it ends.
type voucher struct {
	Proof    *chain.SnapshotProof
	Leader   *chain.LeaderProof // nil in the founding term
	Sessions []*identity.SessionCert
}

const (
	proofSuffix = ".proof"
	maxVoucher  = 32 << 10
)

func (v *voucher) encode() []byte {
	w := wire.NewWriter(4096)
	w.U8(1)
	w.Blob(v.Proof.Encode())
	writeOptional(w, v.Leader != nil, func() []byte { return v.Leader.Encode() })
	writeSessions(w, v.Sessions)
	return w.Bytes()
}

func decodeVoucher(b []byte) (*voucher, error) {
	if len(b) > maxVoucher {
		return nil, errs.New(errs.TooLarge, "voucher of %d bytes, limit %d", len(b), maxVoucher)
	}
	r, v := wire.NewReader(b), &voucher{}
	if n := r.U8(); n != 1 {
		r.Fail("voucher version %d", n)
	}
	v.Proof = readOptional(r, 16<<10, chain.DecodeSnapshotProof)
	v.Leader = readOptional(r, maxExtProof, chain.DecodeLeaderProof)
	v.Sessions = readSessions(r)
	if r.Err() == nil && v.Proof == nil {
		r.Fail("no proof")
	}
	return v, r.Done()
}

// voucher returns what stands beside a snapshot; keepVoucher stores it, before the
// snapshot gets its name.
func (s *snapshotStore) voucher(l link) (*voucher, error) {
	b, err := s.fs.ReadFile(snapshotDir + "/" + snapshotName(l) + proofSuffix)
	if err != nil {
		return nil, err
	}
	return decodeVoucher(bytes.Clone(b))
}

func (s *snapshotStore) keepVoucher(v *voucher) error {
	return s.fs.WriteFile(snapshotDir+"/"+snapshotName(linkAt(v.Proof.Link))+proofSuffix, v.encode())
}

// goodVoucher returns a voucher that verifies. One that a disk damaged must not be offered
// to anybody: it would convict this region.
func (s *snapshotStore) goodVoucher(l link) (*voucher, error) {
	v, err := s.voucher(l)
	if err != nil {
		return nil, err
	}
	if s.history == nil {
		return v, v.judge(s.chain.book.roster, s.lineage)
	}
	witnesses := s.history()
	for _, cert := range v.Sessions {
		s.chain.book.roster.add(cert)
		_ = witnesses.Add(cert) // one that nobody vouches for signs nothing below either
	}
	return v, v.judge(witnesses, s.lineage)
}

// vouch completes a snapshot's proof with the leader proof of its last term and the
// session certificates of all who signed.
func (c *Cluster) vouch(k *mark) (*voucher, error) {
	p, err := c.attested(k)
	if err != nil {
		return nil, err
	}
	v := &voucher{Proof: p, Leader: c.leaders(k.at.term)}
	if v.Leader == nil && k.at.term > 1 {
		return nil, errs.New(errs.Internal, "no leader proof of term %d is at hand", k.at.term)
	}
	sessions := sessionsOf(v.Leader, nil, nil)
	for i := range p.Signatures {
		sessions = append(sessions, p.Signatures[i].Session)
	}
	v.Sessions = c.book.roster.of(sessions)
	v.Sessions = v.Sessions[:min(len(v.Sessions), maxExtSessions)]
	return v, nil
}

// judge verifies a voucher that came from elsewhere, all but what the snapshot itself says.
func (v *voucher) judge(r chain.Roster, lineage [32]byte) error {
	if err := v.Proof.Verify(r, lineage); err != nil {
		return err
	}
	if v.Leader == nil {
		if v.Proof.Term > 1 { // nothing after it could be judged
			return errs.New(errs.Unverified, "no leader proof of term %d stands beside a snapshot of index %d", v.Proof.Term, v.Proof.Index)
		}
		return nil
	}
	if v.Leader.Term != v.Proof.Term || v.Leader.Base.Index >= v.Proof.Index {
		return errs.New(errs.Unverified, "the leader proof beside a snapshot of index %d is not of its last term", v.Proof.Index)
	}
	return v.Leader.Verify(r, lineage)
}
