package fsm

import (
	"io"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Options are what the node lends the machine.
type Options struct {
	// Verify checks a signature; it must be a pure function of its arguments, so it may
	// remember results (Verifier). Nil: the key's own Verify.
	Verify func(pub identity.PublicKey, msg, sig []byte) bool
}

// Machine is the state machine. Apply and Restore have one caller at a time; View and
// Snapshot may be called from anywhere.
type Machine struct{}

// New returns the state a verified genesis starts.
func New(g *genesis.Genesis, o Options) (*Machine, error) { return nil, errTodo }

// GenesisLeaf returns leaf 0 of the audit log.
func (m *Machine) GenesisLeaf() audit.Leaf { return audit.Leaf{} }

// Apply carries out committed entries in order, all in one transaction. An entry at or
// below the last applied index changes nothing: its outcomes are Stale, without leaves.
func (m *Machine) Apply(batch []Input) []Result { return nil }

// View returns the state as of the last Apply.
func (m *Machine) View() View { return View{} }

// Snapshot takes the state in constant time.
func (m *Machine) Snapshot() *Snapshot { return nil }

// Restore replaces the state by a snapshot's, or changes nothing and says why.
func (m *Machine) Restore(r io.Reader) error { return errTodo }

// Snapshot is a state to be written out.
type Snapshot struct{}

// WriteTo streams the canonical form.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) { return 0, errTodo }
