package ceremony

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// HSM is what the ceremony needs of a region's HSM; *seal.HSM has it.
type HSM interface {
	GenerateIdentity(ctx context.Context, label string) (attributes []byte, err error)
	GenerateWrapping(ctx context.Context, label string) (attributes []byte, err error)
	Use(ctx context.Context, identityLabel, wrappingLabel string, hash uint8) error
	Identity() identity.Signer
	Wrapping() (pub []byte, hash uint8)
	Describe() string
	Curves(ctx context.Context) ([]uint8, error)
	Unwrap(ctx context.Context, wrapped []byte, label string) ([]byte, error)
}

// Site is one region's side of the ceremony: its plan, its HSM, its data directory.
// Progress is kept below ceremony/ in that directory, secrets wrapped to the HSM, so
// that every step can be repeated and gives the same answer.
type Site struct {
	Plan   *Plan
	Region PlannedRegion
	HSM    HSM
	FS     durable.FS
}

const (
	stateEnrolment    = "ceremony/enrolment"
	stateSecrets      = "ceremony/secrets"
	stateContribution = "ceremony/contribution"
	stateOfficers     = "ceremony/officers"
	labelSecrets      = "tetrad/ceremony-secrets/v1"
)

// Enrol is round 1. Repeated, it returns the same enrolment.
func (s *Site) Enrol(ctx context.Context) (*Enrolment, error) {
	if err := s.unfounded(); err != nil {
		return nil, err
	}
	e, err := s.enrolled()
	if err == nil || !errors.Is(err, errs.ErrNotFound) {
		return e, err
	}
	if e, err = s.newEnrolment(ctx); err != nil {
		return nil, err
	}
	sec := &secrets{}
	defer sec.clear()
	if _, err := rand.Read(sec.root[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "randomness")
	}
	dealing, shares, err := draw.NewDealing(rand.Reader, session(e.Plan), uint8(e.Region), Regions, beaconThreshold)
	if err != nil {
		return nil, err
	}
	sec.shares = shares
	e.Commitment = commitment(e.Plan, e.Region, sec.rootHash(), dealing.Hash(session(e.Plan)))
	if e.Sig, err = signAs(ctx, s.HSM.Identity(), e.signedBytes()); err != nil {
		return nil, err
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	// Secrets first: an enrolment on disk always has what it committed to.
	if err := s.writeWrapped(stateSecrets, labelSecrets, encodeSecrets(sec, dealing)); err != nil {
		return nil, err
	}
	return e, s.FS.WriteFile(stateEnrolment, e.Encode())
}

// newEnrolment makes the region's keys, or finds them, and describes them. The caller
// adds commitment and signature.
func (s *Site) newEnrolment(ctx context.Context) (*Enrolment, error) {
	r := s.Region
	idAttr, err := s.HSM.GenerateIdentity(ctx, seal.IdentityLabel(s.Plan.Cluster))
	if err != nil {
		return nil, err
	}
	wrapAttr, err := s.HSM.GenerateWrapping(ctx, seal.WrappingLabel(s.Plan.Cluster))
	if err != nil {
		return nil, err
	}
	curves, err := s.HSM.Curves(ctx)
	if err != nil {
		return nil, err
	}
	serverID, err := newServerID(r.Name)
	if err != nil {
		return nil, err
	}
	w := wire.NewWriter(128)
	w.Blob(idAttr)
	w.Blob(wrapAttr)
	e := &Enrolment{Plan: s.Plan.Hash(), Cluster: s.Plan.Cluster, Region: r.ID, Name: r.Name, ServerID: serverID,
		RaftAddr: r.RaftAddr, APIAddr: r.APIAddr, GossipAddr: r.Gossip, Identity: s.HSM.Identity().Public(),
		HSM: s.HSM.Describe(), Attributes: w.Bytes()}
	e.Wrapping, e.OAEPHash = s.HSM.Wrapping()
	for _, c := range curves {
		e.Curves = append(e.Curves, command.Curve(c))
	}
	return e, nil
}

func newServerID(region string) (string, error) {
	var inc [4]byte
	if _, err := rand.Read(inc[:]); err != nil {
		return "", errs.Wrap(errs.Internal, err, "randomness")
	}
	return region + "-" + hex.EncodeToString(inc[:]), nil
}

// unfounded refuses a directory that already belongs to a running region.
func (s *Site) unfounded() error {
	_, err := s.FS.ReadFile(FileRegion)
	if errors.Is(err, errs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errs.New(errs.BadState, "the data directory of region %q is founded already", s.Region.Name).
		WithHint("to found another cluster give the region an empty data_dir")
}

// enrolled reads this region's own enrolment and checks that it belongs to this plan.
func (s *Site) enrolled() (*Enrolment, error) {
	e, err := s.stored()
	if err != nil {
		return nil, err
	}
	if e.Plan != s.Plan.Hash() || e.Name != s.Region.Name {
		return nil, errs.New(errs.BadState, "region %q has enrolled with another plan", e.Name).
			WithHint("use that plan, or begin again with --restart, which forgets what was enrolled")
	}
	return e, nil
}

// stored reads the enrolment in the data directory; NotFound without one.
func (s *Site) stored() (*Enrolment, error) {
	b, err := s.FS.ReadFile(stateEnrolment)
	if err != nil {
		return nil, err
	}
	e, err := decodeEnrolment(b)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "%s in the data directory", stateEnrolment)
	}
	return e, nil
}

// ofDisk returns an enrolment that was stored here, if an empty disk behind the HSM with this
// identity made it.
func (s *Site) ofDisk(e *Enrolment, hsm identity.PublicKey) (*Enrolment, error) {
	if e.Commitment != ([32]byte{}) || !e.Identity.Equal(hsm) {
		return nil, errs.New(errs.BadState, "the data directory holds an enrolment for another ceremony").
			WithHint("give region %q an empty data_dir", s.Region.Name)
	}
	return e, nil
}

// open readies the HSM for a region that has enrolled, and makes sure it is the same.
func (s *Site) open(ctx context.Context) (*Enrolment, error) {
	e, err := s.enrolled()
	if errors.Is(err, errs.ErrNotFound) {
		return nil, errs.Wrap(errs.BadState, err, "region %q has not enrolled in this data directory", s.Region.Name).
			WithHint("run vaultctl init enrol first")
	}
	if err != nil {
		return nil, err
	}
	return e, s.use(ctx, e)
}

func (s *Site) use(ctx context.Context, e *Enrolment) error {
	if err := s.HSM.Use(ctx, seal.IdentityLabel(e.Cluster), seal.WrappingLabel(e.Cluster), e.OAEPHash); err != nil {
		return err
	}
	pub, _ := s.HSM.Wrapping()
	if !s.HSM.Identity().Public().Equal(e.Identity) || !bytes.Equal(pub, e.Wrapping) {
		return errs.New(errs.BadState, "the HSM holds other keys than those of the enrolment of region %q", e.Name).
			WithHint("check hsm.token_label: this is not the token the region enrolled with")
	}
	return nil
}

// Restart forgets the ceremony's progress; keys in the HSM stay and are found again.
func (s *Site) Restart() error {
	if err := s.unfounded(); err != nil {
		return err
	}
	for _, f := range []string{stateOfficers, stateContribution, stateEnrolment, stateSecrets} {
		if err := s.FS.Remove(f); err != nil {
			return err
		}
	}
	return nil
}

func (s *Site) writeWrapped(name, label string, plain []byte) error {
	defer clear(plain)
	pub, hash := s.HSM.Wrapping()
	b, err := seal.Wrap(pub, hash, plain, label)
	if err != nil {
		return err
	}
	return s.FS.WriteFile(name, b)
}

func (s *Site) readWrapped(ctx context.Context, name, label string) ([]byte, error) {
	b, err := s.FS.ReadFile(name)
	if err != nil {
		return nil, err
	}
	plain, err := s.HSM.Unwrap(ctx, b, label)
	if err != nil {
		return nil, errs.Wrap(errs.CodeOf(err), err, "%s in the data directory", name)
	}
	return plain, nil
}

// Contribute is round 2. Repeated with the same enrolments it returns the same
// contribution; with others it refuses, for the secrets have gone out already.
func (s *Site) Contribute(ctx context.Context, in []*Enrolment) (*Contribution, error) {
	own, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	set, err := s.enrolmentsWith(own, in)
	if err != nil {
		return nil, err
	}
	hash := setHash(domainEnrolments, set)
	if b, err := s.FS.ReadFile(stateContribution); err == nil {
		return s.contributed(b, hash)
	} else if !errors.Is(err, errs.ErrNotFound) {
		return nil, err
	}
	c, err := s.newContribution(ctx, own, set, hash)
	if err != nil {
		return nil, err
	}
	return c, s.FS.WriteFile(stateContribution, c.Encode())
}

// enrolmentsWith judges a set of enrolments and makes sure ours is in it.
func (s *Site) enrolmentsWith(own *Enrolment, in []*Enrolment) ([]*Enrolment, error) {
	set, err := s.Plan.enrolments(in)
	if err != nil {
		return nil, err
	}
	if given := set[own.Region-1]; !bytes.Equal(given.Encode(), own.Encode()) {
		return nil, errs.New(errs.Invalid, "%s is not the one this region made", given.who()).
			WithHint("run vaultctl init enrol again here: it prints the same enrolment; use that file")
	}
	return set, nil
}

func (s *Site) contributed(b []byte, set [32]byte) (*Contribution, error) {
	c, err := decodeContribution(b)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "%s in the data directory", stateContribution)
	}
	if c.Enrolments != set {
		return nil, errs.New(errs.BadState, "region %q has contributed already, to other enrolments", s.Region.Name).
			WithHint("find the enrolment that differs; if one region had to enrol again, all begin again with --restart")
	}
	return c, nil
}

func (s *Site) newContribution(ctx context.Context, own *Enrolment, set []*Enrolment, hash [32]byte) (*Contribution, error) {
	plain, err := s.readWrapped(ctx, stateSecrets, labelSecrets)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	sec, dealing, err := decodeSecrets(plain)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "%s in the data directory", stateSecrets)
	}
	defer sec.clear()
	c := &Contribution{Plan: own.Plan, Enrolments: hash, Region: own.Region, RootHash: sec.rootHash(), Dealing: dealing}
	for i, to := range set {
		e := envelope{sec.root, sec.shares[i]}
		b, err := seal.Wrap(to.Wrapping, to.OAEPHash, e.encode(), envelopeLabel(hash, own.Region, to.Region))
		if err != nil {
			return nil, err
		}
		c.Envelopes = append(c.Envelopes, b)
	}
	if c.Sig, err = signAs(ctx, s.HSM.Identity(), c.signedBytes()); err != nil {
		return nil, err
	}
	return c, c.check(s.Plan, hash, own)
}
