package fsm

import (
	"io"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/go-memdb"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Options are what the node lends the machine.
type Options struct {
	// Verify checks a signature; it must be a pure function of its arguments, so it may
	// remember results (Verifier). Nil: the key's own Verify.
	Verify func(pub identity.PublicKey, msg, sig []byte) bool

	// LevelOf returns the level from which on a type may be used; nil: command.Type.Level.
	// Tests play a later release with it.
	LevelOf func(command.Type) uint32
}

// Machine is the state machine. Apply and Restore have one caller at a time; View and
// Snapshot may be called from anywhere.
type Machine struct {
	genesis *genesis.Genesis
	lineage [32]byte
	leaf    audit.Leaf
	verify  func(pub identity.PublicKey, msg, sig []byte) bool
	levelOf func(command.Type) uint32
	beacon  *Key // as of the genesis
	db      *memdb.MemDB
	state   atomic.Pointer[state]
}

// New returns the state a final genesis starts.
func New(g *genesis.Genesis, o Options) (*Machine, error) {
	if err := g.Verify(); err != nil {
		return nil, err
	}
	m := &Machine{genesis: g, lineage: g.Document.Hash(), verify: o.Verify, levelOf: o.LevelOf, db: newDB()}
	if m.verify == nil {
		m.verify = identity.PublicKey.Verify
	}
	if m.levelOf == nil {
		m.levelOf = command.Type.Level
	}
	m.beacon = foundedBeacon(m.document())
	m.leaf = audit.GenesisLeaf(g.Encode(), m.lineage, g.Document.Created)
	m.found()
	return m, nil
}

// found publishes the state before the first entry.
func (m *Machine) found() {
	d := m.document()
	h := head{meta: command.Meta{Chain: m.lineage}, clock: d.Created.UTC(), settings: d.Settings}
	h.frontier.Append(m.leaf.Hash())
	txn := m.db.Txn(true)
	for _, a := range d.Administrators {
		p := &Principal{ID: a.Key.Fingerprint(), Name: a.Name, Key: a.Key, Roles: a.Roles}
		if err := txn.Insert(principalTable, p); err != nil {
			panic(err) // tables and indexes are constants
		}
		h.principals++
		h.admins++
	}
	txn.Commit()
	regions := make([]*Region, len(d.Regions))
	for i := range d.Regions {
		f := &d.Regions[i]
		regions[i] = &Region{ID: f.ID, Name: f.Name, ServerID: f.ServerID, Identity: f.Identity,
			Wrapping: f.Wrapping, OAEPHash: f.OAEPHash, RaftAddr: f.RaftAddr, APIAddr: f.APIAddr,
			GossipAddr: f.GossipAddr, HSM: f.HSM, Curves: slices.Clone(f.Curves), Status: RegionActive}
	}
	m.publish(h, newRoster(regions))
}

func (m *Machine) document() *genesis.Document { return &m.genesis.Document }

func (m *Machine) publish(h head, o *roster) {
	m.state.Store(&state{genesis: m.document(), lineage: m.lineage, db: m.db.Snapshot(), head: h, roster: o, levelOf: m.levelOf, beacon: m.beacon})
}

// GenesisLeaf returns leaf 0 of the audit log.
func (m *Machine) GenesisLeaf() audit.Leaf { return m.leaf }

// Apply carries out committed entries in order, all in one transaction. An entry at or
// below the last applied index changes nothing: its outcomes are Stale, without leaves.
func (m *Machine) Apply(batch []Input) []Result {
	w := m.begin()
	results := make([]Result, len(batch))
	for i := range batch {
		results[i] = w.apply(batch[i])
	}
	w.commit()
	return results
}

// View returns the state as of the last Apply.
func (m *Machine) View() View { return View{m.state.Load()} }

// Snapshot takes the state in constant time.
func (m *Machine) Snapshot() *Snapshot { return &Snapshot{m.state.Load()} }

// Restore replaces the state by a snapshot's, or changes nothing and says why.
func (m *Machine) Restore(r io.Reader) error {
	s, db, err := readState(m, r)
	if err != nil {
		return err
	}
	m.db = db
	m.state.Store(s)
	return nil
}
