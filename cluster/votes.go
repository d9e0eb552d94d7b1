package cluster

import (
	"sync"

	"github.com/tetrad-vault/tetrad/internal/durable"
)

func durableCoded(err error) error { return durable.Coded(err, "disk") }

// raft's keys in the stable store.
const (
	keyCurrentTerm  = "CurrentTerm"
	keyLastVoteTerm = "LastVoteTerm"
	keyLastVoteCand = "LastVoteCand"
)

// voteStore is the stable store raft sees. raft writes a vote as two keys; a crash
// between them leaves the new term with the old candidate, who would then be granted
// a second vote without a look at its log. So the term is held back and both are
// written in one transaction.
type voteStore struct {
	VoteStore
	dog *watchdog

	mu   sync.Mutex
	held *uint64
}

func (s *voteStore) SetUint64(key []byte, v uint64) error {
	if string(key) == keyLastVoteTerm {
		s.mu.Lock()
		s.held = &v
		s.mu.Unlock()
		return nil
	}
	err := s.dog.run("writing the term", func() error { return s.VoteStore.SetUint64(key, v) })
	if string(key) == keyCurrentTerm {
		// raft panics on this error. The watchdog has fenced the node for good and
		// told it to stop: what this raft believes can no longer leave it.
		return nil
	}
	return err
}

func (s *voteStore) Set(key, v []byte) error {
	s.mu.Lock()
	held := s.held
	s.held = nil
	s.mu.Unlock()
	if string(key) == keyLastVoteCand && held != nil {
		return s.dog.run("writing a vote", func() error { return s.VoteStore.SetVote(*held, v) })
	}
	return s.dog.run("writing "+string(key), func() error { return s.VoteStore.Set(key, v) })
}
