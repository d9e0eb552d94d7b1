package seal_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

const ed = uint8(seal.Ed25519)

// inBubble runs f with an open HSM over dev that has an identity and a signing key
// "k". The bubble ends only when every goroutine has: it is the leak check.
func inBubble(t *testing.T, o sealtest.Options, f func(t *testing.T, dev *sealtest.Device, h *seal.HSM)) {
	synctest.Test(t, func(t *testing.T) {
		dev := sealtest.New(o)
		h, err := dev.OpenHSM(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.GenerateIdentity(t.Context(), "identity"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Generate(t.Context(), "k", ed); err != nil {
			t.Fatal(err)
		}
		f(t, dev, h)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func sign(ctx context.Context, h *seal.HSM) error {
	_, err := h.Sign(ctx, "k", ed, []byte("message"))
	return err
}

func wantCode(t *testing.T, err error, want errs.Code) {
	t.Helper()
	if errs.CodeOf(err) != want {
		t.Errorf("%v (%v), want %v", err, errs.CodeOf(err), want)
	}
}

func TestHungCallTimesOut(t *testing.T) {
	inBubble(t, sealtest.Options{}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		release := dev.Hang()
		defer release()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		wantCode(t, sign(ctx, h), errs.HSMTimeout)
		if d := time.Since(start); d != 300*time.Millisecond {
			t.Errorf("returned after %v, want the caller's deadline", d)
		}
		start = time.Now()
		wantCode(t, sign(t.Context(), h), errs.HSMTimeout)
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("returned after %v, want the default timeout", d)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		wantCode(t, sign(ctx, h), errs.Canceled)

		release()
		synctest.Wait()
		if err := sign(t.Context(), h); err != nil {
			t.Errorf("after the token answers again: %v", err)
		}
	})
}

// TestHungCallsAreBounded: however many callers come, few calls enter a hung token.
func TestHungCallsAreBounded(t *testing.T) {
	inBubble(t, sealtest.Options{}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		release := dev.Hang()
		before := dev.Count(sealtest.OpSign) + dev.Count(sealtest.OpSession)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := sign(ctx, h); errs.CodeOf(err) != errs.HSMTimeout {
					t.Errorf("%v, want HSMTimeout", err)
				}
			})
			time.Sleep(50 * time.Millisecond)
		}
		wg.Wait()
		if n := dev.Count(sealtest.OpSign) + dev.Count(sealtest.OpSession) - before; n < 2 || n > 6 {
			t.Errorf("%d calls entered the hung token, want at most 2 sessions and 4 left behind", n)
		}
		release()
		synctest.Wait()
		if err := sign(t.Context(), h); err != nil {
			t.Error(err)
		}
	})
}

// TestHungSessionIsNotReused: a call that was given up closes its session, even when
// it succeeds in the end.
func TestHungSessionIsNotReused(t *testing.T) {
	inBubble(t, sealtest.Options{}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		if err := sign(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		sessions := dev.Count(sealtest.OpSession)
		release := dev.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantCode(t, sign(ctx, h), errs.HSMTimeout)
		release()
		synctest.Wait()
		if err := sign(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if n := dev.Count(sealtest.OpSession) - sessions; n != 1 {
			t.Errorf("%d new sessions, want 1: the hung one is gone", n)
		}
	})
}

func TestSessionIsDiscardedAfterAnyError(t *testing.T) {
	inBubble(t, sealtest.Options{}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		if err := sign(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		before := dev.Count(sealtest.OpSession)
		if err := sign(t.Context(), h); err != nil || dev.Count(sealtest.OpSession) != before {
			t.Fatalf("a good session is not reused: %v", err)
		}
		dev.FailNext(sealtest.OpSign, 1)
		if err := sign(t.Context(), h); err != nil {
			t.Errorf("one failure is not survived: %v", err)
		}
		if n := dev.Count(sealtest.OpSession) - before; n != 1 {
			t.Errorf("%d new sessions after an error, want 1", n)
		}
		if n := dev.Count(sealtest.OpStart); n != 1 {
			t.Errorf("module started %d times: a session's failure needs no restart", n)
		}
		before = dev.Count(sealtest.OpSession)
		_, err := h.Sign(t.Context(), "k", uint8(seal.P256), make([]byte, 32)) // only the call was wrong
		wantCode(t, err, errs.Invalid)
		if err := sign(t.Context(), h); err != nil || dev.Count(sealtest.OpSession)-before != 1 {
			t.Errorf("%d new sessions after a refused call, want 1: %v", dev.Count(sealtest.OpSession)-before, err)
		}
	})
}

func TestOneBadKeyDoesNotRestartTheModule(t *testing.T) {
	inBubble(t, sealtest.Options{}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		_, err := h.Sign(t.Context(), "nobody", ed, []byte("m"))
		wantCode(t, err, errs.NotFound)
		if n := dev.Count(sealtest.OpStart); n != 1 {
			t.Errorf("module started %d times because of an unknown key", n)
		}
	})
}

func TestTokenVanishesAndReturns(t *testing.T) {
	inBubble(t, sealtest.Options{}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		dev.Vanish()
		wantCode(t, sign(t.Context(), h), errs.HSMFailed)
		wantCode(t, h.Health(t.Context()), errs.HSMFailed)
		starts := dev.Count(sealtest.OpStart)
		for range 50 { // not a restart per call
			wantCode(t, sign(t.Context(), h), errs.HSMFailed)
			time.Sleep(20 * time.Millisecond)
		}
		if n := dev.Count(sealtest.OpStart) - starts; n > 2 {
			t.Errorf("%d restarts within a second, want about one", n)
		}
		dev.Return() // its sessions stay dead: only the full ladder helps
		time.Sleep(2 * time.Second)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := sign(t.Context(), h); err != nil {
					t.Errorf("after it came back: %v", err)
				}
			})
		}
		wg.Wait()
		if err := h.Health(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestVanishUnderLoad: the double panics when two calls share a session or the module
// is finalised under a call.
func TestVanishUnderLoad(t *testing.T) {
	inBubble(t, sealtest.Options{Latency: time.Millisecond}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var good atomic.Int64
		for range 8 {
			wg.Go(func() {
				for ctx.Err() == nil {
					if sign(ctx, h) == nil {
						good.Add(1)
					}
					time.Sleep(25 * time.Millisecond)
				}
			})
		}
		for range 10 {
			time.Sleep(3 * time.Second)
			dev.Vanish()
			time.Sleep(500 * time.Millisecond)
			dev.Return()
			time.Sleep(time.Second)
			release := dev.Hang()
			time.Sleep(8 * time.Second)
			release()
		}
		time.Sleep(3 * time.Second)
		before := good.Load()
		time.Sleep(time.Second)
		if good.Load() == before {
			t.Error("nobody signs any more")
		}
		stop()
		wg.Wait()
	})
}

func TestWrongPINIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := sealtest.New(sealtest.Options{PIN: "the right one"})
		_, err := seal.Open(t.Context(), seal.Config{Token: dev.Token(), PIN: func() ([]byte, error) { return []byte("canary-pin"), nil }})
		wantCode(t, err, errs.WrongPIN)
		if n := dev.Count(sealtest.OpLogin); n != 1 {
			t.Errorf("%d logins with a wrong PIN, want 1", n)
		}
		if strings.Contains(fmt.Sprint(err, errs.HintOf(err)), "canary") {
			t.Error("the error shows the PIN")
		}
	})
}

// TestPINGoesBadWhileRunning: a re-login with a PIN that is wrong by now is tried once
// too, however many callers need it.
func TestPINGoesBadWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := sealtest.New(sealtest.Options{Latency: time.Millisecond})
		pin := sealtest.DefaultPIN
		h, err := seal.Open(t.Context(), seal.Config{Token: dev.Token(), PIN: func() ([]byte, error) { return []byte(pin), nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close(context.Background())
		if _, _, err := h.Generate(t.Context(), "k", ed); err != nil {
			t.Fatal(err)
		}
		pin = "wrong"
		dev.Vanish()
		dev.Return()
		before := dev.Count(sealtest.OpLogin)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { wantCode(t, sign(t.Context(), h), errs.WrongPIN) })
		}
		wg.Wait()
		if n := dev.Count(sealtest.OpLogin) - before; n != 1 {
			t.Errorf("%d logins with a wrong PIN, want 1", n)
		}
	})
}

// TestPINIsCleared looks at the buffer the source handed out.
func TestPINIsCleared(t *testing.T) {
	dev := sealtest.New(sealtest.Options{})
	buf := []byte(sealtest.DefaultPIN)
	h, err := seal.Open(t.Context(), seal.Config{Token: dev.Token(), PIN: func() ([]byte, error) { return buf, nil }, Sessions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(t.Context())
	if !bytes.Equal(buf, make([]byte, len(buf))) {
		t.Errorf("PIN still in memory: %q", buf)
	}
}

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := sealtest.New(sealtest.Options{Latency: time.Second})
		h, err := dev.OpenHSM(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Generate(t.Context(), "k", ed); err != nil {
			t.Fatal(err)
		}
		signed := make(chan error, 1)
		go func() { signed <- sign(t.Context(), h) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-signed; err != nil {
			t.Errorf("a call under way was not waited for: %v", err)
		}
		wantCode(t, sign(t.Context(), h), errs.Sealed)
		if err := h.Close(ctx); err != nil {
			t.Errorf("closing twice: %v", err)
		}
	})
}

func TestCloseWithHungCallDoesNotFinalise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := sealtest.New(sealtest.Options{})
		h, err := dev.OpenHSM(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release := dev.Hang()
		defer release()
		wantCode(t, h.Health(t.Context()), errs.BadState) // no identity: not even asked
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err = h.Generate(ctx, "k", ed)
		wantCode(t, err, errs.HSMTimeout)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantCode(t, h.Close(ctx), errs.HSMTimeout) // the double would panic
	})
}

func TestOpenHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := sealtest.New(sealtest.Options{})
		release := dev.Hang()
		_, err := dev.OpenHSM(t.Context())
		wantCode(t, err, errs.HSMTimeout)
		release()
	})
}

func TestAnotherTokenUnderTheSameLabel(t *testing.T) {
	inBubble(t, sealtest.Options{}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		dev.SetSerial("another")
		dev.Vanish()
		dev.Return()
		err := sign(t.Context(), h)
		wantCode(t, err, errs.HSMFailed)
		if err == nil || !strings.Contains(err.Error(), "serial") {
			t.Errorf("%v does not say why", err)
		}
		dev.SetSerial("0")
		time.Sleep(2 * time.Second)
		if err := sign(t.Context(), h); err != nil {
			t.Error(err)
		}
	})
}

func TestTokensDiffer(t *testing.T) {
	for name, tc := range map[string]struct {
		o      sealtest.Options
		alg    identity.Alg
		hash   seal.Hash
		curves []byte
	}{
		"like SoftHSM":      {sealtest.Options{Seed: 1}, identity.P256, seal.SHA1, []byte{1, 2, 3}},
		"like NSS":          {sealtest.Options{Seed: 2, Kinds: []seal.Kind{seal.P256, seal.RSA3072}, Hashes: []seal.Hash{seal.SHA1, seal.SHA256}}, identity.P256, seal.SHA256, []byte{2}},
		"like openCryptoki": {sealtest.Options{Seed: 3, Kinds: []seal.Kind{seal.RSA3072}, Hashes: []seal.Hash{seal.SHA256}}, identity.RSAPSS, seal.SHA256, []byte{}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			h, err := sealtest.New(tc.o).OpenHSM(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close(ctx)
			for range 2 { // again finds the same
				if _, err := h.GenerateIdentity(ctx, "id"); err != nil {
					t.Fatal(err)
				}
				if _, err := h.GenerateWrapping(ctx, "wrap"); err != nil {
					t.Fatal(err)
				}
			}
			if alg := h.Identity().Public().Alg; alg != tc.alg {
				t.Errorf("identity is %s, want %s", alg, tc.alg)
			}
			if err := h.Health(ctx); err != nil {
				t.Error(err)
			}
			pub, hash := h.Wrapping()
			if seal.Hash(hash) != tc.hash {
				t.Errorf("OAEP hash %d, want %d", hash, tc.hash)
			}
			blob, err := seal.Wrap(pub, hash, []byte("x"), "l")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := h.Unwrap(ctx, blob, "l"); err != nil || string(got) != "x" {
				t.Errorf("unwrapped %q, %v", got, err)
			}
			if curves, err := h.Curves(ctx); err != nil || !bytes.Equal(curves, tc.curves) {
				t.Errorf("curves %v, %v; want %v", curves, err, tc.curves)
			}
		})
	}
}

func TestBadAttributesAreRefused(t *testing.T) {
	good := seal.Attributes{Kind: seal.P256, Use: seal.UseSign, Persistent: seal.Yes, Private: seal.Yes, Sensitive: seal.Yes,
		Extractable: seal.No, AlwaysSensitive: seal.Yes, NeverExtracted: seal.Yes, Local: seal.Yes, Sign: seal.Yes, Decrypt: seal.No, GenMechanism: 0x1040}
	if err := good.Check(seal.Profile{}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*seal.Attributes){
		"extractable":        func(a *seal.Attributes) { a.Extractable = seal.Yes },
		"extractability":     func(a *seal.Attributes) { a.Extractable = seal.Absent },
		"not sensitive":      func(a *seal.Attributes) { a.Sensitive = seal.No },
		"was not sensitive":  func(a *seal.Attributes) { a.AlwaysSensitive = seal.No },
		"was extractable":    func(a *seal.Attributes) { a.NeverExtracted = seal.No },
		"imported":           func(a *seal.Attributes) { a.Local = seal.No },
		"session key":        func(a *seal.Attributes) { a.Persistent = seal.No },
		"public":             func(a *seal.Attributes) { a.Private = seal.No },
		"derives":            func(a *seal.Attributes) { a.Derive = seal.Yes },
		"unwraps":            func(a *seal.Attributes) { a.Unwrap = seal.Yes },
		"decrypts":           func(a *seal.Attributes) { a.Decrypt = seal.Yes },
		"does not sign":      func(a *seal.Attributes) { a.Sign = seal.No },
		"no mechanism":       func(a *seal.Attributes) { a.GenMechanism = seal.NoMechanism },
		"no use":             func(a *seal.Attributes) { a.Use = 0 },
		"wrapping key signs": func(a *seal.Attributes) { a.Use, a.Decrypt = seal.UseDecrypt, seal.Yes },
	} {
		a := good
		change(&a)
		wantCode(t, seal.AttributesOK(a.Encode(), seal.Profile{}), errs.Denied)
		dev := sealtest.New(sealtest.Options{})
		dev.Lie(change)
		h, err := dev.OpenHSM(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Generate(t.Context(), "k", uint8(seal.P256)); err == nil {
			t.Errorf("%s: a key with bad attributes is taken", name)
		}
		h.Close(t.Context())
	}
	nss := good
	nss.Local, nss.GenMechanism = seal.No, seal.NoMechanism
	if err := nss.Check(seal.Profile{Name: "nss", LocalNotReported: true, NoGenMechanism: true}); err != nil {
		t.Errorf("accepted quirks are refused: %v", err)
	}
	wantCode(t, seal.AttributesOK([]byte{1}, seal.Profile{}), errs.Malformed)
}

func TestAttributesGolden(t *testing.T) {
	a := seal.Attributes{Kind: seal.Secp256k1, Use: seal.UseSign, Persistent: seal.Yes, Extractable: seal.No, GenMechanism: 0x1040}
	if got := fmt.Sprintf("%x", a.Encode()); got != "0101010200000100000000000000000000000000001040" {
		t.Errorf("attributes encode to %s", got)
	}
	back, err := seal.DecodeAttributes(a.Encode())
	if err != nil || back != a {
		t.Errorf("%+v, %v", back, err)
	}
}

func FuzzDecodeAttributes(f *testing.F) {
	f.Add(seal.Attributes{Kind: 1, Use: 1}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := seal.DecodeAttributes(b); err == nil && !bytes.Equal(a.Encode(), b) {
			t.Errorf("%x decodes and encodes to %x", b, a.Encode())
		}
	})
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	inBubble(t, sealtest.Options{}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		ctx := t.Context()
		for _, c := range []struct {
			curve uint8
			size  int
		}{{1, 31}, {2, 33}, {2, 0}, {0, 32}, {4, 32}, {9, 32}, {3, 1<<20 + 1}} {
			_, err := h.Sign(ctx, "k", c.curve, make([]byte, c.size))
			wantCode(t, err, errs.Invalid)
		}
		_, err := h.Sign(ctx, "k", uint8(seal.P256), make([]byte, 32))
		wantCode(t, err, errs.Invalid)
		for _, label := range []string{"", strings.Repeat("x", 200)} {
			_, _, err := h.Generate(ctx, label, ed)
			wantCode(t, err, errs.Invalid)
		}
		_, _, err = h.Generate(ctx, "rsa", uint8(seal.RSA3072))
		wantCode(t, err, errs.Invalid)
		_, err = h.Unwrap(ctx, nil, "")
		wantCode(t, err, errs.BadState)
		wantCode(t, h.Use(ctx, "identity", "nobody", 1), errs.NotFound)
		wantCode(t, h.Use(ctx, "identity", "identity", 1), errs.Exists) // a signing key does not unwrap
		wantCode(t, h.Use(ctx, "identity", "identity", 7), errs.Invalid)
	})
	_, err := seal.Open(t.Context(), seal.Config{})
	wantCode(t, err, errs.Invalid)
}

// TestSeedRepeats: with a seed the double's keys and signatures are the same again.
func TestSeedRepeats(t *testing.T) {
	var first []byte
	for range 2 {
		h, err := sealtest.New(sealtest.Options{Seed: 7}).OpenHSM(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		for c := uint8(1); c <= 3; c++ {
			pub, _, err := h.Generate(t.Context(), "k"+fmt.Sprint(c), c)
			if err != nil {
				t.Fatal(err)
			}
			sig, err := h.Sign(t.Context(), "k"+fmt.Sprint(c), c, make([]byte, 32))
			if err != nil {
				t.Fatal(err)
			}
			all = append(append(all, pub...), sig...)
		}
		h.Close(t.Context())
		if first != nil && !bytes.Equal(first, all) {
			t.Error("another run, other keys")
		}
		first = all
	}
}

// TestKeysSurviveTheProcess: a second token over the device is a second process.
func TestKeysSurviveTheProcess(t *testing.T) {
	dev := sealtest.New(sealtest.Options{})
	a, err := dev.OpenHSM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pub, _, err := a.Generate(t.Context(), "k", ed)
	if err != nil {
		t.Fatal(err)
	}
	b, err := dev.OpenHSM(t.Context()) // the first was killed: it is never closed
	if err != nil {
		t.Fatal(err)
	}
	sig, err := b.Sign(t.Context(), "k", ed, []byte("m"))
	if err != nil || !ed25519.Verify(pub, []byte("m"), sig) {
		t.Error(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := b.Sign(t.Context(), "k", ed, []byte("m")); err != nil {
		t.Errorf("one process's end hurts the other: %v", err)
	}
	b.Close(t.Context())
}

func TestPINSources(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tc := range []struct {
		name, text string
		mode       os.FileMode
		want       string
		code       errs.Code
	}{
		{"plain", "1234", 0o600, "1234", errs.OK},
		{"newline", "1234\n", 0o400, "1234", errs.OK},
		{"crlf", "12 34\r\n", 0o400, "12 34", errs.OK},
		{"group", "1234", 0o640, "", errs.Denied},
		{"world", "1234", 0o604, "", errs.Denied},
		{"empty", "", 0o600, "", errs.Invalid},
		{"blank", "\n", 0o600, "", errs.Invalid},
		{"two lines", "1234\n5678\n", 0o600, "", errs.Invalid},
		{"long", strings.Repeat("1", 300), 0o600, "", errs.Invalid},
	} {
		pin, err := seal.PINFile(write(tc.name, tc.text, tc.mode))()
		if errs.CodeOf(err) != tc.code || string(pin) != tc.want {
			t.Errorf("%s: %q, %v; want %q, %v", tc.name, pin, err, tc.want, tc.code)
		}
		if err != nil && strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: the error shows the PIN", tc.name)
		}
	}
	_, err := seal.PINFile(filepath.Join(dir, "nothing"))()
	wantCode(t, err, errs.NotFound)
	_, err = seal.PINFile(dir)()
	wantCode(t, err, errs.Invalid)

	_, err = seal.PINCredential("pin")()
	wantCode(t, err, errs.NotFound)
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	write("pin", "9876", 0o440)
	if pin, err := seal.PINCredential("pin")(); err != nil || string(pin) != "9876" {
		t.Errorf("credential: %q, %v", pin, err)
	}
	for _, name := range []string{"", "..", "../pin", "a/b"} {
		_, err = seal.PINCredential(name)()
		wantCode(t, err, errs.Invalid)
	}
}

var errPIN = errors.New("no PIN today")

func TestPINSourceFails(t *testing.T) {
	dev := sealtest.New(sealtest.Options{})
	_, err := seal.Open(t.Context(), seal.Config{Token: dev.Token(), PIN: func() ([]byte, error) { return nil, errPIN }})
	if !errors.Is(err, errPIN) || dev.Count(sealtest.OpLogin) != 0 {
		t.Errorf("%v after %d logins", err, dev.Count(sealtest.OpLogin))
	}
}
