package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/escrow"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// bringing is one use of vaultctl key import.
type bringing struct {
	creation
	from, form, expect string
}

func (a *app) keyImport() *cobra.Command {
	var d dual
	var n bringing
	c := a.leaf("import NAME --tenant T --curve CURVE --from FILE", "Bring in a key that exists as a whole", `
The key is read from FILE, which nobody else may read (mode 0600), dealt here to the
regions and sealed to each one's HSM; each checks its share before the key goes live. It
is a threshold key like others afterwards and can be refreshed and reshared, but it was
known outside, and says so for ever: whoever still has it signs without the vault. Better
make a new key and move what the old one holds.

FILE holds, for secp256k1, a scalar in hex, a WIF, or an extended private key, whose chain
code comes along; for ed25519 a PKCS#8 PEM, or in hex a seed (--form seed) or a scalar
(--form scalar); for both, what vaultctl recover key writes. Of an Ed25519 seed the half
that chooses a lone signer's nonces is dropped: signatures look different and verify alike.
A key without a chain code gets one that follows from its secret, the same each time.

Only where two administrators allowed it (vaultctl configure --import on); two must sign.`, cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			n.name, n.scheme, n.curveOpen = args[0], command.SchemeThreshold.String(), n.curve == ""
			return a.bringIn(ctx, &d, &n)
		})
	f := c.Flags()
	f.StringVar(&n.from, "from", "", "file with the key; mode 0600")
	f.StringVar(&n.form, "form", "", "how FILE holds it: recovered, scalar, seed, pkcs8, wif or xprv (default: by its look)")
	f.StringVar(&n.expect, "public-key", "", "the public key it must have, in hex")
	f.StringVar(&n.curve, "curve", "", "secp256k1 or ed25519")
	f.StringSliceVar(&n.regions, "regions", nil, "names of the regions that hold it (default: all)")
	n.flags(c)
	return d.flags(a, c)
}

func (a *app) bringIn(ctx context.Context, d *dual, n *bringing) error {
	if err := need("from", n.from, "curve", n.curve+n.asset); err != nil {
		return err
	}
	created, net, err := a.keyBody(&n.creation)
	if err != nil {
		return err
	}
	body, shares, err := n.read(created)
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range shares {
			s.Wipe()
		}
	}()
	if n.form == string(escrow.FormSeed) || n.form == string(escrow.FormPKCS8) {
		a.progress("of the seed only the scalar comes along: signatures look different from a lone signer's and verify alike")
	}
	if err := a.with(ctx, func(ctx context.Context, v *vault) error { return a.sealImport(ctx, v, body, shares) }); err != nil {
		return err
	}
	return a.send(ctx, d, body, func(v *vault, cmd *command.Command, o *client.Outcome, proof client.Proof) error {
		if n.noWait {
			return a.outcome(v, cmd, o, proof, nil)
		}
		a.progress("the regions check what they were dealt of key %s", n.name)
		return a.awaitImport(ctx, v, command.KeyIDOf(cmd.Principal, cmd.ID), body, n, net)
	})
}

// read deals the key in the file. The shares are the caller's to wipe; nothing else of the
// secret is left.
func (n *bringing) read(created *command.CreateKey) (*command.ImportKey, []*frost.Share, error) {
	file, err := readPrivate(n.from)
	if err != nil {
		return nil, nil, err
	}
	defer clear(file)
	suite := frost.BIP340
	if created.Curve == command.Ed25519 {
		suite = frost.Ed25519
	}
	whole, err := escrow.ParseWhole(file, suite, escrow.Form(n.form))
	if err != nil {
		return nil, nil, errs.Wrap(errs.CodeOf(err), err, "%s", n.from).WithHint("%s", errs.HintOf(err))
	}
	defer whole.Wipe()
	n.form = string(whole.Form)
	if len(created.Regions) == 0 {
		created.Regions = []identity.RegionID{1, 2, 3, 4}
	}
	split, shares, err := frost.SplitSecret(randomReader, suite, whole.Secret, int(created.Signers), numbers(created.Regions))
	if err != nil {
		return nil, nil, errs.Wrap(errs.CodeOf(err), err, "%s", n.from).WithHint("%s", errs.HintOf(err))
	}
	public, err := split.Key(numbers(created.Regions))
	if err == nil && n.expect != "" && n.expect != hexOf(public.Bytes()) && n.expect != hexOf(public.Compressed()) {
		err = errs.New(errs.Unverified, "%s holds the key %s, not %s", n.from, hexOf(public.Compressed()), n.expect)
	}
	if err != nil {
		return nil, nil, err
	}
	return &command.ImportKey{Name: created.Name, Tenant: created.Tenant, Curve: created.Curve, Signers: created.Signers, AllowBlind: created.AllowBlind,
		Regions: created.Regions, Note: created.Note, Fallback: created.Fallback, Asset: created.Asset, Point: public.Compressed(), Chain: whole.Chain, Split: split.Encode()}, shares, nil
}

func numbers(ids []identity.RegionID) (out []uint8) {
	for _, id := range ids {
		out = append(out, uint8(id))
	}
	return out
}

// sealImport seals each share to its region's wrapping key of the newest epoch.
func (a *app) sealImport(ctx context.Context, v *vault, body *command.ImportKey, shares []*frost.Share) error {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	var err error
	if body.Wrap, err = v.newestWrap(ctx); err != nil {
		return err
	}
	epochs, err := v.WrapKeys(ctx)
	if err != nil {
		return advise(err)
	}
	if err := v.askIdentities(ctx); err != nil {
		return advise(err)
	}
	at := slices.IndexFunc(epochs, func(e *client.WrapEpoch) bool { return e.Epoch == body.Wrap })
	if at < 0 {
		return errs.New(errs.Stale, "the wrapping keys of epoch %d are not shown", body.Wrap).WithHint("they were refreshed just now: try again")
	}
	for i, s := range shares {
		public, err := v.wrapKey(epochs[at], body.Regions[i])
		if err != nil {
			return err
		}
		plain := s.Encode()
		sealed, err := box.Seal(public, command.ImportInfo(v.genesis.Document.Cluster, body.Regions[i], body.Wrap, body.Split), plain)
		clear(plain)
		if err != nil {
			return err
		}
		body.Boxes = append(body.Boxes, sealed)
	}
	return nil
}

// newestWrap asks every node which epoch of wrapping keys is the newest. Keys of an older
// one may have been stolen; of those that answer one may lie, and only upwards, to where
// nobody signed a key.
func (v *vault) newestWrap(ctx context.Context) (newest uint32, err error) {
	answered, allowed := 0, false
	for _, n := range v.StatusAll(ctx, false) {
		if n.Err == nil && n.Status.Settings != nil {
			answered++
			newest = max(newest, n.Status.WrapEpoch)
			allowed = allowed || n.Status.Settings.Import
		}
	}
	switch {
	case answered < 2:
		return 0, errs.New(errs.Unavailable, "%d nodes say which wrapping keys are the newest, want two", answered).WithHint("vaultctl status shows which nodes are up")
	case !allowed:
		return 0, errs.New(errs.Denied, "this vault takes no keys from outside").WithHint("two administrators can allow it: vaultctl configure --import on")
	case newest == 0:
		return 0, errs.New(errs.NotReady, "the regions have no wrapping keys yet").WithHint("wait some seconds")
	}
	return newest, nil
}

// wrapKey returns a region's wrapping key if the region's identity key vouches for it: the
// one of the genesis, save where two other regions say that it has another one.
func (v *vault) wrapKey(e *client.WrapEpoch, region identity.RegionID) ([]byte, error) {
	at := slices.IndexFunc(e.Keys, func(k *tetradv1.WrapKey) bool { return k.Region == uint32(region) })
	name := regionName(v.genesis, region)
	if at < 0 || int(region) > len(v.genesis.Document.Regions) {
		return nil, errs.New(errs.NotReady, "region %s has no wrapping key of epoch %d", name, e.Epoch).WithHint("it must be up: vaultctl status; or leave it out with --regions")
	}
	k := e.Keys[at]
	msg := command.WrapBytes(v.genesis.Document.Cluster, region, e.Epoch, k.Public, k.Sealed, k.Attributes)
	if !v.identities[region].Verify(msg, k.Identity) {
		return nil, errs.New(errs.Unverified, "the wrapping key of region %s, epoch %d, is not signed by its identity key", name, e.Epoch).
			WithHint("the node that showed it lies: nothing was sealed to it")
	}
	return k.Public, box.CheckPublic(k.Public)
}

// awaitImport waits until the key is live and holds it against what was dealt.
func (a *app) awaitImport(ctx context.Context, v *vault, id command.KeyID, body *command.ImportKey, n *bringing, net intent.Network) error {
	k, err := a.awaitSharing(ctx, v, id, mark{})
	if err != nil {
		return err
	}
	if hexOf(k.Point) != hexOf(body.Point) || hexOf(k.ChainCode) != hexOf(body.Chain[:]) || !k.Outside {
		return errs.New(errs.Unverified, "key %s is shown as another key than was brought in", k.Name).WithHint("compare what other regions show, and the audit log")
	}
	if err := sameKind(k, body.Created()); err != nil {
		return err
	}
	a.progress("destroy %s and every other copy of the key: the vault cannot", n.from)
	return a.printKeyView(v.viewKey(k, net))
}

func originText(outside bool) string {
	if outside {
		return "BROUGHT IN: the whole key was known outside the vault"
	}
	return ""
}

// scheme is the scheme as tables show it.
func (v *signingKeyView) scheme() string {
	if v.Outside {
		return v.Scheme + ", outside"
	}
	return v.Scheme
}
