package chain

import (
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Entry is an entry as it is replicated, without its bytes.
type Entry struct {
	Header
	Sig   Signature    // of the leader of its term
	Proof *LeaderProof // in the first entry of a term
}

// AppendState is what a follower knows when entries arrive.
type AppendState struct {
	Roster    Roster
	Signers   Roster // who may have signed entries of earlier terms, replaced identities too; nil: Roster
	Lineage   [32]byte
	Term      uint64       // of the request, current
	Proof     *LeaderProof // of Term, verified; nil: none
	Own       Log
	Founding  Link                           // the first entry, as the genesis fixes it; nobody led it or signed it
	Leaders   func(term uint64) *LeaderProof // proofs that stand in the own log
	Certified []Tuple                        // of verified certificates
	Covered   uint64                         // entries up to here lead to one of them: what is certified was admitted before
	Acked     uint64                         // highest own index ever acked
}

// Admission is what follows from entries that were found good.
type Admission struct {
	Log   Log    // after them
	Fresh int    // the entries before this one are held already
	Cut   uint64 // first own index that goes, 0: none
	// Rival: an own entry has the same term as the one that replaces it. One leader
	// signed both, which convicts it; raft, which compares terms, cannot cut there.
	Rival bool
	Alarm bool // an acked entry goes
}

// CheckAppend is admission as far as the chain goes: a log is valid only with a proof
// at each change of term, which stands on exactly the entry before, and the signature
// of its term's leader on every entry.
func CheckAppend(s AppendState, entries []Entry) (Admission, error) {
	a := Admission{Log: s.Own, Fresh: len(entries)}
	if s.Proof == nil || s.Proof.Term != s.Term {
		return a, refuse("term %d has no leader proof", s.Term)
	}
	if len(entries) == 0 {
		return a, nil
	}
	prev, ok := s.Own.At(entries[0].Index - 1)
	if entries[0].Index == 0 || !ok {
		return a, refuse("the entry before index %d is not in the log", entries[0].Index)
	}
	over := &overlay{Log: s.Own, from: entries[0].Index}
	leader := s.Leaders
	for i := range entries {
		e := &entries[i]
		link, err := s.follows(e, prev)
		if err != nil {
			return a, err
		}
		if own, held := s.Own.At(e.Index); held && own == link && a.Fresh == len(entries) {
			prev, over.from = link, e.Index+1
			continue
		} else if held && a.Fresh == len(entries) {
			a.Cut, a.Rival = e.Index, own.Term == link.Term
		}
		a.Fresh = min(a.Fresh, i)
		if link == s.Founding {
			over.links = append(over.links, link)
			prev = link
			continue
		}
		if e.Term > prev.Term {
			if err := s.opens(e, prev, over); err != nil {
				return a, err
			}
			leader = remember(leader, e.Proof)
		}
		if err := s.signed(e, link, leader(e.Term)); err != nil {
			return a, err
		}
		over.links = append(over.links, link)
		prev = link
	}
	if len(over.links) > 0 {
		a.Log = over
	}
	if a.Cut == 0 {
		return a, nil
	}
	var err error
	a.Alarm, err = MayTruncate(Truncation{s.Term, s.Proof, a.Cut, s.Own, a.Log, s.Certified, s.Acked})
	return a, err
}

// follows checks one entry's place after prev.
func (s *AppendState) follows(e *Entry, prev Link) (Link, error) {
	switch {
	case e.Index != prev.Index+1 || e.Prev != prev.Hash:
		return Link{}, errs.New(errs.Unverified, "entry %d does not follow index %d on the chain", e.Index, prev.Index)
	case e.Term < prev.Term || e.Term > s.Term || e.Term == 0:
		return Link{}, errs.New(errs.Unverified, "entry %d has term %d after %d in term %d", e.Index, e.Term, prev.Term, s.Term)
	case e.Proof != nil && (e.Term == prev.Term || e.Link() == s.Founding):
		return Link{}, errs.New(errs.Unverified, "entry %d opens no term, but carries a leader proof", e.Index) // which nobody would check
	case !KnownType(e.Type):
		return Link{}, errs.New(errs.Malformed, "entry %d has unknown type %d", e.Index, e.Type)
	}
	return e.Link(), nil
}

// opens checks the first entry of a term.
func (s *AppendState) opens(e *Entry, prev Link, l Log) error {
	p := e.Proof
	if p == nil || p.Term != e.Term || p.Base != prev {
		return errs.New(errs.Unverified, "entry %d opens term %d without a leader proof on index %d", e.Index, e.Term, prev.Index)
	}
	if e.Term == s.Term && (p.Leader != s.Proof.Leader || p.Base != s.Proof.Base) {
		return errs.New(errs.Unverified, "entry %d: the proof of term %d is not the one shown before", e.Index, e.Term)
	}
	if err := p.Verify(s.Roster, s.Lineage); err != nil {
		return err
	}
	return ProofBase(p, l)
}

// signed checks the signature of the leader of the entry's term.
func (s *AppendState) signed(e *Entry, at Link, p *LeaderProof) error {
	if p == nil && e.Index <= s.Covered {
		return nil // the proof of its term was compacted, here and perhaps everywhere
	}
	if p == nil || p.Term != e.Term || e.Sig.Region != p.Leader {
		return errs.New(errs.Unverified, "entry %d is not signed by a proven leader of term %d", e.Index, e.Term)
	}
	sig := EntrySignature{Tuple{s.Lineage, at}, e.Sig}
	if e.Term < s.Term && s.Signers != nil {
		return sig.Verify(s.Signers)
	}
	return sig.Verify(s.Roster)
}

// remember puts a proof before those already known.
func remember(known func(uint64) *LeaderProof, p *LeaderProof) func(uint64) *LeaderProof {
	return func(term uint64) *LeaderProof {
		if term == p.Term {
			return p
		}
		return known(term)
	}
}

// overlay is a log whose part from an index on is replaced.
type overlay struct {
	Log
	from  uint64
	links []Link
}

func (o *overlay) At(index uint64) (Link, bool) {
	if index < o.from {
		return o.Log.At(index)
	}
	if i := index - o.from; i < uint64(len(o.links)) {
		return o.links[i], true
	}
	return Link{}, false
}

func (o *overlay) Last() Link {
	if n := len(o.links); n > 0 {
		return o.links[n-1]
	}
	l, _ := o.Log.At(o.from - 1)
	return l
}

// KnownType says whether entries of this type are ever admitted.
func KnownType(t uint8) bool {
	return t == TypeCommand || t == TypeNoop || t == TypeBarrier || t == TypeConfiguration
}
