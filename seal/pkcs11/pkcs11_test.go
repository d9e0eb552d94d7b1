package pkcs11_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"go.uber.org/goleak"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/pkcs11"
	"github.com/tetrad-vault/tetrad/seal/pkcs11/softhsmtest"
)

var (
	tokens *softhsmtest.Tokens
	module *pkcs11.Module
)

func TestMain(m *testing.M) {
	var err error
	if tokens, err = softhsmtest.Setup("north", "south", "pin", "away", "epochs", "twin", "twin"); err == nil {
		module, err = pkcs11.Load(tokens.Module, "")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	tokens.Close()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func open(t testing.TB, label string) *seal.HSM {
	t.Helper()
	h, err := seal.Open(t.Context(), seal.Config{Token: module.Token(label), PIN: tokens.UserPIN()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return h
}

func verify(curve seal.Kind, pub, msg, sig []byte) bool {
	switch curve {
	case seal.Ed25519:
		return ed25519.Verify(pub, msg, sig)
	case seal.Secp256k1:
		key, err := secp256k1.ParsePubKey(pub)
		if err != nil {
			return false
		}
		var r, s secp256k1.ModNScalar
		return !r.SetByteSlice(sig[:32]) && !s.SetByteSlice(sig[32:]) && !s.IsOverHalfOrder() &&
			secpecdsa.NewSignature(&r, &s).Verify(msg, key)
	}
	return false
}

func TestSigningKeys(t *testing.T) {
	h := open(t, "north")
	curves, err := h.Curves(t.Context())
	if err != nil || !bytes.Equal(curves, []byte{1, 2, 3}) {
		t.Fatalf("SoftHSM signs with %v (%v), want all three curves", curves, err)
	}
	for _, curve := range []seal.Kind{seal.Secp256k1, seal.P256, seal.Ed25519} {
		t.Run(curve.String(), func(t *testing.T) {
			label := "key " + curve.String()
			pub, attrs, err := h.Generate(t.Context(), label, uint8(curve))
			if err != nil {
				t.Fatal(err)
			}
			if err := seal.AttributesOK(attrs, h.Profile()); err != nil {
				t.Error(err)
			}
			again, _, err := h.Generate(t.Context(), label, uint8(curve))
			if err != nil || !bytes.Equal(pub, again) {
				t.Errorf("generating again: %x, %v; want the same key", again, err)
			}
			for i := range 32 { // half of a token's signatures have a high s
				msg := sha256.Sum256([]byte{byte(i)})
				sig, err := h.Sign(t.Context(), label, uint8(curve), msg[:])
				if err != nil {
					t.Fatal(err)
				}
				ok := verify(curve, pub, msg[:], sig)
				if curve == seal.P256 {
					ok = verifyP256(pub, msg[:], sig)
				}
				if !ok {
					t.Fatalf("signature %x does not verify or has a high s", sig)
				}
			}
			other := curve%3 + 1
			if _, _, err := h.Generate(t.Context(), label, uint8(other)); errs.CodeOf(err) != errs.Exists {
				t.Errorf("generating %s under the same label: %v, want Exists", other, err)
			}
		})
	}
	if _, err := h.Sign(t.Context(), "nobody", uint8(seal.P256), make([]byte, 32)); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("unknown key: %v, want NotFound", err)
	}
	if _, err := h.Sign(t.Context(), "key p256", uint8(seal.Secp256k1), make([]byte, 32)); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("wrong curve: %v, want Invalid", err)
	}
}

func TestIdentityAndUnseal(t *testing.T) {
	ctx, h := t.Context(), open(t, "south")
	cluster := identity.ClusterID{1, 2, 3}
	idLabel, wrapLabel := seal.IdentityLabel(cluster), seal.WrappingLabel(cluster)
	if err := h.Use(ctx, idLabel, wrapLabel, 1); errs.CodeOf(err) != errs.NotFound {
		t.Fatalf("using keys that do not exist: %v, want NotFound", err)
	}
	attrs, err := h.GenerateIdentity(ctx, idLabel)
	if err != nil {
		t.Fatal(err)
	}
	if err := seal.AttributesOK(attrs, h.Profile()); err != nil {
		t.Error(err)
	}
	if h.Identity().Public().Alg != identity.P256 {
		t.Errorf("identity is %s, want p256", h.Identity().Public().Alg)
	}
	if _, err := h.GenerateWrapping(ctx, wrapLabel); err != nil {
		t.Fatal(err)
	}
	pub, hash := h.Wrapping()
	if hash != uint8(seal.SHA1) {
		t.Errorf("OAEP hash %d, want SHA-1: SoftHSM knows no other", hash)
	}
	msg := []byte("hello")
	sig, err := h.Identity().Sign(ctx, msg)
	if err != nil || !h.Identity().Public().Verify(msg, sig) {
		t.Errorf("identity signature: %v", err)
	}

	root := seal.Root{7}
	state, err := seal.InitState(seal.State{Cluster: cluster, Region: 2, IdentityLabel: idLabel, WrappingLabel: wrapLabel, Hash: hash},
		pub, seal.Contents{Roots: map[uint32]seal.Root{1: root}, Secrets: seal.Secrets{"beacon": []byte("share")}})
	if err != nil {
		t.Fatal(err)
	}
	fresh := open(t, "south") // as after a restart
	start := time.Now()
	ring, secrets, err := seal.Unseal(ctx, fresh, state, cluster, seal.RootCheck(cluster, root))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("unsealed in %v", time.Since(start))
	if got, _ := ring.Root(1); got != root || string(secrets["beacon"]) != "share" {
		t.Error("unsealed something else")
	}
	if err := fresh.Health(ctx); err != nil {
		t.Error(err)
	}
	other := open(t, "north")
	if _, _, err := seal.Unseal(ctx, other, state, cluster, seal.RootCheck(cluster, root)); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("another region's token: %v, want NotFound", err)
	}
	state.Wrapped[20] ^= 1
	if _, _, err := seal.Unseal(ctx, fresh, state, cluster, seal.RootCheck(cluster, root)); errs.CodeOf(err) != errs.Corrupt {
		t.Errorf("damaged unseal file: %v, want Corrupt", err)
	}
}

// TestOneTryOfWrongPIN also counts: SoftHSM never locks, other tokens do.
func TestOneTryOfWrongPIN(t *testing.T) {
	asked := 0
	wrong := func() ([]byte, error) { asked++; return []byte("0000"), nil }
	_, err := seal.Open(t.Context(), seal.Config{Token: module.Token("pin"), PIN: wrong})
	if errs.CodeOf(err) != errs.WrongPIN || asked != 1 {
		t.Errorf("%d tries: %v; want one, and WrongPIN", asked, err)
	}
	if bytes.Contains([]byte(fmt.Sprint(err, errs.HintOf(err))), []byte("0000")) {
		t.Error("the error shows the PIN")
	}
}

func TestTokenNotThere(t *testing.T) {
	for label, why := range map[string]string{"missing": "no such token", "twin": "two tokens with one label"} {
		if _, err := seal.Open(t.Context(), seal.Config{Token: module.Token(label), PIN: tokens.UserPIN()}); errs.CodeOf(err) != errs.HSMFailed {
			t.Errorf("%s: %v, want HSMFailed", why, err)
		}
	}
	if _, err := pkcs11.Load("/nonexistent.so", ""); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("missing module: %v, want NotFound", err)
	}
	bad := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(bad, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pkcs11.Load(bad, ""); errs.CodeOf(err) != errs.HSMFailed {
		t.Errorf("not a library: %v, want HSMFailed", err)
	}
}

func TestManyCallersOneToken(t *testing.T) {
	h := open(t, "north")
	pub, _, err := h.Generate(t.Context(), "many", uint8(seal.Ed25519))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				msg := []byte{byte(i), byte(j)}
				if sig, err := h.Sign(t.Context(), "many", uint8(seal.Ed25519), msg); err != nil || !ed25519.Verify(pub, msg, sig) {
					t.Errorf("signature: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestConcurrentGenerate would make two keys with one label without the pool's lock.
func TestConcurrentGenerate(t *testing.T) {
	h := open(t, "north")
	var wg sync.WaitGroup
	pubs := make([][]byte, 6)
	for i := range pubs {
		wg.Go(func() {
			var err error
			if pubs[i], _, err = h.Generate(t.Context(), "same label", uint8(seal.P256)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, p := range pubs[1:] {
		if !bytes.Equal(p, pubs[0]) {
			t.Error("two keys were made under one label")
		}
	}
}

// TestTokenGoesAndComesBack moves SoftHSM's files away and back. No other HSM is open
// meanwhile, so that a restart really finalises the module.
func TestTokenGoesAndComesBack(t *testing.T) {
	h, err := seal.Open(t.Context(), seal.Config{Token: module.Token("away"), PIN: tokens.UserPIN(), Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(context.Background())
	if _, err := h.GenerateIdentity(t.Context(), "id"); err != nil {
		t.Fatal(err)
	}
	pub, _, err := h.Generate(t.Context(), "k", uint8(seal.Ed25519))
	if err != nil {
		t.Fatal(err)
	}
	away := tokens.TokenDir() + ".away"
	if err := os.Rename(tokens.TokenDir(), away); err != nil {
		t.Fatal(err)
	}
	msg := []byte("m")
	_, err = h.Sign(t.Context(), "k", uint8(seal.Ed25519), msg)
	if errs.CodeOf(err) != errs.HSMFailed {
		t.Errorf("signing without a token: %v, want HSMFailed", err)
	}
	if err := h.Health(t.Context()); errs.CodeOf(err) != errs.HSMFailed {
		t.Errorf("health without a token: %v, want HSMFailed", err)
	}
	if err := os.Rename(away, tokens.TokenDir()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		sig, err := h.Sign(t.Context(), "k", uint8(seal.Ed25519), msg)
		if err == nil {
			if !ed25519.Verify(pub, msg, sig) {
				t.Error("signature does not verify")
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the token is back but not used: ", err)
		}
		time.Sleep(50 * time.Millisecond) // real time: the pool tries a restart once a second
	}
}

func TestWrapRoundTrip(t *testing.T) {
	h := open(t, "north")
	if _, err := h.GenerateWrapping(t.Context(), "w"); err != nil {
		t.Fatal(err)
	}
	pub, hash := h.Wrapping()
	for _, n := range []int{0, 1, 32, 5000} {
		plain := bytes.Repeat([]byte{9}, n)
		blob, err := seal.Wrap(pub, hash, plain, "what for")
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Unwrap(t.Context(), blob, "what for")
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := h.Unwrap(t.Context(), blob, "something else"); errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("other label: %v, want Corrupt", err)
		}
		for _, i := range []int{0, 1, 10, len(blob) - 1} {
			bad := bytes.Clone(blob)
			bad[i] ^= 1
			if _, err := h.Unwrap(t.Context(), bad, "what for"); errs.CodeOf(err) != errs.Corrupt {
				t.Errorf("byte %d flipped: %v, want Corrupt", i, err)
			}
		}
	}
}

func BenchmarkSign(b *testing.B) {
	h := open(b, "north")
	for _, curve := range []seal.Kind{seal.Secp256k1, seal.P256, seal.Ed25519} {
		label := "bench " + curve.String()
		if _, _, err := h.Generate(b.Context(), label, uint8(curve)); err != nil {
			b.Fatal(err)
		}
		msg := make([]byte, 32)
		b.Run(curve.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := h.Sign(b.Context(), label, uint8(curve), msg); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(curve.String()+"/parallel", func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := h.Sign(b.Context(), label, uint8(curve), msg); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkUnwrap(b *testing.B) {
	h := open(b, "north")
	if _, err := h.GenerateWrapping(b.Context(), "w"); err != nil {
		b.Fatal(err)
	}
	pub, hash := h.Wrapping()
	blob, err := seal.Wrap(pub, hash, make([]byte, 64), "bench")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := h.Unwrap(b.Context(), blob, "bench"); err != nil {
			b.Fatal(err)
		}
	}
}

func verifyP256(pub, digest, sig []byte) bool {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), pub)
	if x == nil {
		return false
	}
	point := append([]byte{4}, make([]byte, 64)...)
	x.FillBytes(point[1:33])
	y.FillBytes(point[33:])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	s := new(big.Int).SetBytes(sig[32:])
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	return err == nil && s.Cmp(half) <= 0 && ecdsa.Verify(key, digest, new(big.Int).SetBytes(sig[:32]), s)
}
