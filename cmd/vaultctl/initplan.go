package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func (a *app) initPlan() *cobra.Command {
	var name, out string
	var regions, admins, officers []string
	var threshold int
	c := a.leaf("plan --cluster NAME --out FILE", "Write a plan with a fresh cluster id", `
Write a plan to fill in and review. Regions, administrators and officers may be given:

  --region NAME=HOST                ports 7201 (raft), 7202 (api), 7203 (gossip)
  --region NAME=RAFT,API,GOSSIP     three addresses host:port
  --administrator NAME=PUBLIC-KEY   as vaultctl keygen prints it
  --officer AGE-RECIPIENT`, noArgs,
		func(context.Context, []string) error {
			if err := need("out", out); err != nil {
				return err
			}
			text, err := planText(name, regions, admins, officers, threshold)
			if err != nil {
				return err
			}
			if out != "-" {
				if _, err := os.Stat(out); err == nil {
					return errs.New(errs.Exists, "the plan %s exists already", out).WithHint("a new plan is a new cluster: choose another --out")
				}
			}
			if err := a.save(out, []byte(text), 0o644); err != nil {
				return err
			}
			a.progress("next: fill in and review %s, then vaultctl init enrol at every region", out)
			return nil
		})
	c.Flags().StringVar(&name, "cluster", "vault", "name of the cluster")
	c.Flags().StringVar(&out, "out", "", "file to write")
	c.Flags().StringArrayVar(&regions, "region", nil, "NAME=HOST or NAME=RAFT,API,GOSSIP (four times)")
	c.Flags().StringArrayVar(&admins, "administrator", nil, "NAME=PUBLIC-KEY (at least twice)")
	c.Flags().StringArrayVar(&officers, "officer", nil, "age recipient (at least twice)")
	c.Flags().IntVar(&threshold, "threshold", 2, "officers needed to recover the root key")
	return c
}

func planText(name string, regions, admins, officers []string, threshold int) (string, error) {
	var id [16]byte
	if err := random(id[:]); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Founding plan (vaultctl init --help). All sites must use the same one.\n\ncluster = %q\nid      = %q\ncreated = %q\n\n",
		name, hexOf(id[:]), time.Now().UTC().Format(time.RFC3339))
	b.WriteString("# Exactly four, in the order of their numbers; what the other regions and clients dial.\n")
	if len(regions) == 0 {
		regions = []string{"region-1=vault-1.example", "region-2=vault-2.example", "region-3=vault-3.example", "region-4=vault-4.example"}
	}
	for _, r := range regions {
		name, addr, ok := strings.Cut(r, "=")
		parts := strings.Split(addr, ",")
		if ok && len(parts) == 1 {
			parts = []string{addr + ":7201", addr + ":7202", addr + ":7203"}
		}
		if !ok || len(parts) != 3 {
			return "", usagef("--region %q: want NAME=HOST or NAME=RAFT,API,GOSSIP", r)
		}
		fmt.Fprintf(&b, "region %q {\n  raft   = %q\n  api    = %q\n  gossip = %q\n}\n", name, parts[0], parts[1], parts[2])
	}
	b.WriteString("\n# At least two: what matters takes both. Keys as vaultctl keygen prints them.\n")
	if len(admins) == 0 {
		admins = []string{"alice=ed25519:", "bob=ed25519:"}
	}
	for _, adm := range admins {
		name, key, ok := strings.Cut(adm, "=")
		if !ok {
			return "", usagef("--administrator %q: want NAME=PUBLIC-KEY", adm)
		}
		fmt.Fprintf(&b, "administrator %q {\n  key = %q\n}\n", name, key)
	}
	b.WriteString("\n# Any threshold of them can recover the root key (vaultctl keygen --type age).\n")
	if len(officers) == 0 {
		officers = []string{"age1", "age1", "age1"}
	}
	fmt.Fprintf(&b, "officers {\n  threshold = %d\n  recipients = [\n", threshold)
	for _, o := range officers {
		fmt.Fprintf(&b, "    %q,\n", o)
	}
	d := ceremony.DefaultSettings()
	fmt.Fprintf(&b, "  ]\n}\n\n# Replicated limits; two administrators can change them later.\nsettings {\n  max_skew        = %q\n  request_max_age = %q\n  max_open        = %d\n}\n",
		d.MaxSkew, d.RequestMaxAge, d.MaxOpen)
	return b.String(), nil
}
