package ceremony

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// Approval is round 3: one founder's signature over the genesis document, with the
// document, so that a reader sees at once whether all founders speak of the same.
type Approval struct {
	origin
	Document  genesis.Document
	Signature command.Signature
}

// Encode returns the canonical form.
func (a *Approval) Encode() []byte {
	w := wire.NewWriter(16 << 10)
	w.U8(1)
	w.Blob(a.Document.Encode())
	w.Fixed(a.Signature.Principal[:])
	w.Blob(a.Signature.Sig)
	return w.Bytes()
}

// File returns the approval as text.
func (a *Approval) File() []byte { return armor(blockApproval, a.Encode()) }

func decodeApproval(b []byte) (*Approval, error) {
	r, a := wire.NewReader(b), &Approval{}
	if v := r.U8(); v != 1 {
		r.Fail("genesis signature version %d", v)
	}
	doc := bytes.Clone(r.Blob(genesis.MaxGenesis))
	r.Fixed(a.Signature.Principal[:])
	a.Signature.Sig = bytes.Clone(r.Blob(command.MaxSignatureLen))
	if err := r.Done(); err != nil {
		return nil, err
	}
	d, err := genesis.DecodeDocument(doc)
	if err != nil {
		return nil, err
	}
	a.Document = *d
	g := genesis.Genesis{Document: a.Document}
	return a, g.AddSignature(a.Signature)
}

// Signer names who signed, for people.
func (a *Approval) Signer() string {
	for i := range a.Document.Regions {
		if r := &a.Document.Regions[i]; r.Identity.Fingerprint() == a.Signature.Principal {
			return "region " + r.Name
		}
	}
	for i := range a.Document.Administrators {
		if p := &a.Document.Administrators[i]; p.Key.Fingerprint() == a.Signature.Principal {
			return "administrator " + p.Name
		}
	}
	return a.Signature.Principal.Short()
}

// opened is what a region's HSM takes out of a full set of contributions.
type opened struct {
	document *genesis.Document
	root     seal.Root
	share    draw.Share
}

// openAll opens this region's envelopes, checks every one against what its sender
// published, and computes what all sites must come to alike.
func (s *Site) openAll(ctx context.Context, region identity.RegionID, enrolments []*Enrolment, in []*Contribution) (*opened, error) {
	set, err := s.Plan.contributions(enrolments, in)
	if err != nil {
		return nil, err
	}
	roots := make([][]byte, len(set))
	dealings, shares := make([]*draw.Dealing, len(set)), make([][32]byte, len(set))
	defer func() {
		for _, r := range roots {
			clear(r)
		}
		clear(shares)
	}()
	for i, c := range set {
		e, err := s.openEnvelope(ctx, c, enrolments[i], region)
		if err != nil {
			return nil, err
		}
		roots[i], shares[i], dealings[i] = e.root[:], e.share, c.Dealing
	}
	root, err := seal.RootFromContributions(s.Plan.Cluster, roots)
	if err != nil {
		return nil, err
	}
	share, beacon, err := draw.Finish(session(s.Plan.Hash()), uint8(region), Regions, beaconThreshold, dealings, shares)
	if err != nil {
		return nil, err
	}
	doc := s.Plan.document(enrolments, set, beacon, seal.RootCheck(s.Plan.Cluster, root))
	return &opened{doc, root, share}, doc.Check()
}

// openEnvelope judges what one region sent us; its signature over the contribution
// makes a bad envelope evidence against it.
func (s *Site) openEnvelope(ctx context.Context, c *Contribution, from *Enrolment, to identity.RegionID) (*envelope, error) {
	accuse := func(err error, what string) error {
		return errs.Wrap(errs.Unverified, err, "%s: %s", c.who(), what).
			WithHint("region %q signed this: keep the file as evidence, and do not go on before you know why", from.Name)
	}
	plain, err := s.HSM.Unwrap(ctx, c.Envelopes[to-1], envelopeLabel(c.Enrolments, c.Region, to))
	if err != nil {
		if trouble := s.probe(ctx); trouble != nil {
			return nil, trouble
		}
		return nil, accuse(err, "its envelope for this region does not open")
	}
	defer clear(plain)
	e, err := decodeEnvelope(plain)
	if err != nil {
		return nil, accuse(err, "its envelope for this region is malformed")
	}
	if sha256.Sum256(e.root[:]) != c.RootHash {
		return nil, accuse(nil, "the root contribution it sent to this region is not the one it published")
	}
	if err := draw.VerifyShare(c.Dealing, uint8(to), e.share); err != nil {
		return nil, accuse(err, "the beacon share it dealt to this region is wrong")
	}
	return &e, nil
}

// probe opens something of our own making, to tell our HSM's trouble from a bad
// envelope: tokens answer both with the same errors.
func (s *Site) probe(ctx context.Context) error {
	pub, hash := s.HSM.Wrapping()
	b, err := seal.Wrap(pub, hash, []byte("probe"), "tetrad/probe/v1")
	if err != nil {
		return err
	}
	_, err = s.HSM.Unwrap(ctx, b, "tetrad/probe/v1")
	return err
}

// document builds the genesis: the same bytes at every site.
func (p *Plan) document(es []*Enrolment, cs []*Contribution, beacon draw.PublicKey, rootCheck [32]byte) *genesis.Document {
	d := &genesis.Document{Cluster: p.Cluster, Name: p.Name, Created: p.Created, Administrators: p.Administrators,
		Officers: p.Officers, Settings: p.Settings, RootCheck: rootCheck,
		Beacon: genesis.Beacon{Threshold: uint8(beacon.Threshold), Public: beacon.Group}}
	for i, e := range es {
		d.Regions = append(d.Regions, genesis.Region{ID: e.Region, Name: e.Name, ServerID: e.ServerID,
			Identity: e.Identity, Wrapping: e.Wrapping, OAEPHash: e.OAEPHash, RaftAddr: e.RaftAddr, APIAddr: e.APIAddr,
			GossipAddr: e.GossipAddr, Curves: e.Curves, HSM: e.HSM, Attributes: e.Attributes})
		d.Beacon.Shares = append(d.Beacon.Shares, bytes.Clone(beacon.Shares[i][:]))
		d.Contributions = append(d.Contributions, cs[i].RootHash)
	}
	return d
}

// Sign is round 3 at a region: it opens and checks everything, and signs the genesis
// hash with the identity key. What it signed must then be compared between sites.
func (s *Site) Sign(ctx context.Context, enrolments []*Enrolment, contributions []*Contribution) (*Approval, error) {
	own, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	_, o, err := s.agreed(ctx, own, enrolments, contributions)
	if err != nil {
		return nil, err
	}
	return approve(ctx, o.document, s.HSM.Identity())
}

// agreed checks both rounds' files from this region's side.
func (s *Site) agreed(ctx context.Context, own *Enrolment, enrolments []*Enrolment, contributions []*Contribution) ([]*Enrolment, *opened, error) {
	set, err := s.enrolmentsWith(own, enrolments)
	if err != nil {
		return nil, nil, err
	}
	o, err := s.openAll(ctx, own.Region, set, contributions)
	return set, o, err
}

func approve(ctx context.Context, d *genesis.Document, by identity.Signer) (*Approval, error) {
	g := genesis.Genesis{Document: *d}
	if err := g.Sign(ctx, by); err != nil {
		return nil, err
	}
	return &Approval{Document: *d, Signature: g.Signatures[0]}, nil
}

// Approve is round 3 for an administrator: the document a region signed, compared with
// the plan and with the hash read out by the sites.
func (p *Plan) Approve(ctx context.Context, regions []*Approval, hash [32]byte, by identity.Signer) (*Approval, error) {
	if len(regions) == 0 {
		return nil, errs.New(errs.NotFound, "no genesis signature of a region given").WithHint("run vaultctl init sign at a region and bring its file")
	}
	for _, a := range regions {
		if err := p.checkDocument(a, hash); err != nil {
			return nil, err
		}
	}
	fp := by.Public().Fingerprint()
	for _, adm := range p.Administrators {
		if adm.Key.Fingerprint() == fp {
			return approve(ctx, &regions[0].Document, by)
		}
	}
	return nil, errs.New(errs.Denied, "the key %s is none of the plan's administrators", fp.Short()).WithHint("check --key")
}

// checkDocument compares a signed document with the plan and the expected hash.
func (p *Plan) checkDocument(a *Approval, hash [32]byte) error {
	who := "genesis signed by " + a.Signer() + a.in()
	if got := a.Document.Hash(); got != hash {
		return errs.New(errs.Unverified, "%s has hash %s, expected %s", who, hex.EncodeToString(got[:]), hex.EncodeToString(hash[:])).
			WithHint("the sites do not agree: do not sign; find the site whose files differ")
	}
	d := &a.Document
	want := *d
	want.Cluster, want.Name, want.Created = p.Cluster, p.Name, p.Created
	want.Administrators, want.Officers, want.Settings = p.Administrators, p.Officers, p.Settings
	want.Regions = slices.Clone(d.Regions)
	for i, r := range p.Regions {
		w := &want.Regions[i]
		w.ID, w.Name, w.RaftAddr, w.APIAddr, w.GossipAddr = r.ID, r.Name, r.RaftAddr, r.APIAddr, r.Gossip
	}
	if !bytes.Equal(want.Encode(), d.Encode()) {
		return errs.New(errs.Unverified, "%s does not say what the plan says", who).WithHint("use the plan the regions used")
	}
	return nil
}

// HashText groups a genesis hash for reading it out between sites.
func HashText(h [32]byte) string {
	x := hex.EncodeToString(h[:])
	var groups []string
	for i := 0; i < len(x); i += 4 {
		groups = append(groups, x[i:i+4])
	}
	return strings.Join(groups, " ")
}

// ParseHash reads a genesis hash with or without spaces.
func ParseHash(s string) (h [32]byte, err error) {
	b, err := hex.DecodeString(strings.ToLower(strings.Join(strings.Fields(s), "")))
	if err != nil || len(b) != len(h) {
		return h, errs.New(errs.Invalid, "a genesis hash has 64 hex digits")
	}
	return [32]byte(b), nil
}
