package node

import (
	"io"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/replication"
)

// machine is what raft drives: the state machine, and after it everything that must
// hear of an entry, in this order: leaves to disk, then the vault, then followers.
type machine struct {
	fsm    *fsm.Machine
	leaves *replication.Store
	after  func([]fsm.Result)
	gap    chan<- struct{} // told when a restored state is ahead of the stored leaves
}

// Apply decides a batch. A leaf that cannot be stored does not stop the log: the
// store remembers the fault, and the region signs nothing until it is mended.
func (m *machine) Apply(batch []fsm.Input) [][]fsm.Outcome {
	results := m.fsm.Apply(batch)
	outcomes := make([][]fsm.Outcome, len(results))
	for i := range results {
		outcomes[i] = results[i].Outcomes
		if err := m.leaves.Append(results[i].Leaves); err != nil {
			m.missing()
		}
	}
	m.after(results)
	return outcomes
}

// Snapshot captures the state; writing it begins with syncing the leaves, since what a
// snapshot compacts away cannot be derived again.
func (m *machine) Snapshot() (io.WriterTo, error) {
	v := m.fsm.View()
	return &snapshot{m.fsm.Snapshot(), m.leaves, v}, nil
}

// Restore replaces the state. The leaves it skips are fetched from other regions.
func (m *machine) Restore(r io.Reader) error {
	if err := m.fsm.Restore(r); err != nil {
		return err
	}
	if err := m.leaves.Adopt(m.fsm.View().Frontier()); err != nil || m.leaves.Healthy() != nil {
		m.missing() // the store remembers why, and nothing is signed meanwhile
	}
	return nil
}

func (m *machine) missing() {
	select {
	case m.gap <- struct{}{}:
	default:
	}
}

type snapshot struct {
	*fsm.Snapshot
	leaves *replication.Store
	view   fsm.View
}

var _ cluster.Audited = (*snapshot)(nil)

// Audit says where the audit log stands.
func (s *snapshot) Audit() (root [32]byte, size uint64) {
	f := s.view.Frontier()
	return f.Root(), f.Size()
}

// Beacon is the beacon's group key.
func (s *snapshot) Beacon() [32]byte { return s.view.Beacon().Public }

func (s *snapshot) WriteTo(w io.Writer) (int64, error) {
	if err := s.leaves.Sync(); err != nil {
		return 0, errs.Wrap(errs.CodeOf(err), err, "syncing audit leaves before a snapshot")
	}
	return s.Snapshot.WriteTo(w)
}
