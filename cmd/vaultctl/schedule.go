package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/intent"
)

// refreshView is where the refresh of all threshold keys by schedule stands.
type refreshView struct {
	Every   string `json:"every"`
	Since   string `json:"counts_from"`
	Last    string `json:"last,omitempty"` // refresh of all; empty: none since the schedule was set
	Index   uint64 `json:"last_index,omitempty"`
	Asked   bool   `json:"last_was_asked_for,omitempty"`
	Next    string `json:"next"`
	Wrap    uint32 `json:"wrap_epoch,omitempty"` // that the last one brings keys under
	Running bool   `json:"running,omitempty"`
	Lagging uint64 `json:"lagging"` // sharings under older epochs
	Retries uint32 `json:"retries,omitempty"`
	Retry   string `json:"retry,omitempty"`

	Keys []laggingView `json:"keys,omitempty"` // that lag; of key refresh --status
}

// laggingView is a key that the last refresh of all did not bring along.
type laggingView struct {
	Name     string `json:"name"`
	Tenant   string `json:"tenant"`
	Wrap     uint32 `json:"wrap_epoch"`
	Ceremony string `json:"ceremony,omitempty"`
}

func viewRefresh(s *tetradv1.StatusResponse) *refreshView {
	r := s.Refresh
	if r == nil {
		return nil
	}
	out := &refreshView{Every: periodText(settingsOf(s.Settings).RefreshEvery), Since: iso(r.Since), Index: r.Index, Asked: r.Asked, Next: iso(r.Due),
		Wrap: r.WrapEpoch, Running: r.Running, Lagging: r.Lagging, Retries: r.Retries, Retry: iso(r.Retry)}
	if r.Last != nil {
		out.Last = iso(r.Last)
	}
	return out
}

// newestRefresh is what the node that applied most says.
func newestRefresh(nodes []nodeView) *refreshView {
	var most *nodeView
	for i := range nodes {
		if n := &nodes[i]; n.Role != "" && (most == nil || n.Applied > most.Applied) {
			most = n
		}
	}
	if most == nil {
		return nil
	}
	return most.Refresh
}

// line says it in one line.
func (r *refreshView) line(a *app) string {
	parts := []string{"refreshed every " + r.Every, "next " + readable(r.Next)}
	if r.Last != "" {
		parts = append(parts, "last "+readable(r.Last))
	}
	switch {
	case r.Running:
		parts = append(parts, "going on")
	case r.Wrap == 0 && r.Retry != "":
		parts = append(parts, a.paint(red, "no room for another wrapping epoch")+", again "+readable(r.Retry))
	case r.Lagging > 0:
		late := a.paint(red, fmt.Sprintf("%d sharings still lie under an old wrapping epoch", r.Lagging))
		if r.Retry != "" {
			late += ", again " + readable(r.Retry)
		}
		parts = append(parts, late+": vaultctl key refresh --status")
	}
	return strings.Join(parts, "; ")
}

// refreshStatus shows the schedule and the keys that lag behind it.
func (a *app) refreshStatus(ctx context.Context) error {
	return a.with(ctx, func(ctx context.Context, v *vault) error {
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		s, err := v.Status(ctx)
		if err != nil {
			return advise(err)
		}
		view := viewRefresh(s)
		if view == nil {
			return a.print(struct{}{}, func(w io.Writer) {
				fmt.Fprintln(w, "threshold keys are refreshed only when asked for: vaultctl configure --refresh-every 30d sets a schedule")
			})
		}
		for k, err := range v.Keys(ctx, "") {
			if err != nil {
				return advise(err)
			}
			if k.State != tetradv1.KeyState_KEY_STATE_RETIRED && k.Sharing != nil && k.Sharing.WrapEpoch < view.Wrap {
				row := laggingView{Name: k.Name, Tenant: k.Tenant, Wrap: k.Sharing.WrapEpoch}
				if c := v.viewKey(k, intent.Mainnet).Threshold.Ceremony; c != nil {
					row.Ceremony = c.line()
				}
				view.Keys = append(view.Keys, row)
			}
		}
		return a.print(view, func(w io.Writer) { a.printRefresh(w, view) })
	})
}

func (a *app) printRefresh(w io.Writer, v *refreshView) {
	last := "none since the schedule was set at " + readable(v.Since)
	if v.Last != "" {
		last = fmt.Sprintf("%s, by schedule, index %d", readable(v.Last), v.Index)
		if v.Asked {
			last = fmt.Sprintf("%s, asked for by administrators, index %d", readable(v.Last), v.Index)
		}
	}
	retry := ""
	if v.Retry != "" {
		retry = fmt.Sprintf("at %s, %d times so far", readable(v.Retry), v.Retries)
	}
	a.pairs(w, "every", v.Every, "next", readable(v.Next), "last", last, "going on", yesNo(v.Running), "wrapping epoch", blank(uint64(v.Wrap)),
		"sharings under older epochs", itoa(v.Lagging), "tried again", retry)
	if len(v.Keys) > 0 {
		fmt.Fprintln(w)
		t := &table{head: []string{"KEY", "TENANT", "WRAPPING EPOCH", "CEREMONY"}}
		for _, k := range v.Keys {
			t.add(k.Name, k.Tenant, itoa(uint64(k.Wrap)), k.Ceremony)
		}
		a.table(w, t)
	}
}
