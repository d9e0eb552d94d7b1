package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// levelView says how far the vault is, and every region.
type levelView struct {
	Level   uint32            `json:"level"`
	Least   uint32            `json:"may_be_raised_to"` // what every active region announced
	Regions []regionLevelView `json:"regions"`
}

type regionLevelView struct {
	Region    string `json:"region"`
	Announced uint32 `json:"announced"`
	Status    string `json:"status"`
}

func (a *app) levelCmd() *cobra.Command {
	return a.group("level", "What the releases of all regions understand", `
A release may bring commands that older ones cannot read. They are refused until every
region runs it and two administrators raise the level.`, a.levelShow(), a.levelRaise())
}

func (a *app) levelShow() *cobra.Command {
	return a.leaf("show", "Show the vault's level and what each region's release understands", "", noArgs,
		func(ctx context.Context, _ []string) error {
			return a.with(ctx, func(ctx context.Context, v *vault) error {
				ctx, cancel := a.deadline(ctx)
				defer cancel()
				s, err := v.Status(ctx)
				if err != nil {
					return advise(err)
				}
				if len(s.Regions) == 0 {
					return errs.New(errs.NotReady, "the node does not tell the state").WithHint("ask another one: --address")
				}
				out := levelView{Level: s.Level, Least: ^uint32(0)}
				for _, r := range s.Regions {
					out.Regions = append(out.Regions, regionLevelView{r.Name, r.Level, r.Status})
					if r.Status == "active" {
						out.Least = min(out.Least, r.Level)
					}
				}
				return a.printLevels(out)
			})
		})
}

func (a *app) printLevels(v levelView) error {
	return a.print(v, func(w io.Writer) {
		t := &table{head: []string{"REGION", "STATUS", "UNDERSTANDS LEVEL"}}
		for _, r := range v.Regions {
			t.add(r.Region, r.Status, itoa(uint64(r.Announced)))
		}
		a.pairs(w, "level", itoa(uint64(v.Level)), "may be raised to", itoa(uint64(v.Least)))
		a.table(w, t)
	})
}

func (a *app) levelRaise() *cobra.Command {
	var d dual
	var to uint32
	var reason string
	c := a.leaf("raise --to LEVEL --reason TEXT", "Let the vault use what newer releases brought", `
Never taken back: a region that starts with an older release afterwards stops, and says
so. Refused while an active region runs one. Two administrators sign.`, noArgs, func(ctx context.Context, _ []string) error {
		if err := need("reason", reason); err != nil {
			return err
		}
		if to == 0 {
			return usagef("--to is required: a level from 1")
		}
		return a.send(ctx, &d, &command.RaiseLevel{Level: to, Reason: reason}, nil)
	})
	c.Flags().Uint32Var(&to, "to", 0, "the level, as vaultctl level show says it may be")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return d.flags(a, c)
}
