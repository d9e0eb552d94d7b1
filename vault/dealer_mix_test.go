package vault_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// mixture goes over all that honest regions got into the log for key ceremonies: no two
// messages of a region for one step, and nothing that fits another try, epoch, key, dealer
// or holder.
type mixture struct {
	*world
	t       testing.TB
	machine *fsm.Machine // replays the log
	rows    map[command.CeremonyID]*fsm.Ceremony
	said    map[string][]byte
	terms   map[[32]byte]command.CeremonyID // of dealings, as hashed
	points  map[string]string               // constants of new keys, and where they were dealt
}

// neverMixed replays the log and checks it; it returns how many messages it saw.
func (w *world) neverMixed(liars ...identity.RegionID) int {
	w.t.Helper()
	machine, err := fsm.New(w.kit.Genesis, fsm.Options{Verify: fsm.NewVerifier(1 << 16).Verify})
	w.ok(err)
	m := &mixture{world: w, t: w.t, machine: machine, rows: map[command.CeremonyID]*fsm.Ceremony{},
		said: map[string][]byte{}, terms: map[[32]byte]command.CeremonyID{}, points: map[string]string{}}
	w.mu.Lock()
	log := slices.Clone(w.log)
	w.mu.Unlock()
	for _, in := range log {
		before := machine.View()
		for _, k := range append(before.Keys(""), before.BeaconKey()) {
			if k.Ceremony.Running() {
				m.rows[k.Ceremony.ID] = k.Ceremony
			}
		}
		outcomes := machine.Apply([]fsm.Input{in})[0].Outcomes
		for i, c := range in.Entry.Commands {
			region, _, known := machine.View().RegionBySession(c.Principal)
			if !known || outcomes[i].Err() != nil || slices.Contains(liars, region.ID) {
				continue
			}
			body, err := c.Body()
			w.ok(err)
			m.check(region.ID, body)
		}
	}
	if len(m.said) == 0 {
		w.t.Error("no region said anything")
	}
	return len(m.said)
}

func (m *mixture) check(from identity.RegionID, body command.Body) {
	switch b := body.(type) {
	case *command.HashDealing:
		m.once(from, b.Ceremony, "hash", append(b.Hash[:], b.Seed...))
	case *command.Deal:
		m.once(from, b.Ceremony, "deal", b.Dealing)
		m.dealing(b)
	case *command.DealShares:
		m.once(from, b.Ceremony, "shares", bytes.Join(b.Sealed, nil))
		m.boxes(from, b)
	case *command.FinishShare:
		m.once(from, b.Ceremony, "finish", append(b.Transcript[:], b.Share...))
		m.finish(from, b)
	}
}

func (m *mixture) once(from identity.RegionID, id command.CeremonyID, step string, message []byte) {
	at := fmt.Sprint(from, id, step)
	if was, ok := m.said[at]; ok && !bytes.Equal(was, message) {
		m.t.Errorf("region %d said two things at step %s of %v", from, step, id)
	}
	m.said[at] = message
}

// dealing: its terms are one try's, and a new key's constant is nobody's, in no other try.
func (m *mixture) dealing(b *command.Deal) {
	terms := [32]byte(b.Dealing[2:34])
	if was, ok := m.terms[terms]; ok && was != b.Ceremony {
		m.t.Errorf("%v and %v share their terms", was, b.Ceremony)
	}
	m.terms[terms] = b.Ceremony
	for i := 36; i+32 <= len(b.Dealing); i += 32 { // whatever the layout, no stretch of it comes again
		at := fmt.Sprint(b.Ceremony, b.Dealing[34], i)
		constant := (b.Ceremony.Epoch > 1 || b.Ceremony.Key == command.BeaconKey) && i < 36+64 // at a refresh that is the dealer's public share
		if was, ok := m.points[string(b.Dealing[i:i+32])]; ok && was != at && !constant {
			m.t.Errorf("%s and %s have 32 bytes in common", was, at)
		}
		m.points[string(b.Dealing[i:i+32])] = at
	}
}

func (m *mixture) boxes(from identity.RegionID, b *command.DealShares) {
	c := m.rows[b.Ceremony]
	for i, to := range c.Holders {
		right := vault.DealtInfo(m.kit.Cluster(), b.Ceremony, from, to)
		m.opensOnly(to, c.Wrap, b.Sealed[i], right, func(plain []byte) {
			if id := m.terms[[32]byte(plain[2:34])]; id != b.Ceremony || plain[34] != byte(from) || plain[35] != byte(to) {
				m.t.Errorf("region %d sealed to %d in %v what is of %v, %d to %d", from, to, b.Ceremony, id, plain[34], plain[35])
			}
		}, vault.DealtInfo(m.kit.Cluster(), later(b.Ceremony), from, to), vault.DealtInfo(m.kit.Cluster(), next(b.Ceremony), from, to),
			vault.DealtInfo(m.kit.Cluster(), b.Ceremony, from, to%4+1), vault.DealtInfo(m.kit.Cluster(), b.Ceremony, from%4+1, to),
			vault.DealtInfo(identity.ClusterID{1}, b.Ceremony, from, to))
	}
}

func later(id command.CeremonyID) command.CeremonyID { id.Try++; return id }
func next(id command.CeremonyID) command.CeremonyID  { id.Epoch++; return id }

func (m *mixture) finish(from identity.RegionID, b *command.FinishShare) {
	pub, err := frost.DecodePublicKey(b.Public)
	m.ok(err)
	if pub.Epoch() != b.Ceremony.Epoch {
		m.t.Errorf("a public key of epoch %d comes of %v", pub.Epoch(), b.Ceremony)
	}
	id, cluster := b.Ceremony, m.kit.Cluster()
	m.opensOnly(from, m.rows[id].Wrap, b.Share, vault.ShareInfo(cluster, id.Key, id.Epoch, from), func(plain []byte) {
		share, err := frost.DecodeShare(plain)
		m.ok(err)
		m.ok(share.Matches(pub))
	}, vault.ShareInfo(cluster, id.Key, id.Epoch+1, from), vault.ShareInfo(cluster, id.Key, id.Epoch, from%4+1),
		vault.ShareInfo(cluster, command.KeyID{1}, id.Epoch, from), vault.ShareInfo(identity.ClusterID{1}, id.Key, id.Epoch, from))
}

// opensOnly checks that a box opens for its holder under one info and no other.
func (m *mixture) opensOnly(to identity.RegionID, wrap uint32, box, right []byte, see func(plain []byte), wrong ...[]byte) {
	if _, err := m.nodes[to].wrapKey(wrap); err != nil {
		return // destroyed meanwhile
	}
	plain, err := m.nodes[to].unwrap(wrap, box, right)
	m.ok(err)
	see(plain)
	for _, info := range wrong {
		if _, err := m.nodes[to].unwrap(wrap, box, info); err == nil {
			m.t.Errorf("a box for region %d opens as another's, or as of another time", to)
		}
	}
}
