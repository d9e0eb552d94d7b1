package ceremony

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/config"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Plan is what the founders agree on before any key exists. Every file of the
// ceremony names the plan's hash, so that all sites provably worked from one plan.
type Plan struct {
	Cluster        identity.ClusterID
	Name           string
	Created        time.Time
	Regions        []PlannedRegion // ids 1..4 in the order of the file
	Administrators []genesis.Principal
	Officers       genesis.Officers
	Settings       command.Settings
}

// PlannedRegion is one region: its name and the addresses the others dial.
type PlannedRegion struct {
	ID                        identity.RegionID
	Name                      string
	RaftAddr, APIAddr, Gossip string
}

type planFile struct {
	Cluster        string        `hcl:"cluster"`
	ID             string        `hcl:"id"`
	Created        string        `hcl:"created"`
	Regions        []planRegion  `hcl:"region,block"`
	Administrators []planAdmin   `hcl:"administrator,block"`
	Officers       planOfficers  `hcl:"officers,block"`
	Settings       *planSettings `hcl:"settings,block"`
}

type planRegion struct {
	Name   string `hcl:"name,label"`
	Raft   string `hcl:"raft"`
	API    string `hcl:"api"`
	Gossip string `hcl:"gossip"`
}

type planAdmin struct {
	Name string `hcl:"name,label"`
	Key  string `hcl:"key"`
}

type planOfficers struct {
	Threshold  int      `hcl:"threshold"`
	Recipients []string `hcl:"recipients"`
}

type planSettings struct {
	MaxSkew       *string `hcl:"max_skew"`
	RequestMaxAge *string `hcl:"request_max_age"`
	MaxOpen       *int    `hcl:"max_open"`
}

// ParsePlan reads a plan and reports every problem it finds.
func ParsePlan(filename string, src []byte) (*Plan, error) {
	if len(src) > maxPlan {
		return nil, errs.New(errs.TooLarge, "plan %s is over %d bytes", filename, maxPlan)
	}
	parsed, diags := hclsyntax.ParseConfig(src, filename, hcl.InitialPos)
	var f planFile
	if !diags.HasErrors() {
		diags = gohcl.DecodeBody(parsed.Body, nil, &f)
	}
	var found []error
	for _, d := range diags {
		line := 1
		if d.Subject != nil {
			line = d.Subject.Start.Line
		}
		found = append(found, fmt.Errorf("%s:%d: %s: %s", filename, line, d.Summary, strings.Join(strings.Fields(d.Detail), " ")))
	}
	c := &planChecker{file: filename, found: found}
	p := &Plan{}
	if len(found) == 0 {
		p = c.plan(&f)
	}
	if len(c.found) > 0 {
		return nil, errs.Wrap(errs.Invalid, errors.Join(c.found...), "plan %s", filename)
	}
	return p, nil
}

type planChecker struct {
	file  string
	found []error
}

func (c *planChecker) fail(format string, args ...any) {
	c.found = append(c.found, fmt.Errorf(c.file+": "+format, args...))
}

func (c *planChecker) plan(f *planFile) *Plan {
	p := &Plan{Name: f.Cluster, Settings: DefaultSettings()}
	if !config.ValidName(f.Cluster) {
		c.fail("cluster: %q is not a name: a lower-case letter, then letters, digits and hyphens", f.Cluster)
	}
	id, err := hex.DecodeString(f.ID)
	if err != nil || len(id) != len(p.Cluster) || identity.ClusterID(id) == (identity.ClusterID{}) {
		c.fail("id: want 32 hex digits drawn at random; vaultctl init plan draws them")
	} else {
		p.Cluster = identity.ClusterID(id)
	}
	if p.Created, err = time.Parse(time.RFC3339, f.Created); err != nil || p.Created.Before(time.Unix(0, 0)) {
		c.fail("created: %q is not a time such as 2026-01-31T12:00:00Z", f.Created)
	}
	p.Created = p.Created.UTC().Truncate(time.Millisecond)
	c.regions(p, f.Regions)
	c.administrators(p, f.Administrators)
	c.officers(p, f.Officers)
	c.settings(p, f.Settings)
	return p
}

func (c *planChecker) regions(p *Plan, in []planRegion) {
	if len(in) != Regions {
		c.fail("%d region blocks: a cluster is founded by exactly %d", len(in), Regions)
	}
	seen := map[string]string{}
	for i, r := range in {
		if !config.ValidName(r.Name) {
			c.fail("region %q: not a name: a lower-case letter, then letters, digits and hyphens", r.Name)
		}
		for what, addr := range map[string]string{"raft": r.Raft, "api": r.API, "gossip": r.Gossip} {
			if err := config.CheckAddress(addr, true); err != nil {
				c.fail("region %q: %s: %v", r.Name, what, err)
			}
			c.once(seen, addr, fmt.Sprintf("%s of region %q", what, r.Name))
		}
		c.once(seen, "region "+r.Name, fmt.Sprintf("region block %d", i+1))
		p.Regions = append(p.Regions, PlannedRegion{identity.RegionID(i + 1), r.Name, r.Raft, r.API, r.Gossip})
	}
}

func (c *planChecker) once(seen map[string]string, key, who string) {
	if prev, ok := seen[key]; ok {
		c.fail("%s: %s has it already", who, prev)
	}
	seen[key] = who
}

func (c *planChecker) administrators(p *Plan, in []planAdmin) {
	if len(in) < genesis.MinAdministrators || len(in) > genesis.MaxAdministrators {
		c.fail("%d administrator blocks: dual control needs 2 to %d", len(in), genesis.MaxAdministrators)
	}
	seen := map[string]string{}
	for _, a := range in {
		if !config.ValidName(a.Name) {
			c.fail("administrator %q: not a name", a.Name)
		}
		k, err := identity.ParsePublicKey(a.Key)
		if err != nil {
			c.fail("administrator %q: %v", a.Name, err)
		}
		c.once(seen, "name "+a.Name, fmt.Sprintf("administrator %q", a.Name))
		c.once(seen, k.Text(), fmt.Sprintf("key of administrator %q", a.Name))
		p.Administrators = append(p.Administrators, genesis.Principal{Name: a.Name, Key: k, Roles: AdministratorRoles})
	}
}

func (c *planChecker) officers(p *Plan, in planOfficers) {
	n := len(in.Recipients)
	if n < 2 || n > genesis.MaxOfficers || in.Threshold < 2 || in.Threshold > n {
		c.fail("officers: threshold %d of %d recipients: want 2 to %d officers and a threshold from 2 to their number", in.Threshold, n, genesis.MaxOfficers)
		return
	}
	seen := map[string]string{}
	for i, r := range in.Recipients {
		who := fmt.Sprintf("officer %d", i+1)
		if _, err := age.ParseRecipients(strings.NewReader(r)); err != nil || strings.ContainsAny(r, "\n\r") {
			c.fail("%s: %.100q is not an age recipient (age1...)", who, r)
		}
		c.once(seen, r, who)
	}
	p.Officers = genesis.Officers{Threshold: uint8(in.Threshold), Recipients: in.Recipients}
}

func (c *planChecker) settings(p *Plan, in *planSettings) {
	if in == nil {
		return
	}
	duration := func(name string, v *string, to *time.Duration, least, most time.Duration) {
		if v == nil {
			return
		}
		d, err := time.ParseDuration(*v)
		if err != nil || d < least || d > most || d%time.Millisecond != 0 {
			c.fail("settings: %s: %q is not a duration from %s to %s", name, *v, least, most)
		}
		*to = d
	}
	duration("max_skew", in.MaxSkew, &p.Settings.MaxSkew, 100*time.Millisecond, time.Minute)
	duration("request_max_age", in.RequestMaxAge, &p.Settings.RequestMaxAge, time.Second, command.MaxLifetime)
	if in.MaxOpen != nil {
		if *in.MaxOpen < 1 || *in.MaxOpen > command.MaxOpen {
			c.fail("settings: max_open: %d is not from 1 to %d", *in.MaxOpen, command.MaxOpen)
		}
		p.Settings.MaxOpen = uint32(*in.MaxOpen)
	}
}

// DefaultSettings are the replicated limits a plan need not name.
func DefaultSettings() command.Settings {
	return command.Settings{MaxSkew: 2 * time.Second, RequestMaxAge: time.Hour, MaxOpen: 4096}
}

// Hash identifies the plan's content, however the file is laid out.
func (p *Plan) Hash() [32]byte {
	w := wire.NewWriter(2048)
	w.String("tetrad/plan/v1")
	w.Fixed(p.Cluster[:])
	w.String(p.Name)
	w.Time(p.Created)
	w.U8(uint8(len(p.Regions)))
	for _, r := range p.Regions {
		w.String(r.Name)
		w.String(r.RaftAddr)
		w.String(r.APIAddr)
		w.String(r.Gossip)
	}
	w.U8(uint8(len(p.Administrators)))
	for _, a := range p.Administrators {
		w.String(a.Name)
		a.Key.Write(w)
		w.U8(uint8(a.Roles))
	}
	w.U8(p.Officers.Threshold)
	w.U8(uint8(len(p.Officers.Recipients)))
	for _, r := range p.Officers.Recipients {
		w.String(r)
	}
	w.U64(uint64(p.Settings.MaxSkew.Milliseconds()))
	w.U64(uint64(p.Settings.RequestMaxAge.Milliseconds()))
	w.U32(p.Settings.MaxOpen)
	return sha256.Sum256(w.Bytes())
}

// Region finds a region by name.
func (p *Plan) Region(name string) (PlannedRegion, error) {
	var names []string
	for _, r := range p.Regions {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return PlannedRegion{}, errs.New(errs.NotFound, "region %q is not in the plan, which names %s", name, strings.Join(names, ", "))
}
