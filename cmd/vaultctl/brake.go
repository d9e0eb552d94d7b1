package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

// frozenView is a frozen child of a threshold key.
type frozenView struct {
	Path   string `json:"path"`
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

func viewFrozen(all []*tetradv1.FrozenPath) (out []frozenView) {
	for _, f := range all {
		out = append(out, frozenView{command.PathText(f.Path), hexOf(f.By), f.Reason})
	}
	return out
}

// String says it in one line.
func (f frozenView) String() string {
	s := f.Path + " and all below it, by " + f.By
	if f.Reason != "" {
		s += ": " + f.Reason
	}
	return s
}

const pathHint = "a child of the key and all below it, like m/0/5 or m/1/*"

// parsePrefix reads a path to freeze: m/0/5 or 0/5, and m/1/* as another way to write m/1.
func parsePrefix(text string) ([]uint32, error) {
	s := strings.TrimSuffix(text, "/*")
	if !strings.HasPrefix(s, "m") {
		s = "m/" + s
	}
	path, err := command.ParsePath(s)
	if err != nil {
		return nil, usageError{err}
	}
	if len(path) == 0 {
		return nil, usagef("--path %q: that is the whole key; leave --path away", text)
	}
	return path, nil
}

// braking is a pair of commands: one for a key or a child of it, one for the vault.
type braking struct {
	key  func(id command.KeyID, path []uint32, why string) command.Body
	all  func(why string) command.Body
	help string
}

func (a *app) freezeCmd() *cobra.Command {
	return a.freezing("freeze", "Stop a key, a child of it, or the whole vault, at once", braking{
		key: func(id command.KeyID, path []uint32, why string) command.Body {
			if len(path) > 0 {
				return &command.FreezePath{Key: id, Path: path, Reason: why}
			}
			return &command.FreezeKey{Key: id, Reason: why}
		},
		all: func(why string) command.Body { return &command.FreezeVault{Reason: why} }, help: `
Freezing takes one administrator or operator; unfreezing takes two administrators. With
--path a child of a threshold key stops, with everything below it: a payment is refused if
one of its inputs is there.`})
}

func (a *app) unfreezeCmd() *cobra.Command {
	return a.freezing("unfreeze", "Let a key, a child of it, or the vault, sign again", braking{
		key: func(id command.KeyID, path []uint32, why string) command.Body {
			if len(path) > 0 {
				return &command.UnfreezePath{Key: id, Path: path, Reason: why}
			}
			return &command.UnfreezeKey{Key: id, Reason: why}
		},
		all: func(why string) command.Body { return &command.UnfreezeVault{Reason: why} }, help: `
Two administrators sign. Each path is unfrozen as it was frozen; vaultctl key show lists
them.`})
}

func (a *app) freezing(verb, short string, b braking) *cobra.Command {
	var d dual
	var tenant, reason, path string
	var whole bool
	c := a.leaf(verb+" KEY|--vault [--path PATH] --reason TEXT", short, b.help, cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		if whole == (len(args) == 1) {
			return usagef("give a key, or --vault for all of them")
		}
		if err := need("reason", reason); err != nil {
			return err
		}
		at, err := prefixOf(path, whole)
		if err != nil {
			return err
		}
		if whole {
			return a.send(ctx, &d, b.all(reason), nil)
		}
		return a.onKey(ctx, &d, tenant, args[0], func(id command.KeyID) command.Body { return b.key(id, at, reason) })
	})
	c.Flags().BoolVar(&whole, "vault", false, "every key")
	c.Flags().StringVar(&path, "path", "", pathHint)
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the key")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return d.flags(a, c)
}

// prefixOf reads --path where it is given.
func prefixOf(text string, whole bool) ([]uint32, error) {
	switch {
	case text == "":
		return nil, nil
	case whole:
		return nil, usagef("--path is of a key, not of the vault")
	}
	return parsePrefix(text)
}
