package ceremony

import (
	"context"
	"errors"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/seal"
)

const stateReenrolment = "ceremony/reenrolment"

// Reenrolment is what a region whose HSM is lost makes with another one: the keys it will
// go on with, signed by the new identity. Two administrators bring it into the vault.
type Reenrolment struct {
	origin
	command.Reenrol
}

// Encode returns the canonical form.
func (e *Reenrolment) Encode() []byte { return e.Bundle() }

// File returns the re-enrolment as text.
func (e *Reenrolment) File() []byte { return armor(blockReenrolment, e.Encode()) }

func decodeReenrolment(b []byte) (*Reenrolment, error) {
	body, err := command.DecodeReenrol(b)
	if err != nil {
		return nil, err
	}
	return &Reenrolment{Reenrol: *body}, nil
}

// Enrolment is the same in the form of a founding region's, unsigned: for what both have
// in common.
func (e *Reenrolment) enrolment(name string) *Enrolment {
	out := &Enrolment{origin: e.origin, Region: e.Region, Name: name, ServerID: e.ServerID, RaftAddr: e.RaftAddr, APIAddr: e.APIAddr, GossipAddr: e.GossipAddr,
		Identity: e.Identity, Wrapping: e.Wrapping, OAEPHash: e.OAEPHash, HSM: e.HSM, Attributes: e.Attributes}
	for _, c := range e.Curves {
		out.Curves = append(out.Curves, command.Curve(c))
	}
	return out
}

// Check judges a re-enrolment by itself and against the genesis of the vault it is for.
func (e *Reenrolment) Check(d *genesis.Document) error {
	if e.Region < 1 || int(e.Region) > len(d.Regions) {
		return errs.New(errs.Invalid, "the re-enrolment%s is for region %d, which the genesis does not have", e.in(), e.Region)
	}
	same := e.enrolment(d.Regions[e.Region-1].Name)
	if err := genesis.CheckServerID(same.Name, e.ServerID); err != nil {
		return errs.Wrap(errs.Invalid, err, "%s", same.who())
	}
	if err := same.checkKeys(); err != nil {
		return err
	}
	if err := e.Proven(d.Cluster); err != nil {
		return errs.Wrap(errs.Unverified, err, "%s", same.who()).WithHint("it was altered or damaged on its way, or made for another vault: fetch it again from the region")
	}
	for i := range d.Regions {
		if r := &d.Regions[i]; r.Identity.Equal(e.Identity) || string(r.Wrapping) == string(e.Wrapping) {
			return errs.New(errs.Invalid, "%s has a key of region %q's founding HSM", same.who(), r.Name).
				WithHint("if only the disk was lost: vaultctl init install --rejoin; else check hsm.token_label")
		}
	}
	return nil
}

// Reenrol makes, or finds, the region's keys in another HSM than the one it was founded
// with. Repeated, it returns the same.
func (s *Site) Reenrol(ctx context.Context, d *genesis.Document) (*Reenrolment, error) {
	if e, err := s.reenrolled(d); err == nil || !errors.Is(err, errs.ErrNotFound) {
		return e, err
	}
	if err := s.unfounded(); err != nil {
		return nil, err
	}
	if _, err := s.FS.ReadFile(stateEnrolment); !errors.Is(err, errs.ErrNotFound) {
		return nil, errs.New(errs.BadState, "the data directory holds an enrolment of region %q", s.Region.Name).
			WithHint("it enrolled here with the HSM it had: give it an empty data_dir if that one is lost")
	}
	made, err := s.newEnrolment(ctx)
	if err != nil {
		return nil, err
	}
	e := &Reenrolment{Reenrol: command.Reenrol{Region: made.Region, ServerID: made.ServerID, RaftAddr: made.RaftAddr, APIAddr: made.APIAddr, GossipAddr: made.GossipAddr,
		Identity: made.Identity, Wrapping: made.Wrapping, OAEPHash: made.OAEPHash, HSM: made.HSM, Attributes: made.Attributes}}
	for _, c := range made.Curves {
		e.Curves = append(e.Curves, uint8(c))
	}
	if e.Proof, err = signAs(ctx, s.HSM.Identity(), command.ReenrolBytes(d.Cluster, &e.Reenrol)); err != nil {
		return nil, err
	}
	if err := e.Check(d); err != nil {
		return nil, err
	}
	return e, s.FS.WriteFile(stateReenrolment, e.Encode())
}

// reenrolled reads what this data directory re-enrolled with. NotFound: it did not.
func (s *Site) reenrolled(d *genesis.Document) (*Reenrolment, error) {
	b, err := s.FS.ReadFile(stateReenrolment)
	if err != nil {
		return nil, err
	}
	e, err := decodeReenrolment(b)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "%s in the data directory", stateReenrolment)
	}
	if e.Region != s.Region.ID || e.Proven(d.Cluster) != nil {
		return nil, errs.New(errs.BadState, "the data directory holds a re-enrolment of another region or vault").
			WithHint("give region %q an empty data_dir", s.Region.Name)
	}
	return e, nil
}

// useReenrolled readies the HSM, and makes sure it is the one that re-enrolled.
func (s *Site) useReenrolled(ctx context.Context, d *genesis.Document, e *Reenrolment) error {
	same := e.enrolment(s.Region.Name)
	same.Cluster = d.Cluster
	return s.use(ctx, same)
}

// stateFrom makes the unseal file around root keys that a living region gave.
func (s *Site) stateFrom(d *genesis.Document, roots map[uint32]seal.Root) ([]byte, error) {
	pub, hash := s.HSM.Wrapping()
	return unsealFile(d, s.Region.ID, pub, hash, seal.Contents{Roots: roots})
}
