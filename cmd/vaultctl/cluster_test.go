package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/node/nodetest"
)

// bench is a running cluster in memory and a directory with what vaultctl needs.
type bench struct {
	t   *testing.T
	dir string
	c   *nodetest.Cluster
	env map[string]string

	connect func(ctx context.Context, addr string) (net.Conn, error)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	c := nodetest.New(t)
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c.StartAll(ctx)
	b := &bench{t: t, dir: t.TempDir(), c: c, connect: c.Net.Host("operator").Dial}
	b.settle(c.Genesis, c.Lab.Admins[:])
	return b
}

// settle writes whom vaultctl trusts and who it may be.
func (b *bench) settle(g *genesis.Genesis, admins []*identity.KeySigner) {
	b.t.Helper()
	text, err := g.MarshalFile()
	if err != nil {
		b.t.Fatal(err)
	}
	b.write("genesis.json", text)
	for i, name := range []string{"alice.key", "bob.key"} {
		b.writeKey(name, admins[i])
	}
	b.env = map[string]string{"TETRAD_GENESIS": b.path("genesis.json"), "TETRAD_KEY_FILE": b.path("alice.key"), "TETRAD_HOME": b.dir}
}

func (b *bench) writeKey(name string, k *identity.KeySigner) {
	b.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k.Private())
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) write(name string, data []byte) string {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), data, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return b.path(name)
}

func (b *bench) run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errOut, getenv: func(k string) string { return b.env[k] }, connect: b.connect}
	return exitStatus(a.execute(ctx, args)), out.String(), errOut.String()
}

// ok runs a command that must succeed and returns its result.
func (b *bench) ok(args ...string) string {
	b.t.Helper()
	code, out, errOut := b.run(context.Background(), args...)
	if code != 0 {
		b.t.Fatalf("vaultctl %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// fails runs a command that must exit with code and say text.
func (b *bench) fails(code int, text string, args ...string) {
	b.t.Helper()
	got, out, errOut := b.run(context.Background(), args...)
	if got != code || !strings.Contains(errOut, text) {
		b.t.Errorf("vaultctl %s: exit %d, want %d with %q\n%s%s", strings.Join(args, " "), got, code, text, out, errOut)
	}
}

// TestAgainstACluster is a day in the life of a vault, through vaultctl alone.
func TestAgainstACluster(t *testing.T) {
	b := newBench(t)
	both := b.path("bob.key")
	b.fails(errs.ExitDenied, "--propose-to", "tenant", "create", "acme")
	b.ok("tenant", "create", "acme", "--cosign-key", both)
	b.ok("keygen", "--out", b.path("svc.key"), "--type", "p256")
	b.ok("principal", "add", "svc", "--tenant", "acme", "--roles", "signer", "--public-key-of", b.path("svc.key"), "--propose-to", b.path("p.cmd"))
	b.fails(errs.ExitFailure, "not signed", "approve", b.path("p.cmd"), "--key-file", both)
	b.ok("approve", b.path("p.cmd"), "--key-file", both, "--yes")
	b.ok("key", "create", "hot", "--tenant", "acme", "--network", "regtest")
	b.ok("key", "create", "doc", "--tenant", "acme", "--curve", "ed25519")
	b.bitcoin()
	b.messages()
	b.limits()
	b.freezes()
	b.reads()
	b.audits()
}

// bitcoin signs a PSBT, base64 in and raw transaction out, and lets btcd judge it.
func (b *bench) bitcoin() {
	t := b.t
	var key signingKeyView
	b.json(&key, "key", "show", "hot", "--tenant", "acme", "--network", "regtest")
	info := intent.KeyInfo{Curve: command.Secp256k1, Signers: 2}
	for i, r := range key.Regions {
		pub, err := hex.DecodeString(r.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		info.PublicKeys = append(info.PublicKeys, intent.PublicKey{Region: identity.RegionID(i + 1), Key: pub})
	}
	w, err := intent.NewWallet(info)
	if err != nil || w.Address(intent.Regtest) != key.Address {
		t.Fatalf("wallet: %v, address %s", err, key.Address)
	}
	funding := intenttest.Fund(w, 1, 60_000, 50_000)
	psbt := intenttest.PSBT(0, w, funding, intenttest.To(2, 70_000), intenttest.Change(w, 39_000))
	file := b.write("pay.psbt", []byte(base64.StdEncoding.EncodeToString(psbt)))
	svc := b.path("svc.key")
	b.ok("sign", "--key", "hot", "--psbt", file, "--finalize", "--out", b.path("tx.hex"), "--key-file", svc)
	text, err := os.ReadFile(b.path("tx.hex"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := intenttest.Accepted(raw, funding); err != nil {
		t.Errorf("the transaction is not valid: %v", err)
	}
	// Without --finalize a PSBT comes back as it was given: base64.
	if out := b.ok("sign", "--key", "hot", "--psbt", file, "--wait", "--key-file", svc); !strings.HasPrefix(out, "cHNidP") {
		t.Errorf("merged PSBT: %.80s", out)
	}
	foreign := b.write("foreign.psbt", psbt[:len(psbt)-3])
	b.fails(errs.ExitFailure, "", "sign", "--key", "hot", "--psbt", foreign, "--wait", "--key-file", svc)
	b.fails(errs.ExitFailure, "secp256k1", "sign", "--key", "doc", "--psbt", file, "--wait", "--key-file", svc)
}

func (b *bench) messages() {
	svc, msg := b.path("svc.key"), b.write("msg", []byte("hello"))
	for _, key := range []string{"hot", "doc"} {
		var s signedView
		b.json(&s, "sign", "--key", key, "--message", msg, "--wait", "--key-file", svc)
		if s.State != "complete" || len(s.Regions) != 2 || s.Regions[0].Region == s.Regions[1].Region {
			b.t.Errorf("key %s: %+v", key, s)
		}
		if certified := len(s.Certified) >= 3; !certified {
			b.t.Errorf("certified by %v", s.Certified)
		}
	}
	var opened requestView
	b.json(&opened, "sign", "--key", "doc", "--message", msg, "--key-file", svc)
	var done requestView
	b.json(&done, "request", "show", opened.ID, "--wait", "--key-file", svc)
	if done.State != "complete" || len(done.Results) != 2 {
		b.t.Errorf("request: %+v", done)
	}
	b.fails(errs.ExitDenied, "blind", "sign", "--key", "hot", "--digest", strings.Repeat("ab", 32), "--key-file", svc)
	b.fails(errs.ExitFailure, "key list", "sign", "--key", "none", "--message", msg, "--key-file", svc)
	b.fails(errs.ExitUsage, "", "sign", "--key", "hot", "--message", msg, "--hash", "md5", "--key-file", svc)
}

func (b *bench) limits() {
	svc, msg, both := b.path("svc.key"), b.path("msg"), b.path("bob.key")
	limit := func(args ...string) []string {
		return append([]string{"key", "limit", "doc", "--tenant", "acme"}, args...)
	}
	b.fails(errs.ExitDenied, "two administrators", limit("--requests", "2", "--per", "24h")...)
	b.fails(errs.ExitUsage, "", limit("--requests", "2")...)
	b.fails(errs.ExitUsage, "", limit("--requests", "2", "--per", "24h", "--remove")...)
	b.ok(limit("--requests", "2", "--per", "24h", "--cosign-key", both)...)
	b.ok("sign", "--key", "doc", "--message", msg, "--wait", "--key-file", svc)
	b.ok(limit("--requests", "1", "--per", "48h")...)
	b.fails(errs.ExitDenied, "room again", "sign", "--key", "doc", "--message", msg, "--wait", "--key-file", svc)
	var key signingKeyView
	b.json(&key, "key", "show", "doc", "--tenant", "acme")
	if l := key.Limit; l == nil || l.Requests != 1 || l.Window != "48h0m0s" || l.Used != 1 || l.Room == "" {
		b.t.Errorf("limit: %+v", l)
	}
	if out := b.ok("key", "show", "doc", "--tenant", "acme"); !strings.Contains(out, "1 requests in 48h") {
		b.t.Errorf("the limit is not shown:\n%s", out)
	}
	b.fails(errs.ExitDenied, "two administrators", limit("--remove")...)
	b.ok(limit("--remove", "--cosign-key", both)...)
	b.ok("sign", "--key", "doc", "--message", msg, "--wait", "--key-file", svc)
}

func (b *bench) freezes() {
	svc, msg, both := b.path("svc.key"), b.path("msg"), b.path("bob.key")
	b.ok("freeze", "hot", "--tenant", "acme", "--reason", "drill")
	b.fails(errs.ExitDenied, "froze", "sign", "--key", "hot", "--message", msg, "--wait", "--key-file", svc)
	b.fails(errs.ExitDenied, "two administrators", "unfreeze", "hot", "--tenant", "acme", "--reason", "over")
	b.ok("unfreeze", "hot", "--tenant", "acme", "--reason", "over", "--cosign-key", both)
	b.ok("freeze", "--vault", "--reason", "drill")
	b.fails(errs.ExitDenied, "", "sign", "--key", "doc", "--message", msg, "--wait", "--key-file", svc)
	if out := b.ok("status"); !strings.Contains(out, "the vault is frozen") {
		b.t.Errorf("status does not say that the vault is frozen:\n%s", out)
	}
	b.ok("unfreeze", "--vault", "--reason", "over", "--cosign-key", both)
	b.ok("key", "retire", "doc", "--tenant", "acme", "--cosign-key", both)
	b.ok("configure", "--max-open", "77", "--cosign-key", both)
}

// reads runs everything that only shows, for people and as JSON.
func (b *bench) reads() {
	for _, args := range [][]string{{"status"}, {"status", "--digest", "--all"}, {"unseal", "status"}, {"region", "list"}, {"region", "show", "east"},
		{"principal", "list"}, {"tenant", "list"}, {"key", "list"}, {"key", "show", "hot", "--tenant", "acme"}, {"request", "list"}} {
		if out := b.ok(args...); strings.Contains(out, "\x1b") || strings.TrimSpace(out) == "" {
			b.t.Errorf("%v: %q", args, out)
		}
		var v any
		b.json(&v, args...)
	}
	b.ok("keygen", "--out", b.path("mallory.key"))
	b.fails(errs.ExitDenied, "hint", "key", "list", "--key-file", b.path("mallory.key"))
	b.fails(errs.ExitFailure, "region list", "region", "show", "atlantis")
}

func (b *bench) json(v any, args ...string) {
	b.t.Helper()
	out := b.ok(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		b.t.Fatalf("vaultctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (b *bench) audits() {
	t := b.t
	var lines int
	for line := range strings.Lines(b.ok("audit", "log", "-o", "json")) {
		var l leafView
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Seq != uint64(lines) {
			t.Fatalf("line %d of the log: %v %q", lines, err, line)
		}
		lines++
	}
	if last := b.ok("audit", "log", "--last", "3"); strings.Count(last, "\n") != 3 || lines < 10 {
		t.Errorf("the last three of %d:\n%s", lines, last)
	}
	export := b.path("log.audit")
	b.ok("audit", "export", "--out", export)
	verdict := regexp.MustCompile(`audit log +verified`)
	if out := b.ok("audit", "verify", export); !verdict.MatchString(out) {
		t.Errorf("report:\n%s", out)
	}
	b.fails(errs.ExitUnverified, "", "audit", "verify", export, "--genesis-hash", strings.Repeat("0", 64))
	data, err := os.ReadFile(export)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{len(data) / 2, len(data) / 3, 2} { // 2: a length, so that nothing can be read
		altered := bytes.Clone(data)
		altered[at] ^= 1
		bad := b.write("bad.audit", altered)
		if code, out, _ := b.run(context.Background(), "audit", "verify", bad); code != errs.ExitUnverified || verdict.MatchString(out) {
			t.Errorf("an export altered at %d: exit %d\n%s", at, code, out)
		}
	}
	ctx, cancel := context.WithCancel(context.Background()) // as Ctrl-C does
	defer time.AfterFunc(2*time.Second, cancel).Stop()
	defer cancel()
	if code, out, errOut := b.run(ctx, "audit", "log", "--follow", "--from", "1"); code != 0 || strings.Count(out, "\n") < lines-1 {
		t.Errorf("following until interrupted: exit %d, %d lines\n%s", code, strings.Count(out, "\n"), errOut)
	}
}

// TestVerifiedRefuses: what a vault answers is checked before it is believed.
func TestVerifiedRefuses(t *testing.T) {
	b := newBench(t)
	b.ok("tenant", "create", "acme", "--cosign-key", b.path("bob.key"))
	b.ok("keygen", "--out", b.path("svc.key"))
	b.ok("principal", "add", "svc", "--tenant", "acme", "--roles", "signer", "--public-key-of", b.path("svc.key"), "--cosign-key", b.path("bob.key"))
	b.ok("key", "create", "k", "--tenant", "acme", "--curve", "p256")
	a := &app{getenv: func(k string) string { return b.env[k] }, connect: b.c.Net.Host("operator").Dial, timeout: time.Minute, keyFile: b.path("svc.key"), output: "table", quiet: true}
	err := a.with(context.Background(), func(ctx context.Context, v *vault) error {
		id, k, err := keyID(ctx, v, "", "k")
		if err != nil {
			return err
		}
		cmd, err := v.Command(client.NewSignMessage(id, client.HashSHA256, []byte("hello"), ""))
		if err != nil {
			return err
		}
		r, err := v.Sign(ctx, cmd)
		if err != nil {
			return err
		}
		in, err := intent.Decode(command.KindMessage, command.HashSHA256, []byte("hello"), keyInfo(k, intent.Mainnet))
		if err != nil {
			return err
		}
		if _, err := verified(k, in, r); err != nil {
			t.Errorf("the true answer: %v", err)
		}
		for name, lie := range map[string]func(){
			"altered":      func() { r.Results[0].Signatures[0][7] ^= 1 },
			"one region":   func() { r.Results = r.Results[:1] },
			"twice one":    func() { r.Results[1] = r.Results[0] },
			"no such":      func() { r.Results[0].Region = 9 },
			"no signature": func() { r.Results[0].Signatures = nil },
		} {
			saved, sig := r.Results, bytes.Clone(r.Results[0].Signatures[0])
			region := r.Results[0].Region
			second := r.Results[1]
			lie()
			if _, err := verified(k, in, r); errs.CodeOf(err) != errs.Unverified {
				t.Errorf("%s: %v", name, err)
			}
			r.Results = saved
			r.Results[1] = second
			r.Results[0].Region, r.Results[0].Signatures = region, [][]byte{sig}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
