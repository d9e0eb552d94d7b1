package ceremony

import (
	"bytes"
	"context"
	"errors"

	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/seal"
)

// Names below the data directory. A node reads the first three; the bundle and what
// lies below ceremony/ is only for installing again.
const (
	FileGenesis = "genesis.json" // the signed genesis: public, the trust anchor
	FileRegion  = "region"       // which region this is and its incarnation; written last
	FileUnseal  = "unseal"       // seal.State: root key and beacon share, wrapped to the HSM
	FileBundle  = "ceremony.pem" // both rounds' files, to rebuild FileUnseal from the HSM
	FilePins    = "pins"         // identities that living regions told, where the genesis is outdated; may be missing
)

// SecretBeacon names the region's beacon share (draw.Share) among the unsealed secrets.
const SecretBeacon = "beacon"

// Installed is what install left in a data directory.
type Installed struct {
	Genesis  *genesis.Genesis
	Region   identity.RegionID
	ServerID string // this disk's incarnation; differs from the genesis after a replacement
	Unseal   []byte // encoded seal.State

	// Pins are the identity keys of regions that were enrolled with another HSM, as living
	// regions said when this one was installed. The state knows better once it has them.
	Pins roll.Pins
}

// Load reads what install left below fs. NotFound means the region was never
// founded here; Corrupt names the file.
func Load(fs durable.FS) (*Installed, error) {
	b, err := fs.ReadFile(FileRegion)
	if errors.Is(err, errs.ErrNotFound) {
		return nil, errs.Wrap(errs.NotFound, err, "this data directory belongs to no founded region").
			WithHint("hold the ceremony first: vaultctl init --help")
	}
	if err != nil {
		return nil, err
	}
	region, err := decodeRegion(b)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "file %s", FileRegion).WithHint(Reinstall)
	}
	in := &Installed{Region: region.id, ServerID: region.serverID}
	if b, err = fs.ReadFile(FileGenesis); err != nil {
		return nil, hinted(err)
	}
	if in.Genesis, err = genesis.ParseFile(b); err == nil {
		err = in.Genesis.Verify()
	}
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "file %s", FileGenesis).WithHint(Reinstall)
	}
	if in.Genesis.Document.Hash() != region.genesis || int(region.id) > len(in.Genesis.Document.Regions) {
		return nil, errs.New(errs.Corrupt, "file %s is not the genesis this region was founded with", FileGenesis).
			WithHint(Reinstall)
	}
	if in.Pins, err = loadPins(fs, region.genesis, len(in.Genesis.Document.Regions)); err != nil {
		return nil, err
	}
	in.Unseal, err = fs.ReadFile(FileUnseal)
	return in, hinted(err)
}

// Reinstall is what to do about a damaged file: everything install wrote it writes again
// from the ceremony's files and the HSM, once the region file is out of its way.
const Reinstall = "move the file region away, then vaultctl init install with the genesis and ceremony.pem of any region; a region enrolled with another HSM: --welcome"

func hinted(err error) error {
	if err == nil {
		return nil
	}
	return errs.Wrap(errs.CodeOf(err), err, "installed files").WithHint(Reinstall)
}

type regionFile struct {
	genesis  [32]byte
	id       identity.RegionID
	serverID string
}

func (f regionFile) encode() []byte {
	w := wire.NewWriter(128)
	w.String("tetrad/region/v1")
	w.Fixed(f.genesis[:])
	w.U8(uint8(f.id))
	w.String(f.serverID)
	return w.Bytes()
}

func decodeRegion(b []byte) (f regionFile, err error) {
	r := wire.NewReader(b)
	if s := r.String(32); s != "tetrad/region/v1" {
		r.Fail("not a region file of this version")
	}
	r.Fixed(f.genesis[:])
	f.id = identity.RegionID(r.U8())
	f.serverID = r.String(maxText)
	if f.id == 0 || f.serverID == "" {
		r.Fail("no region")
	}
	return f, r.Done()
}

// Install writes what a node needs into the data directory. Repeated, it changes
// nothing. With rejoin it rebuilds a region whose disk was lost and whose HSM is
// intact: under a new incarnation, which the vault must approve by the enrolment
// returned (vaultctl region replace).
func (s *Site) Install(ctx context.Context, f *Founding, rejoin bool) (*Enrolment, error) {
	if int(s.Region.ID) > len(f.Enrolments) || s.Region.ID < 1 || f.Enrolments[s.Region.ID-1].Name != s.Region.Name {
		return nil, errs.New(errs.Invalid, "the genesis has no region %q", s.Region.Name)
	}
	hash := f.Genesis.Document.Hash()
	founded := f.Enrolments[s.Region.ID-1]
	region := regionFile{hash, s.Region.ID, founded.ServerID}
	if done, err := s.installed(hash); err != nil {
		return nil, err
	} else if done {
		return s.rejoined(founded)
	}
	if err := s.use(ctx, founded); err != nil {
		return nil, err
	}
	again, err := s.incarnation(ctx, founded, rejoin)
	if err != nil {
		return nil, err
	}
	if again != nil {
		region.serverID = again.ServerID
	}
	state, err := s.state(ctx, f)
	if err != nil {
		return nil, err
	}
	return again, s.write(f.Genesis, state, region, file{FileBundle, f.BundleFile()})
}

type file struct {
	name string
	data []byte
}

// write puts what a node needs into the data directory. The region file comes last: a
// directory without it is not installed.
func (s *Site) write(g *genesis.Genesis, state []byte, region regionFile, others ...file) error {
	text, err := g.MarshalFile()
	if err != nil {
		return err
	}
	for _, w := range append(others, file{FileGenesis, text}, file{FileUnseal, state}, file{FileRegion, region.encode()}) {
		if err := s.FS.WriteFile(w.name, w.data); err != nil {
			return err
		}
	}
	return nil
}

// installed reports whether the directory holds this very founding.
func (s *Site) installed(hash [32]byte) (bool, error) {
	b, err := s.FS.ReadFile(FileRegion)
	if errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	have, err := decodeRegion(b)
	if err != nil {
		return false, errs.Wrap(errs.Corrupt, err, "file %s", FileRegion)
	}
	if have.genesis != hash || have.id != s.Region.ID {
		return false, errs.New(errs.BadState, "the data directory belongs to another founding or region").
			WithHint("give region %q an empty data_dir", s.Region.Name)
	}
	_, err = Load(s.FS)
	return err == nil, err
}

// rejoined returns the enrolment of a disk that came later than the founding one; nil
// for the founding one.
func (s *Site) rejoined(founded *Enrolment) (*Enrolment, error) {
	own, err := s.stored()
	if errors.Is(err, errs.ErrNotFound) || err == nil && bytes.Equal(own.Encode(), founded.Encode()) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.ofDisk(own, founded.Identity)
}

// incarnation returns nil when this disk is the one that enrolled, else a new
// enrolment. A disk that never enrolled must not pass as the one the others know.
func (s *Site) incarnation(ctx context.Context, founded *Enrolment, rejoin bool) (*Enrolment, error) {
	_, err := s.FS.ReadFile(stateEnrolment)
	if err == nil {
		return s.rejoined(founded)
	}
	if !errors.Is(err, errs.ErrNotFound) {
		return nil, err
	}
	if !rejoin {
		return nil, errs.New(errs.BadState, "region %q did not enrol in this data directory", founded.Name).
			WithHint("check data_dir; if the disk was lost, install with --rejoin and have the new enrolment approved")
	}
	again := *founded
	again.origin, again.Commitment = origin{}, [32]byte{}
	if again.ServerID, err = newServerID(founded.Name); err != nil {
		return nil, err
	}
	if again.Sig, err = signAs(ctx, s.HSM.Identity(), again.signedBytes()); err != nil {
		return nil, err
	}
	return &again, s.FS.WriteFile(stateEnrolment, again.Encode())
}

// state opens the contributions and makes the unseal file.
func (s *Site) state(ctx context.Context, f *Founding) ([]byte, error) {
	d := &f.Genesis.Document
	o, err := s.openAll(ctx, s.Region.ID, f.Enrolments, f.Contributions)
	if err != nil {
		return nil, err
	}
	if o.document.Hash() != d.Hash() {
		return nil, errs.New(errs.Unverified, "the contributions do not lead to the signed genesis")
	}
	r := &d.Regions[s.Region.ID-1]
	share := o.share.Encode()
	defer clear(share)
	return unsealFile(d, r.ID, r.Wrapping, r.OAEPHash, seal.Contents{Roots: map[uint32]seal.Root{1: o.root}, Secrets: seal.Secrets{SecretBeacon: share}})
}

// unsealFile seals what a region opens itself with to its HSM's wrapping key.
func unsealFile(d *genesis.Document, region identity.RegionID, wrapping []byte, hash uint8, c seal.Contents) ([]byte, error) {
	st, err := seal.InitState(seal.State{Cluster: d.Cluster, Region: region, IdentityLabel: seal.IdentityLabel(d.Cluster),
		WrappingLabel: seal.WrappingLabel(d.Cluster), Hash: hash}, wrapping, c)
	if err != nil {
		return nil, err
	}
	return st.Encode(), nil
}
