// Package clustertest holds doubles and helpers for tests of the cluster and of what
// is built on it: raft stores in memory that lose what was not synced, a state
// machine that remembers, and whole clusters of nodes over any network.
package clustertest

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Store is raft's log and stable store in memory with two sides: what a reader sees
// now, and what survives power loss. Safe for concurrent use.
type Store struct {
	mu     sync.Mutex
	now    image
	synced image
	fenced bool
	lies   bool
	hook   func(op string) error
}

type image struct {
	log  map[uint64]raft.Log
	kv   map[string][]byte
	last uint64
}

func (m image) clone() image {
	c := image{log: make(map[uint64]raft.Log, len(m.log)), kv: make(map[string][]byte, len(m.kv)), last: m.last}
	for k, v := range m.log {
		c.log[k] = v
	}
	for k, v := range m.kv {
		c.kv[k] = v
	}
	return c
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{now: image{}.clone(), synced: image{}.clone()}
}

// Stores returns s in the form a Cluster takes.
func (s *Store) Stores() cluster.Stores { return cluster.Stores{Log: s, Stable: s} }

// SetHook calls hook before every write, outside any lock: it may sleep, or fail the
// write. Operations are "log", "delete", "vote" and "stable:" with the key.
func (s *Store) SetHook(hook func(op string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// Lie makes writes report success although only the volatile side has them.
func (s *Store) Lie(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lies = on; !on {
		s.synced = s.now.clone()
	}
}

// Kill ends the process: the returned store has everything that was written.
func (s *Store) Kill() *Store { return s.end(func() image { return s.now }) }

// Crash cuts the power: the returned store has what was synced.
func (s *Store) Crash() *Store { return s.end(func() image { return s.synced }) }

// CrashClone is Crash on a copy: s goes on working.
func (s *Store) CrashClone() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Store{now: s.synced.clone(), synced: s.synced.clone()}
}

func (s *Store) end(side func() image) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fenced = true
	m := side()
	return &Store{now: m.clone(), synced: m.clone()}
}

// Corrupt changes a stored entry on both sides.
func (s *Store) Corrupt(index uint64, change func(*raft.Log)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.now.log[index]
	l.Data = append([]byte(nil), l.Data...)
	l.Extensions = append([]byte(nil), l.Extensions...)
	change(&l)
	s.now.log[index], s.synced.log[index] = l, l
}

var errEnded = errors.New("this process was ended")

func (s *Store) write(op string, change func(m *image)) error {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook != nil {
		if err := hook(op); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fenced {
		return errEnded
	}
	change(&s.now)
	if !s.lies {
		change(&s.synced)
	}
	return nil
}

// FirstIndex implements raft.LogStore.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := uint64(0)
	for i := range s.now.log {
		if first == 0 || i < first {
			first = i
		}
	}
	return first, nil
}

// LastIndex implements raft.LogStore.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.last, nil
}

// GetLog implements raft.LogStore.
func (s *Store) GetLog(index uint64, l *raft.Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.now.log[index]
	if !ok {
		return raft.ErrLogNotFound
	}
	*l = e
	return nil
}

// StoreLog implements raft.LogStore.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	return s.write("log", func(m *image) {
		for _, l := range logs {
			m.log[l.Index] = *l
			m.last = max(m.last, l.Index)
		}
	})
}

// DeleteRange implements raft.LogStore.
func (s *Store) DeleteRange(lo, hi uint64) error {
	return s.write("delete", func(m *image) {
		m.last = 0
		for i := range m.log {
			if lo <= i && i <= hi {
				delete(m.log, i)
			} else {
				m.last = max(m.last, i)
			}
		}
	})
}

// Set implements raft.StableStore.
func (s *Store) Set(k, v []byte) error {
	return s.write("stable:"+string(k), func(m *image) { m.kv[string(k)] = append([]byte(nil), v...) })
}

// SetUint64 implements raft.StableStore.
func (s *Store) SetUint64(k []byte, v uint64) error {
	return s.Set(k, binary.BigEndian.AppendUint64(nil, v))
}

// SetVote implements cluster.VoteStore.
func (s *Store) SetVote(term uint64, candidate []byte) error {
	return s.write("vote", func(m *image) {
		m.kv["LastVoteTerm"] = binary.BigEndian.AppendUint64(nil, term)
		m.kv["LastVoteCand"] = append([]byte(nil), candidate...)
	})
}

// Get implements raft.StableStore.
func (s *Store) Get(k []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.now.kv[string(k)]
	if !ok {
		return nil, errors.New("not found")
	}
	return append([]byte(nil), v...), nil
}

// GetUint64 implements raft.StableStore.
func (s *Store) GetUint64(k []byte) (uint64, error) {
	v, err := s.Get(k)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, errs.New(errs.Corrupt, "%s has %d bytes", k, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}
