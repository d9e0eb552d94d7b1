package clustertest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Machine is a state machine that remembers which command it saw where. Its digest
// covers everything it ever applied, through snapshots and restores.
type Machine struct {
	mu       sync.Mutex
	digest   [32]byte
	last     command.Meta
	stamp    time.Time
	seen     map[command.ID]uint64
	order    []command.ID
	history  map[uint64]command.Meta // of this process
	restores int
}

var _ cluster.Machine = (*Machine)(nil)

// NewMachine returns an empty machine.
func NewMachine() *Machine {
	return &Machine{seen: map[command.ID]uint64{}, history: map[uint64]command.Meta{}}
}

// Owed is nil for a command that was not decided here.
func (m *Machine) Owed(c *command.Command) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.seen[c.ID]; ok {
		return errs.New(errs.Replayed, "command %s is decided", c.ID)
	}
	return nil
}

// Apply implements cluster.Machine.
func (m *Machine) Apply(batch []fsm.Input) [][]fsm.Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([][]fsm.Outcome, len(batch))
	for i, in := range batch {
		w := wire.NewWriter(128)
		w.Fixed(m.digest[:])
		w.Fixed(in.Meta.Chain[:])
		w.Fixed(in.Entry.Encode())
		m.digest, m.last, m.stamp = sha256.Sum256(w.Bytes()), in.Meta, in.Entry.Stamp
		m.history[in.Meta.Index] = in.Meta
		for _, c := range in.Entry.Commands {
			o := fsm.Outcome{Code: errs.OK, Index: in.Meta.Index}
			if at, again := m.seen[c.ID]; again {
				o.Index = at
			} else {
				m.seen[c.ID] = in.Meta.Index
				m.order = append(m.order, c.ID)
			}
			out[i] = append(out[i], o)
		}
	}
	return out
}

type frozen []byte

func (f frozen) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(f)
	return int64(n), err
}

// Snapshot implements cluster.Machine.
func (m *Machine) Snapshot() (io.WriterTo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := wire.NewWriter(256)
	w.Fixed(m.digest[:])
	w.U64(m.last.Index)
	w.U64(m.last.Term)
	w.Fixed(m.last.Chain[:])
	w.U32(uint32(len(m.order)))
	for _, id := range m.order {
		w.Fixed(id[:])
		w.U64(m.seen[id])
	}
	return frozen(w.Bytes()), nil
}

// Restore implements cluster.Machine.
func (m *Machine) Restore(in io.Reader) error {
	b, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	r, n := wire.NewReader(b), NewMachine()
	r.Fixed(n.digest[:])
	n.last.Index, n.last.Term = r.U64(), r.U64()
	r.Fixed(n.last.Chain[:])
	for range r.Count(1 << 24) {
		var id command.ID
		r.Fixed(id[:])
		n.seen[id] = r.U64()
		n.order = append(n.order, id)
	}
	if err := r.Done(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.digest, m.last, m.seen, m.order = n.digest, n.last, n.seen, n.order
	m.restores++
	return nil
}

// Digest returns the digest over everything applied, and where it stands.
func (m *Machine) Digest() ([32]byte, command.Meta) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.digest, m.last
}

// Count returns the number of distinct commands applied.
func (m *Machine) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.order)
}

// Seen returns the index at which a command was applied.
func (m *Machine) Seen(id command.ID) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.seen[id]
	return i, ok
}

// Restores returns how often a snapshot replaced the state.
func (m *Machine) Restores() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restores
}

// History returns what this process applied, by index.
func (m *Machine) History() map[uint64]command.Meta {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := make(map[uint64]command.Meta, len(m.history))
	for k, v := range m.history {
		h[k] = v
	}
	return h
}

// Sealer is AES-GCM under one key.
type Sealer struct{ aead cipher.AEAD }

// NewSealer derives a sealer from a name: equal names open each other's boxes.
func NewSealer(name string) *Sealer {
	key := sha256.Sum256([]byte(name))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &Sealer{aead}
}

// Seal implements cluster.Sealer.
func (s *Sealer) Seal(plain, context []byte) ([]byte, error) {
	nonce := make([]byte, 12)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return s.aead.Seal(nonce, nonce, plain, context), nil
}

// Open implements cluster.Sealer.
func (s *Sealer) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < 12 {
		return nil, errs.New(errs.Unverified, "sealed bytes are too short")
	}
	plain, err := s.aead.Open(nil, sealed[:12], sealed[12:], context)
	if err != nil {
		return nil, errs.Wrap(errs.Unverified, err, "sealed bytes do not open")
	}
	return bytes.Clone(plain), nil
}

// Clock returns the stamp of the last entry applied.
func (m *Machine) Clock() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stamp
}
