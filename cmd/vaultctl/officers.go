package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func (a *app) officersDeal() *cobra.Command {
	var s site
	c := a.leaf("deal --plan PLAN --config VAULTD.HCL --out DIR ENROLMENT... CONTRIBUTION...", "At one region: split the root key to the officers", `
Split the root key into recovery shares and encrypt one to each officer's age
recipient: DIR/officer-N.share. One region only does this, once all contributions are
there; repeated, it writes the same shares.`, cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string) error {
			plan, files, err := planAndFiles(s.plan, s.out, args)
			if err != nil {
				return err
			}
			return a.atSite(ctx, &s, plan, func(site *ceremony.Site) error {
				shares, err := site.DealOfficers(ctx, files.Enrolments, files.Contributions)
				if err != nil {
					return err
				}
				if err := os.MkdirAll(s.out, 0o755); err != nil {
					return durable.Coded(err, "making %s", s.out)
				}
				for _, share := range shares {
					if err := a.save(fmt.Sprintf("%s/officer-%d.share", s.out, share.Index), share.File(), 0o644); err != nil {
						return err
					}
				}
				v := initView{Kind: "officer shares", Genesis: hexOf(shares[0].Genesis[:]), Region: site.Region.Name, Count: len(shares), Threshold: int(plan.Officers.Threshold)}
				return a.show(s.out, v, "each officer keeps the share and answers with vaultctl init officers prove")
			})
		})
	return s.flags(c, true)
}

func (a *app) officersProve() *cobra.Command {
	var share, identityFile, hash, out string
	c := a.leaf("prove --share FILE --identity AGE-KEY --hash HASH --out FILE SIGNATURE", "As an officer: show that the share can be opened", `
Open the recovery share with the officer's age identity and encrypt it to the region
that asks, after checking that this region belongs to the genesis whose hash was read
out (SIGNATURE is any region's file of vaultctl init sign). Keep the share: it is what
recovers the vault. The proof is of use to that region alone.`, cobra.ExactArgs(1),
		func(_ context.Context, args []string) error {
			if err := need("share", share, "identity", identityFile, "hash", hash, "out", out); err != nil {
				return err
			}
			h, err := ceremony.ParseHash(hash)
			if err != nil {
				return usageError{err}
			}
			files, err := ceremony.ReadFiles(share, args[0])
			if err != nil {
				return err
			}
			if len(files.Shares) != 1 || len(files.Approvals) == 0 {
				return errs.New(errs.Invalid, "want one officer share in %s and a region's genesis signature in %s", share, args[0])
			}
			ids, err := officerIdentities(identityFile)
			if err != nil {
				return err
			}
			proof, err := ceremony.ProveShare(files.Shares[0], files.Approvals[0], h, ids...)
			if err != nil {
				return err
			}
			if err := a.save(out, proof.File(), 0o644); err != nil {
				return err
			}
			v := initView{Kind: "officer proof", Genesis: hexOf(proof.Genesis[:]), Officer: int(proof.Index)}
			return a.show(out, v, "send it to the region that dealt the share, and keep the share itself")
		})
	f := c.Flags()
	f.StringVar(&share, "share", "", "the officer's share")
	f.StringVar(&identityFile, "identity", "", "the officer's age identity file")
	f.StringVar(&hash, "hash", "", "genesis hash as compared between the sites")
	f.StringVar(&out, "out", "", "file to write")
	return c
}

func officerIdentities(name string) ([]age.Identity, error) {
	b, err := readPrivate(name)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil {
		return nil, errs.New(errs.Malformed, "%s is no age identity file", name) // the cause could quote the key
	}
	return ids, nil
}

func (a *app) officersCheck() *cobra.Command {
	var s site
	c := a.leaf("check --plan PLAN --config VAULTD.HCL --out FILE ENROLMENT... CONTRIBUTION... PROOF...", "At the region that dealt: test reconstruction", `
Open every officer's proof, reconstruct the root key from the shares and compare it
with the genesis. The result is signed by the region; init finish asks for it.`, cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string) error {
			plan, files, err := planAndFiles(s.plan, s.out, args)
			if err != nil {
				return err
			}
			return a.atSite(ctx, &s, plan, func(site *ceremony.Site) error {
				proved, err := site.CheckOfficers(ctx, files.Enrolments, files.Contributions, files.Proofs)
				if err != nil {
					return err
				}
				if err := a.save(s.out, proved.File(), 0o644); err != nil {
					return err
				}
				return a.show(s.out, viewOfficers(plan, proved), "vaultctl init finish, with this file among the others")
			})
		})
	return s.flags(c, true)
}
