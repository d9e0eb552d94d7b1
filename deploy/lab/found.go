package lab

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
)

// Files of the founders, below Lab.Dir.
const (
	plan     = "plan.hcl"
	officers = 3
)

// Admins are the founding administrators' key names.
var Admins = []string{"alice", "bob"}

// Path returns a file of the lab.
func (l *Lab) Path(name string) string { return filepath.Join(l.Dir, name) }

// KeyFile returns the key file of a principal.
func (l *Lab) KeyFile(name string) string { return l.Path(name + ".key") }

// Found holds the whole ceremony, each region's steps in its own process with its own
// token, as its operators would.
func (l *Lab) Found(ctx context.Context) error {
	for _, step := range []func(context.Context) error{l.people, l.rounds, l.officers, l.finish} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Keygen makes a key file and returns the public key as text.
func (l *Lab) Keygen(ctx context.Context, name, kind string) (string, error) {
	out, err := l.Vaultctl(ctx, nil, "keygen", "--out", l.KeyFile(name), "--type", kind, "--output", "json")
	if err != nil {
		return "", err
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		return "", err
	}
	for _, field := range []string{"public_key", "recipient"} {
		if s, ok := v[field].(string); ok && s != "" {
			return s, nil
		}
	}
	return "", fmt.Errorf("keygen printed no public key: %s", out)
}

func (l *Lab) people(ctx context.Context) error {
	args := []string{"init", "plan", "--cluster", "lab", "--out", l.Path(plan), "--threshold", "2"}
	for _, r := range l.Regions {
		args = append(args, "--region", fmt.Sprintf("%s=%s,%s,%s", r.Name, r.Raft, r.API, r.Gossip))
	}
	for _, name := range Admins {
		public, err := l.Keygen(ctx, name, "ed25519")
		if err != nil {
			return err
		}
		args = append(args, "--administrator", name+"="+public)
	}
	for i := range officers {
		recipient, err := l.Keygen(ctx, fmt.Sprintf("officer-%d", i+1), "age")
		if err != nil {
			return err
		}
		args = append(args, "--officer", recipient)
	}
	_, err := l.Vaultctl(ctx, nil, args...)
	return err
}

// everywhere runs one step of the ceremony at all sites at once.
func (l *Lab) everywhere(ctx context.Context, step string, args ...string) error {
	var group sync.WaitGroup
	errs := make([]error, len(l.Regions))
	for i, r := range l.Regions {
		group.Go(func() {
			all := append([]string{"init", step, "--plan", l.Path(plan), "--config", r.Config(), "--out", l.file(r, step)}, args...)
			_, errs[i] = l.Vaultctl(ctx, r.Env(), all...)
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) file(r *Region, step string) string { return l.Path(r.Name + "." + step) }

func (l *Lab) files(steps ...string) (out []string) {
	for _, step := range steps {
		for _, r := range l.Regions {
			out = append(out, l.file(r, step))
		}
	}
	return out
}

func (l *Lab) rounds(ctx context.Context) error {
	if err := l.everywhere(ctx, "enrol"); err != nil {
		return err
	}
	if err := l.everywhere(ctx, "contribute", l.files("enrol")...); err != nil {
		return err
	}
	return l.everywhere(ctx, "sign", l.files("enrol", "contribute")...)
}

// hash is what the operators read out to each other after signing.
func (l *Lab) hash() (string, error) {
	files, err := ceremony.ReadFiles(l.files("sign")...)
	if err != nil {
		return "", err
	}
	h := files.Approvals[0].Document.Hash()
	return fmt.Sprintf("%x", h[:]), nil
}

func (l *Lab) officers(ctx context.Context) error {
	hash, err := l.hash()
	if err != nil {
		return err
	}
	dealer := l.Regions[0]
	at := []string{"--plan", l.Path(plan), "--config", dealer.Config()}
	deal := append(append([]string{"init", "officers", "deal", "--out", l.Path("officers")}, at...), l.files("enrol", "contribute")...)
	if _, err := l.Vaultctl(ctx, dealer.Env(), deal...); err != nil {
		return err
	}
	check := append(append([]string{"init", "officers", "check", "--out", l.Path("officers.proved")}, at...), l.files("enrol", "contribute")...)
	for i := range officers {
		name := fmt.Sprintf("officer-%d", i+1)
		proof := l.Path(name + ".proof")
		if _, err := l.Vaultctl(ctx, nil, "init", "officers", "prove", "--share", l.Path("officers/"+name+".share"),
			"--identity", l.KeyFile(name), "--hash", hash, "--out", proof, l.file(dealer, "sign")); err != nil {
			return err
		}
		check = append(check, proof)
	}
	_, err = l.Vaultctl(ctx, dealer.Env(), check...)
	return err
}

func (l *Lab) finish(ctx context.Context) error {
	hash, err := l.hash()
	if err != nil {
		return err
	}
	all := append(l.files("enrol", "contribute", "sign"), l.Path("officers.proved"))
	for _, name := range Admins {
		out := l.Path(name + ".approval")
		args := append([]string{"init", "approve", "--plan", l.Path(plan), "--key-file", l.KeyFile(name), "--hash", hash, "--out", out}, l.files("sign")...)
		if _, err := l.Vaultctl(ctx, nil, args...); err != nil {
			return err
		}
		all = append(all, out)
	}
	if _, err := l.Vaultctl(ctx, nil, append([]string{"init", "finish", "--plan", l.Path(plan), "--out", l.Path("founding")}, all...)...); err != nil {
		return err
	}
	for _, r := range l.Regions {
		if _, err := l.Vaultctl(ctx, r.Env(), "init", "install", "--config", r.Config(),
			l.Path("founding/genesis.json"), l.Path("founding/ceremony.pem")); err != nil {
			return err
		}
	}
	return nil
}

// Genesis returns the path of the public founding document.
func (l *Lab) Genesis() string { return l.Path("founding/genesis.json") }

// Addresses returns the API addresses of all regions.
func (l *Lab) Addresses() (out []string) {
	for _, r := range l.Regions {
		out = append(out, r.API)
	}
	return out
}

// As returns the environment in which vaultctl speaks for a principal.
func (l *Lab) As(name string) []string {
	return []string{"TETRAD_GENESIS=" + l.Genesis(), "TETRAD_KEY_FILE=" + l.KeyFile(name),
		"TETRAD_ADDRESS=" + strings.Join(l.Addresses(), ","), "TETRAD_HOME=" + l.Path("home")}
}

// Document reads the founding document.
func (l *Lab) Document() (*genesis.Genesis, error) { return ceremony.ReadGenesis(l.Genesis()) }

// Client dials as a principal whose key is in signer, preferring the addresses given.
func (l *Lab) Client(signer *client.KeySigner, addresses ...string) (*client.Client, error) {
	g, err := l.Document()
	if err != nil {
		return nil, err
	}
	cfg := client.Config{Addresses: addresses, Cluster: g.Document.Cluster, Signer: signer,
		Lineage: g.Document.Hash(), Regions: map[client.RegionID][]client.PublicKey{}}
	if len(addresses) == 0 {
		cfg.Addresses = l.Addresses()
	}
	for _, r := range g.Document.Regions {
		cfg.Regions[r.ID] = []client.PublicKey{r.Identity}
	}
	return client.Dial(cfg)
}

// StartAll starts all regions.
func (l *Lab) StartAll() error {
	for _, r := range l.Regions {
		if err := l.Start(r); err != nil {
			return err
		}
	}
	return nil
}

// StopAll asks all regions to stop and reports the first that did not stop well.
func (l *Lab) StopAll(grace time.Duration) (first error) {
	var group sync.WaitGroup
	errs := make([]error, len(l.Regions))
	for i, r := range l.Regions {
		group.Go(func() { errs[i] = r.Stop(grace) })
	}
	group.Wait()
	for _, err := range errs {
		if first == nil {
			first = err
		}
	}
	return first
}

// AwaitReady waits until the running process's log says that it may sign.
func (r *Region) AwaitReady(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if text, err := os.ReadFile(r.Log()); err == nil && int64(len(text)) > r.logFrom &&
			bytes.Contains(text[r.logFrom:], []byte("ready to sign")) {
			return nil
		}
		if gone, err := r.Exited(); gone {
			return fmt.Errorf("region %s ended: %v; see %s", r.Name, err, r.Log())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("region %s is not ready: %w; see %s", r.Name, ctx.Err(), r.Log())
		case <-ticker.C:
		}
	}
}

// LoadKey reads a principal's key file.
func LoadKey(name string) (*client.KeySigner, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not a PEM file", name)
	}
	priv, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	signer, ok := priv.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds no signing key", name)
	}
	return client.NewKeySigner(signer)
}
