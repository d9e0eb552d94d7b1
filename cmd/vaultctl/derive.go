package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/vault/address"
)

// childView is one child of a threshold key.
type childView struct {
	Key        string `json:"key"`
	Path       string `json:"path"`
	Curve      string `json:"curve"`
	PublicKey  string `json:"public_key"` // 32 bytes, as verifiers take it
	Point      string `json:"point"`
	ChainCode  string `json:"chain_code"`
	SSH        string `json:"ssh_key,omitempty"` // line of allowed_signers
	Xpub       string `json:"xpub,omitempty"`
	Descriptor string `json:"descriptor,omitempty"`
	Output     string `json:"output_key,omitempty"`    // of Taproot
	Control    string `json:"control_block,omitempty"` // what a spend by the fallback's script shows
	Address    string `json:"address"`
	Chain      string `json:"chain"`
}

// chainName says what addresses are of.
type chainName struct {
	text   string
	net    intent.Network
	cosmos string // prefix
	curve  command.Curve
}

const chainsHint = "bitcoin, bitcoin-testnet, bitcoin-signet or bitcoin-regtest for a secp256k1 key, solana or cosmos:PREFIX for an ed25519 key"

// parseChain reads the name of a chain; empty is the usual one of the curve.
func parseChain(s string, curve command.Curve) (chainName, error) {
	if s == "" {
		s = map[command.Curve]string{command.Secp256k1: "bitcoin", command.Ed25519: "solana"}[curve]
	}
	c := chainName{text: s}
	prefix, cosmos := strings.CutPrefix(s, "cosmos:")
	network, bitcoin := strings.CutPrefix(s, "bitcoin-")
	switch {
	case s == "solana":
		c.curve = command.Ed25519
	case cosmos:
		c.curve, c.cosmos = command.Ed25519, prefix
	case s == "bitcoin" || s == "mainnet":
		c.text, c.curve = "bitcoin", command.Secp256k1
	case bitcoin:
		net, err := intent.ParseNetwork(network)
		if err != nil {
			return c, usageError{err}
		}
		c.curve, c.net = command.Secp256k1, net
	default:
		return c, usagef("--chain %q: want %s", s, chainsHint)
	}
	if c.curve != curve {
		return c, errs.New(errs.Invalid, "a key on %s has no address on %s", curve, s).WithHint("%s", chainsHint)
	}
	return c, nil
}

// child derives and names a child, from the key's own point and chain code alone.
func child(k *client.Key, path []uint32, on chainName) (childView, error) {
	info := keyInfo(k, on.net)
	point, code, err := intent.Child(info.Curve, info.Point, info.Chain, path...)
	if err != nil {
		return childView{}, errs.Wrap(errs.CodeOf(err), err, "key %s, %s", k.Name, command.PathText(path))
	}
	out := childView{Key: k.Name, Path: command.PathText(path), Curve: info.Curve.String(), PublicKey: hexOf(point[len(point)-32:]),
		Point: hexOf(point), ChainCode: hexOf(code[:]), Chain: on.text}
	if info.Curve == command.Ed25519 {
		out.SSH = sshKeyLine(point, k.Name+"/"+out.Path)
	}
	switch {
	case on.cosmos != "":
		out.Address, err = address.Cosmos(on.cosmos, point)
	case info.Curve == command.Ed25519:
		out.Address, err = address.Solana(point)
	default:
		err = out.taproot(info, path, on.net)
	}
	return out, err
}

func (c *childView) taproot(info intent.KeyInfo, path []uint32, net intent.Network) error {
	w, err := info.Taproot()
	if err != nil {
		return err
	}
	o, err := w.Output(path...)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "%s", c.Path).WithHint("outputs are of the key itself and of children up to five levels down")
	}
	c.Output, c.Control, c.Address = hexOf(o.Key[:]), hexOf(o.ControlBlock()), o.Address(net)
	e, err := address.Root(net, info.Point, info.Chain)
	for i := 0; err == nil && i < len(path); i++ {
		var point []byte
		var code [32]byte
		if point, code, err = intent.Child(info.Curve, info.Point, info.Chain, path[:i+1]...); err == nil {
			e, err = e.Child(path[i], point, code)
		}
	}
	if err != nil {
		return err
	}
	c.Xpub = e.String()
	c.Descriptor, err = address.Single(o.Internal[:], info.Fallback)
	return err
}

// made returns a threshold key that is there, or says why nothing is derived from it.
func (a *app) made(ctx context.Context, v *vault, tenant, key string) (command.KeyID, *client.Key, error) {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	id, k, err := keyID(ctx, v, tenant, key)
	switch {
	case err != nil:
	case !isThreshold(k):
		err = errs.New(errs.Invalid, "nothing is derived from key %s: it is a multisig key", k.Name).WithHint("vaultctl key show shows its one address")
	case len(k.Point) == 0:
		err = errs.New(errs.BadState, "key %s is not made yet", k.Name).WithHint("vaultctl key show says what it waits for")
	}
	return id, k, err
}

func (a *app) keyDerive() *cobra.Command {
	var tenant, chain string
	c := a.leaf("derive KEY PATH", "Show a child of a threshold key", `
PATH is m for the key itself or like m/0/5, never hardened. Everything is computed here
from the key's public point and chain code; nothing is recorded. Addresses that are
given to payers are issued instead (vaultctl key address), which the audit log shows.`, cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		path, err := command.ParsePath(args[1])
		if err != nil {
			return usageError{err}
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			_, k, err := a.made(ctx, v, tenant, args[0])
			if err != nil {
				return err
			}
			on, err := parseChain(chain, command.Curve(k.Curve))
			if err != nil {
				return err
			}
			out, err := child(k, path, on)
			if err != nil {
				return err
			}
			return a.print(out, func(w io.Writer) {
				a.pairs(w, "key", out.Key, "path", out.Path, "curve", out.Curve, "public key", out.PublicKey, "chain code", out.ChainCode,
					"ssh key", out.SSH, "xpub", out.Xpub, "descriptor", out.Descriptor, "output key", out.Output, "control block", out.Control, "chain", out.Chain, "address", out.Address)
			})
		})
	})
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the key")
	c.Flags().StringVar(&chain, "chain", "", chainsHint)
	return c
}

func (a *app) keyAddress() *cobra.Command {
	var tenant, chain, path, note string
	var count uint32
	c := a.leaf("address KEY", "Give out addresses of a threshold key", `
Each address is a child of the key. Which ones were given out, when and by whom, is a
command and stands in the audit log; the addresses themselves are computed here.
Without --path the next ones in a row, m/0/N, are given out.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if count < 1 || count > command.MaxAddresses {
			return usagef("--count %d: want 1 to %d", count, command.MaxAddresses)
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			id, k, err := a.made(ctx, v, tenant, args[0])
			if err != nil {
				return err
			}
			children, body, err := issue(k, id, chain, path, count)
			if err != nil {
				return err
			}
			body.Note = note
			cmd, err := v.Command(body)
			if err != nil {
				return err
			}
			return a.submit(ctx, v, cmd, func(*vault, *command.Command, *client.Outcome, client.Proof) error { return a.addresses(children) })
		})
	})
	f := c.Flags()
	f.StringVar(&tenant, "tenant", "", "tenant of the key")
	f.StringVar(&chain, "chain", "", chainsHint)
	f.StringVar(&path, "path", "", "path of the first one, like m/0/5")
	f.Uint32Var(&count, "count", 1, "how many in a row")
	f.StringVar(&note, "note", "", "a note for people, in the audit log")
	f.DurationVar(&a.lifetime, "lifetime", 0, "how long the command stays valid (default 10m)")
	return c
}

// issue derives count children in a row and builds the command that gives them out: what
// has no address here is not given out either.
func issue(k *client.Key, id command.KeyID, chain, text string, count uint32) ([]childView, *command.IssueAddresses, error) {
	on, err := parseChain(chain, command.Curve(k.Curve))
	if err != nil {
		return nil, nil, err
	}
	path := []uint32{0, uint32(min(k.Addresses, 1<<31-1))}
	if text != "" {
		if path, err = command.ParsePath(text); err != nil {
			return nil, nil, usageError{err}
		}
	}
	if len(path) == 0 && count > 1 {
		return nil, nil, usagef("--count %d: m is one address", count)
	}
	body := &command.IssueAddresses{Key: id}
	var out []childView
	for i := range count {
		at := append([]uint32(nil), path...)
		if i > 0 {
			at[len(at)-1] += i
		}
		c, err := child(k, at, on)
		if err != nil {
			return nil, nil, err
		}
		out, body.Paths = append(out, c), append(body.Paths, command.EncodePath(at))
	}
	return out, body, nil
}

func (a *app) addresses(children []childView) error {
	return a.print(children, func(w io.Writer) {
		for _, c := range children {
			fmt.Fprintf(w, "%s  %s\n", c.Path, c.Address)
		}
	})
}
