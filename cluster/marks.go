package cluster

import (
	"crypto/sha256"
	"hash"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Snapshots are made at marks: places in the log that follow from the log alone, so that
// every region holds the state of the very same index for a moment and can vouch for the
// others' snapshots of it. raft names a later index; the sink is told the mark's.
type marks struct {
	threshold uint64

	mu    sync.Mutex
	since uint64 // the last mark, or the snapshot this region started from
	bytes int64  // of entries since
	size  func() (int64, error)
	list  []*mark // newest last
}

const keptMarks = 2

// mark is the state at one place, not written anywhere yet.
type mark struct {
	at          link
	state       io.WriterTo
	config      raft.Configuration
	configIndex uint64
	sum         func() (summary, error) // once
}

// summary is what others compare.
type summary struct {
	digest [32]byte
	size   int64
}

func newMarks(c *Cluster) *marks {
	return &marks{threshold: c.cfg.Timing.SnapshotThreshold, size: func() (int64, error) { return 0, nil }}
}

// Audited is implemented by a Machine's snapshot that also says where the audit log and
// the beacon stand; otherwise zeros are attested, and the state's digest covers them.
type Audited interface {
	Audit() (root [32]byte, size uint64)
	Beacon() [32]byte
}

// due reports whether a mark follows the entry, the next to be applied. Everything it
// looks at is equal on all regions.
func (m *marks) due(l *raft.Log) (bool, error) {
	m.mu.Lock()
	m.bytes += int64(len(l.Data))
	enough := l.Index-m.since >= m.threshold
	bytes, size := m.bytes, m.size
	m.mu.Unlock()
	if enough || bytes < minLogGrowth {
		return enough, nil
	}
	last, err := size() // of the last mark: a large state is not written for little news
	return bytes >= last, err
}

func (m *marks) set(k *mark) {
	k.sum = sync.OnceValues(func() (summary, error) { return summarize(k.state) })
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since, m.bytes = k.at.index, 0
	m.size = func() (int64, error) { s, err := k.sum(); return s.size, err }
	if m.list = append(m.list, k); len(m.list) > keptMarks {
		m.list = m.list[1:]
	}
}

// restored begins anew from a snapshot.
func (m *marks) restored(index uint64, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since, m.bytes, m.list = index, 0, nil
	m.size = func() (int64, error) { return size, nil }
}

// newest returns the newest mark above index, nil without one; at the one at index.
func (m *marks) newest(above uint64) *mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.list); n > 0 && m.list[n-1].at.index > above {
		return m.list[n-1]
	}
	return nil
}

func (m *marks) at(index uint64) *mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.list {
		if k.at.index == index {
			return k
		}
	}
	return nil
}

// done forgets marks up to a snapshot that no longer needs vouching for: the states in
// memory would hold what has changed since.
func (m *marks) done(below uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.list) > 1 && m.list[0].at.index < below {
		m.list = m.list[1:]
	}
}

func summarize(state io.WriterTo) (summary, error) {
	c := &counter{hash: sha256.New()}
	if _, err := state.WriteTo(c); err != nil {
		return summary{}, err
	}
	return c.summary(), nil
}

// counter hashes and counts what is written to it.
type counter struct {
	hash hash.Hash
	n    int64
}

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return c.hash.Write(p) }
func (c *counter) summary() summary            { return summary{[32]byte(c.hash.Sum(nil)), c.n} }

// attestation is what this region found at a mark.
func (c *Cluster) attestation(k *mark) (*chain.Attestation, error) {
	s, err := k.sum()
	if err != nil {
		return nil, err
	}
	a := &chain.Attestation{Tuple: c.book.tuple(k.at.place()), State: s.digest, ConfigIndex: k.configIndex, Members: c.attestedMembers(k.config)}
	if v, ok := k.state.(Audited); ok {
		a.AuditRoot, a.AuditSize = v.Audit()
		a.Beacon = v.Beacon()
	}
	if len(a.Members) == 0 {
		return nil, errs.New(errs.NotReady, "no membership is known at index %d", k.at.index)
	}
	return a, nil
}
