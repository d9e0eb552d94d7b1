package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
)

// gapLimit is how many unused addresses in a row wallets look past (BIP-44).
const gapLimit = 20

// issuing is one use of vaultctl key address.
type issuing struct {
	tenant, chain, path, branch, note string
	from, below                       []uint32 // path and branch, read
	count                             uint32
	again                             bool
}

func (a *app) keyAddress() *cobra.Command {
	var n issuing
	c := a.leaf("address KEY", "Give out addresses of a threshold key", `
Each address is a child of the key. Which ones were given out, when and by whom, is a
command and stands in the audit log; the addresses themselves are computed here.
Without --path the vault takes the next ones of a branch, so that nobody else gets them:
m/0/N, or of the branch that --branch names.

--path names the first one itself. One that was given out or passed over before is refused,
unless --again says that it is meant. Later ones without --path follow the highest that was
ever given out of the branch. Wallets that look for payments stop at 20 unused addresses in
a row; there is a warning where --path passes over as many.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if err := n.check(); err != nil {
			return err
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error { return a.issue(ctx, v, &n, args[0]) })
	})
	f := c.Flags()
	f.StringVar(&n.tenant, "tenant", "", "tenant of the key")
	f.StringVar(&n.chain, "chain", "", chainsHint)
	f.StringVar(&n.branch, "branch", "", "branch whose next ones are given out (default m/0)")
	f.StringVar(&n.path, "path", "", "path of the first one, like m/0/5")
	f.BoolVar(&n.again, "again", false, "--path was given out or passed over, and is meant")
	f.Uint32Var(&n.count, "count", 1, "how many in a row")
	f.StringVar(&n.note, "note", "", "a note for people, in the audit log")
	f.DurationVar(&a.lifetime, "lifetime", 0, "how long the command stays valid (default 10m)")
	return c
}

func (n *issuing) check() error {
	switch {
	case n.count < 1 || n.count > command.MaxAddresses:
		return usagef("--count %d: want 1 to %d", n.count, command.MaxAddresses)
	case n.path != "" && n.branch != "":
		return usagef("--path names its branch itself: leave --branch away")
	case n.again && n.path == "":
		return usagef("--again is for --path")
	}
	return n.read()
}

// read reads path and branch.
func (n *issuing) read() (err error) {
	if n.path != "" {
		if n.from, err = command.ParsePath(n.path); err != nil {
			return usageError{err}
		}
		if len(n.from) == 0 && n.count > 1 {
			return usagef("--count %d: m is one address", n.count)
		}
	}
	if n.branch != "" {
		if n.below, err = command.ParsePath(n.branch); err != nil {
			return usageError{err}
		}
		if len(n.below) == command.MaxDepth {
			return usagef("--branch %s: nothing is derived below it", n.branch)
		}
	}
	return nil
}

// issue asks for addresses and shows those that the vault says were given out.
func (a *app) issue(ctx context.Context, v *vault, n *issuing, key string) error {
	id, k, err := a.made(ctx, v, n.tenant, key)
	if err != nil {
		return err
	}
	on, err := parseChain(n.chain, keyInfo(k, intent.Mainnet))
	if err != nil {
		return err
	}
	body, err := a.addressBody(n, id, k, on)
	if err != nil {
		return err
	}
	cmd, err := v.Command(body)
	if err != nil {
		return err
	}
	return a.submit(ctx, v, cmd, func(_ *vault, cmd *command.Command, o *client.Outcome, _ client.Proof) error {
		paths, err := client.Issued(cmd, o)
		if err != nil {
			return err
		}
		children, err := childrenOf(k, paths, on)
		if err != nil {
			return err
		}
		return a.addresses(children)
	})
}

// addressBody is the command that gives addresses out. What has no address here is not asked for.
func (a *app) addressBody(n *issuing, id command.KeyID, k *client.Key, on chainName) (command.Body, error) {
	if n.path != "" {
		return a.namedBody(n, id, k, on)
	}
	branch := command.Asset(k.Asset).Branch()
	if n.branch != "" {
		branch = n.below
	}
	_, err := childrenOf(k, [][]uint32{append(slices.Clone(branch), min(nextOf(k, branch), 1<<31-1))}, on)
	return &command.NextAddresses{Key: id, Branch: branch, Count: n.count, Note: n.note}, err
}

// namedBody gives out count addresses in a row from a path on.
func (a *app) namedBody(n *issuing, id command.KeyID, k *client.Key, on chainName) (command.Body, error) {
	path := n.from
	body := &command.IssueAddresses{Key: id, Note: n.note, Again: n.again}
	var paths [][]uint32
	for i := range n.count {
		at := slices.Clone(path)
		if i > 0 {
			at[len(at)-1] += i
		}
		paths, body.Paths = append(paths, at), append(body.Paths, command.EncodePath(at))
	}
	if last := len(path) - 1; last >= 0 {
		if next := nextOf(k, path[:last]); path[last] >= next && path[last]-next >= gapLimit {
			a.progress("warning: %d addresses of %s are passed over; wallets look past %d in a row that are unused, so they may not find what is paid there",
				path[last]-next, command.PathText(path[:last]), gapLimit)
		}
	}
	_, err := childrenOf(k, paths, on)
	return body, err
}

// childrenOf derives and names children that have to have addresses.
func childrenOf(k *client.Key, paths [][]uint32, on chainName) (out []childView, err error) {
	for _, p := range paths {
		if err := command.Asset(k.Asset).Check(p); err != nil {
			return nil, err
		}
		c, err := child(k, p, on)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (a *app) addresses(children []childView) error {
	return a.print(children, func(w io.Writer) {
		for _, c := range children {
			fmt.Fprintf(w, "%s  %s\n", c.Path, c.Address)
		}
	})
}
