package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
)

// The threshold keys of the demo.
const (
	taprootKey = "canary-taproot-3c51"
	solanaKey  = "canary-solana-a77e"
)

// threshold makes two keys that exist nowhere and pays with each, before and after a
// refresh of all shares.
func (d *demo) threshold(ctx context.Context) error {
	d.step("two threshold keys: no region ever holds one, no dealer made them")
	begin := time.Now()
	for name, curve := range map[string]string{taprootKey: "secp256k1", solanaKey: "ed25519"} {
		if err := d.both(ctx, "key", "create", name, "--tenant", tenant, "--scheme", "threshold", "--curve", curve, "--signers", "2"); err != nil {
			return err
		}
	}
	d.fact("two threshold keys", "made in %.1f s by four regions", time.Since(begin).Seconds())
	if err := d.payBoth(ctx); err != nil {
		return err
	}
	d.step("every share is replaced, the old wrapping keys are destroyed in the HSMs; the keys and their addresses stay")
	begin = time.Now()
	if err := d.both(ctx, "key", "refresh", "--all", "--tenant", tenant, "--reason", "the demo"); err != nil {
		return err
	}
	d.fact("shares refreshed", "in %.1f s", time.Since(begin).Seconds())
	if err := d.payBoth(ctx); err != nil {
		return fmt.Errorf("after the refresh: %w", err)
	}
	out, err := d.Vaultctl(ctx, d.As(lab.Admins[0]), "nonce", "status")
	fmt.Println(indent(out))
	return err
}

func (d *demo) payBoth(ctx context.Context) error {
	if err := d.payTaproot(ctx); err != nil {
		return err
	}
	return d.paySolana(ctx)
}

// issued gives out the next address of a key and returns it with its path.
func (d *demo) issued(ctx context.Context, key, chain string) (address, path string, err error) {
	out, err := d.Vaultctl(ctx, d.As(service), "key", "address", key, "--chain", chain, "--output", "json")
	if err != nil {
		return "", "", err
	}
	var v []struct {
		Address string `json:"address"`
		Path    string `json:"path"`
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v) != 1 {
		return "", "", fmt.Errorf("key address: %d addresses, %w", len(v), err)
	}
	return v[0].Address, v[0].Path, nil
}

// info is what a key's public side says.
func (d *demo) info(ctx context.Context, key string) (intent.KeyInfo, error) {
	c, err := d.client()
	if err != nil {
		return intent.KeyInfo{}, err
	}
	defer c.Close()
	k, err := c.KeyByName(ctx, tenant, key)
	if err != nil {
		return intent.KeyInfo{}, err
	}
	info := intent.KeyInfo{Curve: command.Curve(k.Curve), Signers: uint8(k.Signers), Threshold: k.Scheme == tetradv1.Scheme_SCHEME_THRESHOLD, Point: k.Point}
	copy(info.Chain[:], k.ChainCode)
	if f := k.Fallback; f != nil {
		info.Fallback = &intent.Fallback{Signers: uint8(f.Signers), PublicKeys: f.PublicKeys}
	}
	return info, nil
}

// payTaproot spends two outputs of one key by the key path: to the chain it looks like
// any single signature.
func (d *demo) payTaproot(ctx context.Context) error {
	address, at, err := d.issued(ctx, taprootKey, "bitcoin-regtest")
	if err != nil {
		return err
	}
	info, err := d.info(ctx, taprootKey)
	if err != nil {
		return err
	}
	w, err := info.Taproot()
	if err != nil {
		return err
	}
	path, err := command.ParsePath(at)
	if err != nil {
		return err
	}
	child, err := w.Output(path...)
	if err != nil {
		return err
	}
	if child.Address(intent.Regtest) != address {
		return fmt.Errorf("address %s was issued, %s follows from the key", address, child.Address(intent.Regtest))
	}
	root, err := w.Output()
	if err != nil {
		return err
	}
	outs := []*intent.TaprootOutput{child, root}
	funding := intenttest.FundTaproot(uint32(time.Since(d.began)), outs, 30_000_000, 20_000_000)
	psbt := intenttest.TaprootPSBT(2, w, funding, outs, intenttest.To(9, 45_000_000), intenttest.ToTaproot(root, 4_990_000))
	v, err := d.signed(ctx, "taproot.psbt", psbt, "--key", taprootKey, "--finalize", "--network", "regtest", "--psbt")
	if err != nil {
		return err
	}
	raw, err := hex.DecodeString(v.Transaction)
	if err != nil {
		return err
	}
	if err := intenttest.Accepted(raw, funding); err != nil {
		return fmt.Errorf("btcd's script engine refuses the transaction: %w", err)
	}
	d.detail("taproot, %s and the key itself: one signature an input by %s, accepted by btcd's script engine", at, pair(v.Regions))
	d.fact("taproot payment", "signed by %s, accepted (%d bytes)", pair(v.Regions), len(raw))
	return nil
}

// paySolana signs a transfer of a child of the Ed25519 key; crypto/ed25519 judges.
func (d *demo) paySolana(ctx context.Context) error {
	address, at, err := d.issued(ctx, solanaKey, "solana")
	if err != nil {
		return err
	}
	info, err := d.info(ctx, solanaKey)
	if err != nil {
		return err
	}
	path, err := command.ParsePath(at)
	if err != nil {
		return err
	}
	point, _, err := intent.Child(info.Curve, info.Point, info.Chain, path...)
	if err != nil {
		return err
	}
	message := transfer(point, 1_500_000_000)
	v, err := d.signed(ctx, "transfer.msg", message, "--key", solanaKey, "--kind", "solana", "--path", at, "--wait", "--message")
	if err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(v.Transaction)
	if err != nil || len(raw) < 1+ed25519.SignatureSize || !ed25519.Verify(point, message, raw[1:1+ed25519.SignatureSize]) {
		return fmt.Errorf("crypto/ed25519 refuses the signature of %s: %w", address, err)
	}
	d.detail("solana, %s (%s): one signature by %s, accepted by crypto/ed25519", address, at, pair(v.Regions))
	d.fact("solana payment", "signed by %s, accepted", pair(v.Regions))
	return nil
}

type signedView struct {
	Transaction string   `json:"transaction"`
	Regions     []region `json:"signed_by"`
}

// signed writes a payload to a file and has it signed; the last of args is the flag that
// takes the file.
func (d *demo) signed(ctx context.Context, name string, payload []byte, args ...string) (v signedView, err error) {
	if err := os.WriteFile(d.Path(name), payload, 0o600); err != nil {
		return v, err
	}
	args = append(append([]string{"sign"}, args...), d.Path(name), "--note", note, "--output", "json")
	out, err := d.Vaultctl(ctx, d.As(service), args...)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal([]byte(out), &v)
}

// transfer is a legacy Solana message: from pays lamports to somebody.
func transfer(from []byte, lamports uint64) []byte {
	to := strings.Repeat("\x07", 32)
	m := []byte{1, 0, 1, 3} // one signer, one account that is only read: the system program
	m = append(append(append(m, from...), to...), make([]byte, 32)...)
	m = append(m, strings.Repeat("\x2a", 32)...) // recent block hash
	m = append(m, 1, 2, 2, 0, 1, 12)             // one instruction of account 2 over accounts 0 and 1
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(m, 2), lamports)
}
