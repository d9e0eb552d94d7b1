package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/escrow"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
	"github.com/tetrad-vault/tetrad/vault/frost/frosttest"
)

// TestEscrow is the whole way through vaultctl, against a cluster: allowed, asked for, taken
// back, asked for again, made, fetched, and the key restored offline signs for the vault's
// public key. One region's HSM takes part.
func TestEscrow(t *testing.T) {
	b := newBench(t)
	both := b.path("bob.key")
	b.ok("tenant", "create", "acme", "--cosign-key", both)
	b.ok("key", "create", "cold", "--tenant", "acme", "--scheme", "threshold", "--curve", "ed25519")
	var list []string
	for _, name := range []string{"o1", "o2", "o3"} {
		var made map[string]string
		b.json(&made, "keygen", "--type", "age-x25519", "--out", b.path(name))
		list = append(list, made["recipient"])
	}
	officers := b.write("officers", []byte("# the board\n"+strings.Join(list, "\n")+"\n"))
	ask := []string{"key", "escrow", "cold", "--tenant", "acme", "--officers", officers, "--quorum", "2", "--reason", "drill", "--cosign-key", both, "--delay"}
	b.fails(errs.ExitDenied, "allows no escrow", append(ask, "1s")...)
	b.ok("configure", "--escrow-delay", "1s", "--cosign-key", both)
	b.fails(errs.ExitFailure, "no such escrow", "key", "backup", "cold", "--tenant", "acme", "--out", b.path("bundle"))
	b.ok(append(ask, "1h")...)
	if out := b.ok("key", "show", "cold", "--tenant", "acme"); !strings.Contains(out, "WAITING until") || !strings.Contains(out, list[1]) {
		t.Errorf("key show:\n%s", out)
	}
	b.ok("key", "escrow", "cancel", "cold", "--tenant", "acme", "--key-file", both, "--reason", "not so")
	b.ok(append(ask, "1s")...)
	e := b.escrowed()
	if e.Number != 2 || e.Quorum != 2 || e.Disaster || len(e.Officers) != 3 || e.Epoch != 1 || e.Since == "" {
		t.Errorf("%+v", e)
	}
	b.ok("key", "refresh", "cold", "--tenant", "acme", "--cosign-key", both)
	if out := b.ok("key", "show", "cold", "--tenant", "acme"); !strings.Contains(out, "2 LIVE since") {
		t.Errorf("after a refresh:\n%s", out)
	}
	b.ok("key", "backup", "cold", "--tenant", "acme", "--out", b.path("bundle"))
	if out := b.ok("audit", "log"); !strings.Contains(out, "escrow-key") || !strings.Contains(out, "cancel-escrow") || !strings.Contains(out, "escrow-share") {
		t.Error("the audit log does not tell of the escrow")
	}
	b.ok("configure", "--escrow-delay", "off", "--cosign-key", both)
	b.fails(errs.ExitDenied, "allows no escrow", append(ask, "1s")...)
	b.restores(list[0])
}

// escrowed waits until the key's escrow is live.
func (b *bench) escrowed() escrowView {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		var v signingKeyView
		b.json(&v, "key", "show", "cold", "--tenant", "acme")
		if es := v.Threshold.Escrows; len(es) == 1 && es[0].State == "live" && len(es[0].Regions) == 4 {
			return es[0]
		} else if time.Now().After(end) {
			b.t.Fatalf("not escrowed: %+v", es)
		}
	}
}

// restores has two officers restore the key, offline.
func (b *bench) restores(recipient string) {
	t := b.t
	t.Helper()
	var show signingKeyView
	b.json(&show, "key", "show", "cold", "--tenant", "acme")
	b.connect = nil // nothing of this needs anybody
	file, err := os.ReadFile(b.path("bundle"))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := escrow.ParseBundle(file)
	if err != nil {
		t.Fatal(err)
	}
	part, err := escrow.NewRelease(context.Background(), b.c.Lab.Sites[2].HSM, 3, bundle, recipient)
	if err != nil {
		t.Fatal(err)
	}
	release := b.write("release", part)
	args := []string{"recover", "key", "--bundle", b.path("bundle"), "--out", b.path("whole"), "--public-key", show.Threshold.PublicKey, "--identity", b.path("o1")}
	b.fails(errs.ExitDenied, "one region's HSM", append(args, "--identity", b.path("o3"))...)
	b.fails(errs.ExitDenied, "1 officers' keys open it, 2 are needed", append(args, "--release", release)...)
	if _, err := os.Stat(b.path("whole")); err == nil {
		t.Fatal("a refusal wrote a file")
	}
	code, out, errOut := b.run(context.Background(), append(args, "--release", release, "--identity", b.path("o3"))...)
	if code != 0 || !strings.Contains(errOut, "WARNING") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	whole, err := os.ReadFile(b.path("whole"))
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(b.path("whole")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	s, _, err := escrow.ParseKeyFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	if secret := hex.EncodeToString(s.Bytes()); strings.Contains(out+errOut, secret) || !bytes.Contains(whole, []byte(secret)) {
		t.Error("the secret is shown, or not where it belongs")
	}
	msg := b.write("last words", []byte("moved elsewhere"))
	sig, err := hex.DecodeString(strings.TrimSpace(b.ok("recover", "sign", "--key", b.path("whole"), "--message", msg)))
	public, _ := hex.DecodeString(show.Threshold.PublicKey)
	if err != nil || !ed25519.Verify(public, []byte("moved elsewhere"), sig) {
		t.Errorf("the restored key's signature does not verify under the vault's public key: %v", err)
	}
	b.fails(errs.ExitFailure, "never overwritten", append(args, "--release", release, "--identity", b.path("o3"))...)
	for i := range bundle.Boxes {
		bundle.Boxes[i].Box[len(bundle.Boxes[i].Box)-1] ^= byte(i % 3) // two stay good: enough
	}
	b.write("bundle", bundle.File())
	again := append(args, "--release", release, "--identity", b.path("o3"), "--out", b.path("other"))
	if code, _, errOut := b.run(context.Background(), again...); code != 0 || strings.Count(errOut, "left out: the share of region") != 2 {
		t.Errorf("two altered shares: exit %d\n%s", code, errOut)
	}
	bundle.Boxes[0].Box[len(bundle.Boxes[0].Box)-1] ^= 1
	b.write("bundle", bundle.File())
	b.fails(errs.ExitUnverified, "1 shares of key", append(again, "--out", b.path("third"))...)
}

// escrowed GENESIS FILE RECIPIENT... writes the bundle of a key of two of three regions,
// escrowed to officers and the HSMs of a genesis (if one is named); FILE.disaster is one
// without HSMs.
// $KEY is its public key.
func escrowed(ts *testscript.TestScript, _ bool, args []string) {
	var cluster identity.ClusterID
	var regions []*fsm.Region
	if args[0] != "" {
		g, err := ceremony.ReadGenesis(ts.MkAbs(args[0]))
		ts.Check(err)
		cluster = g.Document.Cluster
		for _, r := range g.Document.Regions {
			regions = append(regions, &fsm.Region{ID: r.ID, Status: fsm.RegionActive, Wrapping: r.Wrapping, OAEPHash: r.OAEPHash})
		}
	}
	k := frosttest.New(frost.BIP340, 2, 1, 2, 3)
	for _, disaster := range []bool{false, true} {
		b := &escrow.Bundle{Terms: escrow.Terms{Cluster: cluster, Key: command.KeyID{8}, Number: 1, Epoch: 1, M: 2, Officers: args[2:], Disaster: disaster},
			Name: "cold", Public: k.Public.Encode(), Chain: k.Chain}
		if !disaster && len(regions) == 0 {
			continue
		}
		for r := identity.RegionID(1); r <= 3; r++ {
			box, err := escrow.Seal(b.Terms, r, regions, k.Results[uint8(r)].Share.Encode())
			ts.Check(err)
			b.Boxes = append(b.Boxes, fsm.Sealed{Region: r, Box: box})
		}
		name := args[1]
		if disaster {
			name += ".disaster"
		}
		ts.Check(os.WriteFile(ts.MkAbs(name), b.File(), 0o600))
	}
	ts.Setenv("KEY", hex.EncodeToString(k.Public.Bytes()))
}
