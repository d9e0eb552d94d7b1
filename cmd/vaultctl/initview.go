package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// initView is what is shown of one artefact of the ceremony.
type initView struct {
	Kind      string `json:"kind"`
	File      string `json:"file,omitempty"`
	Cluster   string `json:"cluster,omitempty"`
	Plan      string `json:"plan_hash,omitempty"`
	Genesis   string `json:"genesis_hash,omitempty"`
	Region    string `json:"region,omitempty"`
	ServerID  string `json:"server_id,omitempty"`
	Identity  string `json:"identity,omitempty"`
	HSM       string `json:"hsm,omitempty"`
	Curves    string `json:"curves,omitempty"`
	SignedBy  string `json:"signed_by,omitempty"`
	Regions   string `json:"regions,omitempty"`
	Admins    string `json:"administrators,omitempty"`
	Officer   int    `json:"officer,omitempty"`
	Count     int    `json:"officers,omitempty"`
	Threshold int    `json:"threshold,omitempty"`
}

func (v initView) pairs() []string {
	officers := ""
	if v.Count > 0 {
		officers = fmt.Sprintf("%d of %d", v.Threshold, v.Count)
	}
	officer := ""
	if v.Officer > 0 {
		officer = fmt.Sprint(v.Officer)
	}
	hash := v.Genesis
	if h, err := ceremony.ParseHash(hash); err == nil {
		hash = ceremony.HashText(h)
	}
	return []string{"kind", v.Kind, "file", v.File, "cluster", v.Cluster, "plan hash", v.Plan, "region", v.Region,
		"server id", v.ServerID, "identity", v.Identity, "hsm", v.HSM, "curves", v.Curves, "regions", v.Regions,
		"administrators", v.Admins, "officer", officer, "officers", officers, "signed by", v.SignedBy, "genesis hash", hash}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func viewPlan(p *ceremony.Plan) initView {
	h := p.Hash()
	var regions, admins []string
	for _, r := range p.Regions {
		regions = append(regions, r.Name)
	}
	for _, a := range p.Administrators {
		admins = append(admins, a.Name)
	}
	return initView{Kind: "plan", Cluster: p.Name, Plan: hexOf(h[:]), Regions: strings.Join(regions, ", "), Admins: strings.Join(admins, ", "),
		Count: len(p.Officers.Recipients), Threshold: int(p.Officers.Threshold)}
}

func viewEnrolment(e *ceremony.Enrolment) initView {
	var curves []string
	for _, c := range e.Curves {
		curves = append(curves, c.String())
	}
	return initView{Kind: "enrolment", Plan: hexOf(e.Plan[:]), Region: e.Name, ServerID: e.ServerID, Identity: e.Identity.Fingerprint().String(),
		HSM: e.HSM, Curves: strings.Join(curves, ", ")}
}

func viewContribution(p *ceremony.Plan, c *ceremony.Contribution) initView {
	return initView{Kind: "contribution", Plan: hexOf(c.Plan[:]), Region: planned(p, c.Region)}
}

func planned(p *ceremony.Plan, id identity.RegionID) string {
	if p != nil && id >= 1 && int(id) <= len(p.Regions) {
		return p.Regions[id-1].Name
	}
	return fmt.Sprint(id)
}

func viewApproval(s *ceremony.Approval) initView {
	h := s.Document.Hash()
	return initView{Kind: "genesis signature", Cluster: s.Document.Name, Genesis: hexOf(h[:]), SignedBy: s.Signer()}
}

func viewOfficers(p *ceremony.Plan, o *ceremony.OfficersProved) initView {
	return initView{Kind: "officers proved", Genesis: hexOf(o.Genesis[:]), Region: planned(p, o.Region), Count: int(o.Officers), Threshold: int(o.Threshold)}
}

func viewGenesis(g *genesis.Genesis) initView {
	d := &g.Document
	h := d.Hash()
	v := initView{Kind: "genesis", Cluster: d.Name, Genesis: hexOf(h[:]), Count: len(d.Officers.Recipients), Threshold: int(d.Officers.Threshold)}
	var regions, admins []string
	for _, r := range d.Regions {
		regions = append(regions, r.Name)
	}
	for _, p := range d.Administrators {
		admins = append(admins, p.Name)
	}
	v.Regions, v.Admins = strings.Join(regions, ", "), strings.Join(admins, ", ")
	if g.Verify() == nil {
		v.SignedBy = "all regions and administrators"
	}
	return v
}

// viewsOf reads a plan, or whatever artefacts a file holds.
func viewsOf(name string) ([]initView, error) {
	if strings.HasSuffix(name, ".hcl") {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, errs.Wrap(errs.NotFound, err, "plan")
		}
		p, err := ceremony.ParsePlan(name, b)
		if err != nil {
			return nil, err
		}
		v := viewPlan(p)
		v.File = name
		return []initView{v}, nil
	}
	f, err := ceremony.ReadFiles(name)
	if err != nil {
		return nil, err
	}
	var out []initView
	for _, e := range f.Enrolments {
		out = append(out, viewEnrolment(e))
	}
	for _, c := range f.Contributions {
		out = append(out, viewContribution(nil, c))
	}
	for _, s := range f.Approvals {
		out = append(out, viewApproval(s))
	}
	for _, s := range f.Shares {
		out = append(out, initView{Kind: "officer share", Genesis: hexOf(s.Genesis[:]), Region: fmt.Sprint(s.Region), Officer: int(s.Index)})
	}
	for _, p := range f.Proofs {
		out = append(out, initView{Kind: "officer proof", Genesis: hexOf(p.Genesis[:]), Region: fmt.Sprint(p.Region), Officer: int(p.Index)})
	}
	for _, o := range f.Officers {
		out = append(out, viewOfficers(nil, o))
	}
	for _, e := range f.Reenrolments {
		out = append(out, viewReenrolment(nil, e))
	}
	for _, w := range f.Welcomes {
		out = append(out, viewWelcome(nil, w))
	}
	for _, g := range f.Genesis {
		out = append(out, viewGenesis(g))
	}
	for i := range out {
		out[i].File = name
	}
	return out, nil
}
