package fsm

import (
	"fmt"
	"strings"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// allowed reports why a type may not be used yet. It is decided by the state alone, so a
// release that knows the type and one that only knows its level decide alike.
func (h *head) allowed(t command.Type, levelOf func(command.Type) uint32) error {
	if want := levelOf(t); want > h.level {
		return errs.New(errs.BadState, "%s needs level %d, the vault is at level %d", t, want, h.level).
			WithHint("when every region runs a release that knows it, two administrators raise it: vaultctl level raise")
	}
	return nil
}

// raiseLevel never goes back: what was written since could not be read any more.
func (t *task) raiseLevel(b *command.RaiseLevel) (deed, error) {
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	if b.Level <= t.head.level {
		return nil, errs.New(errs.BadState, "the vault is at level %d already", t.head.level)
	}
	var behind []string
	for _, r := range t.roster.regions {
		if r.Status == RegionActive && (r.Level < b.Level || len(r.Sessions) == 0) {
			behind = append(behind, fmt.Sprintf("%d (announced %d)", r.ID, r.Level))
		}
	}
	if len(behind) > 0 {
		return nil, errs.New(errs.BadState, "not every region knows level %d: region %s", b.Level, strings.Join(behind, ", ")).
			WithHint("upgrade and restart them; one that cannot be is replaced or put in quarantine")
	}
	return func(*Outcome) { t.head.level = b.Level }, nil
}

// grow raises the level of a vault that nobody uses yet to what all its regions announced:
// a new vault has from the start what its releases know.
func (w *work) grow() {
	if w.tenants.count > 0 {
		return
	}
	least := ^uint32(0)
	for _, r := range w.roster.regions {
		if len(r.Sessions) == 0 {
			return
		}
		least = min(least, r.Level)
	}
	w.head.level = max(w.head.level, least)
}

// Level is up to where commands may be used: see command.Level.
func (v View) Level() uint32 { return v.s.head.level }

// Allowed reports why a type of command may not be used yet.
func (v View) Allowed(t command.Type) error { return v.s.head.allowed(t, v.s.levelOf) }

// Fits reports whether a release that understands commands up to a level may go on with
// this state: one that does not must apply nothing further.
func (v View) Fits(level uint32) error {
	if v.Level() > level {
		return errs.New(errs.Stale, "the vault is at level %d, this release understands level %d", v.Level(), level).
			WithHint("install the release the other regions run, and start it on this region's data")
	}
	return nil
}

// LevelOf returns what a region's newest session announced.
func (v View) LevelOf(id identity.RegionID) uint32 {
	r, _ := v.Region(id)
	if r == nil {
		return 0
	}
	return r.Level
}

func encodeLevel(level uint32) []byte {
	w := wire.NewWriter(4)
	w.U32(level)
	return w.Bytes()
}

func decodeLevel(b []byte) (uint32, error) {
	r := wire.NewReader(b)
	level := r.U32()
	if level == 0 {
		r.Fail("a record of level 0")
	}
	return level, r.Done()
}
