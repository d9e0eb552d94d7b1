package ceremony

import (
	"bytes"

	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Founding is the whole outcome of the ceremony: the signed genesis, and what a region
// needs beside its HSM to open or reopen itself with it.
type Founding struct {
	Genesis       *genesis.Genesis
	Enrolments    []*Enrolment
	Contributions []*Contribution
	Officers      *OfficersProved
}

// Finish collects the founders' signatures. Nothing secret is needed, so any site may
// do it, and every site can check it.
func (p *Plan) Finish(f *Files) (*Founding, error) {
	enrolments, err := p.enrolments(f.Enrolments)
	if err != nil {
		return nil, err
	}
	contributions, err := p.contributions(enrolments, f.Contributions)
	if err != nil {
		return nil, err
	}
	g, err := p.signed(f.Approvals)
	if err != nil {
		return nil, err
	}
	out := &Founding{Genesis: g, Enrolments: enrolments, Contributions: contributions}
	if out.Officers, err = p.officersProved(&g.Document, f.Officers); err != nil {
		return nil, err
	}
	return out, out.check()
}

// signed puts all founders' signatures under one document.
func (p *Plan) signed(approvals []*Approval) (*genesis.Genesis, error) {
	if len(approvals) == 0 {
		return nil, errs.New(errs.NotFound, "no genesis signatures given").WithHint("run vaultctl init sign at every region and init approve for every administrator")
	}
	hash := approvals[0].Document.Hash()
	g := &genesis.Genesis{Document: approvals[0].Document}
	have := map[string]bool{}
	for _, a := range approvals {
		if err := p.checkDocument(a, hash); err != nil {
			return nil, err
		}
		if err := g.AddSignature(a.Signature); err != nil {
			return nil, errs.Wrap(errs.CodeOf(err), err, "genesis signed by %s%s", a.Signer(), a.in())
		}
		have[a.Signature.Principal.String()] = true
	}
	for _, r := range g.Document.Regions {
		if !have[r.Identity.Fingerprint().String()] {
			return nil, errs.New(errs.NotFound, "the genesis signature of region %q is missing", r.Name).WithHint("run vaultctl init sign there")
		}
	}
	for _, a := range g.Document.Administrators {
		if !have[a.Key.Fingerprint().String()] {
			return nil, errs.New(errs.NotFound, "the genesis signature of administrator %q is missing", a.Name).WithHint("the administrator runs vaultctl init approve")
		}
	}
	return g, g.Verify()
}

// officersProved judges every word that was given and returns the first.
func (p *Plan) officersProved(d *genesis.Document, in []*OfficersProved) (*OfficersProved, error) {
	for _, o := range in {
		if err := o.check(d); err != nil {
			return nil, err
		}
	}
	if len(in) == 0 {
		return nil, errs.New(errs.NotFound, "the officers have not proved their shares").
			WithHint("run vaultctl init officers deal and check at one region, and prove by every officer")
	}
	return in[0], nil
}

func (o *OfficersProved) check(d *genesis.Document) error {
	key, err := regionKey(d, o.Region)
	if err != nil {
		return err
	}
	switch {
	case !key.Verify(o.signedBytes(), o.Sig):
		return errs.New(errs.Unverified, "the officers' word%s is not signed by region %d", o.in(), o.Region)
	case o.Genesis != d.Hash():
		return errs.New(errs.Invalid, "the officers' word%s is about another genesis", o.in())
	case o.Threshold != d.Officers.Threshold || int(o.Officers) != len(d.Officers.Recipients):
		return errs.New(errs.Invalid, "the officers' word%s says %d of %d, the genesis %d of %d", o.in(), o.Threshold, o.Officers, d.Officers.Threshold, len(d.Officers.Recipients))
	}
	return nil
}

// check ties the genesis to the files of the first two rounds.
func (f *Founding) check() error {
	d := &f.Genesis.Document
	if len(f.Enrolments) != len(d.Regions) || len(f.Contributions) != len(d.Regions) {
		return errs.New(errs.Invalid, "%d enrolments and %d contributions, want %d each", len(f.Enrolments), len(f.Contributions), len(d.Regions))
	}
	set := setHash(domainEnrolments, f.Enrolments)
	for i, e := range f.Enrolments {
		r, c := &d.Regions[i], f.Contributions[i]
		if !r.Identity.Equal(e.Identity) || !bytes.Equal(r.Wrapping, e.Wrapping) || r.ServerID != e.ServerID || r.ID != e.Region {
			return errs.New(errs.Unverified, "%s is not the one the genesis was made from", e.who())
		}
		if c.Region != r.ID || c.Enrolments != set || c.RootHash != d.Contributions[i] || !e.Identity.Verify(c.signedBytes(), c.Sig) {
			return errs.New(errs.Unverified, "%s is not the one the genesis was made from", c.who())
		}
	}
	return nil
}

// BundleFile returns the files of both rounds as text. It is for the regions alone:
// ciphertext, but no outsider needs it.
func (f *Founding) BundleFile() []byte {
	var b bytes.Buffer
	for _, e := range f.Enrolments {
		b.Write(e.File())
	}
	for _, c := range f.Contributions {
		b.Write(c.File())
	}
	if f.Officers != nil {
		b.Write(f.Officers.File())
	}
	return b.Bytes()
}

// NewFounding reassembles a founding from genesis.json and the bundle.
func NewFounding(f *Files) (*Founding, error) {
	if len(f.Genesis) != 1 {
		return nil, errs.New(errs.NotFound, "%d genesis files given, want one", len(f.Genesis)).WithHint("give genesis.json and ceremony.pem, as init finish wrote them")
	}
	if err := f.Genesis[0].Verify(); err != nil {
		return nil, err
	}
	if len(f.Contributions) == 0 {
		return nil, errs.New(errs.NotFound, "no contributions given").WithHint("give genesis.json and ceremony.pem, as init finish wrote them")
	}
	out := &Founding{Genesis: f.Genesis[0], Enrolments: f.Enrolments, Contributions: f.Contributions}
	if len(f.Officers) > 0 {
		out.Officers = f.Officers[0]
	}
	return out, out.check()
}

// Plan returns the plan a founding came from, as far as later steps need it.
func (f *Founding) Plan() *Plan { return PlanOf(&f.Genesis.Document) }

// PlanOf is the plan as far as a genesis shows it.
func PlanOf(d *genesis.Document) *Plan {
	p := &Plan{Cluster: d.Cluster, Name: d.Name, Created: d.Created, Administrators: d.Administrators, Officers: d.Officers, Settings: d.Settings}
	for _, r := range d.Regions {
		p.Regions = append(p.Regions, PlannedRegion{r.ID, r.Name, r.RaftAddr, r.APIAddr, r.GossipAddr})
	}
	return p
}
