package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

type poolView struct {
	Region  string `json:"region"`
	Curve   string `json:"curve"`
	Left    uint32 `json:"left"`
	Most    uint32 `json:"most"`
	Offered uint64 `json:"offered"`
	Session string `json:"session,omitempty"`
}

func (a *app) nonceCmd() *cobra.Command {
	status := a.leaf("status", "Show the pools of nonce commitments", `
Threshold signatures use up one commitment of each drawn region and message. Regions
offer them ahead of time; what a region offered before it was last started is void. A
region whose pool is empty is drawn for no threshold key.`, noArgs, func(ctx context.Context, _ []string) error {
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			pools, err := v.NoncePools(ctx)
			if err != nil {
				return advise(err)
			}
			out := []poolView{}
			for _, p := range pools {
				out = append(out, poolView{regionName(v.genesis, identity.RegionID(p.Region)), command.Curve(p.Curve).String(), p.Left, p.Most, p.Offered, hexOf(p.Session)})
			}
			return a.print(out, func(w io.Writer) {
				t := &table{head: []string{"REGION", "CURVE", "LEFT", "OFFERED", "SESSION"}}
				for _, p := range out {
					t.add(p.Region, p.Curve, fmt.Sprintf("%d of %d", p.Left, p.Most), itoa(p.Offered), short(p.Session))
				}
				a.table(w, t)
			})
		})
	})
	return a.group("nonce", "Nonces of threshold keys", "", status)
}

// short cuts a fingerprint for a table.
func short(s string) string { return s[:min(len(s), 16)] }
