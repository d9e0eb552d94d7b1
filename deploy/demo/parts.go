package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Names that must stand in no file of a region in plain text.
const (
	tenant  = "canary-tenant-7f3a"
	service = "canary-service-91cc"
	key     = "canary-treasury-d04e"
	note    = "canary note 5be2"
)

func (d *demo) found(ctx context.Context) error {
	d.step("genesis: enrol, contribute, sign at four sites; officers prove recovery; two administrators approve")
	if err := d.Found(ctx); err != nil {
		return err
	}
	g, err := d.Document()
	if err != nil {
		return err
	}
	h := g.Document.Hash()
	d.detail("genesis hash %x", h)
	return nil
}

func (d *demo) start(ctx context.Context) error {
	d.step("four vaultd processes: each opens itself with its own token")
	begin := time.Now()
	if err := d.StartAll(); err != nil {
		return err
	}
	if err := d.ready(ctx, d.Regions...); err != nil {
		return err
	}
	d.fact("ready to sign", "%.2f s after process start (four at once)", time.Since(begin).Seconds())
	out, err := d.Vaultctl(ctx, d.As(lab.Admins[0]), "status")
	fmt.Println(indent(out))
	return err
}

const readyWithin = 20 * time.Second

func (d *demo) ready(ctx context.Context, regions ...*lab.Region) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for _, r := range regions {
		if err := r.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// as runs vaultctl for a principal; as "" for alice with bob's signature beside.
func (d *demo) both(ctx context.Context, args ...string) error {
	_, err := d.Vaultctl(ctx, d.As(lab.Admins[0]), append(args, "--cosign-key", d.KeyFile(lab.Admins[1]))...)
	return err
}

func (d *demo) wallet(ctx context.Context) error {
	d.step("a tenant, a signing service and a 2-of-4 Bitcoin wallet, under dual control")
	public, err := d.Keygen(ctx, service, "ed25519")
	if err != nil {
		return err
	}
	if err := d.both(ctx, "tenant", "create", tenant); err != nil {
		return err
	}
	if err := d.both(ctx, "principal", "add", service, "--tenant", tenant, "--public-key", public, "--roles", "signer"); err != nil {
		return err
	}
	if err := d.both(ctx, "key", "create", key, "--tenant", tenant, "--curve", "secp256k1", "--signers", "2", "--network", "regtest"); err != nil {
		return err
	}
	out, err := d.Vaultctl(ctx, d.As(service), "key", "show", key, "--network", "regtest")
	fmt.Println(indent(out))
	return err
}

// walletKey returns the key as the vault shows it, and its wallet.
func (d *demo) walletKey(ctx context.Context, c *client.Client) (*intent.Wallet, error) {
	k, err := c.KeyByName(ctx, tenant, key)
	if err != nil {
		return nil, err
	}
	info := intent.KeyInfo{Curve: command.Curve(k.Curve), Signers: uint8(k.Signers)}
	for _, a := range k.Attestations {
		info.PublicKeys = append(info.PublicKeys, intent.PublicKey{Region: identity.RegionID(a.Region), Key: a.PublicKey})
	}
	return intent.NewWallet(info)
}

func (d *demo) client() (*client.Client, error) {
	signer, err := lab.LoadKey(d.KeyFile(service))
	if err != nil {
		return nil, err
	}
	return d.Client(signer)
}

func (d *demo) pay(ctx context.Context) error {
	d.step("a PSBT with two inputs: two regions sign, it is finalized, btcd's script engine judges")
	c, err := d.client()
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := d.walletKey(ctx, c)
	if err != nil {
		return err
	}
	funding := intenttest.Fund(w, 1, 60_000_000, 40_000_000)
	psbt := intenttest.PSBT(2, w, funding, intenttest.To(7, 75_000_000), intenttest.Change(w, 24_990_000))
	if err := os.WriteFile(d.Path("payment.psbt"), psbt, 0o600); err != nil {
		return err
	}
	out, err := d.Vaultctl(ctx, d.As(service), "sign", "--key", key, "--psbt", d.Path("payment.psbt"), "--finalize",
		"--network", "regtest", "--note", note, "--output", "json")
	if err != nil {
		return err
	}
	var v struct {
		TxID        string   `json:"txid"`
		Transaction string   `json:"transaction"`
		SignedBy    []region `json:"signed_by"`
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		return err
	}
	raw, err := hex.DecodeString(v.Transaction)
	if err != nil {
		return err
	}
	if err := intenttest.Accepted(raw, funding); err != nil {
		return fmt.Errorf("btcd's script engine refuses the transaction: %w", err)
	}
	d.detail("transaction %s", v.TxID)
	d.detail("signed by %s, accepted by btcd's script engine", pair(v.SignedBy))
	d.fact("bitcoin payment", "signed by %s, accepted (%d bytes)", pair(v.SignedBy), len(raw))
	return nil
}

type region struct {
	Region string `json:"region"`
}

func pair(rs []region) string {
	names := make([]string, len(rs))
	for i, r := range rs {
		names[i] = r.Region
	}
	return strings.Join(names, " + ")
}

func (d *demo) ten(ctx context.Context) error {
	d.step("ten more signatures, each by the pair its draw names")
	pairs, took, err := d.sign(ctx, 10)
	if err != nil {
		return err
	}
	for i := 0; i < len(pairs); i += 5 {
		d.detail("%s", strings.Join(pairs[i:min(i+5, len(pairs))], "   "))
	}
	slices.Sort(took)
	d.fact("one signature", "%.1f ms (median of ten, one client)", float64(took[len(took)/2])/float64(time.Millisecond))
	return nil
}

// sign asks for n signatures, one after the other, and returns who signed.
func (d *demo) sign(ctx context.Context, n int) (pairs []string, took []time.Duration, err error) {
	c, err := d.client()
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	k, err := c.KeyByName(ctx, tenant, key)
	if err != nil {
		return nil, nil, err
	}
	for i := range n {
		cmd, err := c.Command(client.NewSignMessage(client.KeyID(k.Id), client.HashSHA256, fmt.Appendf(nil, "withdrawal %d of the demo", i), note))
		if err != nil {
			return nil, nil, err
		}
		begin := time.Now()
		r, err := c.Sign(ctx, cmd)
		if err != nil {
			return nil, nil, err
		}
		took = append(took, time.Since(begin))
		pairs = append(pairs, d.names(r))
	}
	return pairs, took, nil
}

func (d *demo) names(r *tetradv1.Request) string {
	var names []string
	for _, set := range r.Results {
		names = append(names, d.Regions[set.Region-1].Name)
	}
	return strings.Join(names, "+")
}

// leader returns the region that leads, as its own status says.
func (d *demo) leader(ctx context.Context) (*lab.Region, error) {
	out, err := d.Vaultctl(ctx, d.As(lab.Admins[0]), "status", "--output", "json")
	if err != nil {
		return nil, err
	}
	var v struct {
		Nodes []struct {
			Region string `json:"region"`
			Role   string `json:"role"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		return nil, err
	}
	for _, n := range v.Nodes {
		for _, r := range d.Regions {
			if n.Role == "leader" && n.Region == r.Name {
				return r, nil
			}
		}
	}
	return nil, fmt.Errorf("no region leads")
}

func (d *demo) lose(ctx context.Context) error {
	lost, err := d.leader(ctx)
	if err != nil {
		return err
	}
	d.step("SIGKILL to region %s, which leads: signing goes on", lost.Name)
	lost.Kill()
	begin := time.Now()
	if _, _, err := d.sign(ctx, 1); err != nil {
		return fmt.Errorf("after the loss of %s: %w", lost.Name, err)
	}
	gap := time.Since(begin)
	pairs, _, err := d.sign(ctx, 5)
	if err != nil {
		return err
	}
	d.detail("next signature %.2f s after the kill; then %s", gap.Seconds(), strings.Join(pairs, "   "))
	d.fact("leader lost", "next signature after %.2f s", gap.Seconds())
	return d.back(ctx, lost)
}

// back starts the lost region again and waits until it has caught up.
func (d *demo) back(ctx context.Context, lost *lab.Region) error {
	d.step("region %s comes back, unseals alone and catches up", lost.Name)
	begin := time.Now()
	if err := d.Start(lost); err != nil {
		return err
	}
	if err := d.ready(ctx, lost); err != nil {
		return err
	}
	d.fact("region back", "unsealed and caught up %.2f s after its process start", time.Since(begin).Seconds())
	for {
		pairs, _, err := d.sign(ctx, 1)
		if err != nil {
			return err
		}
		if strings.Contains(pairs[0], lost.Name) {
			d.detail("and signs again: %s", pairs[0])
			return nil
		}
		if time.Since(begin) > readyWithin {
			return fmt.Errorf("region %s was not drawn again within %s", lost.Name, readyWithin)
		}
	}
}

func (d *demo) audit(ctx context.Context) error {
	d.step("the audit log: exported, then verified offline against the genesis alone")
	export := d.Path("audit.export")
	if _, err := d.Vaultctl(ctx, d.As(lab.Admins[0]), "audit", "export", "--out", export); err != nil {
		return err
	}
	out, err := d.Vaultctl(ctx, []string{"TETRAD_GENESIS=" + d.Genesis()}, "audit", "verify", export)
	fmt.Println(indent(out))
	if err != nil {
		return err
	}
	d.fact("audit", "verified offline")
	return nil
}
