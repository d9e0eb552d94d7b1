package ceremony

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Arrival is a region that comes to a vault which changed since its genesis.
type Arrival struct {
	Genesis *genesis.Genesis
	Found   *Founding // nil: without the founding's files, or they do not open in this HSM
	Heard   *Hearing
	Rejoin  bool // an empty disk behind an HSM that the vault knows
}

// Arrive installs a region by what living regions told: one that was enrolled with another
// HSM, or one that lost its disk after another region was. Repeated, it changes nothing but
// the pins: so a region that was away when another one was re-enrolled learns of it. With
// Rejoin it returns the enrolment of the new incarnation.
func (s *Site) Arrive(ctx context.Context, a *Arrival) (*Enrolment, error) {
	d := &a.Genesis.Document
	if int(s.Region.ID) > len(d.Regions) || s.Region.ID < 1 || d.Regions[s.Region.ID-1].Name != s.Region.Name {
		return nil, errs.New(errs.Invalid, "the genesis has no region %q", s.Region.Name)
	}
	if err := a.Heard.whole(d); err != nil {
		return nil, err
	}
	pins := pinsFile{d.Hash(), a.changed()}
	if done, err := s.installed(pins.genesis); err != nil {
		return nil, err
	} else if done {
		return s.hearMore(d, pins)
	}
	region, again, err := s.comes(ctx, a)
	if err != nil {
		return nil, err
	}
	if err := s.known(d, a.Heard); err != nil {
		return nil, err
	}
	state, err := s.arrivalState(ctx, a)
	if err != nil {
		return nil, err
	}
	others := []file{{FilePins, pins.encode()}}
	if a.Found != nil {
		others = append(others, file{FileBundle, a.Found.BundleFile()})
	}
	return again, s.write(a.Genesis, state, region, others...)
}

// hearMore notes at an installed region who the others are. What it knew stays where the
// welcomes still name the founder's key: that one never comes back.
func (s *Site) hearMore(d *genesis.Document, pins pinsFile) (*Enrolment, error) {
	again, err := s.arrived(d)
	if err != nil {
		return nil, err
	}
	known, err := loadPins(s.FS, pins.genesis, len(d.Regions))
	if err != nil {
		return nil, err
	}
	for region, k := range known {
		if _, told := pins.pins[region]; !told {
			pins.pins[region] = k
		}
	}
	return again, s.FS.WriteFile(FilePins, pins.encode())
}

func (a *Arrival) changed() roll.Pins {
	pins := roll.Pins{}
	for _, region := range a.Heard.Changed {
		pins[region] = a.Heard.Pins[region]
	}
	return pins
}

// comes says under which incarnation this disk starts.
func (s *Site) comes(ctx context.Context, a *Arrival) (regionFile, *Enrolment, error) {
	d := &a.Genesis.Document
	region := regionFile{d.Hash(), s.Region.ID, ""}
	e, err := s.reenrolled(d)
	if err == nil {
		region.serverID = e.ServerID
		return region, nil, s.useReenrolled(ctx, d, e)
	}
	if !errors.Is(err, errs.ErrNotFound) {
		return region, nil, err
	}
	if !a.Rejoin {
		return region, nil, errs.New(errs.BadState, "region %q did not re-enrol in this data directory", s.Region.Name).
			WithHint("check data_dir; if only the disk was lost, install with --rejoin; if the HSM was, begin with vaultctl init reenrol")
	}
	again, err := s.newDisk(ctx, d)
	if err != nil {
		return region, nil, err
	}
	region.serverID = again.ServerID
	return region, again, nil
}

// newDisk makes the enrolment of an empty disk behind an HSM that was there before, or
// finds the one made.
func (s *Site) newDisk(ctx context.Context, d *genesis.Document) (*Enrolment, error) {
	e, err := s.newEnrolment(ctx)
	if err != nil {
		return nil, err
	}
	if made, err := s.stored(); err == nil {
		return s.ofDisk(made, e.Identity)
	} else if !errors.Is(err, errs.ErrNotFound) {
		return nil, err
	}
	if e.Sig, err = signAs(ctx, s.HSM.Identity(), e.signedBytes()); err != nil {
		return nil, err
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return e, s.FS.WriteFile(stateEnrolment, e.Encode())
}

// arrived is the enrolment a rejoining disk made; nil of any other.
func (s *Site) arrived(d *genesis.Document) (*Enrolment, error) {
	e, err := s.stored()
	if errors.Is(err, errs.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if e.ServerID == d.Regions[s.Region.ID-1].ServerID {
		return nil, nil // the founding one
	}
	return e, nil
}

// known makes sure that the living regions know this HSM: otherwise the vault would refuse
// whatever the region says.
func (s *Site) known(d *genesis.Document, h *Hearing) error {
	if own := s.HSM.Identity().Public(); !h.Pins[s.Region.ID].Equal(own) {
		return errs.New(errs.BadState, "the identity key in the HSM is not the one that the welcome calls region %q's: it has %s, the HSM %s",
			s.Region.Name, h.Pins[s.Region.ID].Fingerprint().Short(), own.Fingerprint().Short()).
			WithHint("two administrators approve the new HSM with vaultctl region replace first, then two living regions must say so: vaultctl region welcome; a single one counts with --trust-identity")
	}
	return nil
}

// arrivalState makes the unseal file: from the founding's files where they open in this
// HSM, with the beacon share of then, else around what a living region gave.
func (s *Site) arrivalState(ctx context.Context, a *Arrival) ([]byte, error) {
	d := &a.Genesis.Document
	pub, _ := s.HSM.Wrapping()
	if a.Found != nil && bytes.Equal(pub, d.Regions[s.Region.ID-1].Wrapping) {
		return s.state(ctx, a.Found)
	}
	roots, err := s.roots(ctx, d, a.Heard)
	if err != nil {
		return nil, err
	}
	defer clear(roots)
	return s.stateFrom(d, roots)
}

// pinsFile is FilePins.
type pinsFile struct {
	genesis [32]byte
	pins    roll.Pins
}

const pinsFormat = "tetrad/pins/v1"

func (f pinsFile) encode() []byte {
	w := wire.NewWriter(256)
	w.String(pinsFormat)
	w.Fixed(f.genesis[:])
	w.U8(uint8(len(f.pins)))
	for _, region := range slices.Sorted(maps.Keys(f.pins)) {
		w.U8(uint8(region))
		f.pins[region].Write(w)
	}
	return w.Bytes()
}

func decodePins(b []byte) (f pinsFile, err error) {
	r, last := wire.NewReader(b), identity.RegionID(0)
	if s := r.String(32); s != pinsFormat {
		r.Fail("not a pins file of this version")
	}
	r.Fixed(f.genesis[:])
	f.pins = roll.Pins{}
	for range r.Few(Regions) {
		region, k := identity.RegionID(r.U8()), identity.ReadPublicKey(r)
		if region <= last || k.Check() != nil {
			r.Fail("regions out of order, or no key")
		}
		f.pins[region], last = k, region
	}
	return f, r.Done()
}

// WritePins replaces the pins of an installed region by what its own state says.
func WritePins(fs durable.FS, hash [32]byte, pins roll.Pins) error {
	return fs.WriteFile(FilePins, pinsFile{hash, pins}.encode())
}

// loadPins reads what the welcome of this disk told; nothing where there was none.
func loadPins(fs durable.FS, hash [32]byte, regions int) (roll.Pins, error) {
	b, err := fs.ReadFile(FilePins)
	if errors.Is(err, errs.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := decodePins(b)
	if err == nil && f.genesis != hash {
		err = errs.New(errs.Corrupt, "it belongs to another founding")
	}
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "file %s", FilePins).WithHint(Reinstall)
	}
	for region := range f.pins {
		if int(region) > regions {
			return nil, errs.New(errs.Corrupt, "file %s names region %d", FilePins, region).WithHint(Reinstall)
		}
	}
	return f.pins, nil
}
