package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

type keyRegionView struct {
	Region    string `json:"region"`
	PublicKey string `json:"public_key"`
	Confirmed bool   `json:"confirmed"`
	Lost      bool   `json:"lost,omitempty"` // with its HSM
}

// stands says in a word what a region's half is worth.
func (r keyRegionView) stands() string {
	if r.Lost {
		return "lost with its HSM"
	}
	return yesNo(r.Confirmed)
}

type signingKeyView struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Tenant     string          `json:"tenant"`
	State      string          `json:"state"`
	Scheme     string          `json:"scheme"`
	Curve      string          `json:"curve"`
	Signers    uint32          `json:"signers"`
	Of         int             `json:"of"`
	Blind      bool            `json:"allow_blind"`
	Note       string          `json:"note,omitempty"`
	Created    string          `json:"created,omitempty"`
	Author     string          `json:"author,omitempty"`
	FrozenBy   string          `json:"frozen_by,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	Regions    []keyRegionView `json:"regions"`
	Address    string          `json:"address,omitempty"`
	Network    string          `json:"network,omitempty"`
	Descriptor string          `json:"descriptor,omitempty"`
	Script     string          `json:"witness_script,omitempty"`
	PkScript   string          `json:"script_pubkey,omitempty"`
	Limit      *limitView      `json:"limit,omitempty"`
	Frozen     []frozenView    `json:"frozen_paths,omitempty"` // children, with all below them
	Outside    bool            `json:"outside,omitempty"`      // it was known outside before it was brought in
	Threshold  *thresholdView  `json:"threshold,omitempty"`
}

var keyStates = map[tetradv1.KeyState]string{1: "pending", 2: "active", 3: "frozen", 4: "retired"}

func (v *vault) viewKey(k *client.Key, net intent.Network) signingKeyView {
	out := signingKeyView{ID: hexOf(k.Id), Name: k.Name, Tenant: k.Tenant, State: keyStates[k.State], Scheme: command.Scheme(k.Scheme).String(),
		Curve: command.Curve(k.Curve).String(), Signers: k.Signers, Of: len(k.Regions), Blind: k.AllowBlind, Note: k.Note,
		Created: iso(k.Created), Author: hexOf(k.Author), FrozenBy: hexOf(k.FrozenBy), Reason: k.Reason, Regions: []keyRegionView{}}
	for _, at := range k.Attestations {
		out.Regions = append(out.Regions, keyRegionView{regionName(v.genesis, identity.RegionID(at.Region)), hexOf(at.PublicKey), at.Confirmed, at.Lost})
	}
	out.Limit, out.Frozen, out.Outside = viewLimit(k.Limit), viewFrozen(k.FrozenPaths), k.Outside
	if isThreshold(k) {
		v.viewThreshold(&out, k, net)
	} else if w, err := wallet(k); err == nil {
		out.Address, out.Network, out.Descriptor = w.Address(net), net.String(), w.Descriptor()
		out.Script, out.PkScript = hexOf(w.WitnessScript()), hexOf(w.PkScript())
	}
	return out
}

// keyInfo is what decoding payloads needs of a key.
func keyInfo(k *client.Key, net intent.Network) intent.KeyInfo {
	info := intent.KeyInfo{Curve: command.Curve(k.Curve), Signers: uint8(k.Signers), AllowBlind: k.AllowBlind, Network: net,
		Threshold: isThreshold(k), Point: k.Point, Fallback: fallbackOf(k), Asset: command.Asset(k.Asset)}
	copy(info.Chain[:], k.ChainCode)
	for _, at := range k.Attestations {
		info.PublicKeys = append(info.PublicKeys, intent.PublicKey{Region: identity.RegionID(at.Region), Key: at.PublicKey})
	}
	return info
}

func wallet(k *client.Key) (*intent.Wallet, error) {
	if k.State == tetradv1.KeyState_KEY_STATE_PENDING {
		return nil, errs.New(errs.BadState, "key %s is still pending", k.Name)
	}
	return intent.NewWallet(keyInfo(k, intent.Mainnet))
}

func (a *app) keyCmd() *cobra.Command {
	return a.group("key", "Signing keys", "", a.keyCreate(), a.keyImport(), a.keyList(), a.keyShow(), a.keyDerive(), a.keyAddress(), a.keyRefresh(), a.keyReshare(), a.keyEscrow(), a.keyBackup(), a.keyLimit(), a.keyRetire())
}

func (a *app) printKeyView(v signingKeyView) error {
	return a.print(v, func(w io.Writer) {
		kv := []string{"name", v.Name, "id", v.ID, "tenant", v.Tenant, "state", v.State, "scheme", v.Scheme, "curve", v.Curve,
			"signers", fmt.Sprintf("%d of %d", v.Signers, v.Of), "blind signing", yesNo(v.Blind), "note", v.Note, "created", v.Created,
			"origin", originText(v.Outside), "frozen by", v.FrozenBy, "reason", v.Reason, "network", v.Network, "address", v.Address, "descriptor", v.Descriptor}
		for _, f := range v.Frozen {
			kv = append(kv, "frozen child", f.String())
		}
		if v.Limit != nil {
			kv = append(kv, v.Limit.pairs()...)
		}
		if v.Threshold != nil {
			kv = append(kv, v.Threshold.pairs()...)
		}
		a.pairs(w, kv...)
		if len(v.Regions) > 0 {
			fmt.Fprintln(w)
			t := &table{head: []string{"REGION", "CONFIRMED", "PUBLIC KEY"}}
			for _, r := range v.Regions {
				t.add(r.Region, r.stands(), r.PublicKey)
			}
			a.table(w, t)
		}
	})
}

func networkFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "network", "mainnet", "Bitcoin network for addresses: mainnet, testnet, signet, regtest")
}

// creation is one use of vaultctl key create.
type creation struct {
	name, tenant, scheme, curve, note, network string
	fallback, asset                            string
	signers                                    uint8
	blind, noWait                              bool
	schemeOpen, curveOpen                      bool // not said: an asset class says it
	regions                                    []string
}

func (a *app) keyCreate() *cobra.Command {
	var d dual
	var n creation
	var c *cobra.Command
	c = a.leaf("create NAME --tenant T [--scheme S] [--curve CURVE]", "Make a key", `
A multisig key is a private key in the HSM of every region, which proves it; the key is
active when all of them have verified each other's proofs. On secp256k1 it is a Bitcoin
wallet: P2WSH, --signers of the regions.

A threshold key exists nowhere: each region holds a share, sealed under its HSM, and
--signers of them make one ordinary signature: Ed25519 (Solana, Cosmos) or on secp256k1
BIP-340 (Taproot). Children of it are derived with vaultctl key derive. What its making
waits for is shown until it is active.

--fallback 2:KEY,KEY,KEY,KEY gives its Taproot outputs a second way to be spent: any two
of these keys, without the vault, should the vault be lost. They are public keys in hex
whose private keys their owners keep themselves, offline; the vault never signs that way.
It cannot be changed later, and two administrators must sign for it.

--asset makes a threshold key of an asset class, on the class's curve: only children of its
template sign, are given out and frozen, so that no address is paid to that other wallets
do not find. Where the key is thought to stand, and what its children mean, key show says.
bitcoin has m/0/N to receive and m/1/N for change; bitcoin-testnet, solana and cosmos
likewise. It cannot be changed later.

With --allow-blind the key also signs bare digests, which two administrators must sign
for.`, cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			n.name, n.schemeOpen, n.curveOpen = args[0], !c.Flags().Changed("scheme"), !c.Flags().Changed("curve")
			body, net, err := a.keyBody(&n)
			if err != nil {
				return err
			}
			return a.send(ctx, &d, body, func(v *vault, cmd *command.Command, o *client.Outcome, proof client.Proof) error {
				if n.noWait {
					return a.outcome(v, cmd, o, proof, nil)
				}
				a.progress("the regions are making key %s", n.name)
				k, err := a.awaitKey(ctx, v, command.KeyIDOf(cmd.Principal, cmd.ID), body.Scheme)
				if err == nil {
					err = sameKind(k, body)
				}
				if err != nil {
					return err
				}
				return a.printKeyView(v.viewKey(k, net))
			})
		})
	f := c.Flags()
	f.StringVar(&n.scheme, "scheme", "multisig", "multisig, or threshold")
	f.StringVar(&n.curve, "curve", "secp256k1", "secp256k1, p256 (multisig only) or ed25519")
	f.StringSliceVar(&n.regions, "regions", nil, "names of the regions that hold it (default: all; multisig: all whose HSM has the curve)")
	n.flags(c)
	return d.flags(a, c)
}

// flags are those of every way to get a key.
func (n *creation) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&n.tenant, "tenant", "", "tenant the key belongs to")
	f.Uint8Var(&n.signers, "signers", 2, "how many regions sign: 2, 3 or 4")
	f.BoolVar(&n.blind, "allow-blind", false, "allow signing bare digests")
	f.StringVar(&n.fallback, "fallback", "", "script path of a Taproot wallet: K:KEY,KEY,... (32 or 33 bytes each, hex)")
	f.StringVar(&n.asset, "asset", "", "asset class of a threshold key: "+command.AssetNames())
	f.StringVar(&n.note, "note", "", "a note for people")
	f.BoolVar(&n.noWait, "no-wait", false, "do not wait until it is active")
	networkFlag(c, &n.network)
}

func (a *app) keyBody(n *creation) (*command.CreateKey, intent.Network, error) {
	if err := need("tenant", n.tenant); err != nil {
		return nil, 0, err
	}
	asset, err := n.parseAsset()
	if err != nil {
		return nil, 0, err
	}
	scheme, err := command.ParseScheme(n.scheme)
	if err != nil {
		return nil, 0, usageError{err}
	}
	cv, err := command.ParseCurve(n.curve)
	if err != nil {
		return nil, 0, usageError{err}
	}
	net, err := intent.ParseNetwork(n.network)
	if err != nil {
		return nil, 0, usageError{err}
	}
	if scheme == command.SchemeThreshold && cv == command.P256 {
		return nil, 0, usagef("--curve p256: a threshold key is on secp256k1 or ed25519")
	}
	if t := asset.Template(); t != nil && (scheme != command.SchemeThreshold || cv != t.Curve) {
		return nil, 0, usagef("--asset %s: that is a threshold key on %s", asset, t.Curve)
	}
	if n.signers < 2 || n.signers > 4 {
		return nil, 0, usagef("--signers %d: want 2, 3 or 4", n.signers)
	}
	body := &command.CreateKey{Name: n.name, Tenant: n.tenant, Scheme: scheme, Curve: cv, Signers: n.signers, AllowBlind: n.blind, Note: n.note, Asset: asset}
	if body.Fallback, err = parseFallback(n.fallback, body); err != nil {
		return nil, 0, err
	}
	if len(n.regions) == 0 {
		return body, net, nil
	}
	g, err := a.anchor()
	if err != nil {
		return nil, 0, err
	}
	body.Regions, err = regionIDs(g, "regions", n.regions)
	return body, net, err
}

// regionIDs returns the regions a flag names, ascending, as commands want them.
func regionIDs(g *genesis.Genesis, flag string, names []string) (ids []identity.RegionID, err error) {
	left := slices.Clone(names)
	for _, r := range g.Document.Regions {
		if i := slices.Index(left, r.Name); i >= 0 {
			ids, left = append(ids, r.ID), slices.Delete(left, i, i+1)
		}
	}
	if len(left) > 0 {
		return nil, usagef("--%s: the genesis has no region %q, or it stands twice", flag, left[0])
	}
	return ids, nil
}

// standing is the state as a table shows it.
func (v signingKeyView) standing() string {
	if n := len(v.Frozen); n > 0 {
		return fmt.Sprintf("%s, %d frozen below", v.State, n)
	}
	return v.State
}

func (a *app) keyList() *cobra.Command {
	var tenant string
	c := a.leaf("list", "List keys", "", noArgs, func(ctx context.Context, _ []string) error {
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			out := []signingKeyView{}
			for k, err := range v.Keys(ctx, tenant) {
				if err != nil {
					return advise(err)
				}
				out = append(out, v.viewKey(k, intent.Mainnet))
			}
			return a.print(out, func(w io.Writer) {
				t := &table{head: []string{"NAME", "TENANT", "STATE", "SCHEME", "CURVE", "SIGNERS", "ID", "NOTE"}}
				for _, k := range out {
					t.add(k.Name, k.Tenant, k.standing(), k.scheme(), k.Curve, fmt.Sprintf("%d/%d", k.Signers, k.Of), k.ID, k.Note)
				}
				a.table(w, t)
			})
		})
	})
	c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	return c
}

func (a *app) keyShow() *cobra.Command {
	var tenant, network string
	c := a.leaf("show KEY", "Show a key, its public keys and its wallet", `
KEY is a name or an id. Addresses and descriptors are computed here from the public keys.
Of a threshold key it also shows who holds it, and what its making or refresh waits for.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		net, err := intent.ParseNetwork(network)
		if err != nil {
			return usageError{err}
		}
		return a.with(ctx, func(ctx context.Context, v *vault) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			_, k, err := keyID(ctx, v, tenant, args[0])
			if err != nil {
				return err
			}
			view := v.viewKey(k, net)
			if err := v.addWraps(ctx, view.Threshold); err != nil {
				return err
			}
			return a.printKeyView(view)
		})
	})
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the key")
	networkFlag(c, &network)
	return c
}

// onKey sends a command about a key given by name or id.
func (a *app) onKey(ctx context.Context, d *dual, tenant, key string, body func(command.KeyID) command.Body) error {
	var id command.KeyID
	err := a.with(ctx, func(ctx context.Context, v *vault) (err error) {
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		id, _, err = keyID(ctx, v, tenant, key)
		return err
	})
	if err != nil {
		return err
	}
	return a.send(ctx, d, body(id), nil)
}

func (a *app) keyRetire() *cobra.Command {
	var d dual
	var tenant string
	c := a.leaf("retire KEY", "End a key: it never signs again", "Two administrators sign.", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return a.onKey(ctx, &d, tenant, args[0], func(id command.KeyID) command.Body { return &command.RetireKey{Key: id} })
	})
	c.Flags().StringVar(&tenant, "tenant", "", "tenant of the key")
	return d.flags(a, c)
}
