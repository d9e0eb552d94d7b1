package chain

import (
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Vote is a region's signed answer to a candidate and its report of its own log as it
// stood when it entered the term. In one term a region reports one log and grants once.
type Vote struct {
	Lineage   [32]byte
	Term      uint64 // voted in
	Candidate identity.RegionID
	Last      Link // of the voter's own log
	Granted   bool
	Signature
}

func (v *Vote) body(w *wire.Writer) {
	w.Fixed(v.Lineage[:])
	w.U64(v.Term)
	w.U8(uint8(v.Candidate))
	v.Last.write(w)
	w.Bool(v.Granted)
}

// SignVote signs v as built by MayGrant's caller.
func SignVote(s *Signer, v Vote) (Vote, error) {
	var err error
	v.Signature, err = s.sign(domainVote, v.body)
	return v, err
}

// Verify checks the signature and that the report makes sense.
func (v *Vote) Verify(r Roster) error {
	if v.Last.Term >= v.Term || v.Candidate == 0 {
		return errs.New(errs.Unverified, "vote of region %d in term %d reports a log of term %d", v.Region, v.Term, v.Last.Term)
	}
	return verify(r, domainVote, &v.Signature, v.body)
}

const voteSize = 32 + 8 + 1 + linkSize + 1 + signatureSize

// Encode returns the canonical form.
func (v *Vote) Encode() []byte {
	return encode(voteSize, func(w *wire.Writer) { v.body(w); v.Signature.write(w) })
}

// DecodeVote parses the canonical form.
func DecodeVote(b []byte) (*Vote, error) { return decode(b, 1+voteSize, "vote", readVote) }

func readVote(r *wire.Reader) (v Vote) {
	r.Fixed(v.Lineage[:])
	v.Term = r.U64()
	v.Candidate = identity.RegionID(r.U8())
	v.Last = readLink(r)
	v.Granted = r.Bool()
	v.Signature = readSignature(r)
	return v
}

// Ballot is a granted vote within a leader proof.
type Ballot struct {
	Last Link
	Signature
}

// LeaderProof shows that a quorum elected Leader in Term on top of Base. The leader's
// own ballot must report Base: so two bases for one term are two reports of one
// region, and convict it.
type LeaderProof struct {
	Lineage [32]byte
	Term    uint64
	Leader  identity.RegionID
	Base    Link
	Ballots []Ballot // regions ascending
}

// Elect joins granted votes of one term for one candidate, whose log ended at base.
func Elect(base Link, votes []Vote) (*LeaderProof, error) {
	if len(votes) == 0 || len(votes) > maxRegions {
		return nil, errs.New(errs.Invalid, "a leader proof of %d votes", len(votes))
	}
	p := &LeaderProof{Lineage: votes[0].Lineage, Term: votes[0].Term, Leader: votes[0].Candidate, Base: base}
	for _, v := range votes {
		if !v.Granted || v.Lineage != p.Lineage || v.Term != p.Term || v.Candidate != p.Leader {
			return nil, errs.New(errs.Invalid, "vote of region %d is not a grant to region %d in term %d", v.Region, p.Leader, p.Term)
		}
		p.Ballots = append(p.Ballots, Ballot{v.Last, v.Signature})
	}
	slices.SortFunc(p.Ballots, func(a, b Ballot) int { return int(a.Region) - int(b.Region) })
	return p, ascending(len(p.Ballots), p.region)
}

func (p *LeaderProof) region(i int) identity.RegionID { return p.Ballots[i].Region }

// Vote returns the i-th vote.
func (p *LeaderProof) Vote(i int) Vote {
	return Vote{p.Lineage, p.Term, p.Leader, p.Ballots[i].Last, true, p.Ballots[i].Signature}
}

// Verify checks all that needs no log: signatures, quorum, and a base no older than any
// report. That the base contains the reports is ProofBase's business.
func (p *LeaderProof) Verify(r Roster, lineage [32]byte) error {
	if !liar.Defends(liar.LeaderProofs) {
		return nil
	}
	if p.Lineage != lineage || p.Base.Term >= p.Term {
		return errs.New(errs.Unverified, "leader proof of term %d is of another lineage or stands on its own term", p.Term)
	}
	own := slices.IndexFunc(p.Ballots, func(b Ballot) bool { return b.Region == p.Leader })
	if own < 0 || p.Ballots[own].Last != p.Base {
		return errs.New(errs.Unverified, "leader proof of term %d: region %d did not report its base itself", p.Term, p.Leader)
	}
	return quorum(r, "leader proof", len(p.Ballots), p.region, func(i int) error {
		v := p.Vote(i)
		if !upToDate(p.Base, v.Last) {
			return errs.New(errs.Unverified, "term %d: region %d reports a newer log than the base", p.Term, v.Region)
		}
		return v.Verify(r)
	})
}

func (p *LeaderProof) write(w *wire.Writer) {
	w.Fixed(p.Lineage[:])
	w.U64(p.Term)
	w.U8(uint8(p.Leader))
	p.Base.write(w)
	w.U8(uint8(len(p.Ballots)))
	for i := range p.Ballots {
		p.Ballots[i].Last.write(w)
		p.Ballots[i].write(w)
	}
}

func readProof(r *wire.Reader) (p LeaderProof) {
	r.Fixed(p.Lineage[:])
	p.Term = r.U64()
	p.Leader = identity.RegionID(r.U8())
	p.Base = readLink(r)
	for range readCount(r) {
		p.Ballots = append(p.Ballots, Ballot{readLink(r), readSignature(r)})
	}
	order(r, len(p.Ballots), p.region)
	return p
}

// Encode returns the canonical form.
func (p *LeaderProof) Encode() []byte { return encode(640, p.write) }

// DecodeLeaderProof parses the canonical form.
func DecodeLeaderProof(b []byte) (*LeaderProof, error) {
	return decode(b, maxProof, "leader proof", readProof)
}

// Cause says why a region wants another leader.
type Cause uint8

// The causes. Numbers are part of the signed form.
const (
	Silence Cause = 1 // nothing was heard from a leader for an election time-out
	Fenced  Cause = 2 // the leader is fenced for what it sent
)

// PreVote is a region's word that it would vote in Term: it sees no leader it believes.
type PreVote struct {
	Lineage   [32]byte
	Term      uint64
	Candidate identity.RegionID
	Cause     Cause
	At        time.Time // its own clock; never back within one session
	Signature
}

func (p *PreVote) body(w *wire.Writer) {
	w.Fixed(p.Lineage[:])
	w.U64(p.Term)
	w.U8(uint8(p.Candidate))
	w.U8(uint8(p.Cause))
	w.Time(p.At)
}

// SignPreVote signs p; MayPreVote says whether it may be.
func SignPreVote(s *Signer, p PreVote) (PreVote, error) {
	var err error
	p.At = p.At.Truncate(time.Millisecond).UTC()
	p.Signature, err = s.sign(domainPreVote, p.body)
	return p, err
}

// Verify checks the signature.
func (p *PreVote) Verify(r Roster) error {
	if p.Cause != Silence && p.Cause != Fenced {
		return errs.New(errs.Unverified, "pre-vote of region %d has cause %d", p.Region, p.Cause)
	}
	return verify(r, domainPreVote, &p.Signature, p.body)
}

const preVoteSize = 32 + 8 + 1 + 1 + 8 + signatureSize

func (p *PreVote) write(w *wire.Writer) { p.body(w); p.Signature.write(w) }

// Encode returns the canonical form.
func (p *PreVote) Encode() []byte { return encode(preVoteSize, p.write) }

// DecodePreVote parses the canonical form.
func DecodePreVote(b []byte) (*PreVote, error) {
	return decode(b, 1+preVoteSize, "pre-vote", readPreVote)
}

func readPreVote(r *wire.Reader) (p PreVote) {
	r.Fixed(p.Lineage[:])
	p.Term = r.U64()
	p.Candidate = identity.RegionID(r.U8())
	p.Cause = Cause(r.U8())
	p.At = r.Time()
	p.Signature = readSignature(r)
	return p
}

// Transfer is a leader's word that To may stand in the next term.
type Transfer struct {
	Lineage [32]byte
	Term    uint64 // in which the signer leads
	To      identity.RegionID
	Signature
}

func (t *Transfer) body(w *wire.Writer) { w.Fixed(t.Lineage[:]); w.U64(t.Term); w.U8(uint8(t.To)) }

// SignTransfer signs as the leader of term.
func SignTransfer(s *Signer, t Transfer) (Transfer, error) {
	var err error
	t.Signature, err = s.sign(domainTransfer, t.body)
	return t, err
}

// Verify checks the signature; that the signer leads is for the justification.
func (t *Transfer) Verify(r Roster) error {
	if t.To == t.Region || t.To == 0 {
		return errs.New(errs.Unverified, "transfer of term %d from region %d to region %d", t.Term, t.Region, t.To)
	}
	return verify(r, domainTransfer, &t.Signature, t.body)
}

const transferSize = 32 + 8 + 1 + signatureSize

func (t *Transfer) write(w *wire.Writer) { t.body(w); t.Signature.write(w) }

// Encode returns the canonical form.
func (t *Transfer) Encode() []byte { return encode(transferSize, t.write) }

// DecodeTransfer parses the canonical form.
func DecodeTransfer(b []byte) (*Transfer, error) {
	return decode(b, 1+transferSize, "transfer", readTransfer)
}

func readTransfer(r *wire.Reader) (t Transfer) {
	r.Fixed(t.Lineage[:])
	t.Term = r.U64()
	t.To = identity.RegionID(r.U8())
	t.Signature = readSignature(r)
	return t
}
