package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/address"
)

type sharingView struct {
	Epoch      uint32   `json:"epoch"`
	Wrap       uint32   `json:"wrap_epoch"`
	Threshold  uint32   `json:"threshold"`
	Holders    []string `json:"holders"`
	Transcript string   `json:"transcript"`
}

// thresholdView is what only threshold keys have.
type thresholdView struct {
	PublicKey   string        `json:"public_key,omitempty"` // 32 bytes
	Point       string        `json:"point,omitempty"`      // with parity
	ChainCode   string        `json:"chain_code,omitempty"`
	SSH         string        `json:"ssh_key,omitempty"` // line of allowed_signers; Ed25519
	Xpub        string        `json:"xpub,omitempty"`
	Descriptors []string      `json:"descriptors,omitempty"` // receive, change
	Fallback    string        `json:"fallback"`              // script path of its outputs
	Leaf        string        `json:"leaf_script,omitempty"` // the same as it stands in the leaf
	Asset       string        `json:"asset,omitempty"`
	Template    string        `json:"template,omitempty"` // what its children mean
	Addresses   uint64        `json:"addresses_issued"`
	Branches    []branchView  `json:"branches,omitempty"` // from which they were
	Sharing     *sharingView  `json:"sharing,omitempty"`
	Retiring    *sharingView  `json:"retiring,omitempty"`
	Ceremony    *ceremonyView `json:"ceremony,omitempty"`
	Hindrance   string        `json:"refresh_hindrance,omitempty"` // why a refresh of all would pass it by; it lies under an older wrapping epoch
	Escrows     []escrowView  `json:"escrows,omitempty"`           // copies for officers, for ever
	Wraps       []wrapView    `json:"wrapping_epochs,omitempty"`   // those it uses; shown to principals of the vault
}

// wrapView is one epoch of wrapping keys.
type wrapView struct {
	Epoch     uint32   `json:"epoch"`
	Keys      []string `json:"keys_of"` // regions
	Live      uint32   `json:"live"`
	Doomed    uint64   `json:"doomed_index,omitempty"`
	Destroyed []string `json:"destroyed_by,omitempty"`
}

// String says it in one line.
func (w wrapView) String() string {
	s := fmt.Sprintf("%d: keys of %s, in use %d times", w.Epoch, strings.Join(w.Keys, ", "), w.Live)
	if w.Doomed != 0 {
		s += fmt.Sprintf(", given up at index %d, destroyed by %s", w.Doomed, orNone(w.Destroyed))
	}
	return s
}

func isThreshold(k *client.Key) bool { return k.Scheme == tetradv1.Scheme_SCHEME_THRESHOLD }

func (v *vault) viewSharing(s *client.Sharing) *sharingView {
	if s == nil {
		return nil
	}
	return &sharingView{s.Epoch, s.WrapEpoch, s.Threshold, v.names(s.Holders), hexOf(s.Transcript)}
}

// viewThreshold fills in what a threshold key has, with names computed here.
func (v *vault) viewThreshold(out *signingKeyView, k *client.Key, net intent.Network) {
	t := &thresholdView{PublicKey: hexOf(k.PublicKey), Point: hexOf(k.Point), ChainCode: hexOf(k.ChainCode), Fallback: fallbackText(fallbackOf(k)), Addresses: k.Addresses,
		Sharing: v.viewSharing(k.Sharing), Retiring: v.viewSharing(k.Retiring), Ceremony: v.viewCeremony(k.Ceremony), Hindrance: k.RefreshHindrance}
	out.Threshold = t
	t.viewPaths(k)
	for _, e := range k.Escrows {
		t.Escrows = append(t.Escrows, v.viewEscrow(e))
	}
	if k.Sharing != nil {
		out.Of = len(k.Sharing.Holders)
	}
	if len(k.Point) == 0 {
		return
	}
	info := keyInfo(k, net)
	if out.Curve == command.Ed25519.String() {
		out.Network = "solana"
		if info.Asset == 0 {
			out.Address, _ = address.Solana(k.Point)
		}
		t.SSH = sshKeyLine(k.Point, k.Name)
		return
	}
	out.Network = net.String()
	if w, err := info.Taproot(); err == nil {
		t.Leaf = hexOf(w.LeafScript())
		if o, err := w.Output(); err == nil && info.Asset == 0 { // else nobody could spend what is paid there
			out.Address, out.PkScript = o.Address(net), hexOf(o.PkScript())
		}
	}
	if info.Asset == 0 {
		out.Descriptor, _ = address.Single(k.Point, info.Fallback)
	}
	if e, err := address.Root(net, k.Point, info.Chain); err == nil {
		t.Xpub = e.String()
		for branch := range uint32(2) {
			if d, err := address.Branch(e, branch, info.Fallback); err == nil {
				t.Descriptors = append(t.Descriptors, d)
			}
		}
	}
}

// epochs are the wrapping epochs the key uses.
func (t *thresholdView) epochs() (used []uint32) {
	for _, s := range []*sharingView{t.Sharing, t.Retiring} {
		if s != nil {
			used = append(used, s.Wrap)
		}
	}
	if t.Ceremony != nil {
		used = append(used, t.Ceremony.Wrap)
	}
	return used
}

// addWraps adds the wrapping epochs a threshold key uses. A tenant's principals do not see them.
func (v *vault) addWraps(ctx context.Context, t *thresholdView) error {
	if t == nil {
		return nil
	}
	wraps, err := v.Wraps(ctx)
	if errs.CodeOf(err) == errs.Denied {
		return nil
	}
	for _, w := range wraps {
		if slices.Contains(t.epochs(), w.Epoch) {
			t.Wraps = append(t.Wraps, wrapView{w.Epoch, v.names(w.Regions), w.Live, w.DoomedIndex, v.names(w.Dropped)})
		}
	}
	return advise(err)
}

func (t *thresholdView) pairs() []string {
	kv := []string{"public key", t.PublicKey, "chain code", t.ChainCode, "ssh key", t.SSH, "xpub", t.Xpub}
	for i, d := range t.Descriptors {
		kv = append(kv, []string{"receive", "change"}[i], d)
	}
	if t.Hindrance != "" {
		kv = append(kv, "not refreshed", t.Hindrance)
	}
	kv = append(kv, "fallback", t.Fallback, "leaf script", t.Leaf, "asset class", t.Asset, "template", t.Template, "addresses issued", itoa(t.Addresses))
	for _, b := range t.Branches {
		kv = append(kv, "next address", b.Next)
	}
	for _, s := range []struct {
		name string
		is   *sharingView
	}{{"sharing", t.Sharing}, {"retiring", t.Retiring}} {
		if s.is != nil {
			kv = append(kv, s.name, fmt.Sprintf("epoch %d, %d of %s, sealed under wrapping epoch %d", s.is.Epoch, s.is.Threshold, strings.Join(s.is.Holders, ", "), s.is.Wrap))
		}
	}
	for _, e := range t.Escrows {
		kv = append(kv, "escrow", e.String())
		for i, o := range e.Officers {
			kv = append(kv, fmt.Sprintf("officer %d", i+1), o)
		}
	}
	for _, w := range t.Wraps {
		kv = append(kv, "wrapping epoch", w.String())
	}
	if t.Ceremony != nil {
		kv = append(kv, "ceremony", fmt.Sprintf("of epoch %d: %s", t.Ceremony.Epoch, t.Ceremony.line()))
		for _, f := range t.Ceremony.Faults {
			kv = append(kv, "fault", f.String())
		}
		kv = append(kv, "suspected", t.Ceremony.suspected())
	}
	return kv
}

// awaitKey waits until a new key is active.
func (a *app) awaitKey(ctx context.Context, v *vault, id command.KeyID, scheme command.Scheme) (*client.Key, error) {
	if scheme == command.SchemeThreshold {
		return a.awaitSharing(ctx, v, id, mark{})
	}
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	return v.AwaitKey(ctx, id)
}

func (a *app) keyRefresh() *cobra.Command {
	var d dual
	var tenant, reason string
	var all, noWait, status bool
	c := a.leaf("refresh KEY|--all|--status", "Make new shares of a threshold key", `
The key and its addresses stay; every region gets a new share, and once nothing is left
under them the old wrapping keys are destroyed in the HSMs: who stole old shares has
nothing. Also what to do after a ceremony failed. Two administrators sign.

vaultctl configure --refresh-every has all keys refreshed by themselves. --status shows
when that was done last and will be next, and which keys did not come along.`, cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		switch {
		case status && !all && len(args) == 0:
			return a.refreshStatus(ctx)
		case status || all == (len(args) == 1):
			return usagef("give a key, or --all for every threshold key, or --status alone")
		}
		return a.reshare(ctx, &d, tenant, args, nil, reason, noWait)
	})
	c.Flags().BoolVar(&all, "all", false, "every live threshold key")
	c.Flags().BoolVar(&status, "status", false, "show when all keys are refreshed by themselves")
	reshareFlags(c, &tenant, &reason, &noWait)
	return d.flags(a, c)
}

// newHolders reads --holders, which must be given.
func (a *app) newHolders(names []string) ([]identity.RegionID, error) {
	if len(names) == 0 {
		return nil, usagef("--holders is required")
	}
	g, err := a.anchor()
	if err != nil {
		return nil, err
	}
	return regionIDs(g, "holders", names)
}

func (a *app) keyReshare() *cobra.Command {
	var d dual
	var tenant, reason string
	var holders []string
	var noWait bool
	c := a.leaf("reshare KEY --holders A,B,C", "Have other regions hold a threshold key", `
The key and its addresses stay; the regions named hold the new shares, the old ones are
void. Two administrators sign.`, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		ids, err := a.newHolders(holders)
		if err != nil {
			return err
		}
		return a.reshare(ctx, &d, tenant, args, ids, reason, noWait)
	})
	c.Flags().StringSliceVar(&holders, "holders", nil, "names of the regions that are to hold it")
	reshareFlags(c, &tenant, &reason, &noWait)
	return d.flags(a, c)
}

func reshareFlags(c *cobra.Command, tenant, reason *string, noWait *bool) {
	c.Flags().StringVar(tenant, "tenant", "", "tenant of the key")
	c.Flags().StringVar(reason, "reason", "", "why, for the audit log")
	c.Flags().BoolVar(noWait, "no-wait", false, "do not wait until it is done")
}

// reshare asks for new sharings, of one key or without args of all, and waits for them.
func (a *app) reshare(ctx context.Context, d *dual, tenant string, args []string, holders []identity.RegionID, reason string, noWait bool) error {
	body := &command.RefreshKey{Holders: holders, Reason: reason}
	before := map[command.KeyID]mark{}
	var order []command.KeyID
	add := func(k *client.Key) {
		id, m := command.KeyID(k.Id), markOf(k)
		m.ofAll = len(args) == 0
		order, before[id] = append(order, id), m
	}
	err := a.with(ctx, func(ctx context.Context, v *vault) error {
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		if len(args) > 0 {
			id, k, err := keyID(ctx, v, tenant, args[0])
			if err == nil {
				body.Key = id
				add(k)
			}
			return err
		}
		for k, err := range v.Keys(ctx, tenant) {
			if err != nil {
				return advise(err)
			}
			if isThreshold(k) && k.Sharing != nil && k.State != tetradv1.KeyState_KEY_STATE_RETIRED && len(k.Id) == len(command.KeyID{}) {
				add(k)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.send(ctx, d, body, func(v *vault, cmd *command.Command, o *client.Outcome, proof client.Proof) error {
		if noWait {
			return a.outcome(v, cmd, o, proof, nil)
		}
		return a.awaitAll(ctx, v, order, before)
	})
}

// awaitAll waits for every key, also when one fails or is passed by, and names those that
// did not come along.
func (a *app) awaitAll(ctx context.Context, v *vault, order []command.KeyID, before map[command.KeyID]mark) error {
	done, failed := []signingKeyView{}, []error{}
	for _, id := range order {
		k, err := a.awaitSharing(ctx, v, id, before[id])
		if err != nil {
			failed = append(failed, err)
			a.progress("%v", err)
		}
		if k != nil {
			done = append(done, v.viewKey(k, intent.Mainnet))
		}
	}
	if err := a.print(done, func(w io.Writer) { a.sharings(w, done) }); err != nil {
		return err
	}
	return together(failed, len(order))
}

// together makes one failure of several, with the code of the first.
func together(failed []error, of int) error {
	switch {
	case len(failed) == 0:
		return nil
	case of == 1:
		return failed[0]
	}
	var texts []string
	for i, err := range failed {
		if i == mostNamed {
			texts = append(texts, "and others")
			break
		}
		texts = append(texts, err.Error())
	}
	return errs.New(errs.CodeOf(failed[0]), "%d of %d keys did not come along: %s", len(failed), of, strings.Join(texts, "; ")).
		WithHint("vaultctl key show tells of each what is in the way; vaultctl key refresh KEY does it alone")
}

// mostNamed bounds the failures told in one line.
const mostNamed = 20

func (a *app) sharings(w io.Writer, keys []signingKeyView) {
	t := &table{head: []string{"KEY", "TENANT", "STATE", "EPOCH", "HOLDERS", "CEREMONY"}}
	for _, k := range keys {
		epoch, holders, ceremony := "", "", ""
		if s := k.Threshold.Sharing; s != nil {
			epoch, holders = itoa(uint64(s.Epoch)), strings.Join(s.Holders, ",")
		}
		if c := k.Threshold.Ceremony; c != nil {
			ceremony = c.line()
		}
		t.add(k.Name, k.Tenant, k.State, epoch, holders, ceremony)
	}
	a.table(w, t)
}
