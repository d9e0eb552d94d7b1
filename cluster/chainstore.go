package cluster

import (
	"crypto/sha256"
	"errors"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// chainStore is the outermost log store. Entries that come without extensions are
// this node's own, from its leader loop: it adds their chain hash in place, before
// replication can read them. All others were verified at admission.
type chainStore struct {
	raft.LogStore
	lineage  [32]byte
	links    *links
	before   func([]*raft.Log) // own entries, about to be stored
	appended func([]*raft.Log) // own entries, now durable
	first    func() error      // before the first entry ever, may be nil
	fatal    func(error)
	growth   growth
}

func (s *chainStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s *chainStore) StoreLogs(logs []*raft.Log) error {
	own, err := s.extend(logs)
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
			l.Extensions = (&Extension{Chain: next.chain}).Encode()
			own = append(own, l)
		} else if next, err = linkOf(l); err != nil {
			return nil, err
		}
		s.links.put(next)
		prev = next
	}
	return own, nil
}

func linkOf(l *raft.Log) (link, error) {
	e, err := DecodeExtension(l.Extensions)
	if err != nil {
		return link{}, errs.Wrap(errs.Corrupt, err, "log entry %d", l.Index)
	}
	return link{l.Index, l.Term, e.Chain}, nil
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
		s.links.put(next)
		prev = next
	}
	return nil
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

// check reads one entry and compares its chain hash with the recomputed one.
func (s *chainStore) check(index uint64, prev link) (link, error) {
	var e raft.Log
	if err := s.LogStore.GetLog(index, &e); err != nil {
		return link{}, errs.Wrap(errs.Corrupt, err, "log entry %d", index)
	}
	next, err := linkOf(&e)
	if err != nil {
		return link{}, err
	}
	s.growth.add(&e)
	if e.Index != index || ChainHash(prev.chain, e.Term, e.Index, e.Type, sha256.Sum256(e.Data)) != next.chain {
		return link{}, errs.New(errs.Corrupt, "log entry %d does not match its chain hash", index).
			WithHint(distrusted)
	}
	return next, nil
}
