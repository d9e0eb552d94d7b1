package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

func (a *app) beaconCmd() *cobra.Command {
	return a.group("beacon", "The key that draws who signs", `
Three of its holders make a value of each entry of the log, and the value draws the
signers. It is dealt at the genesis; its shares can be renewed and moved, the key and so
the values stay.`, a.beaconStatus(), a.beaconRefresh(), a.beaconReshare())
}

func (a *app) beaconRefresh() *cobra.Command {
	var d dual
	var reason string
	var noWait bool
	c := a.leaf("refresh", "Make new shares of the beacon key", `
Every holder gets a new share; three old ones and three new ones give the same values, old
and new do not mix. Signing goes on. Also what to do after a ceremony failed. Two
administrators sign.`, noArgs, func(ctx context.Context, _ []string) error {
		return a.reshareBeacon(ctx, &d, nil, reason, noWait)
	})
	beaconFlags(c, &reason, &noWait)
	return d.flags(a, c)
}

func (a *app) beaconReshare() *cobra.Command {
	var d dual
	var reason string
	var holders []string
	var noWait bool
	c := a.leaf("reshare --holders A,B,C", "Have other regions hold the beacon key", `
The regions named hold the new shares, the old ones are void. Three living holders are
enough to bring in a region that lost its share. While only three hold it, all three are
needed for every signature. Two administrators sign.`, noArgs, func(ctx context.Context, _ []string) error {
		ids, err := a.newHolders(holders)
		if err != nil {
			return err
		}
		return a.reshareBeacon(ctx, &d, ids, reason, noWait)
	})
	c.Flags().StringSliceVar(&holders, "holders", nil, "names of the regions that are to hold it")
	beaconFlags(c, &reason, &noWait)
	return d.flags(a, c)
}

func beaconFlags(c *cobra.Command, reason *string, noWait *bool) {
	c.Flags().StringVar(reason, "reason", "", "why, for the audit log")
	c.Flags().BoolVar(noWait, "no-wait", false, "do not wait until it is done")
}

// reshareBeacon asks for a new sharing and waits until it is live.
func (a *app) reshareBeacon(ctx context.Context, d *dual, holders []identity.RegionID, reason string, noWait bool) error {
	var before mark
	body := &command.RefreshKey{Key: command.BeaconKey, Holders: holders, Reason: reason}
	if d.propose == "" && !noWait {
		err := a.with(ctx, func(ctx context.Context, v *vault) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			k, err := v.beacon(ctx)
			before = markOf(k)
			return err
		})
		if err != nil {
			return err
		}
	}
	return a.send(ctx, d, body, func(v *vault, cmd *command.Command, o *client.Outcome, proof client.Proof) error {
		if noWait {
			return a.outcome(v, cmd, o, proof, nil)
		}
		k, err := a.awaitSharing(ctx, v, command.BeaconKey, before)
		if err != nil {
			return err
		}
		return a.printBeacon(ctx, v, k)
	})
}

func (a *app) beaconStatus() *cobra.Command {
	return a.leaf("status", "Show who holds the beacon key and under which epoch it draws", `
The public shares are checked against the key of the genesis.`, noArgs, func(ctx context.Context, _ []string) error {
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			k, err := v.beacon(ctx)
			if err != nil {
				return err
			}
			return a.printBeacon(ctx, v, k)
		})
	})
}

// beacon shows the beacon key, as a vault of this version knows it.
func (v *vault) beacon(ctx context.Context) (*client.Key, error) {
	k, err := v.Key(ctx, command.BeaconKey)
	switch {
	case errs.CodeOf(err) == errs.NotFound:
		return nil, errs.Wrap(errs.NotFound, err, "the beacon key").WithHint("it is shown to principals of the vault only, by regions of this version")
	case err != nil:
		return nil, advise(err)
	case k.GetSharing() == nil:
		return nil, errs.New(errs.Malformed, "the vault's answer says nothing of the beacon's sharing")
	}
	return k, nil
}

type beaconShareView struct {
	Region string `json:"region"`
	Public string `json:"public_share"`
}

type beaconView struct {
	Key      string            `json:"public_key"`
	Since    uint64            `json:"since_index"`
	Sharing  *sharingView      `json:"sharing"`
	Retiring *sharingView      `json:"retiring,omitempty"`
	Ceremony *ceremonyView     `json:"ceremony,omitempty"`
	Shares   []beaconShareView `json:"shares"`
	Wraps    []wrapView        `json:"wrapping_epochs,omitempty"`
}

// viewBeacon checks that the shares shown are of the genesis's key.
func (v *vault) viewBeacon(k *client.Key) (*beaconView, error) {
	public, err := frost.DecodePublicKey(k.Sharing.Public)
	if err != nil {
		return nil, errs.Wrap(errs.Unverified, err, "public side of the beacon key, epoch %d", k.Sharing.Epoch)
	}
	key, err := draw.KeyOf(public)
	if err != nil {
		return nil, errs.Wrap(errs.Unverified, err, "public side of the beacon key, epoch %d", k.Sharing.Epoch)
	}
	if want := v.genesis.Document.Beacon.Public; !bytes.Equal(public.Compressed(), want[:]) || key.Epoch != k.Sharing.Epoch {
		return nil, errs.New(errs.Unverified, "what the vault shows is of key %x, epoch %d; the genesis has %x", public.Compressed(), key.Epoch, want)
	}
	out := &beaconView{Key: hex.EncodeToString(key.Group[:]), Since: k.SinceIndex, Sharing: v.viewSharing(k.Sharing),
		Retiring: v.viewSharing(k.Retiring), Ceremony: v.viewCeremony(k.Ceremony)}
	for _, r := range public.Holders() {
		out.Shares = append(out.Shares, beaconShareView{regionName(v.genesis, identity.RegionID(r)), hexOf(public.Part(r))})
	}
	return out, nil
}

func (a *app) printBeacon(ctx context.Context, v *vault, k *client.Key) error {
	b, err := v.viewBeacon(k)
	if err != nil {
		return err
	}
	t := &thresholdView{Sharing: b.Sharing, Retiring: b.Retiring, Ceremony: b.Ceremony}
	if err := v.addWraps(ctx, t); err != nil {
		return err
	}
	b.Wraps = t.Wraps
	return a.print(b, func(w io.Writer) {
		kv := []string{"beacon key", b.Key, "sharing", beaconLine(b.Sharing, b.Since)}
		if b.Retiring != nil {
			kv = append(kv, "retiring", fmt.Sprintf("epoch %d of %s, for entries up to %d", b.Retiring.Epoch, strings.Join(b.Retiring.Holders, ", "), b.Since))
		}
		for _, e := range b.Wraps {
			kv = append(kv, "wrapping epoch", e.String())
		}
		if c := b.Ceremony; c != nil {
			kv = append(kv, "ceremony", fmt.Sprintf("of epoch %d: %s", c.Epoch, c.line()))
			for _, f := range c.Faults {
				kv = append(kv, "fault", f.String())
			}
			kv = append(kv, "suspected", c.suspected())
		}
		a.pairs(w, kv...)
		t := &table{head: []string{"REGION", "PUBLIC SHARE"}}
		for _, s := range b.Shares {
			t.add(s.Region, s.Public)
		}
		a.table(w, t)
	})
}

func beaconLine(s *sharingView, since uint64) string {
	line := fmt.Sprintf("epoch %d, %d of %s, ", s.Epoch, s.Threshold, strings.Join(s.Holders, ", "))
	if s.Epoch == 0 {
		return line + "dealt at the genesis"
	}
	return line + fmt.Sprintf("for entries after %d, sealed under wrapping epoch %d", since, s.Wrap)
}
