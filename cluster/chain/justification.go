package chain

import (
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Justification is why a term may be believed. Exactly one of the three forms is set.
type Justification struct {
	PreVotes []PreVote    // a quorum for one candidate, regions ascending
	Handover *Handover    // the old leader's word
	Proof    *LeaderProof // the term has a leader already
}

// Handover is a transfer with the proof that its signer led.
type Handover struct {
	Transfer Transfer
	Proof    LeaderProof // of the transfer's term
}

const (
	formPreVotes = 1
	formHandover = 2
	formProof    = 3
)

// Term returns the term that is justified, 0 for none.
func (j *Justification) Term() uint64 {
	switch {
	case j == nil:
		return 0
	case len(j.PreVotes) > 0:
		return j.PreVotes[0].Term
	case j.Handover != nil:
		return j.Handover.Transfer.Term + 1
	case j.Proof != nil:
		return j.Proof.Term
	}
	return 0
}

// Believe is the rule of terms: a higher term is believed only with a justification.
// Otherwise one region that answers "term + 1" unseats every leader for ever.
func Believe(r Roster, lineage [32]byte, term uint64, j *Justification) error {
	if term == 0 || j.Term() != term {
		return errs.New(errs.Unverified, "term %d comes with a justification of term %d", term, j.Term())
	}
	switch {
	case !liar.Defends(liar.Terms):
		return nil
	case len(j.PreVotes) > 0:
		return j.preVoted(r, lineage)
	case j.Handover != nil:
		return j.Handover.verify(r, lineage)
	}
	return j.Proof.Verify(r, lineage)
}

func (j *Justification) region(i int) identity.RegionID { return j.PreVotes[i].Region }

func (j *Justification) preVoted(r Roster, lineage [32]byte) error {
	first := &j.PreVotes[0]
	return quorum(r, "pre-votes", len(j.PreVotes), j.region, func(i int) error {
		p := &j.PreVotes[i]
		if p.Lineage != lineage || p.Term != first.Term || p.Candidate != first.Candidate {
			return errs.New(errs.Unverified, "pre-vote of region %d is for another election", p.Region)
		}
		return p.Verify(r)
	})
}

func (h *Handover) verify(r Roster, lineage [32]byte) error {
	t := &h.Transfer
	if t.Lineage != lineage || h.Proof.Term != t.Term || h.Proof.Leader != t.Region {
		return errs.New(errs.Unverified, "transfer of term %d is not by that term's leader", t.Term)
	}
	if err := t.Verify(r); err != nil {
		return err
	}
	return h.Proof.Verify(r, lineage)
}

// Encode returns the canonical form.
func (j *Justification) Encode() []byte {
	return encode(1024, func(w *wire.Writer) {
		switch {
		case len(j.PreVotes) > 0:
			w.U8(formPreVotes)
			w.U8(uint8(len(j.PreVotes)))
			for i := range j.PreVotes {
				j.PreVotes[i].write(w)
			}
		case j.Handover != nil:
			w.U8(formHandover)
			j.Handover.Transfer.write(w)
			j.Handover.Proof.write(w)
		case j.Proof != nil:
			w.U8(formProof)
			j.Proof.write(w)
		}
	})
}

// DecodeJustification parses the canonical form.
func DecodeJustification(b []byte) (*Justification, error) {
	return decode(b, maxJustify, "justification", func(r *wire.Reader) (j Justification) {
		switch form := r.U8(); form {
		case formPreVotes:
			for range readCount(r) {
				j.PreVotes = append(j.PreVotes, readPreVote(r))
			}
			if len(j.PreVotes) == 0 {
				r.Fail("no pre-votes")
			}
			order(r, len(j.PreVotes), j.region)
		case formHandover:
			j.Handover = &Handover{readTransfer(r), readProof(r)}
		case formProof:
			p := readProof(r)
			j.Proof = &p
		default:
			r.Fail("justification form %d", form)
		}
		return j
	})
}
