package cluster

import (
	"bytes"
	"slices"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// keyTerm is where the stable store keeps the record of the term.
const keyTerm = "TetradTerm"

// record is what this region knows and has said of its current term. It is written
// before anything that rests on it leaves the region, so that a restart neither forgets
// why it believed a term nor says a second thing in it. A record is never changed: the
// next one takes its place.
type record struct {
	Term     uint64
	Why      *chain.Justification // nil only in the founding term
	Proof    *chain.LeaderProof   // of Term, once its leader was believed
	Reports  []chain.Vote         // its own, of Term
	Cut      bool                 // it cut rivals in Term, and votes no more
	Next     *chain.Justification // of a term that raft may enter any moment
	Sessions []*identity.SessionCert
}

const maxReports = 8 // a region is asked by each other region, and may report once more to grant

func (r *record) encode() []byte {
	w := wire.NewWriter(4096)
	w.U8(1)
	w.U64(r.Term)
	writeOptional(w, r.Why != nil, func() []byte { return r.Why.Encode() })
	writeOptional(w, r.Proof != nil, func() []byte { return r.Proof.Encode() })
	w.U8(uint8(len(r.Reports)))
	for i := range r.Reports {
		w.Blob(r.Reports[i].Encode())
	}
	w.Bool(r.Cut)
	writeOptional(w, r.Next != nil, func() []byte { return r.Next.Encode() })
	writeSessions(w, r.Sessions)
	return w.Bytes()
}

func decodeRecord(b []byte) (*record, error) {
	rd, r := wire.NewReader(b), &record{}
	if v := rd.U8(); v != 1 {
		rd.Fail("version %d", v)
	}
	r.Term = rd.U64()
	r.Why = readOptional(rd, 4<<10, chain.DecodeJustification)
	r.Proof = readOptional(rd, maxExtProof, chain.DecodeLeaderProof)
	n := int(rd.U8())
	if n > maxReports {
		rd.Fail("%d reports, limit %d", n, maxReports)
		n = 0
	}
	for i := 0; i < n && rd.Err() == nil; i++ {
		if v := readOptional(rd, 512, chain.DecodeVote); v != nil {
			r.Reports = append(r.Reports, *v)
		} else {
			rd.Fail("empty report")
		}
	}
	r.Cut = rd.Bool()
	r.Next = readOptional(rd, 4<<10, chain.DecodeJustification)
	r.Sessions = readSessions(rd)
	if err := rd.Done(); err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "record of the term")
	}
	return r, nil
}

// readRecord returns what the stable store holds; an empty record on a fresh disk.
func readRecord(s interface{ Get([]byte) ([]byte, error) }) (*record, error) {
	b, err := s.Get([]byte(keyTerm))
	if err != nil && err.Error() != "not found" {
		return nil, errs.Wrap(errs.Corrupt, err, "record of the term")
	}
	if len(b) == 0 {
		return &record{}, nil
	}
	return decodeRecord(bytes.Clone(b))
}

// change makes the next record out of the current one and stores it. edit returns nil
// when there is nothing to change.
func (b *book) change(edit func(now record) *record) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	next := edit(*b.rec.Load())
	if next == nil {
		return nil
	}
	next.Reports = slices.Clone(next.Reports)
	if n := len(next.Reports); n > maxReports {
		next.Reports = next.Reports[n-maxReports:]
	}
	next.Sessions = b.roster.of(append(sessionsOf(next.Proof, next.Why, nil), sessionsOf(nil, next.Next, nil)...))
	next.Sessions = next.Sessions[:min(len(next.Sessions), maxExtSessions)]
	if err := b.store([]byte(keyTerm), next.encode()); err != nil {
		return err
	}
	b.rec.Store(next)
	return nil
}

// record returns the current record.
func (b *book) record() *record { return b.rec.Load() }

// enter moves to a term that raft has entered or is about to, with what justifies it,
// which the caller has judged.
func (b *book) enter(term uint64, why *chain.Justification) error {
	return b.change(func(now record) *record {
		if term <= now.Term {
			return nil
		}
		return &record{Term: term, Why: why, Proof: why.Proof}
	})
}

// prepare stores what justifies the next term before raft may enter it: should this
// region die in between, it can still tell others why it is there.
func (b *book) prepare(why *chain.Justification) error {
	return b.change(func(now record) *record {
		if why.Term() <= now.Term || now.Next.Term() >= why.Term() {
			return nil
		}
		now.Next = why
		return &now
	})
}

// follow takes a leader's proof for the current or a later term.
func (b *book) follow(p *chain.LeaderProof) error {
	return b.change(func(now record) *record {
		switch {
		case p.Term < now.Term || p.Term == now.Term && now.Proof != nil:
			return nil
		case p.Term > now.Term:
			return &record{Term: p.Term, Why: &chain.Justification{Proof: p}, Proof: p}
		}
		now.Proof = p
		return &now
	})
}

// report notes an own vote before it leaves. In a term that is over there is none: what
// was said in it is no longer known.
func (b *book) report(v chain.Vote) error {
	over := false
	err := b.change(func(now record) *record {
		if over = v.Term != now.Term; over || slices.Contains(now.Reports, v) {
			return nil
		}
		now.Reports = append(slices.Clone(now.Reports), v)
		return &now
	})
	if err == nil && over {
		err = errs.New(errs.BadState, "term %d is over", v.Term)
	}
	return err
}

// cutting notes that rivals are cut in this term, before they are.
func (b *book) cutting() error {
	return b.change(func(now record) *record {
		now.Cut = true
		return &now
	})
}
