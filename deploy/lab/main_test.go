package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

// Names that must never be readable outside the vault.
const (
	tenant  = "canary-tenant-31c7"
	service = "canary-service-a05d"
	note    = "canary note 77e1"
	wallet  = "canary-wallet-4b12" // secp256k1
	fast    = "canary-fast-c9f0"   // P-256, blind signing allowed
)

// world is the one lab all tests share, with four regions running between tests. It
// remembers every answer anybody was given; at the end the audit must hold them all.
type world struct {
	*lab.Lab
	admin, service *client.Client
	keys           map[string]*client.Key
	book           book
}

var (
	shared *world // set by TestMain, used by one test after the other
	long   = os.Getenv("TETRAD_LONG") != ""
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tetrad-lab-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if os.Getenv("KEEP") == "" {
			_ = os.RemoveAll(dir)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	code := 1
	if err = found(ctx, dir); err == nil {
		if code = m.Run(); code == 0 {
			err = shared.judge(ctx)
		}
	}
	err = errors.Join(err, shared.end())
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		return 1
	}
	return code
}

// found builds the programs, founds the lab and makes what every test needs.
func found(ctx context.Context, dir string) error {
	bin := filepath.Join(dir, "bin")
	args := []string{"build", "-o", bin + "/"}
	if long {
		args = append(args, "-race")
	}
	experiment, err := exec.CommandContext(ctx, "../experiment.sh").Output() // as make build has it
	if err != nil {
		return fmt.Errorf("asking for GOEXPERIMENT: %w", err)
	}
	build := exec.CommandContext(ctx, "go", append(args, "../../cmd/vaultd", "../../cmd/vaultctl")...)
	build.Env = append(os.Environ(), "GOEXPERIMENT="+strings.TrimSpace(string(experiment)))
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building: %w\n%s", err, out)
	}
	w, err := grown(ctx, dir, bin)
	shared = w
	return err
}

// grown lays out a lab, founds it and makes what every test needs.
func grown(ctx context.Context, dir, bin string) (*world, error) {
	l, err := lab.New(ctx, dir, bin)
	if err != nil {
		return nil, err
	}
	w := &world{Lab: l, keys: map[string]*client.Key{}}
	for _, r := range l.Regions {
		// Short logs, so that the tests meet snapshots too.
		if err := edit(r, `profile = "loopback"`, `profile = "loopback"
  snapshot_interval = "1s"
  snapshot_threshold = 150
  trailing_logs = 100`); err != nil {
			return w, err
		}
	}
	for _, step := range []func(context.Context) error{l.Found, w.start, w.settle} {
		if err := step(ctx); err != nil {
			return w, err
		}
	}
	return w, nil
}

// edit changes a region's configuration file.
func edit(r *lab.Region, from, to string) error {
	text, err := os.ReadFile(r.Config())
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), from) {
		return fmt.Errorf("%s does not contain %q", r.Config(), from)
	}
	return os.WriteFile(r.Config(), []byte(strings.Replace(string(text), from, to, 1)), 0o600)
}

func (w *world) start(ctx context.Context) error {
	if err := w.StartAll(); err != nil {
		return err
	}
	return w.ready(ctx, w.Regions...)
}

func (w *world) ready(ctx context.Context, regions ...*lab.Region) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, r := range regions {
		if err := r.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settle makes the tenant, its signing service and its keys, and the clients.
func (w *world) settle(ctx context.Context) error {
	public, err := w.Keygen(ctx, service, "ed25519")
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"tenant", "create", tenant},
		{"principal", "add", service, "--tenant", tenant, "--public-key", public, "--roles", "signer"},
		{"key", "create", wallet, "--tenant", tenant, "--curve", "secp256k1", "--signers", "2", "--network", "regtest"},
		{"key", "create", fast, "--tenant", tenant, "--curve", "p256", "--signers", "2", "--allow-blind"},
	} {
		if _, err := w.Vaultctl(ctx, w.As(lab.Admins[0]), append(args, "--cosign-key", w.KeyFile(lab.Admins[1]))...); err != nil {
			return err
		}
	}
	if w.admin, err = w.client(lab.Admins[0]); err != nil {
		return err
	}
	if w.service, err = w.client(service); err != nil {
		return err
	}
	for _, name := range []string{wallet, fast} {
		if w.keys[name], err = w.service.KeyByName(ctx, tenant, name); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) client(name string, addresses ...string) (*client.Client, error) {
	signer, err := lab.LoadKey(w.KeyFile(name))
	if err != nil {
		return nil, err
	}
	return w.Client(signer, addresses...)
}

// judge ends the suite: all regions agree, the audit verifies offline and holds every
// answer anybody was given.
func (w *world) judge(ctx context.Context) error {
	if err := w.agree(ctx); err != nil {
		return err
	}
	return w.audited(ctx, w.book.all())
}

var trouble = regexp.MustCompile(`(?m)^panic:|^fatal error:|^goroutine \d+ \[|DATA RACE`)

// end stops everything and searches all logs for what must never stand there.
func (w *world) end() error {
	if w == nil {
		return nil
	}
	for _, c := range []*client.Client{w.admin, w.service} {
		if c != nil {
			_ = c.Close()
		}
	}
	err := w.StopAll(15 * time.Second)
	for _, r := range w.Regions {
		text, rerr := os.ReadFile(r.Log())
		err = errors.Join(err, rerr)
		if at := trouble.FindIndex(text); at != nil {
			err = errors.Join(err, fmt.Errorf("region %s crashed:\n%.3000s", r.Name, text[at[0]:]))
		}
		for _, secret := range []string{tenant, service, note, wallet, fast, lab.PIN} {
			if strings.Contains(string(text), secret) {
				err = errors.Join(err, fmt.Errorf("the log of region %s holds %q", r.Name, secret))
			}
		}
	}
	w.Close()
	return err
}

// take gives a test the lab with all regions ready.
func take(t *testing.T) *world {
	t.Helper()
	w := shared
	for _, r := range w.Regions {
		if gone, _ := r.Exited(); gone {
			if err := w.Start(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.ready(t.Context(), w.Regions...); err != nil {
		t.Fatalf("an earlier test left the lab broken: %v", err)
	}
	if err := w.healthy(t.Context()); err != nil {
		t.Fatalf("an earlier test left the lab broken: %v", err)
	}
	return w
}

func (w *world) message(name, text string) *command.RequestSignature {
	return client.NewSignMessage(client.KeyID(w.keys[name].Id), client.HashSHA256, []byte(text), note)
}
