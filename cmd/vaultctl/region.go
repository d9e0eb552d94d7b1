package main

import (
	"context"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// regionID finds a region of the genesis by name or number.
func regionID(g *genesis.Genesis, name string) (identity.RegionID, error) {
	for _, r := range g.Document.Regions {
		if r.Name == name || itoa(uint64(r.ID)) == name {
			return r.ID, nil
		}
	}
	return 0, errs.New(errs.NotFound, "no region %q", name).WithHint("vaultctl region list shows them")
}

// onRegion sends what two administrators decide about a region.
func (a *app) onRegion(use, short, long string, body func(id identity.RegionID, reason string) (command.Body, error)) *cobra.Command {
	var d dual
	var reason string
	c := a.leaf(use+" REGION --reason TEXT", short, long+"\nTwo administrators sign.", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if err := need("reason", reason); err != nil {
			return err
		}
		g, err := a.anchor()
		if err != nil {
			return err
		}
		id, err := regionID(g, args[0])
		if err != nil {
			return err
		}
		b, err := body(id, reason)
		if err != nil {
			return err
		}
		return a.send(ctx, &d, b, nil)
	})
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return d.flags(a, c)
}

func (a *app) regionQuarantine() *cobra.Command {
	var file string
	c := a.onRegion("quarantine", "Take a region out: it is drawn no more and nothing it says counts", `
Never two regions at once: too few would be left to certify. --evidence FILE is judged
first, and its hash stands in the audit log. It stays until vaultctl region release.`,
		func(id identity.RegionID, reason string) (command.Body, error) {
			b := &command.QuarantineRegion{Region: id, Quarantined: true, Reason: reason}
			if file == "" {
				return b, nil
			}
			j, err := a.judgeFile(file)
			if err != nil {
				return nil, err
			}
			if j.accused != id {
				return nil, errs.New(errs.Invalid, "%s accuses region %s, not this one", file, j.Accused)
			}
			b.Evidence = j.hash
			return b, nil
		})
	c.Flags().StringVar(&file, "evidence", "", "evidence file the decision rests on")
	return c
}

func (a *app) regionRelease() *cobra.Command {
	return a.onRegion("release", "Let a region back in from quarantine", "", func(id identity.RegionID, reason string) (command.Body, error) {
		return &command.QuarantineRegion{Region: id, Reason: reason}, nil
	})
}

func (a *app) regionMute() *cobra.Command {
	return a.onRegion("mute", "Take from a region the right to freeze by itself", `
For a region that keeps everything frozen. It loses nothing else.`, func(id identity.RegionID, reason string) (command.Body, error) {
		return &command.MuteRegion{Region: id, Muted: true, Reason: reason}, nil
	})
}

func (a *app) regionUnmute() *cobra.Command {
	return a.onRegion("unmute", "Give a region its right to freeze back", "", func(id identity.RegionID, reason string) (command.Body, error) {
		return &command.MuteRegion{Region: id, Reason: reason}, nil
	})
}

type stopView struct {
	Region string `json:"region"`
	Scope  string `json:"scope"`
	Stop   string `json:"stop"`
	Reason string `json:"reason,omitempty"`
	By     string `json:"by"`
	At     string `json:"at"`
}

func viewStop(region string, s *client.LocalStop) *stopView {
	return &stopView{region, stoppedHere, hexOf(s.GetId()), s.GetReason(), hexOf(s.GetBy()), iso(s.GetAt())}
}

// stoppedHere is how a local stop is called everywhere.
const stoppedHere = "stopped here only"

func (a *app) regionStop() *cobra.Command {
	var local bool
	var reason string
	c := a.leaf("stop REGION --local [--reason TEXT]", "Stop one region at once, quorum or not", `
The region signs nothing from then on, and gives neither partials nor words, also after
a restart. Only it knows: the others go on without it. One administrator or operator of
the vault stops; two administrators lift (vaultctl region lift-stop).`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if !local {
			return usagef("a region stops itself only: say --local; vaultctl freeze stops the vault")
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			id, err := regionID(v.genesis, args[0])
			if err != nil {
				return err
			}
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			s, err := v.StopHere(ctx, id, reason)
			if s == nil {
				return advise(err)
			}
			view := viewStop(regionName(v.genesis, id), s)
			if e := a.print(view, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s\n", view.Region, a.paint(red, stoppedHere))
				a.pairs(w, "stop", view.Stop, "since", readable(view.At), "reason", view.Reason)
			}); e != nil {
				return e
			}
			return err
		})
	})
	c.Flags().BoolVar(&local, "local", false, "this region alone; required")
	c.Flags().StringVar(&reason, "reason", "", "why")
	return c
}

func (a *app) regionLiftStop() *cobra.Command {
	var d dual
	var stop, reason string
	c := a.leaf("lift-stop REGION --reason TEXT", "End a region's local stop", `
Without --stop the region itself is asked which stop it is in. It obeys once the command
has reached it through the log. Two administrators sign.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if err := need("reason", reason); err != nil {
			return err
		}
		g, err := a.anchor()
		if err != nil {
			return err
		}
		id, err := regionID(g, args[0])
		if err != nil {
			return err
		}
		b := &command.LiftStop{Region: id, Reason: reason}
		if stop == "" {
			if stop, err = a.stopOf(ctx, id); err != nil {
				return err
			}
		}
		if n, err := hex.Decode(b.Stop[:], []byte(stop[:min(len(stop), 32)])); err != nil || n != len(b.Stop) || len(stop) != 32 {
			return usagef("--stop %q: want 32 hex digits", stop)
		}
		return a.send(ctx, &d, b, nil)
	})
	c.Flags().StringVar(&stop, "stop", "", "id of the stop, as vaultctl status shows it")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return d.flags(a, c)
}

// stopOf asks a region which stop it is in.
func (a *app) stopOf(ctx context.Context, id identity.RegionID) (stop string, err error) {
	err = a.with(ctx, func(ctx context.Context, v *vault) error {
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		for _, n := range v.StatusAll(ctx, false) {
			if n.Err == nil && identity.RegionID(n.Status.Region) == id {
				stop = hexOf(n.Status.LocalStop.GetId())
			}
		}
		if stop == "" {
			return errs.New(errs.BadState, "region %s does not say that it is stopped", regionName(v.genesis, id)).
				WithHint("vaultctl status shows stops; give its id with --stop if the region cannot be reached")
		}
		return nil
	})
	return stop, err
}

func (a *app) regionFreeze() *cobra.Command {
	var tenant, reason, path string
	var whole bool
	c := a.leaf("freeze REGION [KEY|--vault] [--path PATH] --reason TEXT", "Have a region freeze a key, a child of it or the vault as its own act", `
The region signs the freeze itself. Unfreezing takes two administrators as ever; they can
take this right from a region (vaultctl region mute).`, cobra.RangeArgs(1, 2), func(ctx context.Context, args []string) error {
		if whole == (len(args) == 2) {
			return usagef("give a key, or --vault for all of them")
		}
		if err := need("reason", reason); err != nil {
			return err
		}
		at, err := prefixOf(path, whole)
		if err != nil {
			return err
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			id, err := regionID(v.genesis, args[0])
			if err != nil {
				return err
			}
			short, cancel := a.deadline(ctx)
			defer cancel()
			var key command.KeyID
			if !whole {
				if key, _, err = keyID(short, v, tenant, args[1]); err != nil {
					return err
				}
			}
			cmd, o, err := v.Brake(short, id, key, reason, at...)
			if err != nil {
				return advise(err)
			}
			ack, err := a.acknowledge(ctx, v, cmd)
			if print := a.outcome(v, cmd, o, client.Proof{}, ack); print != nil {
				return print
			}
			return err
		})
	})
	c.Flags().BoolVar(&whole, "vault", false, "every key")
	c.Flags().StringVar(&path, "path", "", pathHint)
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the key")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return c
}

func (a *app) regionRepair() *cobra.Command {
	var d dual
	var keep uint64
	var reason, file string
	var direct bool
	c := a.leaf("repair REGION --keep INDEX --reason TEXT", "Have a region cut what is not certified from its log", `
For a region whose log an equivocating leader left in conflict with the others. It keeps
everything up to INDEX; what a certificate covers is never cut. --direct hands the
command to the region itself, which then cannot get it from the log; --command FILE
hands over one that two administrators signed (--propose-to, then approve --to).
Two administrators sign.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if file == "" && (keep == 0 || reason == "") {
			return usagef("--keep and --reason are required")
		}
		g, err := a.anchor()
		if err != nil {
			return err
		}
		id, err := regionID(g, args[0])
		if err != nil {
			return err
		}
		b := &command.RepairRegion{Region: id, Keep: keep, Reason: reason}
		if !direct && file == "" {
			return a.send(ctx, &d, b, nil)
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error { return a.handOver(ctx, v, &d, id, b, file) })
	})
	c.Flags().Uint64Var(&keep, "keep", 0, "last index to keep")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	c.Flags().BoolVar(&direct, "direct", false, "hand the command to the region itself (with --cosign-key)")
	c.Flags().StringVar(&file, "command", "", "hand over this command, signed by two administrators")
	return d.flags(a, c)
}

// handOver gives a repair to its region directly: a new one, or one from a file.
func (a *app) handOver(ctx context.Context, v *vault, d *dual, id identity.RegionID, b command.Body, file string) error {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	var cmd *command.Command
	var err error
	if file != "" {
		cmd, _, err = a.readProposal(file)
	} else if cmd, err = v.Command(b); err == nil {
		err = cosign(v, cmd, d.cosign)
	}
	if err == nil && d.propose != "" {
		return a.save(d.propose, pem.EncodeToMemory(&pem.Block{Type: blockCommand, Bytes: cmd.Encode()}), 0o644)
	}
	if err == nil {
		err = v.RepairHere(ctx, id, cmd)
	}
	if err != nil {
		return advise(err)
	}
	return a.outcome(v, cmd, nil, client.Proof{}, nil)
}
