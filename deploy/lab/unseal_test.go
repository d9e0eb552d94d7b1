package lab_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// stopped stops a region and starts it again after the test.
func (w *world) stopped(t *testing.T, r *lab.Region) {
	t.Helper()
	if err := r.Stop(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if gone, _ := r.Exited(); gone {
			if err := w.Start(r); err != nil {
				t.Error(err)
			}
		}
	})
}

// replaced changes a file until the test is over.
func replaced(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, change(old), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(name, old, 0o600); err != nil {
			t.Error(err)
		}
	})
}

// staysSealed starts a region whose HSM will not open: it runs on, serving only health,
// and ends with its own exit status when it is stopped.
func (w *world) staysSealed(t *testing.T, r *lab.Region, texts ...string) {
	t.Helper()
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	w.until(t, "region sealed", func() error {
		if !strings.Contains(r.Said(), "only health is served") {
			return fmt.Errorf("the log does not say so")
		}
		return nil
	})
	var exit *exec.ExitError
	if err := r.Stop(10 * time.Second); !errors.As(err, &exit) || exit.ExitCode() != errs.ExitSealed {
		t.Errorf("a sealed region stops: %v", err)
	}
	for _, text := range texts {
		if !strings.Contains(r.Said(), text) {
			t.Errorf("the log lacks %q:\n%s", text, r.Said())
		}
	}
}

// TestPIN starts a region with PINs that cannot be: it says so, once, and stays sealed.
func TestPIN(t *testing.T) {
	w := take(t)
	r := w.Regions[1]
	w.stopped(t, r)
	pin := filepath.Join(r.Dir, "pin")
	t.Run("wrong", func(t *testing.T) {
		const wrong = "canary-pin-6620"
		replaced(t, pin, func([]byte) []byte { return []byte(wrong) })
		w.staysSealed(t, r, "wrong_pin", "PIN file")
		if said := r.Said(); strings.Contains(said, wrong) || strings.Contains(said, "again") || strings.Contains(said, "new session") || strings.Count(said, "vaultd: wrong_pin") != 1 {
			t.Errorf("a wrong PIN is tried once and never told:\n%s", said)
		}
	})
	t.Run("readable by others", func(t *testing.T) {
		if err := os.Chmod(pin, 0o644); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Chmod(pin, 0o600) }()
		w.refuses(t, r, errs.ExitDenied, "denied", pin, "chmod 600")
	})
	t.Run("missing", func(t *testing.T) {
		if err := os.Rename(pin, pin+".away"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Rename(pin+".away", pin) }()
		w.refuses(t, r, errs.ExitFailure, "not_found", pin)
	})
	t.Run("empty", func(t *testing.T) {
		replaced(t, pin, func([]byte) []byte { return nil })
		w.refuses(t, r, errs.ExitFailure, "invalid", pin)
	})
	w.signs(t, 3)
}

// TestTokenAway takes a running region's token away: the region says that it cannot
// sign, the others do, and when the token is back so is the region, without a restart.
func TestTokenAway(t *testing.T) {
	w := take(t)
	r := w.follower(t)
	l := w.load(t, 2)
	l.goesOn(5)
	tokens := filepath.Join(r.Dir, "tokens")
	if err := os.Rename(tokens, tokens+".away"); err != nil {
		t.Fatal(err)
	}
	back := func() { _ = os.Rename(tokens+".away", tokens) }
	defer back()
	w.until(t, "region reported ill", func() error {
		s, err := w.admin.Status(t.Context())
		if err != nil {
			return err
		}
		for _, row := range s.Regions {
			if row.Name == r.Name && row.Healthy {
				return fmt.Errorf("region %s still counts as healthy", r.Name)
			}
		}
		return nil
	})
	l.goesOn(20)
	if gone, err := r.Exited(); gone {
		t.Errorf("the region ended: %v", err)
	}
	w.until(t, "status names the HSM", func() error {
		nodes, err := w.nodes(t.Context())
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if n.Region == r.Name && n.HSM == "" {
				return fmt.Errorf("%+v", n)
			}
		}
		return nil
	})
	back()
	if err := w.healthy(t.Context()); err != nil {
		t.Error(err)
	}
	w.draws(t, r)
	w.same(t, l.stop())
}

// until waits for something to be so.
func (w *world) until(t *testing.T, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// draws signs until the region is among the signers.
func (w *world) draws(t *testing.T, r *lab.Region) {
	t.Helper()
	for range 60 {
		for _, set := range w.signs(t, 1)[0].request.Results {
			if w.Regions[set.Region-1] == r {
				return
			}
		}
	}
	t.Errorf("region %s did not sign one of 60", r.Name)
}
