package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

type clockView struct {
	Region string `json:"region"`
	Clock  string `json:"committed_clock,omitempty"`
	Idle   string `json:"idle,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (a *app) clockCmd() *cobra.Command {
	show := a.leaf("show", "Show where every region's committed clock stands", `
The committed clock moves with each entry; when nothing happens, every 30 seconds. It
never goes back by itself.`, noArgs, func(ctx context.Context, _ []string) error {
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			all := []clockView{}
			t := &table{head: []string{"REGION", "COMMITTED CLOCK", "SINCE LAST ENTRY"}}
			for _, n := range v.all(ctx, false) {
				all = append(all, clockView{n.Region, n.Clock, n.Idle, n.Reason})
				t.add(n.Region, readable(n.Clock), n.Idle)
			}
			return a.print(all, func(w io.Writer) { a.table(w, t) })
		})
	})
	return a.group("clock", "The committed clock", "", show, a.clockRepair())
}

func (a *app) clockRepair() *cobra.Command {
	var d dual
	var reason string
	c := a.leaf("repair --reason TEXT", "Set the committed clock back to the regions' time", `
For a clock that a wrong stamp put ahead, so that every command counts as expired. The
regions are asked for their signed words on the time; two that agree are needed. Read
docs/design/fsm.md on what follows from it. Two administrators sign.`, noArgs, func(ctx context.Context, _ []string) error {
		if err := need("reason", reason); err != nil {
			return err
		}
		var body *command.RepairClock
		err := a.with(ctx, func(ctx context.Context, v *vault) (err error) {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			body, err = a.clockWords(ctx, v)
			return err
		})
		if err != nil {
			return err
		}
		body.Reason = reason
		return a.send(ctx, &d, body, nil)
	})
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return d.flags(a, c)
}

// clockWords asks the regions and picks the middle time of those that say the clock is
// wrong. Words that do not agree with it are left out: the state machine would refuse them.
func (a *app) clockWords(ctx context.Context, v *vault) (*command.RepairClock, error) {
	s, err := v.Status(ctx)
	if err != nil {
		return nil, advise(err)
	}
	agree := time.Duration(s.Settings.GetMaxSkewMs()) * time.Millisecond
	var said []*command.ClockWord
	var last error
	for _, r := range v.genesis.Document.Regions {
		raw, err := v.ClockWord(ctx, r.ID)
		var w *command.ClockWord
		if err == nil {
			w, err = command.DecodeClockWord(raw)
		}
		if err != nil {
			a.progress("%s: %v", r.Name, err)
			last = err
			continue
		}
		said = append(said, w)
	}
	if len(said) < 2 {
		return nil, errs.New(errs.BadState, "%d regions say that the clock is wrong, two are needed: %v", len(said), last)
	}
	slices.SortFunc(said, func(x, y *command.ClockWord) int { return x.At.Compare(y.At) })
	to := said[(len(said)-1)/2]
	out := &command.RepairClock{To: to.At}
	for _, w := range said {
		if w.Clock.Equal(to.Clock) && w.At.Sub(to.At).Abs() <= agree {
			out.Words = append(out.Words, w.Encode())
		}
	}
	a.progress("%s", fmt.Sprintf("the committed clock stands at %s; %d regions say it is %s", stamp(to.Clock), len(out.Words), stamp(to.At)))
	return out, nil
}
