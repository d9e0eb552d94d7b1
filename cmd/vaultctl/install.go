package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/config"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/node"
)

// installing is one use of vaultctl init install.
type installing struct {
	site
	rejoin  bool
	welcome []string
	trust   []string
}

func (a *app) initInstall() *cobra.Command {
	var in installing
	c := a.leaf("install --config VAULTD.HCL genesis.json [ceremony.pem]", "Write what vaultd needs into the region's data directory", `
Rebuild the root key and this region's beacon share from the contributions, wrap them
to the HSM and write them into the data directory with the genesis. Repeated, it
changes nothing.

--rejoin is for a region that lost its disk and has kept its HSM: it comes back under a
new incarnation and writes a new enrolment (--out), which two administrators approve
with vaultctl region replace.

--welcome is what living regions said (vaultctl region welcome): for a region that
re-enrolled with another HSM, which opens nothing of the founding; and, with --rejoin,
for one that lost its disk after some region had re-enrolled. At a region that is
installed it only notes who the others are now. An identity is believed when two other
regions say so; --trust-identity is for one that was compared out of band instead.`, cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string) error {
			if in.rejoin {
				if err := need("out", in.out); err != nil {
					return err
				}
			}
			files, err := ceremony.ReadFiles(append(args, in.welcome...)...)
			if err != nil {
				return err
			}
			if len(files.Welcomes) > 0 {
				return a.arrive(ctx, &in, files)
			}
			if len(in.welcome) > 0 || len(in.trust) > 0 {
				return errs.New(errs.Invalid, "no welcome given").WithHint("--welcome takes what vaultctl region welcome wrote; --trust-identity is about what it says")
			}
			return a.install(ctx, &in, files)
		})
	c.Flags().BoolVar(&in.rejoin, "rejoin", false, "this region's disk was lost: come back under a new incarnation")
	c.Flags().StringArrayVar(&in.welcome, "welcome", nil, "file of living regions' welcomes; may be repeated")
	c.Flags().StringArrayVar(&in.trust, "trust-identity", nil, "REGION=FINGERPRINT of an identity key that was compared out of band; may be repeated")
	return in.flags(c, false)
}

// install founds or rejoins a region by the founding's files alone.
func (a *app) install(ctx context.Context, in *installing, files *ceremony.Files) error {
	f, err := ceremony.NewFounding(files)
	if err != nil {
		return err
	}
	return a.atSite(ctx, &in.site, f.Plan(), func(site *ceremony.Site) error {
		again, err := site.Install(ctx, f, in.rejoin)
		if err != nil {
			return err
		}
		return a.installed(in, site, f.Genesis, again)
	})
}

// arrive installs a region by what living regions say.
func (a *app) arrive(ctx context.Context, in *installing, files *ceremony.Files) error {
	if len(files.Genesis) != 1 {
		return errs.New(errs.NotFound, "%d genesis files given, want one", len(files.Genesis))
	}
	g := files.Genesis[0]
	if err := g.Verify(); err != nil {
		return err
	}
	way := &ceremony.Arrival{Genesis: g, Rejoin: in.rejoin}
	var err error
	if len(files.Contributions) > 0 {
		if way.Found, err = ceremony.NewFounding(files); err != nil {
			return err
		}
	}
	trust, err := ceremony.ParseTrust(&g.Document, in.trust)
	if err != nil {
		return usageError{err}
	}
	if way.Heard, err = ceremony.Hear(&g.Document, files.Welcomes, trust); err != nil {
		return err
	}
	a.sayHeard(g, way.Heard)
	plan, err := planHere(g, in.config)
	if err != nil {
		return err
	}
	return a.atSite(ctx, &in.site, plan, func(site *ceremony.Site) error {
		again, err := site.Arrive(ctx, way)
		if err != nil {
			return err
		}
		return a.installed(in, site, g, again)
	})
}

// planHere is the genesis as a plan, with the addresses that this region advertises now: one
// that comes back may do so elsewhere.
func planHere(g *genesis.Genesis, file string) (*ceremony.Plan, error) {
	if err := need("config", file); err != nil {
		return nil, err
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	plan := ceremony.PlanOf(&g.Document)
	for i := range plan.Regions {
		if r := &plan.Regions[i]; r.Name == cfg.Region {
			r.RaftAddr, r.APIAddr, r.Gossip = cfg.Advertise.Raft, cfg.Advertise.API, cfg.Advertise.Gossip
		}
	}
	return plan, nil
}

// sayHeard tells what differs from the genesis, and where somebody contradicts.
func (a *app) sayHeard(g *genesis.Genesis, h *ceremony.Hearing) {
	for _, r := range h.Changed {
		a.progress("region %s has another identity than in the genesis: %s", regionName(g, r), h.Pins[r].Fingerprint())
	}
	var names []string
	for _, r := range h.Disputed {
		names = append(names, regionName(g, r))
	}
	if len(names) > 0 {
		a.progress("the welcomes disagree about %s: one of the regions that gave them lies or is behind; compare fingerprints by telephone", strings.Join(names, ", "))
	}
}

func (a *app) installed(in *installing, site *ceremony.Site, g *genesis.Genesis, again *ceremony.Enrolment) error {
	if err := node.Enrol(site.FS); err != nil {
		return err
	}
	if again == nil {
		return a.show("", viewGenesis(g), "start vaultd")
	}
	if in.out != "" {
		if err := a.save(in.out, again.File(), 0o644); err != nil {
			return err
		}
	}
	return a.show(in.out, viewEnrolment(again), "two administrators approve it with vaultctl region replace "+again.Name+" --enrolment FILE; then start vaultd")
}
