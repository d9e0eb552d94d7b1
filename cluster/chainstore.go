package cluster

import (
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// chainStore is the outermost log store. Entries that come without extensions are
// this node's own, from its leader loop: it adds their chain hash in place, before
// replication can read them. All others were verified at admission.
type chainStore struct {
	raft.LogStore
	lineage  [32]byte
	links    *links
	book     *book
	carried  uint64            // index of the newest certificate in the log
	floor    func() uint64     // newest snapshot: nothing above it is compacted
	before   func([]*raft.Log) // own entries, about to be stored
	appended func([]*raft.Log) // own entries, now durable
	first    func() error      // before the first entry ever, may be nil
	fatal    func(error)
	growth   growth

	mu     sync.Mutex
	proofs map[uint64]*chain.LeaderProof // by term, of what stands in the log
}

func (s *chainStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s *chainStore) StoreLogs(logs []*raft.Log) error {
	own, err := s.extend(logs)
	if errs.CodeOf(err) == errs.BadState {
		return err // raft gives up its leadership over it
	}
	if err == nil && s.first != nil {
		err = s.first()
	}
	if err != nil {
		s.fatal(err)
		return err
	}
	if len(own) > 0 && s.before != nil {
		s.before(own)
	}
	if err := s.LogStore.StoreLogs(logs); err != nil {
		return err
	}
	for _, l := range logs {
		s.growth.add(l)
	}
	if len(own) > 0 && s.appended != nil {
		s.appended(own)
	}
	return nil
}

// extend sets or checks the extension of each entry and remembers its link. It
// returns the entries that were this node's own.
func (s *chainStore) extend(logs []*raft.Log) (own []*raft.Log, err error) {
	if len(logs) == 0 {
		return nil, nil
	}
	prev, err := s.mustAt(logs[0].Index - 1)
	if err != nil {
		return nil, err
	}
	for _, l := range logs {
		next := link{index: l.Index, term: l.Term}
		if len(l.Extensions) == 0 {
			next.chain = ChainHash(prev.chain, l.Term, l.Index, l.Type, sha256.Sum256(l.Data))
			if err := s.sign(l, prev, next); err != nil {
				return nil, err
			}
			own = append(own, l)
		} else if next, err = s.foreign(l); err != nil {
			return nil, err
		}
		s.links.put(next, quiet(l))
		prev = next
	}
	return own, nil
}

// sign gives an own entry what others believe it by. Without the proof of leading the
// term nothing is signed: a leader that raft alone elected steps down.
func (s *chainStore) sign(l *raft.Log, prev, next link) error {
	x := &Extension{Chain: next.chain}
	if next.place() == s.book.founding {
		l.Extensions = x.Encode()
		return nil
	}
	rec := s.book.record()
	if rec.Proof == nil || rec.Term != l.Term || rec.Proof.Leader != s.book.self {
		return errs.New(errs.BadState, "this region has no proof that it leads term %d", l.Term)
	}
	if l.Term > prev.term {
		if rec.Proof.Base != prev.place() {
			return errs.New(errs.BadState, "the log no longer ends where the votes of term %d were given", l.Term)
		}
		x.Proof = rec.Proof
		x.Sessions = rec.Sessions[:min(len(rec.Sessions), maxExtSessions)]
		s.remember(x.Proof)
	}
	e, err := chain.SignEntry(s.book.signer, s.book.tuple(next.place()))
	if err != nil {
		return err
	}
	x.Signature = &e.Signature
	if x.Certificate = s.book.newest(s.carried, l.Index-1); x.Certificate != nil {
		s.carried = x.Certificate.Index
	}
	l.Extensions = x.Encode()
	return nil
}

// foreign reads an entry that was admitted.
func (s *chainStore) foreign(l *raft.Log) (link, error) {
	x, err := DecodeExtension(l.Extensions)
	if err != nil {
		return link{}, errs.Wrap(errs.Corrupt, err, "log entry %d", l.Index)
	}
	s.remember(x.Proof)
	if x.Certificate != nil {
		s.carried = max(s.carried, x.Certificate.Index)
	}
	return link{l.Index, l.Term, x.Chain}, nil
}

const maxProofs = 1024 // terms whose proofs are kept at hand

func (s *chainStore) remember(p *chain.LeaderProof) {
	if p == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proofs[p.Term] = p
	for len(s.proofs) > maxProofs {
		lowest := p.Term
		for t := range s.proofs {
			lowest = min(lowest, t)
		}
		delete(s.proofs, lowest)
	}
}

// proofOf returns the proof that stands in the log for a term.
func (s *chainStore) proofOf(term uint64) *chain.LeaderProof {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proofs[term]
}

func linkOf(l *raft.Log) (link, error) {
	h, err := peekChain(l.Extensions)
	if err != nil {
		return link{}, errs.Wrap(errs.Corrupt, err, "log entry %d", l.Index)
	}
	return link{l.Index, l.Term, h}, nil
}

// at returns the link at index: from memory, the log, or a snapshot's base.
func (s *chainStore) at(index uint64) (link, bool) {
	if index == 0 {
		return link{chain: s.lineage}, true
	}
	if l, ok := s.links.get(index); ok {
		return l, true
	}
	if index > s.links.tail() {
		return link{}, false
	}
	var e raft.Log
	if err := s.LogStore.GetLog(index, &e); err == nil {
		if l, err := linkOf(&e); err == nil {
			return l, true
		}
	}
	return s.links.base(index)
}

func (s *chainStore) mustAt(index uint64) (link, error) {
	l, ok := s.at(index)
	if !ok {
		return l, errs.New(errs.Corrupt, "no chain hash at index %d: neither log nor snapshot reaches there", index)
	}
	return l, nil
}

func (s *chainStore) GetLog(index uint64, l *raft.Log) error {
	err := s.LogStore.GetLog(index, l)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		s.fatal(errs.Wrap(errs.Corrupt, err, "reading log entry %d", index)) // raft would panic on it
	}
	return err
}

func (s *chainStore) DeleteRange(lo, hi uint64) error {
	last, err := s.LogStore.LastIndex()
	if err != nil {
		return err
	}
	if hi >= last { // truncation of a suffix, not compaction
		s.links.truncate(lo)
		s.book.truncated(lo)
	} else if s.floor != nil {
		if hi = min(hi, max(s.floor(), 1)-1); hi < lo { // its own entry stays: raft asks for its term
			return nil
		}
	}
	return s.LogStore.DeleteRange(lo, hi)
}

// settle makes the stored log one with the snapshot it stands on and recomputes its
// whole chain, so that a flipped bit is found before raft believes it.
func (s *chainStore) settle(base link) error {
	if err := s.shed(base); err != nil {
		return err
	}
	first, err1 := s.LogStore.FirstIndex()
	last, err2 := s.LogStore.LastIndex()
	if err := errors.Join(err1, err2); err != nil {
		return errs.Wrap(errs.Corrupt, err, "log")
	}
	s.links.grow(max(last, base.index))
	if last <= base.index {
		return nil
	}
	if first > base.index+1 {
		return errs.New(errs.Corrupt, "log begins at %d, but the newest usable snapshot ends at %d", first, base.index).
			WithHint(distrusted)
	}
	prev := base
	if base.index == 0 {
		prev.chain = s.lineage
	}
	for i := base.index + 1; i <= last; i++ {
		next, err := s.check(i, prev)
		if err != nil {
			return err
		}
		prev = next
	}
	return nil
}

// recall takes what an own entry's extension proves. A certificate was stored only after
// it was found true of this chain; but below a verified one nobody looked at its
// signatures, so nothing is heard from its witnesses, and it is not passed on.
func (s *chainStore) recall(x *Extension) {
	for _, cert := range x.Sessions {
		s.book.roster.add(cert)
	}
	s.remember(x.Proof)
	if x.Certificate != nil {
		s.carried = max(s.carried, x.Certificate.Index)
		if at, ok := s.at(x.Certificate.Index); ok && at.place() == x.Certificate.Link {
			s.book.base(at.place())
		}
	}
}

// shed deletes entries that a snapshot covers but that do not lead to it: left behind
// by an installation, they may never have been committed, and a later leader must
// not send them to anybody.
func (s *chainStore) shed(base link) error {
	if base.index == 0 {
		return nil
	}
	first, err := s.LogStore.FirstIndex()
	if err != nil {
		return errs.Wrap(errs.Corrupt, err, "log")
	}
	if first == 0 || first > base.index {
		return nil
	}
	var e raft.Log
	if err := s.LogStore.GetLog(base.index, &e); err == nil {
		if own, err := linkOf(&e); err == nil && own == base {
			return nil
		}
	}
	return s.LogStore.DeleteRange(first, base.index)
}

// quiet entries change nothing: raft does not hand them to the machine.
func quiet(l *raft.Log) bool { return l.Type == raft.LogNoop || l.Type == raft.LogBarrier }

// check reads one entry and compares its chain hash with the recomputed one.
func (s *chainStore) check(index uint64, prev link) (link, error) {
	var e raft.Log
	if err := s.LogStore.GetLog(index, &e); err != nil {
		return link{}, errs.Wrap(errs.Corrupt, err, "log entry %d", index)
	}
	x, err := DecodeExtension(e.Extensions)
	if err != nil {
		return link{}, errs.Wrap(errs.Corrupt, err, "log entry %d", index)
	}
	next := link{e.Index, e.Term, x.Chain}
	s.growth.add(&e)
	if e.Index != index || ChainHash(prev.chain, e.Term, e.Index, e.Type, sha256.Sum256(e.Data)) != next.chain {
		return link{}, errs.New(errs.Corrupt, "log entry %d does not match its chain hash", index).
			WithHint(distrusted)
	}
	s.links.put(next, quiet(&e))
	s.recall(&x)
	return next, nil
}
