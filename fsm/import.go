package fsm

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Import is what was dealt of a key from outside, until its holders have taken it. Immutable.
type Import struct {
	Split []byte // frost.Split
	Point []byte
	Chain [32]byte
	Boxes []Sealed // ascending by region
}

// Box returns a region's sealed share, or nil.
func (i *Import) Box(r identity.RegionID) []byte {
	for _, b := range i.Boxes {
		if b.Region == r {
			return b.Box
		}
	}
	return nil
}

// importKey begins the taking over of a key: a ceremony in which all is dealt already, and
// every holder has to finish.
func (t *task) importKey(b *command.ImportKey) (deed, error) {
	if !t.head.settings.Import {
		return nil, errs.New(errs.Denied, "this vault takes no keys from outside").
			WithHint("two administrators can allow it: vaultctl configure --import on")
	}
	body := b.Created()
	holders, err := t.creatable(body)
	if err != nil {
		return nil, err
	}
	if err := t.checkImport(b, holders); err != nil {
		return nil, err
	}
	k, err := t.newKey(body, holders)
	if err != nil {
		return nil, err
	}
	return func(o *Outcome) {
		o.Key = k.ID
		k.Outside, k.Import = true, &Import{Split: bytes.Clone(b.Split), Point: bytes.Clone(b.Point), Chain: b.Chain}
		for i, r := range holders {
			k.Import.Boxes = append(k.Import.Boxes, Sealed{r, bytes.Clone(b.Boxes[i])})
		}
		k.Ceremony = &Ceremony{ID: command.CeremonyID{Key: k.ID, Epoch: 1, Try: 1}, Last: 1, Wrap: b.Wrap, Threshold: k.Signers,
			Holders: holders, Step: StepFinish, Deadline: t.head.clock.Add(ImportTime), Author: t.author.id}
		t.keys.count++
		t.keyChanged(k)
	}, nil
}

// checkImport leaves the mathematics to the holders.
func (t *task) checkImport(b *command.ImportKey, holders []identity.RegionID) error {
	switch {
	case len(b.Regions) == 0 || len(b.Boxes) != len(holders):
		return errs.New(errs.Invalid, "%d boxes for %d regions: each that is to hold the key must be named and dealt to", len(b.Boxes), len(b.Regions))
	case len(b.Split) == 0 || !pointOn(b.Curve, b.Point):
		return errs.New(errs.Invalid, "the split is empty, or %d bytes are no public key on %s", len(b.Point), b.Curve)
	case b.Wrap != t.head.newest:
		return errs.New(errs.Stale, "the shares are sealed under wrapping epoch %d, the newest is %d", b.Wrap, t.head.newest).
			WithHint("import the key again")
	}
	e, ok := t.wraps.get(b.Wrap)
	for i, r := range holders {
		if !ok || e.Key(r) == nil {
			return errs.New(errs.NotReady, "region %d has no wrapping key of epoch %d", r, b.Wrap)
		}
		if len(b.Boxes[i]) == 0 {
			return errs.New(errs.Invalid, "the box for region %d is empty", r)
		}
	}
	return nil
}

// pointOn reports whether b has the form of a threshold key's public key.
func pointOn(c command.Curve, b []byte) bool {
	return len(b) == c.PublicKeyLen() && (c != command.Secp256k1 || b[0] == 2 || b[0] == 3)
}

// importFits reports why a holder's word does not finish an import.
func (t *task) importFits(k *Key, b *command.FinishShare) error {
	switch i := k.Import; {
	case i == nil:
		return nil
	case !t.head.settings.Import:
		return errs.New(errs.Denied, "this vault takes no keys from outside any more")
	case (!bytes.Equal(b.Point, i.Point) || b.Chain != i.Chain) && liar.Defends(liar.SameKey):
		return errs.New(errs.Unverified, "key %s was brought in with another public key or chain code", k.ID)
	}
	return nil
}

// endImport gives up an import. Nothing of what was dealt stays, and the name is free again.
// k is a copy of its own.
func (w *work) endImport(k *Key, faults []Fault) {
	var why []string
	for _, f := range faults {
		why = append(why, f.ofImport())
	}
	k.State, k.Reason = KeyRetired, cutText("not imported: "+strings.Join(why, "; "))
	k.Ceremony, k.Import = nil, nil
	w.keyChanged(k)
}

// ofImport says a fault in a line; region 0 is who imported.
func (f *Fault) ofImport() string {
	switch {
	case f.Region != 0 && len(f.By) == 0:
		return fmt.Sprintf("region %d: %s", f.Region, f.Note)
	case f.Region != 0:
		return fmt.Sprintf("region %d by the word of %v: %s", f.Region, f.By, f.Note)
	}
	return fmt.Sprintf("the importer by the word of %v: %s", f.By, f.Note)
}

// cutText bounds a text made here to what a note may hold.
func cutText(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), command.MaxNote)], "")
}

// writeOutside writes that a key was known outside, and what of it is still to be taken.
func (k *Key) writeOutside(w *wire.Writer) {
	w.Bool(k.Import != nil)
	if i := k.Import; i != nil {
		w.Blob(i.Split)
		w.Blob(i.Point)
		w.Fixed(i.Chain[:])
		w.U8(uint8(len(i.Boxes)))
		for _, b := range i.Boxes {
			w.U8(uint8(b.Region))
			w.Blob(b.Box)
		}
	}
}

func (k *Key) readOutside(r *wire.Reader) {
	k.Outside = true
	if !r.Bool() {
		return
	}
	k.Import = &Import{Split: clone(r, command.MaxSplit), Point: clone(r, 33), Chain: readHash(r)}
	for range r.Few(command.MaxRegions) {
		k.Import.Boxes = append(k.Import.Boxes, Sealed{identity.RegionID(r.U8()), clone(r, command.MaxSealedShare)})
	}
}
