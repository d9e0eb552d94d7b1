package main

import (
	"context"
	"encoding/hex"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

type principalView struct {
	Fingerprint string   `json:"fingerprint"`
	Name        string   `json:"name"`
	Tenant      string   `json:"tenant"`
	Algorithm   string   `json:"algorithm"`
	PublicKey   string   `json:"public_key"`
	Roles       []string `json:"roles"`
	Removed     bool     `json:"removed"`
}

func viewPrincipal(p *client.Principal) principalView {
	v := principalView{hexOf(p.Id), p.Name, p.Tenant, p.Algorithm, "", p.RoleNames, p.Removed}
	if k, err := identity.DecodePublicKey(p.PublicKey); err == nil {
		v.PublicKey = k.Text()
	}
	return v
}

func (a *app) principalCmd() *cobra.Command {
	var tenant string
	list := a.leaf("list", "List principals", "", noArgs, func(ctx context.Context, _ []string) error {
		return a.principals(ctx, tenant, func(_ *vault, ps []principalView) error {
			return a.print(ps, func(w io.Writer) {
				t := &table{head: []string{"NAME", "TENANT", "ROLES", "ALGORITHM", "FINGERPRINT", ""}}
				for _, p := range ps {
					gone := ""
					if p.Removed {
						gone = "removed"
					}
					t.add(p.Name, p.Tenant, strings.Join(p.Roles, ","), p.Algorithm, p.Fingerprint, gone)
				}
				a.table(w, t)
			})
		})
	})
	list.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	return a.group("principal", "Who may use the vault, and how", `
A principal is a public key with roles, in the vault itself (admin, operator, auditor)
or in a tenant (operator, signer, approver, auditor).`, list, a.principalAdd(), a.principalRemove())
}

func (a *app) principals(ctx context.Context, tenant string, do func(*vault, []principalView) error) error {
	return a.with(ctx, func(ctx context.Context, v *vault) error {
		short, cancel := a.deadline(ctx)
		defer cancel()
		out := []principalView{}
		for p, err := range v.Principals(short, tenant) {
			if err != nil {
				return advise(err)
			}
			out = append(out, viewPrincipal(p))
		}
		return do(v, out)
	})
}

func (a *app) principalAdd() *cobra.Command {
	var d dual
	var tenant, public, file, roles string
	c := a.leaf("add NAME --public-key KEY --roles ROLES [--tenant T]", "Add a principal, or change its roles", `
KEY is what vaultctl keygen printed to the principal. Two administrators sign.`, cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			if (public == "") == (file == "") {
				return usagef("give one of --public-key and --public-key-of")
			}
			if err := need("roles", roles); err != nil {
				return err
			}
			r, err := command.ParseRoles(roles)
			if err != nil {
				return usageError{err}
			}
			if err := command.CheckRoles(tenant, r); err != nil {
				return usageError{err}
			}
			key, err := publicKey(public, file)
			if err != nil {
				return err
			}
			return a.send(ctx, &d, &command.PutPrincipal{Name: args[0], Tenant: tenant, Key: key, Roles: r}, nil)
		})
	c.Flags().StringVar(&tenant, "tenant", "", "tenant it belongs to (default: the vault itself)")
	c.Flags().StringVar(&public, "public-key", "", "public key, as vaultctl keygen prints it")
	c.Flags().StringVar(&file, "public-key-of", "", "key file whose public side to use (labs)")
	c.Flags().StringVar(&roles, "roles", "", "comma-separated: admin, operator, signer, approver, auditor")
	return d.flags(a, c)
}

func publicKey(text, file string) (identity.PublicKey, error) {
	if file == "" {
		return identity.ParsePublicKey(text)
	}
	s, err := loadKey(file)
	if err != nil {
		return identity.PublicKey{}, err
	}
	return s.Public(), nil
}

func (a *app) principalRemove() *cobra.Command {
	var d dual
	c := a.leaf("remove FINGERPRINT", "Revoke a principal for ever", `
Two administrators sign. The whole fingerprint is asked for, so that nobody else is
revoked by a slip.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		b, err := hex.DecodeString(args[0])
		if err != nil || len(b) != len(identity.Fingerprint{}) {
			return usagef("%q is not a fingerprint of 64 hex digits; vaultctl principal list shows them", args[0])
		}
		return a.send(ctx, &d, &command.RemovePrincipal{Principal: identity.Fingerprint(b)}, nil)
	})
	return d.flags(a, c)
}

func (a *app) tenantCmd() *cobra.Command {
	var d dual
	list := a.leaf("list", "List tenants", "", noArgs, func(ctx context.Context, _ []string) error {
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			names, err := v.Tenants(ctx)
			if err != nil {
				return advise(err)
			}
			return a.print(append([]string{}, names...), func(w io.Writer) {
				t := &table{head: []string{"TENANT"}}
				for _, n := range names {
					t.add(n)
				}
				a.table(w, t)
			})
		})
	})
	create := d.flags(a, a.leaf("create NAME", "Create a tenant", "Two administrators sign.", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if err := command.CheckName("tenant", args[0]); err != nil {
			return usageError{err}
		}
		return a.send(ctx, &d, &command.CreateTenant{Name: args[0]}, nil)
	}))
	return a.group("tenant", "Clients of the vault", "", list, create)
}

// keyID reads a key's id, or looks its name up.
func keyID(ctx context.Context, v *vault, tenant, key string) (command.KeyID, *client.Key, error) {
	var k *client.Key
	var err error
	if b, herr := hex.DecodeString(key); herr == nil && len(b) == len(command.KeyID{}) {
		k, err = v.Key(ctx, command.KeyID(b))
	} else {
		k, err = v.KeyByName(ctx, tenant, key)
	}
	if err != nil {
		if errs.CodeOf(err) == errs.NotFound {
			return command.KeyID{}, nil, errs.Wrap(errs.NotFound, err, "key %q", key).WithHint("vaultctl key list shows the keys you may see; --tenant names another tenant's")
		}
		return command.KeyID{}, nil, advise(err)
	}
	if len(k.GetId()) != len(command.KeyID{}) {
		return command.KeyID{}, nil, errs.New(errs.Malformed, "the vault's answer names no key")
	}
	return command.KeyID(k.Id), k, nil
}
