package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/escrow"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// escrowView is a copy of a key for officers, made or waiting.
type escrowView struct {
	Number    uint32   `json:"number"`
	State     string   `json:"state"` // waiting, filing, live
	Quorum    uint32   `json:"quorum"`
	Officers  []string `json:"officers"`
	Disaster  bool     `json:"without_any_region"`
	NotBefore string   `json:"not_before"`
	Epoch     uint32   `json:"epoch,omitempty"`
	Regions   []string `json:"shares_of,omitempty"`
	Since     string   `json:"since,omitempty"`
	Thin      bool     `json:"one_garbage_share_spoils_it,omitempty"` // once it is live
	Author    string   `json:"author"`
	Reason    string   `json:"reason,omitempty"`
	Asked     uint64   `json:"asked_index"`
}

func (v *vault) viewEscrow(e *client.Escrow) escrowView {
	out := escrowView{Number: e.Number, State: "waiting", Quorum: e.Quorum, Officers: e.Officers, Disaster: e.Disaster, NotBefore: iso(e.NotBefore), Thin: e.Since != nil && len(e.Regions) <= int(e.Threshold),
		Epoch: e.Epoch, Regions: v.names(e.Regions), Since: iso(e.Since), Author: hexOf(e.Author), Reason: e.Reason, Asked: e.AskedIndex}
	switch {
	case e.Since != nil:
		out.State = "live"
	case e.Epoch != 0:
		out.State = "filing"
	}
	return out
}

// String says it in one line.
func (e escrowView) String() string {
	who := fmt.Sprintf("any %d of %d officers", e.Quorum, len(e.Officers))
	if !e.Disaster {
		who += " with one region's HSM"
	}
	switch e.State {
	case "waiting":
		return fmt.Sprintf("%d WAITING until %s: then shares go to %s; vaultctl key escrow cancel takes it back", e.Number, e.NotBefore, who)
	case "filing":
		return fmt.Sprintf("%d BEGUN: shares of %s, epoch %d, are out to %s", e.Number, strings.Join(e.Regions, ", "), e.Epoch, who)
	}
	s := fmt.Sprintf("%d LIVE since %s: %s can restore the key from shares of epoch %d; no refresh ends that", e.Number, e.Since, who, e.Epoch)
	if e.Thin {
		s += fmt.Sprintf("; only %s filed theirs: if one is garbage, nobody can restore it", strings.Join(e.Regions, ", "))
	}
	return s
}

func (a *app) keyEscrow() *cobra.Command {
	var d dual
	var tenant, officers, reason string
	var quorum uint8
	var delay time.Duration
	var disaster bool
	c := a.leaf("escrow KEY --officers FILE --quorum M --delay D", "Copy a threshold key's shares to officers", `
After the delay every region encrypts its share of the key to the officers, whose age
recipients stand in FILE, one a line; M of them, together with the HSM of one region that
lives, can then restore the whole key offline. With --disaster they need no region: for
the day when there is none left, and they can do it on every other day too.

Until the delay is over any administrator or operator takes it back alone (vaultctl key
escrow cancel). Afterwards nobody does: no refresh ends it, it stays listed for ever.
Impossible unless the vault's settings allow it. Two administrators sign.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		list, err := readOfficers(officers)
		if err != nil {
			return err
		}
		if quorum < 2 || int(quorum) > len(list) {
			return usagef("--quorum %d of %d officers: want 2 to their number", quorum, len(list))
		}
		if delay < command.MinEscrowDelay {
			return usagef("--delay is required: how long it can be taken back")
		}
		return a.onKey(ctx, &d, tenant, args[0], func(id command.KeyID) command.Body {
			return &command.EscrowKey{Key: id, Officers: list, M: quorum, Delay: delay, Disaster: disaster, Reason: reason}
		})
	})
	f := c.Flags()
	f.StringVar(&tenant, "tenant", "", "tenant of the key")
	f.StringVar(&officers, "officers", "", "file of the officers' age recipients")
	f.Uint8Var(&quorum, "quorum", 0, "so many officers restore the key")
	f.DurationVar(&delay, "delay", 0, "how long nothing leaves the regions")
	f.BoolVar(&disaster, "disaster", false, "the officers alone can restore the key, without any region")
	f.StringVar(&reason, "reason", "", "why, for the audit log")
	d.flags(a, c)
	c.AddCommand(a.escrowCancel())
	return c
}

func (a *app) escrowCancel() *cobra.Command {
	var d dual
	var tenant, reason string
	c := a.leaf("cancel KEY", "Take an escrow back before anything left", `
A brake: one administrator or operator is enough.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return a.onKey(ctx, &d, tenant, args[0], func(id command.KeyID) command.Body { return &command.CancelEscrow{Key: id, Reason: reason} })
	})
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the key")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return d.flags(a, c)
}

// readOfficers reads age recipients, one a line; each must be one.
func readOfficers(name string) (list []string, err error) {
	if err := need("officers", name); err != nil {
		return nil, err
	}
	b, err := readText(name, command.MaxEscrowOfficers*(command.MaxRecipient+256))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := age.ParseRecipients(bytes.NewReader([]byte(line))); err != nil || len(line) > command.MaxRecipient {
			return nil, errs.New(errs.Invalid, "officer %d in %s is no age recipient", len(list)+1, name).WithHint("vaultctl keygen --type age prints one")
		}
		list = append(list, line)
	}
	if n := len(list); n < 2 || n > command.MaxEscrowOfficers {
		return nil, errs.New(errs.Invalid, "%d officers in %s, want 2 to %d", n, name, command.MaxEscrowOfficers)
	}
	return list, nil
}

func (a *app) keyBackup() *cobra.Command {
	var tenant, out string
	var number uint32
	c := a.leaf("backup KEY --out FILE", "Fetch the encrypted shares of an escrowed key", `
What comes is ciphertext: with the officers' age keys vaultctl recover key restores the
key from it. Keep copies where they outlive the vault.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if err := need("out", out); err != nil {
			return err
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			id, k, err := keyID(ctx, v, tenant, args[0])
			if err != nil {
				return err
			}
			e, boxes, err := v.Escrow(ctx, id, number)
			if err != nil {
				return advise(err)
			}
			b, err := bundleOf(v, id, k, e, boxes)
			if err != nil {
				return err
			}
			if err := a.save(out, b.File(), 0o644); err != nil {
				return err
			}
			view := v.viewEscrow(e)
			return a.print(view, func(w io.Writer) { a.pairs(w, "file", out, "key", k.Name, "escrow", view.String()) })
		})
	})
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the key")
	c.Flags().StringVar(&out, "out", "", "file to write")
	c.Flags().Uint32Var(&number, "number", 0, "which escrow (default the newest that can be opened)")
	return c
}

// bundleOf puts a bundle together and makes sure that it is one of the key shown.
func bundleOf(v *vault, id command.KeyID, k *client.Key, e *client.Escrow, boxes []*client.EscrowBox) (*escrow.Bundle, error) {
	b := &escrow.Bundle{Terms: escrow.Terms{Cluster: v.genesis.Document.Cluster, Key: id, Number: e.GetNumber(), Epoch: e.GetEpoch(), M: uint8(e.GetQuorum()),
		Officers: e.GetOfficers(), Disaster: e.GetDisaster()}, Name: k.Name, Public: e.GetPublic()}
	copy(b.Chain[:], k.ChainCode)
	for _, x := range boxes {
		b.Boxes = append(b.Boxes, fsm.Sealed{Region: identity.RegionID(x.Region), Box: x.Box})
	}
	if e.GetSince() == nil {
		return nil, errs.New(errs.BadState, "escrow %d of key %s is not through: %d shares are out", e.GetNumber(), k.Name, len(boxes))
	}
	if _, err := escrow.DecodeBundle(b.Encode()); err != nil {
		return nil, errs.Wrap(errs.Unverified, err, "what the node sent is no bundle")
	}
	public, err := b.PublicKey()
	if err != nil || !bytes.Equal(public.Compressed(), k.Point) {
		return nil, errs.Wrap(errs.Unverified, err, "what the node sent is of another key than %s", k.Name)
	}
	return b, nil
}
