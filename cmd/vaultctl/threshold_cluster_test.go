package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestThresholdKeysAgainstACluster is the life of threshold keys, through vaultctl alone: four
// regions make them, two sign, shares are renewed, and the audit adds every signature up.
func TestThresholdKeysAgainstACluster(t *testing.T) {
	b := newBench(t)
	both, svc := b.path("bob.key"), b.path("svc.key")
	b.ok("tenant", "create", "acme", "--cosign-key", both)
	b.ok("keygen", "--out", svc, "--type", "p256")
	b.ok("principal", "add", "svc", "--tenant", "acme", "--roles", "signer", "--public-key-of", svc, "--cosign-key", both)
	for _, k := range [][2]string{{"sol", "ed25519"}, {"btc", "secp256k1"}} {
		code, out, said := b.run(context.Background(), "key", "create", k[0], "--tenant", "acme", "--scheme", "threshold", "--curve", k[1])
		if code != 0 || !strings.Contains(said, "step ") || !strings.Contains(out, "epoch 1, 2 of") {
			t.Fatalf("exit %d\n%s%s", code, out, said)
		}
		t.Log(said)
	}
	b.pays(svc)
	b.ok("key", "refresh", "btc", "--tenant", "acme", "--reason", "drill", "--cosign-key", both)
	b.fails(errs.ExitFailure, "not gone yet", "key", "refresh", "btc", "--tenant", "acme", "--cosign-key", both)
	b.ok("key", "reshare", "sol", "--tenant", "acme", "--holders", strings.Join([]string{b.c.Sites[0].Name, b.c.Sites[1].Name, b.c.Sites[3].Name}, ","), "--cosign-key", both)
	b.pays(svc)
	b.childFrozen(svc)
	b.together()
	b.classed(svc)
	b.levels()
	t.Log(b.ok("nonce", "status"))
	t.Log(b.ok("key", "show", "sol", "--tenant", "acme"))
	t.Log(b.ok("request", "list", "--tenant", "acme"))
	b.ok("audit", "export", "--out", b.path("a.bin"))
	t.Log(b.ok("audit", "verify", b.path("a.bin")))
	var r auditor.Report
	b.json(&r, "audit", "verify", b.path("a.bin"))
	if r.Summed != 15 || r.Completed != 13 {
		t.Errorf("%d signatures added up of %d requests, want 15 of 13", r.Summed, r.Completed)
	}
}

// levels: this is the first release, so there is nothing to raise to.
func (b *bench) levels() {
	b.t.Helper()
	var v levelView
	b.json(&v, "level", "show")
	if v.Level != command.Level || v.Least != command.Level || len(v.Regions) != 4 {
		b.t.Errorf("%+v", v)
	}
	to := strconv.Itoa(int(command.Level) + 1)
	b.fails(errs.ExitFailure, "not every region knows level "+to, "level", "raise", "--to", to, "--reason", "eager", "--cosign-key", b.path("bob.key"))
	b.fails(errs.ExitUsage, "--to is required", "level", "raise", "--reason", "eager")
}

// classed makes a key of an asset class: it gives out, signs for and freezes what its template
// has, and nothing else.
func (b *bench) classed(svc string) {
	t := b.t
	t.Helper()
	b.ok("key", "create", "atom", "--tenant", "acme", "--asset", "cosmos")
	var v signingKeyView
	if b.json(&v, "key", "show", "atom", "--tenant", "acme"); v.Threshold.Asset != "cosmos" || v.Curve != "ed25519" || v.Address != "" {
		t.Errorf("%+v %+v", v, v.Threshold)
	}
	if out := b.ok("key", "address", "atom", "--tenant", "acme", "--key-file", svc); !strings.HasPrefix(out, "m/0/0  cosmos1") {
		t.Errorf("%s", out)
	}
	msg := b.write("msg", []byte("hello"))
	b.ok("sign", "--key", "atom", "--message", msg, "--path", "m/0/0", "--wait", "--key-file", svc)
	b.fails(errs.ExitFailure, "not of the template", "sign", "--key", "atom", "--message", msg, "--wait", "--key-file", svc)
	b.fails(errs.ExitFailure, "not of the template", "freeze", "atom", "--tenant", "acme", "--path", "m/1", "--reason", "drill")
}

// together has several people ask for addresses at once: nobody gets another's, and the audit
// log says which ones each got.
func (b *bench) together() {
	t := b.t
	t.Helper()
	b.fails(errs.ExitFailure, "was given out or passed over", "key", "address", "sol", "--tenant", "acme", "--path", "m/0/1")
	b.ok("key", "address", "sol", "--tenant", "acme", "--path", "m/0/1", "--again")
	var group sync.WaitGroup
	said := make([]string, 4)
	for i := range said {
		group.Go(func() {
			code, out, errOut := b.run(context.Background(), "key", "address", "sol", "--tenant", "acme", "--count", "2")
			if said[i] = out; code != 0 {
				t.Errorf("exit %d: %s", code, errOut)
			}
		})
	}
	group.Wait()
	seen := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(strings.Join(said, "")), "\n") {
		seen[line] = true
	}
	if len(seen) != 8 {
		t.Errorf("eight addresses, %d different ones: %q", len(seen), said)
	}
	if log := b.ok("audit", "log"); strings.Count(log, ": m/0/") < 6 {
		t.Errorf("the audit log does not name the addresses:\n%s", log)
	}
}

// childFrozen freezes a child of a key: acknowledged by every region, refused below, signed
// beside, and let go by two administrators.
func (b *bench) childFrozen(svc string) {
	t := b.t
	t.Helper()
	msg := b.write("msg", []byte("hello"))
	out := b.ok("freeze", "sol", "--tenant", "acme", "--path", "m/9/*", "--reason", "stolen laptop")
	if !strings.Contains(out, "every region") {
		t.Errorf("the freeze is not acknowledged:\n%s", out)
	}
	b.fails(errs.ExitDenied, "child m/9 of key", "sign", "--key", "sol", "--message", msg, "--path", "m/9/1", "--wait", "--key-file", svc)
	b.fails(errs.ExitDenied, "child m/9 of key", "key", "address", "sol", "--tenant", "acme", "--path", "m/9/4")
	b.ok("sign", "--key", "sol", "--message", msg, "--path", "m/8", "--wait", "--key-file", svc)
	if out := b.ok("status"); !strings.Contains(out, "children of threshold keys are frozen: 1") {
		t.Errorf("status does not show it:\n%s", out)
	}
	b.ok("region", "freeze", b.c.Sites[2].Name, "btc", "--tenant", "acme", "--path", "m/0/0", "--reason", "alarm")
	b.fails(errs.ExitDenied, "needs the signatures of two", "unfreeze", "sol", "--tenant", "acme", "--path", "m/9", "--reason", "found")
	for key, path := range map[string]string{"sol": "m/9", "btc": "m/0/0"} {
		b.ok("unfreeze", key, "--tenant", "acme", "--path", path, "--reason", "found", "--cosign-key", b.path("bob.key"))
	}
	b.ok("sign", "--key", "sol", "--message", msg, "--path", "m/9/1", "--wait", "--key-file", svc)
}

// pays has both keys sign what they are for.
func (b *bench) pays(svc string) {
	t := b.t
	t.Helper()
	b.ok("sign", "--key", "sol", "--message", b.write("msg", []byte("hello")), "--path", "m/9", "--wait", "--key-file", svc)
	var addresses []childView
	b.json(&addresses, "key", "address", "sol", "--tenant", "acme", "--count", "2")
	key, err := solana.ParseAddress(addresses[1].Address)
	if err != nil {
		t.Fatal(err)
	}
	b.solana(solana.Legacy, key, addresses[1].Path, svc)
	b.solana(solana.V0, key, addresses[1].Path, svc)
	b.taproot(svc)
	b.ssh(svc)
}

// solana pays from the child at path, whose address key is.
func (b *bench) solana(version int, key solana.Address, path, svc string) {
	t := b.t
	t.Helper()
	message := intenttest.SolanaTransfer(version, key, 9)
	file := b.write("sol.b64", []byte(base64.StdEncoding.EncodeToString(message)))
	b.ok("sign", "--key", "sol", "--kind", "solana", "--message", file, "--path", path, "--out", b.path("tx"), "--key-file", svc)
	text, err := os.ReadFile(b.path("tx"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	m, sigs, err := solana.DecodeTransaction(raw)
	if err != nil || len(sigs) != 1 || m.Version != version || !ed25519.Verify(key[:], message, raw[1:65]) {
		t.Errorf("version %d, %d signatures: %v", version, len(sigs), err)
	}
}

// ssh signs a file as git does; before and after a reshare one line of allowed_signers
// holds.
func (b *bench) ssh(svc string) {
	t := b.t
	t.Helper()
	b.ok("sign", "--key", "sol", "--kind", "ssh", "--namespace", "git", "--message", b.path("msg"), "--path", "m/9", "--out", b.path("msg.sig"), "--key-file", svc)
	var child childView
	b.json(&child, "key", "derive", "sol", "m/9", "--tenant", "acme")
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Log("NOT JUDGED: ssh-keygen is not installed")
		return
	}
	c := exec.Command("ssh-keygen", "-Y", "verify", "-f", b.write("signers", []byte("ci@acme "+child.SSH+"\n")), "-I", "ci@acme", "-n", "git", "-s", b.path("msg.sig"))
	c.Stdin = strings.NewReader("hello")
	if said, err := c.CombinedOutput(); err != nil {
		t.Errorf("ssh-keygen: %v, %s", err, said)
	}
}

func (b *bench) taproot(svc string) {
	t := b.t
	var v signingKeyView
	b.json(&v, "key", "show", "btc", "--tenant", "acme", "--network", "regtest")
	point, _ := hex.DecodeString(v.Threshold.Point)
	chain, _ := hex.DecodeString(v.Threshold.ChainCode)
	w, err := intent.NewTaproot(intent.TaprootKey{Key: point, ChainCode: chain})
	if err != nil {
		t.Fatal(err)
	}
	var outs []*intent.TaprootOutput
	for _, path := range [][]uint32{nil, {0, 5}} {
		o, err := w.Output(path...)
		if err != nil {
			t.Fatal(err)
		}
		outs = append(outs, o)
	}
	if outs[0].Address(intent.Regtest) != v.Address {
		t.Errorf("address %s, want %s", v.Address, outs[0].Address(intent.Regtest))
	}
	f := intenttest.FundTaproot(4, outs, 40_000, 50_000)
	file := b.write("tap.psbt", intenttest.TaprootPSBT(0, w, f, outs, intenttest.To(1, 80_000)))
	raw, err := hex.DecodeString(strings.TrimSpace(b.ok("sign", "--key", "btc", "--psbt", file, "--finalize", "--key-file", svc)))
	if err != nil {
		t.Fatal(err)
	}
	if err := intenttest.Accepted(raw, f); err != nil {
		t.Error(err)
	}
}
