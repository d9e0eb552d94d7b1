package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// owners are four people who each keep a key of their own, and what --fallback says of them.
func owners(signers int) (private []*btcec.PrivateKey, flag string) {
	var keys []string
	for i := range 4 {
		h := sha256.Sum256(fmt.Append(nil, "owner", i))
		k, public := btcec.PrivKeyFromBytes(h[:])
		private = append(private, k)
		if i%2 == 0 {
			keys = append(keys, hex.EncodeToString(schnorr.SerializePubKey(public)))
		} else {
			keys = append(keys, hex.EncodeToString(public.SerializeCompressed()))
		}
	}
	return private, fmt.Sprintf("%d:%s", signers, strings.Join(keys, ","))
}

// TestFallbackAgainstACluster: outputs of one wallet are spent by two regions of the vault,
// and without the vault by two of four owners; not by one of them, nor by strangers.
func TestFallbackAgainstACluster(t *testing.T) {
	b := newBench(t)
	both, svc := b.path("bob.key"), b.path("svc.key")
	b.ok("tenant", "create", "acme", "--cosign-key", both)
	b.ok("keygen", "--out", svc, "--type", "p256")
	b.ok("principal", "add", "svc", "--tenant", "acme", "--roles", "signer", "--public-key-of", svc, "--cosign-key", both)
	private, flag := owners(2)
	create := []string{"key", "create", "tap", "--tenant", "acme", "--scheme", "threshold", "--network", "regtest", "--fallback", flag}
	b.fails(errs.ExitDenied, "--propose-to", create...)
	b.ok(append(create, "--cosign-key", both)...)

	w, outs := b.fallbackWallet()
	f := intenttest.FundTaproot(4, outs, 40_000, 50_000)
	for version := range uint32(3) {
		if version == 1 {
			continue // there is none
		}
		file := b.write("tap.psbt", intenttest.TaprootPSBT(version, w, f, outs, intenttest.To(1, 80_000)))
		raw, err := hex.DecodeString(strings.TrimSpace(b.ok("sign", "--key", "tap", "--psbt", file, "--finalize", "--key-file", svc)))
		if err != nil {
			t.Fatal(err)
		}
		if err := intenttest.Accepted(raw, f); err != nil {
			t.Errorf("by the vault: %v", err)
		}
	}
	stranger, _ := btcec.PrivKeyFromBytes([]byte{7})
	for i := range private {
		for j := range private {
			raw := intenttest.FallbackSpend(w, f, outs, []*btcec.PrivateKey{private[i], private[j]}, intenttest.To(1, 80_000))
			if err := intenttest.Accepted(raw, f); (err == nil) != (i != j) {
				t.Errorf("owners %d and %d: %v", i, j, err)
			}
		}
		raw := intenttest.FallbackSpend(w, f, outs, []*btcec.PrivateKey{private[i], stranger}, intenttest.To(1, 80_000))
		if intenttest.Accepted(raw, f) == nil {
			t.Errorf("owner %d and a stranger spent it", i)
		}
	}
	b.ok("audit", "export", "--out", b.path("a.bin"))
	var r auditor.Report
	if b.json(&r, "audit", "verify", b.path("a.bin")); r.Summed != 4 || len(r.Findings) != 0 {
		t.Errorf("%d signatures added up, want 4; findings %v", r.Summed, r.Findings)
	}
}

// TestFallbackOfAnother: a vault that shows other keys than were asked for is not believed.
func TestFallbackOfAnother(t *testing.T) {
	s := newStage(t)
	k := s.key(1, "tap", command.Secp256k1)
	_, flag := owners(2)
	create := []string{"key", "create", "tap", "--tenant", "acme", "--scheme", "threshold", "--fallback", flag, "--cosign-key", s.path("bob.key")}
	shown := row(1, "tap", command.Secp256k1, k, 1)
	s.onSubmit(func(_ context.Context, c *command.Command) (fsm.Outcome, error) {
		o, err := s.c.State.Decide(c)
		if body, bodyErr := c.Body(); bodyErr == nil {
			f := *body.(*command.CreateKey).Fallback
			f.PublicKeys[2] = bytes.Repeat([]byte{3}, 32)
			shown.ID, shown.Fallback = o.Key, &f
			s.c.State.PutKey(shown)
		}
		return o, err
	})
	s.fails(errs.ExitUnverified, "asked for was 2 of", create...)
}

// fallbackWallet builds the wallet of key tap from the descriptor alone, as the owners'
// software does, and compares it with what vaultctl shows.
func (b *bench) fallbackWallet() (*intent.Taproot, []*intent.TaprootOutput) {
	t := b.t
	t.Helper()
	var v signingKeyView
	b.json(&v, "key", "show", "tap", "--tenant", "acme", "--network", "regtest")
	body, err := intent.CheckDescriptor(v.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	internal, rest, _ := strings.Cut(strings.TrimPrefix(body, "tr("), ",sortedmulti_a(2,")
	k := intent.TaprootKey{Fallback: &intent.Fallback{Signers: 2}}
	for _, text := range strings.Split(strings.TrimSuffix(rest, "))"), ",") {
		key, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		k.Fallback.PublicKeys = append(k.Fallback.PublicKeys, key)
	}
	point, _ := hex.DecodeString(v.Threshold.Point)
	if k.ChainCode, err = hex.DecodeString(v.Threshold.ChainCode); err != nil || hex.EncodeToString(point[1:]) != internal {
		t.Fatalf("descriptor %s of point %x: %v", v.Descriptor, point, err)
	}
	k.Key = point
	w, err := intent.NewTaproot(k)
	if err != nil {
		t.Fatal(err)
	}
	var outs []*intent.TaprootOutput
	for _, path := range [][]uint32{nil, {0, 0}} {
		o, err := w.Output(path...)
		if err != nil {
			t.Fatal(err)
		}
		outs = append(outs, o)
	}
	if outs[0].Address(intent.Regtest) != v.Address || v.Threshold.Leaf != hex.EncodeToString(w.LeafScript()) ||
		!strings.HasPrefix(v.Threshold.Fallback, "2 of ") || !strings.Contains(v.Threshold.Descriptors[0], "/0/*,sortedmulti_a(2,") {
		t.Errorf("%+v %+v", v, v.Threshold)
	}
	var given []childView
	b.json(&given, "key", "address", "tap", "--tenant", "acme", "--chain", "bitcoin-regtest")
	if len(given) != 1 || given[0].Address != outs[1].Address(intent.Regtest) || given[0].Control != hex.EncodeToString(outs[1].ControlBlock()) {
		t.Errorf("%+v", given)
	}
	if d, err := intent.CheckDescriptor(given[0].Descriptor); err != nil || !strings.Contains(d, rest) {
		t.Errorf("descriptor of the child %s: %v", d, err)
	}
	return w, outs
}
