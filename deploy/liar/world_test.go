//go:build liar

package liar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

const (
	goesOnWithin = 10 * time.Second
	enough       = 10 // answers to requests begun after the lie
	patience     = 30 * time.Second
	lifetime     = 10 * time.Minute      // of a request
	pace         = 30 * time.Millisecond // between two requests of one worker
)

// world is one lab, with a lie told in it.
type world struct {
	*lab.Lab
	t             *testing.T
	lie           *lie
	lowered       bool
	liar          int // in Regions
	honest        []int
	key           client.KeyID   // that everybody signs with
	info          intent.KeyInfo // of it, where it is a threshold key
	limited       client.KeyID   // where the lie is about a limit
	limitedSigned []client.RequestID
	service       *client.KeySigner
	boss          *client.Client // the first administrator at the honest regions
	told          time.Time
	clock         string   // the line of the script that moves clocks
	text          string   // and the rest of it
	term          uint64   // when the lie began
	stood         [4]stand // the committed clocks

	mu     sync.Mutex
	ahead  time.Duration   // of the machine's clock are those of the vault
	named  map[string]bool // what the vault says of the liar
	first  time.Duration
	after  int
	given  []client.RequestID
	enough chan struct{}
	harm   []string // what must not be
}

func found(t *testing.T, l *lie, lowered bool) *world {
	dir, err := os.MkdirTemp("", "tetrad-liar-lab-") // short: tokens and sockets stand below
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
		}
	})
	site, err := lab.New(t.Context(), dir, bin)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Lab: site, t: t, lie: l, lowered: lowered, enough: make(chan struct{}), named: map[string]bool{}}
	site.Env = []string{liar.ScriptEnv + "=" + site.Path("script")}
	if !l.whole {
		w.cutLogs()
	}
	t.Cleanup(func() { _ = site.StopAll(10 * time.Second); site.Close() })
	for _, step := range []func(context.Context) error{site.Found, w.start, w.settle} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.script("")
	return w
}

// cutLogs has the regions make snapshots often, and keep little of their logs.
func (w *world) cutLogs() {
	for _, r := range w.Regions {
		text, err := os.ReadFile(r.Config())
		if err == nil {
			err = os.WriteFile(r.Config(), bytes.Replace(text, []byte(`profile = "loopback"`), []byte("profile = \"loopback\"\n  snapshot_interval = \"1s\"\n  snapshot_threshold = 20\n  trailing_logs = 50"), 1), 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.StartAll(); err != nil {
		return err
	}
	for _, r := range w.Regions {
		if err := r.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) settle(ctx context.Context) error {
	public, err := w.Keygen(ctx, "hot", "ed25519")
	if err != nil {
		return err
	}
	key := []string{"key", "create", "main", "--tenant", "desk", "--curve", "p256", "--signers", "2"}
	if w.lie.joint {
		key = []string{"key", "create", "main", "--tenant", "desk", "--scheme", "threshold", "--curve", "secp256k1", "--signers", "2"}
	}
	for _, args := range [][]string{
		{"tenant", "create", "desk"},
		{"principal", "add", "hot", "--tenant", "desk", "--public-key", public, "--roles", "signer"},
		key,
	} {
		if _, err := w.Vaultctl(ctx, w.As(lab.Admins[0]), append(args, "--cosign-key", w.KeyFile(lab.Admins[1]))...); err != nil {
			return err
		}
	}
	if w.service, err = lab.LoadKey(w.KeyFile("hot")); err != nil {
		return err
	}
	c, err := w.Client(w.service)
	if err != nil {
		return err
	}
	defer c.Close()
	k, err := c.KeyByName(ctx, "desk", "main")
	if err == nil {
		w.key = client.KeyID(k.Id)
	}
	return err
}

// node is what vaultctl status says of one.
type node struct {
	Region  string    `json:"region"`
	State   string    `json:"state"`
	Role    string    `json:"role"`
	Term    uint64    `json:"term"`
	Applied uint64    `json:"applied_index"`
	Digest  string    `json:"digest"`
	Leaves  uint64    `json:"audit_size"`
	Root    string    `json:"audit_root"`
	Chain   string    `json:"chain"`
	Clock   time.Time `json:"clock"` // committed
}

func (w *world) nodes(args ...string) ([]node, error) {
	out, err := w.Vaultctl(w.t.Context(), w.As(lab.Admins[0]), append([]string{"status", "--output", "json"}, args...)...)
	var v struct {
		Nodes []node `json:"nodes"`
	}
	if e := json.Unmarshal([]byte(out), &v); e != nil {
		return nil, errors.Join(err, e)
	}
	return v.Nodes, nil
}

// leads waits until a region leads, and returns it.
func (w *world) leads() int {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		nodes, err := w.nodes()
		if err != nil {
			continue
		}
		if i := slices.IndexFunc(nodes, func(n node) bool { return n.Role == "leader" && n.State == "ready" }); i >= 0 {
			w.term = nodes[i].Term
			return i
		}
	}
	w.t.Fatal("no region leads")
	return 0
}

// choose makes the leader the liar, or another region: with lie.first the first of all.
func (w *world) choose() {
	w.liar = w.leads()
	switch {
	case w.lie.first:
		for w.liar = 0; w.leads() == w.liar; {
			w.restart(w.liar)
		}
	case w.lie.follower:
		w.liar = (w.liar + 1) % len(w.Regions)
	}
	for j := range w.Regions {
		if j != w.liar {
			w.honest = append(w.honest, j)
		}
	}
	w.boss = w.as(lab.Admins[0], w.addresses()...)
	w.t.Cleanup(func() { _ = w.boss.Close() })
}

// as dials for an administrator.
func (w *world) as(name string, addresses ...string) *client.Client {
	signer, err := lab.LoadKey(w.KeyFile(name))
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := w.Client(signer, addresses...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) addresses() (out []string) {
	for _, i := range w.honest {
		out = append(out, w.Regions[i].API)
	}
	return out
}

// saw notes what must not be.
func (w *world) saw(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text := fmt.Sprintf(format, args...); !slices.Contains(w.harm, text) {
		w.harm = append(w.harm, text)
	}
}

func (w *world) harmed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.harm) > 0
}
