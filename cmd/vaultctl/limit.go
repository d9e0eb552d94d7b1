package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

type limitView struct {
	Requests uint32 `json:"requests"`
	Window   string `json:"window"`
	Used     uint64 `json:"used"`
	Room     string `json:"room_again,omitempty"`
}

func viewLimit(l *tetradv1.KeyLimit) *limitView {
	if l == nil {
		return nil
	}
	return &limitView{Requests: l.Requests, Window: l.Window.AsDuration().String(), Used: l.Used, Room: iso(l.Room)}
}

func (v *limitView) pairs() []string {
	return []string{"limit", fmt.Sprintf("%d requests in %s", v.Requests, v.Window), "of which used", itoa(v.Used), "room again", v.Room}
}

func limitText(requests uint64, window time.Duration) string {
	if requests == 0 {
		return "(none)"
	}
	return fmt.Sprintf("%d requests in %s", requests, window)
}

func (a *app) keyLimit() *cobra.Command {
	var d dual
	var tenant string
	var requests uint32
	var per time.Duration
	var remove bool
	c := a.leaf("limit KEY --requests N --per DURATION | --remove", "Limit how many requests a key takes in any window of time", `
A request counts from when it is opened, also when nothing comes of it; the charge goes
back only when it ended without signatures and the regions say that they released none.
Two administrators sign to set, loosen or remove a limit; one administrator or operator
alone may tighten it: fewer requests, or in a longer time.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		body := &command.LimitKey{Requests: requests, Window: per}
		if remove == (requests > 0 || per > 0) {
			return usagef("give --requests and --per, or --remove")
		}
		if err := body.Check(); err != nil {
			return usageError{err}
		}
		return a.onKey(ctx, &d, tenant, args[0], func(id command.KeyID) command.Body {
			body.Key = id
			return body
		})
	})
	f := c.Flags()
	f.StringVar(&tenant, "tenant", "", "tenant of the key")
	f.Uint32Var(&requests, "requests", 0, "how many requests in any window")
	f.DurationVar(&per, "per", 0, "how long the window is, for example 24h")
	f.BoolVar(&remove, "remove", false, "take the limit away")
	return d.flags(a, c)
}
