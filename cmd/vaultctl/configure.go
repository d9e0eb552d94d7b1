package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

// change is one use of vaultctl configure: what is empty stays as it is.
type change struct {
	skew, age                time.Duration
	open                     uint32
	escrow, refresh, imports string
}

func (a *app) configureCmd() *cobra.Command {
	var d dual
	var n change
	c := a.leaf("configure --max-skew D --request-max-age D --max-open N --escrow-delay D --refresh-every D --import on|off", "Change the replicated limits", `
What is left out keeps its value. Two administrators sign.

With --refresh-every all threshold keys get new shares by themselves, so long after the
last refresh of all of them: vaultctl key refresh --status shows when. --import on lets
two administrators bring in whole keys that were made elsewhere (vaultctl key import).`, noArgs, func(ctx context.Context, _ []string) error {
		if n == (change{}) {
			return usagef("nothing to change: give at least one setting")
		}
		var none command.Settings
		if err := n.to(&none); err != nil {
			return err
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			short, cancel := a.deadline(ctx)
			defer cancel()
			s, err := v.Status(short)
			if err != nil {
				return advise(err)
			}
			set := settingsOf(s.Settings)
			if err := n.to(&set); err != nil {
				return err
			}
			if err := set.Check(); err != nil {
				return err
			}
			return a.send(ctx, &d, &command.Configure{Settings: set}, nil)
		})
	})
	f := c.Flags()
	f.DurationVar(&n.skew, "max-skew", 0, "how far a command's time may be ahead")
	f.DurationVar(&n.age, "request-max-age", 0, "longest life of a signature request")
	f.Uint32Var(&n.open, "max-open", 0, "open requests at once")
	f.StringVar(&n.escrow, "escrow-delay", "", "allow escrow of keys, and have each wait at least so long (24h is sensible); off: none")
	f.StringVar(&n.refresh, "refresh-every", "", "refresh all threshold keys so often, in whole hours or days (12h, 30d); off: when asked for")
	f.StringVar(&n.imports, "import", "", "on: allow whole keys to be brought in; off: none any more")
	return d.flags(a, c)
}

func settingsOf(s *tetradv1.Settings) command.Settings {
	ms := func(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }
	return command.Settings{MaxSkew: ms(s.GetMaxSkewMs()), RequestMaxAge: ms(s.GetRequestMaxAgeMs()), MaxOpen: s.GetMaxOpen(),
		EscrowDelay: ms(s.GetEscrowDelayMs()), RefreshEvery: ms(s.GetRefreshEveryMs()), Import: s.GetImport()}
}

// to changes settings as the flags say.
func (n *change) to(s *command.Settings) (err error) {
	if n.skew != 0 {
		s.MaxSkew = n.skew
	}
	if n.age != 0 {
		s.RequestMaxAge = n.age
	}
	if n.open != 0 {
		s.MaxOpen = n.open
	}
	if n.escrow != "" {
		if s.EscrowDelay, err = escrowDelay(n.escrow); err != nil {
			return err
		}
	}
	if n.refresh != "" {
		if s.RefreshEvery, err = refreshPeriod(n.refresh); err != nil {
			return err
		}
	}
	switch n.imports {
	case "":
	case "on", "off":
		s.Import = n.imports == "on"
	default:
		return usagef("--import %q: want on or off", n.imports)
	}
	return nil
}

// escrowDelay reads the flag; 0 for none.
func escrowDelay(flag string) (time.Duration, error) {
	if flag == "off" {
		return 0, nil
	}
	d, err := time.ParseDuration(flag)
	if err != nil || d < command.MinEscrowDelay {
		return 0, usagef("--escrow-delay %q: want off, or a duration of at least %s", flag, command.MinEscrowDelay)
	}
	return d, nil
}

// refreshPeriod reads the flag, days too; 0 for none.
func refreshPeriod(flag string) (d time.Duration, err error) {
	if flag == "off" {
		return 0, nil
	}
	if days, found := strings.CutSuffix(flag, "d"); found {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	} else {
		d, err = time.ParseDuration(flag)
	}
	if err != nil || d < command.MinRefreshEvery || d > command.MaxRefreshEvery || d%time.Hour != 0 {
		return 0, usagef("--refresh-every %q: want off, or whole hours or days from 1h to 365d", flag)
	}
	return d, nil
}

func periodText(d time.Duration) string {
	switch {
	case d == 0:
		return "(only when asked for)"
	case d%(24*time.Hour) == 0:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	return strconv.Itoa(int(d/time.Hour)) + "h"
}
