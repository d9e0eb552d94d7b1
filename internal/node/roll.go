package node

import (
	"context"
	"log/slog"
	"maps"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
)

// roll is this region's word on who the regions are, as its own certified state has them.
// With a guest it carries the root keyring, wrapped to the key that state has for it:
// nobody who asks brings a key.
func (n *Node) roll(ctx context.Context, guest identity.RegionID, nonce [16]byte) ([]byte, error) {
	view := n.fsm.View()
	o := &roll.Roll{Lineage: n.hash, Nonce: nonce, Applied: view.Meta().Index, Guest: guest, At: n.cfg.Clock.Now()}
	for _, r := range view.Regions() {
		o.Identities = append(o.Identities, r.Identity)
	}
	if guest != 0 {
		r, ok := view.Region(guest)
		switch {
		case !ok:
			return nil, errs.New(errs.NotFound, "there is no region %d", guest)
		case guest == n.region():
			return nil, errs.New(errs.Invalid, "region %s has the root key, it needs none of its own giving", r.Name)
		}
		var err error
		if o.Sealed, err = n.keyring.WrapRoots(r.Wrapping, r.OAEPHash, roll.Label(n.hash, n.region(), guest)); err != nil {
			return nil, err
		}
		n.log.Warn("the root key was given out, wrapped to a region's HSM", slog.String("for", r.Name), slog.String("identity", r.Identity.Fingerprint().String()))
	}
	if err := o.Sign(ctx, n.session); err != nil {
		return nil, err
	}
	return o.Encode(), nil
}

// pins is the identity key that may speak for a region now. The own state says, save where
// it has not come to a re-enrolment that living regions told this disk of.
func (n *Node) pins(r identity.RegionID) []identity.PublicKey {
	row, ok := n.fsm.View().Region(r)
	if !ok {
		return nil
	}
	if told, ok := n.told[r]; ok && !passed(row, told) {
		return []identity.PublicKey{told}
	}
	return []identity.PublicKey{row.Identity}
}

// passed reports whether a region has or had an identity, as its row says.
func passed(row *fsm.Region, k identity.PublicKey) bool {
	if row.Identity.Equal(k) {
		return true
	}
	for i := range row.Former {
		if row.Former[i].Identity.Equal(k) {
			return true
		}
	}
	return false
}

// older is the identity that the own state still has of a region, where its pin is ahead.
func (n *Node) older(r identity.RegionID) []identity.PublicKey {
	if row, ok := n.fsm.View().Region(r); ok && !n.pins(r)[0].Equal(row.Identity) {
		return []identity.PublicKey{row.Identity}
	}
	return nil
}

// former are the identity keys that a region had before: what they signed then stays
// evidence.
func (n *Node) former(r identity.RegionID) (keys []identity.PublicKey) {
	if row, ok := n.fsm.View().Region(r); ok {
		for i := range row.Former {
			keys = append(keys, row.Former[i].Identity)
		}
	}
	return keys
}

// keepPins notes on disk which identities are not the genesis' any more: the next process
// begins with the genesis, and has to verify what it finds before it restored its state.
func (n *Node) keepPins() error {
	pins := maps.Clone(n.told)
	if pins == nil {
		pins = roll.Pins{}
	}
	for _, r := range n.fsm.View().Regions() {
		if told, ok := pins[r.ID]; len(r.Former) > 0 && (!ok || passed(r, told)) {
			pins[r.ID] = r.Identity
		}
	}
	if maps.EqualFunc(pins, n.kept, identity.PublicKey.Equal) {
		return nil
	}
	if err := ceremony.WritePins(n.cfg.FS, n.hash, pins); err != nil {
		return err
	}
	n.kept = pins
	return nil
}
