package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/pkcs11"
)

const pin = "135791" // of a token that lives as long as this process

// hsm measures what a token of the same kind gives when nothing else is asked of it.
func (b *bench) hsm(ctx context.Context, d time.Duration) error {
	if err := newToken(ctx, b.lab.Path("alone")); err != nil {
		return err
	}
	module, err := pkcs11.Load(lab.Module(), "")
	if err != nil {
		return err
	}
	for _, sessions := range []int{1, 2} {
		if err := alone(ctx, module, b.lab.Path("alone/pin"), sessions, d); err != nil {
			return err
		}
	}
	return nil
}

func newToken(ctx context.Context, dir string) error {
	tokens, conf := filepath.Join(dir, "tokens"), filepath.Join(dir, "softhsm2.conf")
	if err := os.MkdirAll(tokens, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "pin"), []byte(pin+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Setenv("SOFTHSM2_CONF", conf); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "softhsm2-util", "--init-token", "--free", "--label", "alone", "--so-pin", pin, "--pin", pin).CombinedOutput()
	if err != nil {
		return fmt.Errorf("making a token: %w\n%s", err, out)
	}
	return nil
}

func alone(ctx context.Context, module *pkcs11.Module, pinFile string, sessions int, d time.Duration) error {
	h, err := seal.Open(ctx, seal.Config{Token: module.Token("alone"), PIN: seal.PINFile(pinFile), Sessions: sessions})
	if err != nil {
		return err
	}
	defer h.Close(context.WithoutCancel(ctx))
	for _, name := range []string{"P-256", "secp256k1", "Ed25519"} {
		curve := uint8(curves[name])
		if _, _, err := h.Generate(ctx, name, curve); err != nil {
			return err
		}
		before, begin := ownCPU(), time.Now()
		n, err := hammer(ctx, h, name, curve, sessions, d)
		if err != nil {
			return err
		}
		took, used := time.Since(begin), ownCPU()-before
		row(fmt.Sprintf("HSM alone, %s, %d sessions", name, sessions), "%7.0f /s   CPU %5.0f us a signature", float64(n)/took.Seconds(), us(used, n))
	}
	return nil
}

func hammer(ctx context.Context, h *seal.HSM, label string, curve uint8, workers int, d time.Duration) (int, error) {
	var group sync.WaitGroup
	var done atomic.Int64
	var failed atomic.Pointer[error]
	until := time.Now().Add(d)
	for range workers {
		group.Go(func() {
			message := make([]byte, 32)
			for time.Now().Before(until) {
				_, _ = rand.Read(message)
				if _, err := h.Sign(ctx, label, curve, message); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return int(done.Load()), nil
}
