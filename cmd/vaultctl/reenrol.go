package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
)

func (a *app) initReenrol() *cobra.Command {
	var s site
	c := a.leaf("reenrol --config VAULTD.HCL --out FILE genesis.json", "At a region that lost its HSM: make its keys in another one", `
Make identity and wrapping keys in a new HSM, or find them there, and write what two
administrators bring into the vault with vaultctl region replace. The data directory
must be empty. Repeated, it writes the same file. The region goes on at the addresses
that its configuration advertises, which may be others than before.

Keys of the old HSM are not brought back by this: multisig keys lose a signer for ever,
threshold keys and the beacon key give the region new shares with vaultctl key reshare
and vaultctl beacon reshare. If only the disk was lost: vaultctl init install --rejoin.`, cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string) error {
			if err := need("out", s.out); err != nil {
				return err
			}
			files, err := ceremony.ReadFiles(args...)
			if err != nil {
				return err
			}
			if len(files.Genesis) != 1 {
				return errs.New(errs.NotFound, "%d genesis files given, want one", len(files.Genesis))
			}
			g := files.Genesis[0]
			if err := g.Verify(); err != nil {
				return err
			}
			plan, err := planHere(g, s.config)
			if err != nil {
				return err
			}
			return a.atSite(ctx, &s, plan, func(site *ceremony.Site) error {
				a.progress("making keys in the HSM of region %s (an RSA key can take a minute)", site.Region.Name)
				e, err := site.Reenrol(ctx, &g.Document)
				if err != nil {
					return err
				}
				if err := a.save(s.out, e.File(), 0o644); err != nil {
					return err
				}
				return a.show(s.out, viewReenrolment(g, e), "read the identity out to two administrators: vaultctl region replace "+site.Region.Name+" --enrolment FILE")
			})
		})
	return s.flags(c, false)
}

func viewReenrolment(g *genesis.Genesis, e *ceremony.Reenrolment) initView {
	var curves []string
	for _, c := range e.Curves {
		curves = append(curves, command.Curve(c).String())
	}
	v := initView{Kind: "re-enrolment", Region: fmt.Sprint(e.Region), ServerID: e.ServerID, Identity: e.Identity.Fingerprint().String(), HSM: e.HSM, Curves: strings.Join(curves, ", ")}
	if g != nil {
		v.Region = regionName(g, e.Region)
	}
	return v
}

func viewWelcome(g *genesis.Genesis, w *ceremony.Welcome) initView {
	name := func(r identity.RegionID) string {
		if g != nil {
			return regionName(g, r)
		}
		return fmt.Sprint(r)
	}
	var regions []string
	for i, k := range w.Identities {
		regions = append(regions, name(identity.RegionID(i+1))+" "+k.Fingerprint().Short())
	}
	return initView{Kind: "welcome", Genesis: hexOf(w.Lineage[:]), Region: name(w.Guest), SignedBy: "region " + name(w.Roll.Region), Regions: strings.Join(regions, ", ")}
}

func (a *app) regionReplace() *cobra.Command {
	var d dual
	var file string
	c := a.leaf("replace REGION --enrolment FILE", "Approve a region's new incarnation after it lost its disk, or its HSM", `
FILE is what vaultctl init install --rejoin wrote at the region: its disk was lost, and
its identity key must be the one it has. Or it is what vaultctl init reenrol wrote: its
HSM was lost, and it goes on with the keys of another one. Then compare the new identity
with the region's operator by telephone; the region must have been away for a minute, or
be in quarantine. Two administrators sign.`, cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			if err := need("enrolment", file); err != nil {
				return err
			}
			g, err := a.anchor()
			if err != nil {
				return err
			}
			region, err := regionID(g, args[0])
			if err != nil {
				return err
			}
			files, err := ceremony.ReadFiles(file)
			if err != nil {
				return err
			}
			switch {
			case len(files.Enrolments)+len(files.Reenrolments) != 1:
				return errs.New(errs.Invalid, "%s holds %d enrolments, want one", file, len(files.Enrolments)+len(files.Reenrolments))
			case len(files.Reenrolments) == 1:
				return a.replaceHSM(ctx, &d, g, region, files.Reenrolments[0])
			}
			return a.replaceDisk(ctx, &d, g, region, files.Enrolments[0])
		})
	c.Flags().StringVar(&file, "enrolment", "", "the region's new enrolment")
	return d.flags(a, c)
}

// replaceDisk approves an empty disk behind an HSM that the vault knows: the one of the
// genesis, or one that the region was enrolled with since.
func (a *app) replaceDisk(ctx context.Context, d *dual, g *genesis.Genesis, region identity.RegionID, e *ceremony.Enrolment) error {
	if e.Region != region || e.Name != regionName(g, region) || e.Cluster != g.Document.Cluster {
		return errs.New(errs.Unverified, "the enrolment is not one of region %q of this vault", regionName(g, region))
	}
	now, err := a.identityOf(ctx, region)
	if err != nil && d.propose == "" {
		return advise(err)
	}
	if err != nil { // a proposal needs no connection; who sends it in the end looks again
		a.progress("no region says who %s is now: judged by the genesis", e.Name)
		now = g.Document.Regions[region-1].Identity
	}
	if !now.Equal(e.Identity) {
		return errs.New(errs.Unverified, "the enrolment is signed by another identity key than region %q has", e.Name).
			WithHint("if its HSM was lost too, begin with vaultctl init reenrol at the region; if it was re-enrolled before, somebody has its old HSM")
	}
	return a.send(ctx, d, &command.ReplaceMember{Region: e.Region, ServerID: e.ServerID, RaftAddr: e.RaftAddr, APIAddr: e.APIAddr,
		GossipAddr: e.GossipAddr, Enrolment: e.Encode()}, nil)
}

// checkArrival is the second administrator's look at who comes: by the identity that the
// region has now, as living regions say.
func (a *app) checkArrival(ctx context.Context, v *vault, body command.Body) error {
	replace, disk := body.(*command.ReplaceMember)
	if _, hsm := body.(*command.Reenrol); !hsm && (!disk || len(replace.Enrolment) == 0) {
		return nil
	}
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	if err := v.askIdentities(ctx); err != nil {
		return advise(err)
	}
	if b, hsm := body.(*command.Reenrol); hsm {
		if now := v.identities[b.Region].Fingerprint(); now != b.Replaces {
			return errs.New(errs.Stale, "the proposal replaces identity %s, region %s has %s", b.Replaces.Short(), regionName(v.genesis, b.Region), now.Short())
		}
		return (&ceremony.Reenrolment{Reenrol: *b}).Check(&v.genesis.Document)
	}
	e, err := ceremony.DecodeEnrolment(replace.Enrolment)
	if err != nil {
		return err
	}
	if e.Region != replace.Region || e.ServerID != replace.ServerID || !v.identities[e.Region].Equal(e.Identity) {
		return errs.New(errs.Unverified, "the proposal rests on an enrolment that region %s's identity key did not sign", regionName(v.genesis, replace.Region)).
			WithHint("ask whoever proposed it where the enrolment comes from")
	}
	return nil
}

// identityOf asks the living regions for a region's identity key.
func (a *app) identityOf(ctx context.Context, region identity.RegionID) (k identity.PublicKey, err error) {
	err = a.with(ctx, func(ctx context.Context, v *vault) error {
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		err := v.askIdentities(ctx)
		k = v.identities[region]
		return err
	})
	return k, err
}

// replaceHSM has a region go on with another HSM, and says first what that costs.
func (a *app) replaceHSM(ctx context.Context, d *dual, g *genesis.Genesis, region identity.RegionID, e *ceremony.Reenrolment) error {
	if e.Region != region {
		return errs.New(errs.Invalid, "the re-enrolment is one of region %s, not of %s", regionName(g, e.Region), regionName(g, region))
	}
	if err := e.Check(&g.Document); err != nil {
		return err
	}
	body := e.Reenrol
	err := a.with(ctx, func(ctx context.Context, v *vault) error {
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		if err := v.askIdentities(ctx); err != nil {
			return advise(err)
		}
		body.Replaces = v.identities[region].Fingerprint()
		return a.sayLosses(ctx, v, region)
	})
	if err != nil {
		return err
	}
	a.progress("new identity %s, new HSM %s: compare with the region's operator by telephone", e.Identity.Fingerprint(), e.HSM)
	return a.send(ctx, d, &body, nil)
}

// sayLosses tells which keys lose a signer, and which get it back with new shares.
func (a *app) sayLosses(ctx context.Context, v *vault, region identity.RegionID) error {
	tenants, err := v.Tenants(ctx)
	if err != nil {
		return advise(err)
	}
	for _, tenant := range tenants {
		for k, err := range v.Keys(ctx, tenant) {
			if err != nil {
				return advise(err)
			}
			if line := loss(k, region); line != "" {
				a.progress("%s", line)
			}
		}
	}
	a.progress("the beacon key loses a holder until vaultctl beacon reshare")
	return nil
}

func loss(k *client.Key, region identity.RegionID) string {
	if k.State == tetradv1.KeyState_KEY_STATE_RETIRED {
		return ""
	}
	if isThreshold(k) {
		for _, h := range k.GetSharing().GetHolders() {
			if h == uint32(region) {
				return fmt.Sprintf("key %s (tenant %s) loses a holder until vaultctl key reshare %s", k.Name, k.Tenant, k.Name)
			}
		}
		return ""
	}
	left, held := 0, false
	for _, at := range k.Attestations {
		switch {
		case at.Region == uint32(region):
			held = !at.Lost
		case !at.Lost:
			left++
		}
	}
	if !held {
		return ""
	}
	line := fmt.Sprintf("key %s (tenant %s) loses a signer for ever: %d of %d are left, %d sign", k.Name, k.Tenant, left, len(k.Attestations), k.Signers)
	if left <= int(k.Signers) {
		line += "; MOVE WHAT IT HOLDS: no further loss can be borne"
	}
	return line
}

func (a *app) regionWelcome() *cobra.Command {
	var out string
	c := a.leaf("welcome REGION --out FILE", "Get what a region with an empty disk needs of the living ones", `
Ask the living regions who all regions are now, and for the root key, wrapped to the HSM
that the vault knows for REGION. Nothing in it is of use to anybody else. Two regions at
least must answer. At the region: vaultctl init install --welcome FILE. Administrators
and operators of the vault may ask.`, cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			if err := need("out", out); err != nil {
				return err
			}
			return a.with(ctx, func(ctx context.Context, v *vault) error {
				ctx, cancel := a.deadline(ctx)
				defer cancel()
				region, err := regionID(v.genesis, args[0])
				if err != nil {
					return err
				}
				rolls, err := v.Rolls(ctx, region)
				if err != nil {
					return advise(err)
				}
				return a.saveWelcome(v, region, rolls, out)
			})
		})
	c.Flags().StringVar(&out, "out", "", "file to write")
	return c
}

const welcomesLeast = 2 // regions that must say so: one of two is honest

type welcomeView struct {
	Region     string            `json:"region"`
	File       string            `json:"file"`
	By         []string          `json:"said_by"`
	Identities map[string]string `json:"identities"`
}

func (a *app) saveWelcome(v *vault, region identity.RegionID, rolls [][]byte, out string) error {
	var text bytes.Buffer
	view := welcomeView{Region: regionName(v.genesis, region), File: out, Identities: map[string]string{}}
	for _, raw := range rolls {
		o, err := roll.Decode(raw)
		if err != nil {
			return err
		}
		if o.Region == region {
			continue
		}
		text.Write((&ceremony.Welcome{Roll: o}).File())
		view.By = append(view.By, regionName(v.genesis, o.Region))
		for i, k := range o.Identities {
			name := regionName(v.genesis, identity.RegionID(i+1))
			if was, ok := view.Identities[name]; ok && was != k.Fingerprint().String() {
				a.progress("the regions disagree about the identity of %s: one of them lies or is behind", name)
			}
			view.Identities[name] = k.Fingerprint().String()
		}
	}
	if len(view.By) < welcomesLeast {
		return errs.New(errs.Unavailable, "only %d of the other regions answered, want at least %d: nothing was written", len(view.By), welcomesLeast).
			WithHint("vaultctl status shows who is up; your key must be an administrator's or operator's of the vault")
	}
	if err := a.save(out, text.Bytes(), 0o644); err != nil {
		return err
	}
	err := a.print(view, func(w io.Writer) {
		a.pairs(w, "file", out, "for region", view.Region, "said by", strings.Join(view.By, ", "))
	})
	a.progress("next, at region %s: vaultctl init install --welcome %s --config VAULTD.HCL genesis.json", view.Region, out)
	return err
}
