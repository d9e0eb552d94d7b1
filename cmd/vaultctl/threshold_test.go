package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc/rpctest"
	"github.com/tetrad-vault/tetrad/vault/address"
	"github.com/tetrad-vault/tetrad/vault/frost"
	"github.com/tetrad-vault/tetrad/vault/frost/frosttest"
)

// stage is a vault that only pretends, behind real servers: tests set the state, and real
// threshold keys sign.
type stage struct {
	*bench
	c    *rpctest.Cluster
	keys map[command.KeyID]*frosttest.Key

	mu     sync.Mutex
	issued [][]byte
	bend   func(sig []byte)
}

func newStage(t *testing.T) *stage {
	t.Helper()
	kit := fsmtest.New()
	s := &stage{bench: &bench{t: t, dir: t.TempDir()}, keys: map[command.KeyID]*frosttest.Key{}}
	s.c = rpctest.Of(kit)
	t.Cleanup(s.c.Close)
	s.connect = s.c.Net.Host("operator").Dial
	s.settle(kit.Genesis, kit.Admins)
	s.env["TETRAD_ADDRESS"] = strings.Join(s.c.Addresses(), ",")
	svc := s.c.Principal("acme", command.RoleSigner)
	s.writeKey("svc.key", svc)
	for _, n := range s.c.Nodes {
		n.OnSign(s.sign)
		n.OnSubmit(s.submit)
		n.Adds = s.add
		n.GiveWords(nil)
	}
	return s
}

// key puts an active key of two of four into the state.
func (s *stage) key(id byte, name string, curve command.Curve) *frosttest.Key {
	suite := frost.BIP340
	if curve == command.Ed25519 {
		suite = frost.Ed25519
	}
	k := frosttest.New(suite, 2, 1, 2, 3, 4)
	s.keys[command.KeyID{id}] = k
	s.c.State.PutKey(row(id, name, curve, k, 1))
	return k
}

func row(id byte, name string, curve command.Curve, k *frosttest.Key, epoch uint32) fsm.Key {
	out := fsm.Key{ID: command.KeyID{id}, Name: name, Tenant: "acme", Scheme: command.SchemeThreshold, Curve: curve, Signers: 2,
		State: fsm.KeyActive, Regions: []identity.RegionID{1, 2, 3, 4}}
	if k != nil {
		out.Point, out.Chain = k.Public.Compressed(), k.Chain
		out.Sharing = &fsm.Sharing{Epoch: epoch, Wrap: epoch, Threshold: 2, Public: k.Public.Encode()}
		for r := identity.RegionID(1); r <= 4; r++ {
			out.Sharing.Shares = append(out.Sharing.Shares, fsm.Sealed{Region: r, Box: []byte("sealed")})
		}
	}
	return out
}

func (s *stage) submit(_ context.Context, c *command.Command) (fsm.Outcome, error) {
	body, err := c.Body()
	if err != nil {
		return fsm.Outcome{}, err
	}
	if b, ok := body.(*command.IssueAddresses); ok {
		s.mu.Lock()
		s.issued = append(s.issued, b.Paths...)
		s.mu.Unlock()
	}
	o, err := s.c.State.Decide(c)
	if b, ok := body.(*command.NextAddresses); ok && err == nil {
		s.mu.Lock()
		for _, p := range b.Given(o.Next) {
			s.issued = append(s.issued, command.EncodePath(p))
		}
		s.mu.Unlock()
	}
	return o, err
}

// sign completes a request at once, as one of a threshold key.
func (s *stage) sign(_ context.Context, c *command.Command) (*fsm.Request, error) {
	o, err := s.c.State.Decide(c)
	if err == nil {
		err = o.Err()
	}
	if err != nil {
		return nil, err
	}
	body, err := c.Body()
	if err != nil {
		return nil, err
	}
	r, _ := s.c.State.Request(o.Request)
	q, b := *r, body.(*command.RequestSignature)
	q.Path, q.Payload = b.Path, b.Payload
	q.Attempts[0].Epoch = 1
	s.c.State.PutRequest(q)
	return &q, nil
}

// add makes the request's signatures, which a real vault adds up from parts.
func (s *stage) add(q *fsm.Request) (out [][]byte, err error) {
	key, _ := s.c.State.Key(q.Key)
	spends, err := intent.Spends(q.Kind, q.HashAlg, q.Payload, q.Path, key.Info())
	for _, spend := range spends {
		root := spend.Root
		if spend.Taproot {
			root = append([]byte{}, root...)
		}
		sig := s.keys[q.Key].Sign(spend.Message, spend.Path, root, 1, 3)
		if s.bend != nil {
			s.bend(sig)
		}
		out = append(out, sig)
	}
	return out, err
}

func TestThresholdKeyShown(t *testing.T) {
	s := newStage(t)
	ed, btc := s.key(1, "ed", command.Ed25519), s.key(2, "btc", command.Secp256k1)
	var v signingKeyView
	s.json(&v, "key", "show", "ed", "--tenant", "acme")
	want, _ := address.Solana(ed.Public.Bytes())
	if v.Address != want || v.Scheme != "threshold" || v.Threshold == nil || v.Threshold.Sharing.Epoch != 1 || len(v.Threshold.Sharing.Holders) != 4 ||
		v.Threshold.PublicKey != hex.EncodeToString(ed.Public.Bytes()) || v.Of != 4 {
		t.Errorf("%+v, %+v", v, v.Threshold)
	}
	s.json(&v, "key", "show", "btc", "--tenant", "acme", "--network", "testnet")
	e, err := address.Root(intent.Testnet, btc.Public.Compressed(), btc.Chain)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(v.Address, "tb1p") || v.Threshold.Xpub != e.String() || len(v.Threshold.Descriptors) != 2 || !strings.HasPrefix(v.Descriptor, "tr(") {
		t.Errorf("%+v, %+v", v, v.Threshold)
	}
	s.c.State.PutWrap(fsm.Wrap{Epoch: 1, Live: 2, Keys: []fsm.WrapKey{{Region: 1}, {Region: 4}}})
	s.c.State.PutWrap(fsm.Wrap{Epoch: 7})
	out := s.ok("key", "show", "btc", "--tenant", "acme")
	for _, want := range []string{"epoch 1, 2 of alpha, beta, gamma, delta, sealed under wrapping epoch 1", "1: keys of alpha, delta, in use 2 times"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := s.ok("key", "show", "btc", "--key-file", s.path("svc.key")); strings.Contains(out, "keys of") || !strings.Contains(out, "sealed under") {
		t.Errorf("a tenant sees\n%s", out)
	}
}

func TestDeriveAndAddress(t *testing.T) {
	s := newStage(t)
	ed, btc := s.key(1, "ed", command.Ed25519), s.key(2, "btc", command.Secp256k1)
	var c childView
	s.json(&c, "key", "derive", "ed", "m/0/5", "--tenant", "acme")
	child, chain, err := ed.Public.Derive(ed.Chain, 0, 5)
	if err != nil {
		t.Fatal(err)
	}
	if c.PublicKey != hex.EncodeToString(child.Bytes()) || c.ChainCode != hex.EncodeToString(chain[:]) || c.Chain != "solana" {
		t.Errorf("%+v, want %x", c, child.Bytes())
	}
	s.json(&c, "key", "derive", "btc", "m/1/2", "--tenant", "acme", "--chain", "bitcoin-regtest")
	if child, _, err = btc.Public.Derive(btc.Chain, 1, 2); err != nil {
		t.Fatal(err)
	}
	output, err := child.Taproot(nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := address.ParseExtended(c.Xpub)
	if err != nil || !bytes.Equal(x.Key[:], child.Compressed()) || x.Depth != 2 || x.Index != 2 || c.Output != hex.EncodeToString(output.Bytes()) ||
		!strings.HasPrefix(c.Address, "bcrt1p") || !strings.HasPrefix(c.Descriptor, "tr(") {
		t.Errorf("%+v, %v", c, err)
	}
	var list []childView
	s.json(&list, "key", "address", "ed", "--tenant", "acme", "--count", "3", "--chain", "cosmos:cosmosvalcons")
	if len(list) != 3 || list[0].Path != "m/0/0" || list[2].Path != "m/0/2" || !strings.HasPrefix(list[1].Address, "cosmosvalcons1") {
		t.Errorf("%+v", list)
	}
	if out := s.ok("key", "address", "btc", "--tenant", "acme", "--path", "m/0/9", "--chain", "bitcoin-testnet"); !strings.HasPrefix(out, "m/0/9  tb1p") {
		t.Errorf("%s", out)
	}
	if len(s.issued) != 4 || !bytes.Equal(s.issued[3], command.EncodePath([]uint32{0, 9})) {
		t.Errorf("issued %x", s.issued)
	}
	s.fails(errs.ExitUsage, "m/0/5", "key", "derive", "ed", "0/5", "--tenant", "acme")
	s.fails(errs.ExitFailure, "cosmos:PREFIX", "key", "derive", "ed", "m/1", "--tenant", "acme", "--chain", "bitcoin")
	s.fails(errs.ExitUsage, "cosmos:PREFIX", "key", "derive", "ed", "m/1", "--tenant", "acme", "--chain", "dogecoin")
	s.fails(errs.ExitFailure, "five levels", "key", "derive", "btc", "m/1/2/3/4/5/6", "--tenant", "acme")
	s.fails(errs.ExitUsage, "one address", "key", "address", "ed", "--tenant", "acme", "--path", "m", "--count", "2")
	s.fails(errs.ExitUsage, "1 to 256", "key", "address", "ed", "--tenant", "acme", "--count", "257")
	s.c.State.PutKey(fsm.Key{ID: command.KeyID{9}, Name: "plain", Tenant: "acme", Scheme: command.SchemeMultisig, Curve: command.P256, State: fsm.KeyActive})
	s.fails(errs.ExitFailure, "multisig", "key", "address", "plain", "--tenant", "acme")
	s.c.State.PutKey(row(8, "young", command.Ed25519, nil, 0))
	s.fails(errs.ExitFailure, "not made yet", "key", "derive", "young", "m", "--tenant", "acme")
	s.fails(errs.ExitFailure, "not made yet", "sign", "--key", "young", "--message", s.write("m", []byte("x")), "--wait", "--key-file", s.path("svc.key"))
}

func TestThresholdSign(t *testing.T) {
	s := newStage(t)
	ed, btc := s.key(1, "ed", command.Ed25519), s.key(2, "btc", command.Secp256k1)
	svc := s.path("svc.key")
	var v signedView
	s.json(&v, "sign", "--key", "ed", "--message", s.write("msg", []byte("hello")), "--path", "m/3", "--wait", "--key-file", svc)
	child, _, err := ed.Public.Derive(ed.Chain, 3)
	if err != nil {
		t.Fatal(err)
	}
	sig, _ := hex.DecodeString(v.Signatures[0].Signature)
	if err := child.Verify([]byte("hello"), sig); err != nil || len(v.Signatures) != 1 || v.Signatures[0].Path != "m/3" || len(v.Regions) != 2 {
		t.Errorf("%v, %+v", err, v)
	}
	s.solanas(child, svc)
	s.taproots(btc, svc)
	s.bend = func(sig []byte) { sig[5] ^= 1 }
	s.fails(errs.ExitUnverified, "does not verify", "sign", "--key", "ed", "--message", s.path("msg"), "--wait", "--key-file", svc)
	s.bend = nil
	for _, n := range s.c.Nodes {
		n.Adds = func(*fsm.Request) ([][]byte, error) { return nil, errs.New(errs.Corrupt, "no sum") }
		n.Attach()
	}
	s.fails(errs.ExitUnverified, "0 signatures for 1 messages", "sign", "--key", "ed", "--message", s.path("msg"), "--wait", "--key-file", svc)
}

func (s *stage) solanas(child *frost.PublicKey, svc string) {
	t := s.t
	key := solana.Address(child.Bytes())
	file := s.path("sol.b64")
	for _, version := range []int{solana.Legacy, solana.V0} {
		message := intenttest.SolanaTransfer(version, key, 9)
		s.write("sol.b64", []byte(base64.StdEncoding.EncodeToString(message)+"\n"))
		out := s.ok("sign", "--key", "ed", "--kind", "solana", "--message", file, "--path", "m/3", "--wait", "--key-file", svc)
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(out))
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		m, sigs, err := solana.DecodeTransaction(raw)
		if err != nil || len(sigs) != 1 || sigs[0].Signer != key || m.Version != version || !ed25519.Verify(child.Bytes(), message, raw[1:65]) {
			t.Errorf("transaction of version %d: %v, %v", version, sigs, err)
		}
		s.fails(errs.ExitFailure, "not among its 1 signers", "sign", "--key", "ed", "--kind", "solana", "--message", file, "--wait", "--key-file", svc)
		s.fails(errs.ExitDenied, "solana payload", "sign", "--key", "ed", "--message", s.write("sol", message), "--path", "m/3", "--wait", "--key-file", svc)
	}
	s.fails(errs.ExitUsage, "--kind solana", "sign", "--key", "ed", "--kind", "solana", "--psbt", file)
	s.fails(errs.ExitUsage, "does not go with", "sign", "--key", "ed", "--kind", "psbt", "--message", file)
}

func (s *stage) taproots(btc *frosttest.Key, svc string) {
	t := s.t
	w, err := intent.NewTaproot(intent.TaprootKey{Key: btc.Public.Compressed(), ChainCode: btc.Chain[:]})
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
	f := intenttest.FundTaproot(4, outs, 40_000, 50_000)
	file := s.write("tap.psbt", intenttest.TaprootPSBT(2, w, f, outs, intenttest.To(1, 80_000), intenttest.ToTaproot(outs[0], 9_000)))
	var v signedView
	s.json(&v, "sign", "--key", "btc", "--psbt", file, "--finalize", "--key-file", svc)
	raw, err := hex.DecodeString(v.Transaction)
	if err != nil {
		t.Fatal(err)
	}
	if err := intenttest.Accepted(raw, f); err != nil || len(v.Signatures) != 2 || v.Signatures[1].Path != "m/0/5" {
		t.Errorf("%v, %+v", err, v)
	}
	s.fails(errs.ExitFailure, "inputs name their own", "sign", "--key", "btc", "--psbt", file, "--path", "m/0/5", "--wait", "--key-file", svc)
}

// TestCeremonyWatched: what a ceremony waits for is told until the sharing is live.
func TestCeremonyWatched(t *testing.T) {
	s := newStage(t)
	k := s.key(1, "ed", command.Ed25519)
	wrap := fsm.Wrap{Epoch: 2}
	for r := identity.RegionID(1); r <= 4; r++ {
		wrap.Keys = append(wrap.Keys, fsm.WrapKey{Region: r})
	}
	s.c.State.PutWrap(wrap)
	during := row(1, "ed", command.Ed25519, k, 1)
	during.Ceremony = &fsm.Ceremony{ID: command.CeremonyID{Key: during.ID, Epoch: 2, Try: 2}, Wrap: 2, Threshold: 2, Step: fsm.StepHash,
		Dealers: during.Regions, Holders: during.Regions, Parts: []fsm.Part{{Region: 1, Hashed: true}, {Region: 3, Hashed: true}},
		Faults: []fsm.Fault{{Try: 1, Step: fsm.StepDeal, Region: 2, By: []identity.RegionID{1, 3}, Note: "bad value"}}}
	begins := func(after fsm.Key) rpctest.Submit {
		return func(ctx context.Context, c *command.Command) (fsm.Outcome, error) {
			s.c.State.PutKey(during)
			time.AfterFunc(400*time.Millisecond, func() { s.c.State.PutKey(after) })
			return s.c.State.Decide(c)
		}
	}
	live := row(1, "ed", command.Ed25519, k, 2)
	s.onSubmit(begins(live))
	code, out, said := s.run(context.Background(), "key", "refresh", "ed", "--tenant", "acme", "--cosign-key", s.path("bob.key"))
	for _, want := range []string{"try 1, step deal: beta, accused by alpha, gamma: bad value", "try 2, step hash, waiting for beta, delta", "epoch 2 is live"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if code != 0 || !strings.Contains(out, "alpha,beta,gamma,delta") {
		t.Errorf("exit %d\n%s%s", code, out, said)
	}

	failed := live
	failed.Ceremony = &fsm.Ceremony{ID: command.CeremonyID{Epoch: 3, Try: 4}, Step: fsm.StepFailed, Faults: []fsm.Fault{{Try: 4, Step: fsm.StepFinish, Region: 4}}}
	s.c.State.PutKey(live)
	during = live
	during.Ceremony = &fsm.Ceremony{ID: command.CeremonyID{Epoch: 3, Try: 4}, Wrap: 2, Step: fsm.StepFinish, Holders: live.Regions}
	s.onSubmit(begins(failed))
	s.fails(errs.ExitFailure, "goes on under epoch 2: the ceremony failed: try 4, step finish: delta, was not there in time", "key", "reshare", "ed", "--tenant", "acme",
		"--holders", "alpha,beta,delta", "--cosign-key", s.path("bob.key"))
	s.fails(errs.ExitUsage, "no region", "key", "reshare", "ed", "--tenant", "acme", "--holders", "alpha,atlantis")
	s.fails(errs.ExitUsage, "--all", "key", "refresh")
	if out := s.ok("key", "show", "ed", "--tenant", "acme"); !strings.Contains(out, "of epoch 3: failed after try 4") || !strings.Contains(out, "delta, was not there in time") {
		t.Errorf("%s", out)
	}
}

// TestCeremonyOfNewKey: key create follows the key it made; one that is retired meanwhile ends it.
func TestCeremonyOfNewKey(t *testing.T) {
	s := newStage(t)
	k := frosttest.New(frost.Ed25519, 2, 1, 2, 3, 4)
	next := func(change func(*fsm.Key)) {
		s.onSubmit(func(_ context.Context, c *command.Command) (fsm.Outcome, error) {
			o, err := s.c.State.Decide(c)
			young := row(0, "new", command.Ed25519, nil, 0)
			young.ID, young.State = o.Key, fsm.KeyPending
			young.Ceremony = &fsm.Ceremony{ID: command.CeremonyID{Key: o.Key, Epoch: 1, Try: 1}, Wrap: 1, Step: fsm.StepWrap, Holders: young.Regions, Dealers: young.Regions}
			s.c.State.PutKey(young)
			time.AfterFunc(300*time.Millisecond, func() {
				grown := young
				change(&grown)
				s.c.State.PutKey(grown)
			})
			return o, err
		})
	}
	create := []string{"key", "create", "new", "--tenant", "acme", "--scheme", "threshold", "--curve", "ed25519"}
	next(func(grown *fsm.Key) {
		id := grown.ID
		*grown = row(0, "new", command.Ed25519, k, 1)
		grown.ID = id
	})
	code, out, said := s.run(context.Background(), create...)
	if code != 0 || !strings.Contains(said, "step wrap, waiting for alpha, beta, gamma, delta") || !strings.Contains(out, "active") {
		t.Errorf("exit %d\n%s%s", code, out, said)
	}
	next(func(grown *fsm.Key) { grown.State = fsm.KeyRetired })
	s.fails(errs.ExitFailure, "retired meanwhile", create...)
	s.fails(errs.ExitUsage, "secp256k1 or ed25519", "key", "create", "x", "--tenant", "acme", "--scheme", "threshold", "--curve", "p256")
	s.fails(errs.ExitUsage, "scheme", "key", "create", "x", "--tenant", "acme", "--scheme", "magic")
}

func (s *stage) onSubmit(f rpctest.Submit) {
	for _, n := range s.c.Nodes {
		n.OnSubmit(f)
	}
}

func TestNonceStatus(t *testing.T) {
	s := newStage(t)
	s.c.State.PutPool(fsm.NoncePool{Region: 2, Curve: command.Ed25519, Session: identity.Fingerprint{9}, Commitments: make([]byte, 79*700), Offered: 1000})
	var v []poolView
	s.json(&v, "nonce", "status")
	if len(v) != 8 || v[3] != (poolView{"beta", "ed25519", 700, 2048, 1000, v[3].Session}) || !strings.HasPrefix(v[3].Session, "09") || v[0].Left != 0 {
		t.Errorf("%+v", v)
	}
	if out := s.ok("nonce", "status"); !strings.Contains(out, "700 of 2048") {
		t.Errorf("%s", out)
	}
	s.fails(errs.ExitDenied, "not one of the vault", "nonce", "status", "--key-file", s.path("svc.key"))
}

// TestRefreshAll waits for every threshold key, and for nothing else.
func TestRefreshAll(t *testing.T) {
	s := newStage(t)
	ed, btc := s.key(1, "ed", command.Ed25519), s.key(2, "btc", command.Secp256k1)
	s.c.State.PutKey(fsm.Key{ID: command.KeyID{9}, Name: "plain", Tenant: "acme", Scheme: command.SchemeMultisig, Curve: command.P256, State: fsm.KeyActive})
	s.onSubmit(func(_ context.Context, c *command.Command) (fsm.Outcome, error) {
		for b := byte(1); b <= 2; b++ {
			s.c.State.PutUnrefreshed(command.KeyID{b}, true, nil)
		}
		time.AfterFunc(200*time.Millisecond, func() {
			s.c.State.PutKey(row(1, "ed", command.Ed25519, ed, 2))
			s.c.State.PutKey(row(2, "btc", command.Secp256k1, btc, 2))
		})
		return s.c.State.Decide(c)
	})
	var done []signingKeyView
	s.json(&done, "key", "refresh", "--all", "--cosign-key", s.path("bob.key"))
	if len(done) != 2 || done[0].Threshold.Sharing.Epoch != 2 || done[1].Threshold.Sharing.Epoch != 2 {
		t.Errorf("%+v", done)
	}
}

// TestRefreshAllPassesBy: a key that the refresh of all cannot bring along ends the wait,
// and is named with what is in the way; the others are waited for.
func TestRefreshAllPassesBy(t *testing.T) {
	s := newStage(t)
	s.key(1, "ed", command.Ed25519)
	s.key(3, "third", command.Ed25519)
	btc := s.key(2, "btc", command.Secp256k1)
	away := errs.New(errs.Invalid, "a region that is to hold a share is not active")
	s.onSubmit(func(_ context.Context, c *command.Command) (fsm.Outcome, error) {
		for b := byte(1); b <= 3; b++ {
			s.c.State.PutUnrefreshed(command.KeyID{b}, true, away)
		}
		time.AfterFunc(300*time.Millisecond, func() {
			s.c.State.PutKey(row(2, "btc", command.Secp256k1, btc, 2))
			s.c.State.PutUnrefreshed(command.KeyID{1}, false, away)
			s.c.State.PutUnrefreshed(command.KeyID{3}, false, nil)
		})
		return s.c.State.Decide(c)
	})
	all := []string{"key", "refresh", "--all", "--cosign-key", s.path("bob.key")}
	code, out, said := s.run(context.Background(), all...)
	for _, want := range []string{"2 of 3 keys did not come along", "key ed was passed by and lies under epoch 1 as before: a region that is to hold a share is not active",
		"key third was passed by and lies under epoch 1 as before: nothing is in the way"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if code != errs.ExitFailure || !strings.Contains(out, "btc") {
		t.Errorf("exit %d\n%s%s", code, out, said)
	}
	if out := s.ok("key", "show", "ed", "--tenant", "acme"); !strings.Contains(out, "not refreshed") || !strings.Contains(out, "is not active") {
		t.Errorf("%s", out)
	}
}
