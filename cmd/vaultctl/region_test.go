package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestRegions is what an operator does about regions, through vaultctl alone.
func TestRegions(t *testing.T) {
	b := newBench(t)
	both := b.path("bob.key")
	b.ok("tenant", "create", "acme", "--cosign-key", both)
	b.ok("key", "create", "k", "--tenant", "acme", "--curve", "p256")
	b.freezeWaits(both)
	b.stops(both)
	b.mutes(both)
	b.quarantines(both)
	b.repairs(both)
}

// fingerprint names the principal of a key file.
func (b *bench) fingerprint(name string) string {
	b.t.Helper()
	k, err := loadKey(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return k.Public().Fingerprint().String()
}

func (b *bench) freezeWaits(both string) {
	var o outcomeView
	b.ok("keygen", "--out", b.path("carol.key"))
	b.json(&o, "freeze", "--vault", "--reason", "drill")
	if o.Ack == nil || !o.Ack.Acknowledged || o.Ack.Ground != "every region" || len(o.Ack.Confirmed) != 4 || o.Ack.Index != o.Index {
		b.t.Errorf("freeze: %+v, %+v", o, o.Ack)
	}
	if out := b.ok("freeze", "k", "--tenant", "acme", "--reason", "drill"); !strings.Contains(out, "acknowledged: every region confirmed it: ") {
		b.t.Errorf("freeze says:\n%s", out)
	}
	if out := b.ok("freeze", "--vault", "--reason", "drill", "--no-ack"); strings.Contains(out, "acknowledged") {
		b.t.Errorf("--no-ack waits:\n%s", out)
	}
	b.ok("unfreeze", "--vault", "--reason", "over", "--cosign-key", both)
	b.ok("unfreeze", "k", "--tenant", "acme", "--reason", "over", "--cosign-key", both)
	for _, args := range [][]string{
		{"configure", "--max-open", "99", "--cosign-key", both},
		{"principal", "add", "carol", "--roles", "operator,auditor", "--public-key-of", b.path("carol.key"), "--cosign-key", both},
		{"principal", "add", "carol", "--roles", "auditor", "--public-key-of", b.path("carol.key"), "--cosign-key", both},
		{"principal", "remove", b.fingerprint("carol.key"), "--cosign-key", both},
	} {
		widens := strings.Contains(strings.Join(args, " "), "operator,auditor")
		if out := b.ok(args...); strings.Contains(out, "every region confirmed it") == widens {
			b.t.Errorf("%v says:\n%s", args, out)
		}
	}
	b.c.Stop(3)
	defer b.start(3)
	code, out, errOut := b.run(context.Background(), "freeze", "k", "--tenant", "acme", "--reason", "one is away", "--timeout", "8s")
	switch {
	case code == errs.ExitUnacknowledged && strings.Contains(out, "not acknowledged") && strings.Contains(errOut, "region stop --local"):
	case code == errs.ExitOK && strings.Contains(out, "every older lease has run out") && strings.Contains(errOut, "for the lease to run out"):
	default:
		b.t.Errorf("freeze with one region away: exit %d\n%s%s", code, out, errOut)
	}
	if !strings.Contains(out, "no word of "+b.c.Sites[3].Name) {
		b.t.Errorf("it does not say who is missing:\n%s", out)
	}
	b.ok("unfreeze", "k", "--tenant", "acme", "--reason", "over", "--cosign-key", both)
}

// start starts a region again and waits until it is ready.
func (b *bench) start(i int) {
	b.t.Helper()
	if err := b.c.Start(i); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.c.Sites[i].Node.WaitReady(ctx); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) stops(both string) {
	name := b.c.Sites[2].Name
	b.fails(errs.ExitUsage, "--local", "region", "stop", name)
	b.fails(errs.ExitFailure, "region list", "region", "stop", "atlantis", "--local")
	b.fails(errs.ExitFailure, "does not say", "region", "lift-stop", name, "--reason", "x", "--cosign-key", both)
	var s stopView
	b.json(&s, "region", "stop", name, "--local", "--reason", "intruder")
	if s.Region != name || s.Scope != "stopped here only" || len(s.Stop) != 32 || s.Reason != "intruder" {
		b.t.Errorf("%+v", s)
	}
	if out := b.ok("status"); !strings.Contains(out, name+": stopped here only") || strings.Contains(out, "the vault is frozen") {
		b.t.Errorf("status:\n%s", out)
	}
	b.fails(errs.ExitUsage, "32 hex digits", "region", "lift-stop", name, "--stop", "abc", "--reason", "x", "--cosign-key", both)
	b.fails(errs.ExitDenied, "another administrator", "region", "lift-stop", name, "--reason", "clean")
	b.ok("region", "lift-stop", name, "--reason", "clean", "--propose-to", b.path("lift.cmd"))
	b.ok("approve", b.path("lift.cmd"), "--key-file", both, "--yes")
	b.eventually("the stop is lifted", func() bool { return !strings.Contains(b.ok("status"), "stopped here only") })
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("not in time: %s", what)
		}
	}
}

func (b *bench) mutes(both string) {
	name := b.c.Sites[1].Name
	b.fails(errs.ExitUsage, "--vault", "region", "freeze", name, "--reason", "x")
	if out := b.ok("region", "freeze", name, "k", "--tenant", "acme", "--reason", "x"); !strings.Contains(out, "region-freeze: ok") || !strings.Contains(out, "every region confirmed it") {
		b.t.Errorf("a region's freeze says:\n%s", out)
	}
	b.ok("unfreeze", "k", "--tenant", "acme", "--reason", "over", "--cosign-key", both)
	b.ok("region", "mute", name, "--reason", "cries wolf", "--cosign-key", both)
	b.fails(errs.ExitDenied, "muted", "region", "freeze", name, "--vault", "--reason", "x")
	var r regionView
	if b.json(&r, "region", "show", name); !r.Muted {
		b.t.Errorf("%+v", r)
	}
	b.ok("region", "unmute", name, "--reason", "sorry", "--cosign-key", both)
}

func (b *bench) quarantines(both string) {
	first, second := b.c.Sites[3].Name, b.c.Sites[0].Name
	b.fails(errs.ExitUsage, "reason", "region", "quarantine", first, "--cosign-key", both)
	b.fails(errs.ExitUnverified, "", "region", "quarantine", first, "--reason", "x", "--evidence", b.write("none", []byte("x")), "--cosign-key", both)
	b.ok("region", "quarantine", first, "--reason", "lies", "--cosign-key", both, "--no-ack")
	b.fails(errs.ExitFailure, "never two at once", "region", "quarantine", second, "--reason", "x", "--cosign-key", both)
	if out := b.ok("region", "list"); !strings.Contains(out, "quarantined") {
		b.t.Errorf("region list:\n%s", out)
	}
	if out := b.ok("status"); !strings.Contains(out, first+": in quarantine") {
		b.t.Errorf("status:\n%s", out)
	}
	b.ok("region", "release", first, "--reason", "repaired", "--cosign-key", both)
	if out := b.ok("region", "evidence", "list"); strings.TrimSpace(out) != "none" {
		b.t.Errorf("evidence of honest regions:\n%s", out)
	}
	b.fails(errs.ExitFailure, "evidence list", "region", "evidence", "show", "ab")
}

func (b *bench) repairs(both string) {
	name := b.c.Sites[1].Name
	b.fails(errs.ExitUsage, "--keep", "region", "repair", name, "--reason", "x")
	b.fails(errs.ExitDenied, "another administrator", "region", "repair", name, "--keep", "5", "--reason", "x")
	b.fails(errs.ExitDenied, "", "region", "repair", name, "--keep", "5", "--reason", "x", "--direct")
	b.ok("region", "repair", name, "--keep", "5", "--reason", "conflict", "--cosign-key", both)
	b.fails(errs.ExitFailure, "nothing to repair", "clock", "repair", "--reason", "x", "--cosign-key", both)
	if out := b.ok("clock", "show"); !strings.Contains(out, name) {
		b.t.Errorf("clock show:\n%s", out)
	}
}

// TestEvidenceOffline: a file is judged by the genesis alone, and an altered one, or one
// against who signed none of it, shows nothing.
func TestEvidenceOffline(t *testing.T) {
	kit := fsmtest.New()
	dir := t.TempDir()
	text, err := kit.Genesis.MarshalFile()
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		if err := os.WriteFile(dir+"/"+name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	run := func(args ...string) (int, string) {
		var out, errOut bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errOut, getenv: func(string) string { return "" }}
		return exitStatus(a.execute(t.Context(), append(args, "--genesis", dir+"/genesis.json"))), out.String() + errOut.String()
	}
	write("genesis.json", text)
	e, err := rivals(kit, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	good := e.Encode()
	code, out := run("region", "evidence", "verify", write("good", good))
	if code != 0 || !strings.Contains(out, "convicts") || !strings.Contains(out, "gamma") || !strings.Contains(out, kit.Region(3).ServerID) || !strings.Contains(out, "signed two entries for term 7 index 9") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	for _, at := range []int{40, len(good) / 2, len(good) - 1} {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		if code, out := run("region", "evidence", "verify", write("bad", bad)); code != errs.ExitUnverified {
			t.Errorf("altered at %d: exit %d\n%s", at, code, out)
		}
	}
	e.Accused = 4 // signed again by the accuser: its word alone convicts nobody
	signer, err := chain.NewSigner(2, kit.Region(2).Session)
	if err != nil {
		t.Fatal(err)
	}
	framed, err := chain.Accuse(signer, *e)
	if err != nil {
		t.Fatal(err)
	}
	if code, out := run("region", "evidence", "verify", write("framed", framed.Encode())); code != errs.ExitUnverified {
		t.Errorf("framed: exit %d\n%s", code, out)
	}
	other := fsmtest.NewSeeded("other")
	if text, err = other.Genesis.MarshalFile(); err != nil {
		t.Fatal(err)
	}
	write("genesis.json", text)
	if code, out := run("region", "evidence", "verify", write("good", good)); code != errs.ExitUnverified {
		t.Errorf("under another genesis: exit %d\n%s", code, out)
	}
}

// rivals is evidence that accused signed two entries for one place.
func rivals(kit *fsmtest.Kit, accused, accuser identity.RegionID) (*chain.Evidence, error) {
	liar, err := chain.NewSigner(accused, kit.Region(accused).Session)
	if err != nil {
		return nil, err
	}
	witness, err := chain.NewSigner(accuser, kit.Region(accuser).Session)
	if err != nil {
		return nil, err
	}
	e := chain.Evidence{Kind: chain.RivalEntries, Cluster: kit.Cluster(), Lineage: kit.Genesis.Document.Hash(), Accused: accused, Noticed: kit.Start,
		Sessions: []*identity.SessionCert{kit.Region(accused).Session.Cert, kit.Region(accuser).Session.Cert}}
	for i, to := range []*[]byte{&e.First, &e.Second} {
		s, err := chain.SignEntry(liar, chain.Tuple{Lineage: e.Lineage, Link: chain.Link{Term: 7, Index: 9, Hash: [32]byte{byte(i)}}})
		if err != nil {
			return nil, err
		}
		*to = s.Encode()
	}
	return chain.Accuse(witness, e)
}
