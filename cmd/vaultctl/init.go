package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/config"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/pkcs11"
)

const initHelp = `
Found a cluster: four regions, each at its own site with its own HSM, and nobody who
knows a secret alone. Files travel between the sites, by mail or by hand; none of them
is secret, and every one is checked by whoever uses it.

  1. Together     vaultctl init plan        one plan, reviewed by all
  2. Each region  vaultctl init enrol       makes its keys in the HSM; commits to a contribution
     -> everyone gets all four enrolments
  3. Each region  vaultctl init contribute  its part of the root key and the beacon key
     -> everyone gets all four contributions
  4. Each region  vaultctl init sign        checks everything, signs the genesis, prints its hash
     -> read the hash out between all sites: it must be the same everywhere
  5. One region   vaultctl init officers deal     recovery shares for the officers
     Each officer vaultctl init officers prove    shows that the share can be opened
     That region  vaultctl init officers check    test reconstruction
  6. Each admin   vaultctl init approve     signs the genesis whose hash was compared
  7. Anyone       vaultctl init finish      collects it all: genesis.json and ceremony.pem
  8. Each region  vaultctl init install     writes what vaultd needs into its data directory

Much later, at a region that lost its HSM: vaultctl init reenrol, with another one.

Then start vaultd everywhere. Every step can be repeated. The steps of a region read
its vaultd configuration (--config) and open its HSM with it; vaultd must not run.`

func (a *app) initCmd() *cobra.Command {
	return a.group("init", "Found a cluster: the ceremony, step by step", initHelp,
		a.initPlan(), a.initShow(), a.initEnrol(), a.initContribute(), a.initSign(),
		a.group("officers", "Recovery shares of the root key", "", a.officersDeal(), a.officersProve(), a.officersCheck()),
		a.initApprove(), a.initFinish(), a.initInstall(), a.initReenrol())
}

// site holds the flags of a step at a region.
type site struct{ plan, config, out string }

func (s *site) flags(c *cobra.Command, withPlan bool) *cobra.Command {
	if withPlan {
		c.Flags().StringVar(&s.plan, "plan", "", "the plan file")
	}
	c.Flags().StringVar(&s.config, "config", "", "this region's vaultd configuration")
	c.Flags().StringVar(&s.out, "out", "", "file to write")
	return c
}

func readPlan(name string) (*ceremony.Plan, error) {
	if err := need("plan", name); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, durable.Coded(err, "plan")
	}
	return ceremony.ParsePlan(name, b)
}

// atSite opens a region's HSM and data directory for one step.
func (a *app) atSite(ctx context.Context, s *site, plan *ceremony.Plan, do func(*ceremony.Site) error) (err error) {
	if err := need("config", s.config); err != nil {
		return err
	}
	cfg, err := config.Load(s.config)
	if err != nil {
		return err
	}
	region, err := plan.Region(cfg.Region)
	if err != nil {
		return err
	}
	if err := sameAddresses(cfg, region); err != nil {
		return err
	}
	fs, err := durable.Dir(cfg.DataDir)
	if err != nil {
		return err
	}
	hsm, err := openHSM(ctx, cfg.HSM)
	if err != nil {
		return err
	}
	defer closeHSM(ctx, hsm, &err)
	return do(&ceremony.Site{Plan: plan, Region: region, HSM: hsm, FS: fs})
}

// sameAddresses stops a region from founding with addresses it will not answer at.
func sameAddresses(cfg *config.Config, r ceremony.PlannedRegion) error {
	for _, c := range []struct{ what, plan, here string }{
		{"raft", r.RaftAddr, cfg.Advertise.Raft}, {"api", r.APIAddr, cfg.Advertise.API}, {"gossip", r.Gossip, cfg.Advertise.Gossip}} {
		if c.plan != c.here {
			return errs.New(errs.Invalid, "region %q: the plan says %s is at %s, but %s advertises %s", r.Name, c.what, c.plan, cfg.Path, c.here).
				WithHint("change one of the two: the plan before anyone enrolled, the advertise block at any time")
		}
	}
	return nil
}

// closeHSM lets go of an HSM, whatever became of ctx; a fault shows where there is none yet.
func closeHSM(ctx context.Context, hsm *seal.HSM, err *error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if cerr := hsm.Close(ctx); *err == nil {
		*err = cerr
	}
}

func openHSM(ctx context.Context, c config.HSM) (*seal.HSM, error) {
	module, err := pkcs11.Load(c.Module, c.InitArgs)
	if err != nil {
		return nil, err
	}
	pin := seal.PINFile(c.PINFile)
	if c.PINCredential != "" {
		pin = seal.PINCredential(c.PINCredential)
	}
	return seal.Open(ctx, seal.Config{Token: module.Token(c.TokenLabel), PIN: pin, Sessions: c.Workers, Timeout: c.Timeout, Logger: slog.New(slog.DiscardHandler)})
}

func (a *app) initEnrol() *cobra.Command {
	var s site
	var restart bool
	c := a.leaf("enrol --plan PLAN --config VAULTD.HCL --out FILE", "Round 1 at a region: make its keys, commit to a contribution", `
Make the region's identity and wrapping key in its HSM, or find them there, and write
the enrolment: public keys, what the HSM can do, and a commitment to the contribution
of round 2. Repeated, it writes the same enrolment again.

--restart forgets an enrolment that no longer counts, for example of an older plan. If
any region restarts, all enrol and contribute again.`, noArgs,
		func(ctx context.Context, _ []string) error {
			plan, err := readPlan(s.plan)
			if err != nil {
				return err
			}
			if err := need("out", s.out); err != nil {
				return err
			}
			return a.atSite(ctx, &s, plan, func(site *ceremony.Site) error {
				if restart {
					if err := site.Restart(); err != nil {
						return err
					}
				}
				a.progress("making keys in the HSM of region %s (an RSA key can take a minute)", site.Region.Name)
				e, err := site.Enrol(ctx)
				if err != nil {
					return err
				}
				if err := a.save(s.out, e.File(), 0o644); err != nil {
					return err
				}
				return a.show(s.out, viewEnrolment(e), "bring it to all sites, then vaultctl init contribute")
			})
		})
	c.Flags().BoolVar(&restart, "restart", false, "forget what this region enrolled before")
	return s.flags(c, true)
}

func (a *app) initContribute() *cobra.Command {
	var s site
	c := a.leaf("contribute --plan PLAN --config VAULTD.HCL --out FILE ENROLMENT...", "Round 2 at a region: its part of root key and beacon key", `
Check all four enrolments and write this region's contribution: its part of the root
key and its dealing of the beacon key, sealed to the HSM of each region. It must match
the commitment of round 1. Repeated with the same enrolments, it writes the same
contribution; with others it refuses.`, cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string) error {
			plan, files, err := planAndFiles(s.plan, s.out, args)
			if err != nil {
				return err
			}
			return a.atSite(ctx, &s, plan, func(site *ceremony.Site) error {
				v, err := site.Contribute(ctx, files.Enrolments)
				if err != nil {
					return err
				}
				if err := a.save(s.out, v.File(), 0o644); err != nil {
					return err
				}
				return a.show(s.out, viewContribution(plan, v), "bring it to all sites, then vaultctl init sign")
			})
		})
	return s.flags(c, true)
}

func planAndFiles(plan, out string, args []string) (*ceremony.Plan, *ceremony.Files, error) {
	p, err := readPlan(plan)
	if err != nil {
		return nil, nil, err
	}
	if err := need("out", out); err != nil {
		return nil, nil, err
	}
	files, err := ceremony.ReadFiles(args...)
	return p, files, err
}

func (a *app) initSign() *cobra.Command {
	var s site
	c := a.leaf("sign --plan PLAN --config VAULTD.HCL --out FILE ENROLMENT... CONTRIBUTION...", "Round 3 at a region: check everything, sign the genesis", `
Open and check all four contributions, build the genesis and sign its hash with the
region's identity key. Read the hash that is printed out to all other sites: unless it
is the same everywhere, somebody has been given other files.`, cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string) error {
			plan, files, err := planAndFiles(s.plan, s.out, args)
			if err != nil {
				return err
			}
			return a.atSite(ctx, &s, plan, func(site *ceremony.Site) error {
				v, err := site.Sign(ctx, files.Enrolments, files.Contributions)
				if err != nil {
					return err
				}
				if err := a.save(s.out, v.File(), 0o644); err != nil {
					return err
				}
				return a.show(s.out, viewApproval(v), "compare the genesis hash with all sites, then vaultctl init approve")
			})
		})
	return s.flags(c, true)
}

func (a *app) initApprove() *cobra.Command {
	var s site
	var hash string
	c := a.leaf("approve --plan PLAN --key-file KEY --hash HASH --out FILE SIGNATURE...", "Sign the genesis as an administrator", `
Sign the genesis that the regions signed, after checking that it says what the plan
says and has the hash that was compared between the sites. Take the hash from there,
by telephone or face to face, not from the file.`, cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string) error {
			plan, files, err := planAndFiles(s.plan, s.out, args)
			if err != nil {
				return err
			}
			if err := need("hash", hash); err != nil {
				return err
			}
			h, err := ceremony.ParseHash(hash)
			if err != nil {
				return usageError{err}
			}
			key, err := a.signer()
			if err != nil {
				return err
			}
			v, err := plan.Approve(ctx, files.Approvals, h, key)
			if err != nil {
				return err
			}
			if err := a.save(s.out, v.File(), 0o644); err != nil {
				return err
			}
			return a.show(s.out, viewApproval(v), "when all regions and administrators have signed: vaultctl init finish")
		})
	c.Flags().StringVar(&s.plan, "plan", "", "the plan file")
	c.Flags().StringVar(&s.out, "out", "", "file to write")
	c.Flags().StringVar(&hash, "hash", "", "genesis hash as compared between the sites")
	return c
}

func (a *app) initFinish() *cobra.Command {
	var s site
	c := a.leaf("finish --plan PLAN --out DIR FILE...", "Collect all files into genesis.json and ceremony.pem", `
Check and collect every enrolment, contribution and signature and the officers' word.
genesis.json is public: nodes and clients trust by it. ceremony.pem is for the regions:
with it a region whose disk is lost rebuilds itself from its HSM.`, cobra.MinimumNArgs(1),
		func(_ context.Context, args []string) error {
			plan, files, err := planAndFiles(s.plan, s.out, args)
			if err != nil {
				return err
			}
			f, err := plan.Finish(files)
			if err != nil {
				return err
			}
			text, err := f.Genesis.MarshalFile()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(s.out, 0o755); err != nil {
				return durable.Coded(err, "making %s", s.out)
			}
			for name, b := range map[string][]byte{ceremony.FileGenesis: text, ceremony.FileBundle: f.BundleFile()} {
				if err := a.save(s.out+"/"+name, b, 0o644); err != nil {
					return err
				}
			}
			return a.show(s.out, viewGenesis(f.Genesis), "bring both files to every region: vaultctl init install")
		})
	c.Flags().StringVar(&s.plan, "plan", "", "the plan file")
	c.Flags().StringVar(&s.out, "out", "", "directory to write genesis.json and ceremony.pem to")
	return c
}

func (a *app) initShow() *cobra.Command {
	return a.leaf("show FILE...", "Show what files of the ceremony say", `
Show plans, enrolments, contributions, signatures, officers' files and genesis.json,
after checking what can be checked of each by itself.`, cobra.MinimumNArgs(1),
		func(_ context.Context, args []string) error {
			var views []initView
			for _, name := range args {
				vs, err := viewsOf(name)
				if err != nil {
					return err
				}
				views = append(views, vs...)
			}
			return a.print(views, func(w io.Writer) {
				for i, v := range views {
					if i > 0 {
						fmt.Fprintln(w)
					}
					a.pairs(w, v.pairs()...)
				}
			})
		})
}

// show prints what a step made and what comes next.
func (a *app) show(file string, v initView, next string) error {
	v.File = file
	err := a.print(v, func(w io.Writer) { a.pairs(w, v.pairs()...) })
	a.progress("next: %s", next)
	return err
}
