package main

import (
	"context"
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
	Address    string `json:"address,omitempty"`       // none where the key's asset class has none
	Chain      string `json:"chain"`
}

// chainName says what addresses are of.
type chainName struct {
	text   string
	net    intent.Network
	cosmos string // prefix
	curve  command.Curve
	asset  command.Asset // whose addresses these are
}

const chainsHint = "bitcoin, bitcoin-testnet, bitcoin-signet or bitcoin-regtest for a secp256k1 key, solana or cosmos:PREFIX for an ed25519 key"

// usualChain is where addresses of a key are unless somebody says otherwise.
func usualChain(k intent.KeyInfo) string {
	switch {
	case k.Asset == command.AssetCosmos:
		return "cosmos:cosmos"
	case k.Asset != 0:
		return k.Asset.String()
	}
	return map[command.Curve]string{command.Secp256k1: "bitcoin", command.Ed25519: "solana"}[k.Curve]
}

// parseChain reads the name of a chain; empty is the usual one of the key.
func parseChain(s string, k intent.KeyInfo) (chainName, error) {
	if s == "" {
		s = usualChain(k)
	}
	c := chainName{text: s}
	prefix, cosmos := strings.CutPrefix(s, "cosmos:")
	network, bitcoin := strings.CutPrefix(s, "bitcoin-")
	switch {
	case s == "solana":
		c.asset = command.AssetSolana
	case cosmos:
		c.asset, c.cosmos = command.AssetCosmos, prefix
	case s == "bitcoin" || s == "mainnet":
		c.text, c.asset = "bitcoin", command.AssetBitcoin
	case bitcoin:
		net, err := intent.ParseNetwork(network)
		if err != nil {
			return c, usageError{err}
		}
		c.asset, c.net = command.AssetBitcoinTestnet, net
		if net == intent.Mainnet {
			c.asset = command.AssetBitcoin
		}
	default:
		return c, usagef("--chain %q: want %s", s, chainsHint)
	}
	c.curve = c.asset.Template().Curve
	switch {
	case c.curve != k.Curve:
		return c, errs.New(errs.Invalid, "a key on %s has no address on %s", k.Curve, s).WithHint("%s", chainsHint)
	case k.Asset != 0 && k.Asset != c.asset:
		return c, errs.New(errs.Invalid, "a key of asset class %s has no address on %s", k.Asset, s).WithHint("its class is fixed; make another key")
	}
	return c, nil
}

// child derives and names a child, from the key's own point and chain code alone. What the
// key's asset class gives no address to, the key itself and its branches, has none here.
func child(k *client.Key, path []uint32, on chainName) (childView, error) {
	info := keyInfo(k, on.net)
	if err := info.Asset.CheckAbove(path); err != nil {
		return childView{}, err
	}
	point, code, err := intent.Child(info.Curve, info.Point, info.Chain, path...)
	if err != nil {
		return childView{}, errs.Wrap(errs.CodeOf(err), err, "key %s, %s", k.Name, command.PathText(path))
	}
	out := childView{Key: k.Name, Path: command.PathText(path), Curve: info.Curve.String(), PublicKey: hexOf(point[len(point)-32:]),
		Point: hexOf(point), ChainCode: hexOf(code[:]), Chain: on.text}
	if info.Curve == command.Ed25519 {
		out.SSH = sshKeyLine(point, k.Name+"/"+out.Path)
	}
	addressed := info.Asset.Check(path) == nil
	switch {
	case info.Curve == command.Secp256k1:
		if err = out.extended(info, path, on.net); err == nil && addressed {
			err = out.taproot(info, path, on.net)
		}
	case !addressed:
	case on.cosmos != "":
		out.Address, err = address.Cosmos(on.cosmos, point)
	default:
		out.Address, err = address.Solana(point)
	}
	return out, err
}

// extended names the child as wallets take it, without its private key.
func (c *childView) extended(info intent.KeyInfo, path []uint32, net intent.Network) error {
	e, err := address.Root(net, info.Point, info.Chain)
	for i := 0; err == nil && i < len(path); i++ {
		var point []byte
		var code [32]byte
		if point, code, err = intent.Child(info.Curve, info.Point, info.Chain, path[:i+1]...); err == nil {
			e, err = e.Child(path[i], point, code)
		}
	}
	if err == nil {
		c.Xpub = e.String()
	}
	return err
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
			on, err := parseChain(chain, keyInfo(k, intent.Mainnet))
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
