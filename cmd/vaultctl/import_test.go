package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// wrapping gives every region a wrapping key of an epoch, vouched for by its identity key.
func (s *stage) wrapping(epoch uint32, bend func(*fsm.WrapKey)) map[identity.RegionID]*box.Key {
	s.t.Helper()
	kit, keys, row := fsmtest.New(), map[identity.RegionID]*box.Key{}, fsm.Wrap{Epoch: epoch}
	for _, r := range kit.Regions {
		k, seed, err := box.New()
		if err != nil {
			s.t.Fatal(err)
		}
		w := fsm.WrapKey{Region: r.ID, Public: k.Public(), Sealed: seed[:4], Attributes: []byte("attributes")}
		if w.Identity, err = r.Identity.Sign(context.Background(), command.WrapBytes(kit.Cluster(), r.ID, epoch, w.Public, w.Sealed, w.Attributes)); err != nil {
			s.t.Fatal(err)
		}
		if bend != nil {
			bend(&w)
		}
		row.Keys, keys[r.ID] = append(row.Keys, w), k
	}
	s.c.State.PutWrap(row)
	return keys
}

func (s *stage) allowImport() {
	set := s.c.State.Settings()
	set.Import = true
	s.c.State.Configure(set)
}

func (s *stage) secret(name, text string) string {
	file := s.write(name, []byte(text))
	if err := os.Chmod(file, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// TestKeyImport: what vaultctl files opens at each region to a share of the key in the file,
// under the newest wrapping keys, and nothing of the key is shown.
func TestKeyImport(t *testing.T) {
	s := newStage(t)
	seed := bytes.Repeat([]byte{7}, 32)
	file, point := s.secret("old.seed", hex.EncodeToString(seed)+"\n"), ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	args := []string{"key", "import", "old", "--tenant", "acme", "--curve", "ed25519", "--form", "seed", "--from", file, "--cosign-key", s.path("bob.key")}
	s.fails(errs.ExitDenied, "takes no keys from outside", args...)
	s.allowImport()
	s.fails(errs.ExitNoLeader, "no wrapping keys yet", args...)
	s.wrapping(1, nil)
	keys := s.wrapping(2, nil)
	var mu sync.Mutex
	var got *command.ImportKey
	s.onSubmit(func(_ context.Context, c *command.Command) (fsm.Outcome, error) {
		body, err := c.Body()
		if err != nil {
			return fsm.Outcome{}, err
		}
		mu.Lock()
		got = body.(*command.ImportKey)
		mu.Unlock()
		k := fsm.Key{ID: command.KeyIDOf(c.Principal, c.ID), Name: got.Name, Tenant: "acme", Scheme: command.SchemeThreshold, Curve: got.Curve, Signers: 2, State: fsm.KeyActive,
			Outside: true, Point: got.Point, Chain: got.Chain, Sharing: &fsm.Sharing{Epoch: 1, Wrap: got.Wrap, Threshold: 2}}
		live := k
		time.AfterFunc(100*time.Millisecond, func() { s.c.State.PutKey(live) })
		k.State, k.Sharing = fsm.KeyPending, nil
		s.c.State.PutKey(k)
		return s.c.State.Decide(c)
	})
	code, out, said := s.run(context.Background(), args...)
	if code != 0 || !strings.Contains(out, "BROUGHT IN") || !strings.Contains(said, "destroy "+file) {
		t.Fatalf("exit %d\n%s%s", code, out, said)
	}
	if strings.Contains(out+said, hex.EncodeToString(seed)) {
		t.Error("the secret is shown")
	}
	split, err := frost.DecodeSplit(got.Split)
	if err != nil {
		t.Fatal(err)
	}
	public, err := split.Key([]uint8{1, 2, 3, 4})
	if err != nil || !bytes.Equal(public.Compressed(), point) || !bytes.Equal(got.Point, point) || got.Wrap != 2 || got.Chain == [32]byte{} || len(got.Boxes) != 4 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, r := range got.Regions {
		plain, err := keys[r].Open(got.Boxes[i], command.ImportInfo(s.c.State.Cluster(), r, 2, got.Split))
		if err != nil {
			t.Fatalf("region %d: %v", r, err)
		}
		share, err := frost.DecodeShare(plain)
		if err != nil || share.Matches(public) != nil || share.Region() != uint8(r) {
			t.Errorf("region %d: %v, %v", r, share, err)
		}
	}
	var v signingKeyView
	if s.json(&v, "key", "show", "old", "--tenant", "acme"); !v.Outside {
		t.Errorf("%+v", v)
	}
	if out := s.ok("key", "list"); !strings.Contains(out, "threshold, outside") {
		t.Errorf("%s", out)
	}
}

// TestImportProposal: the second administrator sees what is brought in.
func TestImportProposal(t *testing.T) {
	s := newStage(t)
	s.allowImport()
	s.wrapping(1, nil)
	file := s.secret("old", strings.Repeat("07", 32))
	out := s.ok("key", "import", "old", "--tenant", "acme", "--curve", "secp256k1", "--from", file, "--signers", "3", "--regions", "alpha,gamma,delta", "--propose-to", s.path("p.cmd"))
	for _, want := range []string{"import-key", "02989c0b76cb563971fdc9bef31ec06c3560f3249d6ee9e5d83c57625596e05f6f", "[1 3 4]", "known outside"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	b, err := os.ReadFile(s.path("p.cmd"))
	if err != nil || bytes.Contains(b, []byte("BwcHBw")) || strings.Contains(out, "0707070707") {
		t.Errorf("the secret is in the proposal: %v", err)
	}
}

// TestImportSealsToNobodyElse: a node that shows a key no region vouches for is found out.
func TestImportSealsToNobodyElse(t *testing.T) {
	other, _, err := box.New()
	if err != nil {
		t.Fatal(err)
	}
	for name, bend := range map[string]func(*fsm.WrapKey){
		"another key":      func(w *fsm.WrapKey) { w.Public = other.Public() },
		"other attributes": func(w *fsm.WrapKey) { w.Attributes = []byte("better") },
		"another seed":     func(w *fsm.WrapKey) { w.Sealed = []byte("mine") },
		"no signature":     func(w *fsm.WrapKey) { w.Identity = nil },
		"another region's": func(w *fsm.WrapKey) { w.Region = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.allowImport()
			s.wrapping(1, func(w *fsm.WrapKey) {
				if w.Region == 3 {
					bend(w)
				}
			})
			s.onSubmit(func(context.Context, *command.Command) (fsm.Outcome, error) {
				t.Error("something was filed")
				return fsm.Outcome{}, errs.New(errs.Internal, "filed")
			})
			code, out, said := s.run(context.Background(), "key", "import", "old", "--tenant", "acme", "--curve", "secp256k1", "--from", s.secret("old", strings.Repeat("07", 32)), "--cosign-key", s.path("bob.key"))
			if code == 0 || !strings.Contains(said, "gamma") {
				t.Errorf("exit %d\n%s%s", code, out, said)
			}
		})
	}
}

// TestImportThatFails tells whom the regions name.
func TestImportThatFails(t *testing.T) {
	s := newStage(t)
	s.allowImport()
	s.wrapping(1, nil)
	s.onSubmit(func(_ context.Context, c *command.Command) (fsm.Outcome, error) {
		s.c.State.PutKey(fsm.Key{ID: command.KeyIDOf(c.Principal, c.ID), Name: "old", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Signers: 2,
			State: fsm.KeyRetired, Outside: true, Reason: "not imported: the importer by the word of [3]: no share"})
		return s.c.State.Decide(c)
	})
	s.fails(errs.ExitFailure, "not imported: the importer by the word of [3]", "key", "import", "old", "--tenant", "acme", "--curve", "secp256k1",
		"--from", s.secret("old", strings.Repeat("07", 32)), "--cosign-key", s.path("bob.key"))
}

// TestImportAgainstACluster: a key made elsewhere signs by two regions for the public key it
// always had, before and after a refresh, and the audit adds its signatures up.
func TestImportAgainstACluster(t *testing.T) {
	b := newBench(t)
	both, svc := b.path("bob.key"), b.path("svc.key")
	b.ok("tenant", "create", "acme", "--cosign-key", both)
	b.ok("keygen", "--out", svc, "--type", "p256")
	b.ok("principal", "add", "svc", "--tenant", "acme", "--roles", "signer", "--public-key-of", svc, "--cosign-key", both)
	seed := bytes.Repeat([]byte{7}, 32)
	file := (&stage{bench: b}).secret("old.seed", hex.EncodeToString(seed))
	args := []string{"key", "import", "old", "--tenant", "acme", "--curve", "ed25519", "--form", "seed", "--from", file, "--cosign-key", both}
	b.fails(errs.ExitDenied, "takes no keys from outside", args...)
	b.ok("configure", "--import", "on", "--refresh-every", "30d", "--cosign-key", both)
	code, out, said := b.run(context.Background(), args...)
	for range 20 { // until every region has offered its wrapping key
		if code == 0 || !strings.Contains(said, "wrapping key") {
			break
		}
		time.Sleep(500 * time.Millisecond)
		code, out, said = b.run(context.Background(), args...)
	}
	if code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, said)
	}
	t.Log(out, said)
	point := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	signs := func(text string) {
		sig := b.ok("sign", "--key", "old", "--message", b.write("msg", []byte(text)), "--wait", "--key-file", svc)
		words := strings.Fields(sig)
		raw, err := hex.DecodeString(words[len(words)-1])
		if err != nil || !ed25519.Verify(point, []byte(text), raw) {
			t.Errorf("%s is not signed by the old key: %v\n%s", text, err, sig)
		}
	}
	signs("before")
	b.ok("key", "refresh", "--all", "--cosign-key", both)
	signs("after")
	if out := b.ok("key", "refresh", "--status"); !strings.Contains(out, "30d") || !strings.Contains(out, "asked for by administrators") {
		t.Errorf("%s", out)
	}
	b.ok("audit", "export", "--out", b.path("a.bin"))
	var r auditor.Report
	b.json(&r, "audit", "verify", b.path("a.bin"))
	if r.Summed != 2 || r.Completed != 2 || len(r.Findings) != 0 {
		t.Errorf("%+v", r)
	}
}
