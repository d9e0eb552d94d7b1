//go:build liar

package liar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

const (
	goesOnWithin = 10 * time.Second
	enough       = 10 // answers to requests begun after the lie
	patience     = 30 * time.Second
)

var bin string // folder of the test build

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tetrad-liar-")
	if err == nil {
		bin = filepath.Join(dir, "bin")
		var out []byte
		out, err = exec.Command("go", "build", "-tags", "liar", "-o", bin+"/", "../../cmd/vaultd", "../../cmd/vaultctl").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// lie is one row of the table, as real processes can tell it.
type lie struct {
	name     string
	follower bool
	silent   bool // killed once it lied
	whole    bool // logs stay whole: a region that gets no entries gets no snapshot either
	anew     bool // only what is asked for once it lies counts: before, all is well
	short    bool // part of make test
	lower    []liar.Defence
	before   func(*world)
	during   func(*world)
}

var lies = []lie{
	{name: "mute-leader", anew: true},
	{name: "ignored-requests", anew: true},
	{name: "false-commit", silent: true},
	{name: "one-region-only", silent: true},
	{name: "rival-entries"},
	{name: "equivocation-silence", silent: true, short: true},
	{name: "rivals-certified"},
	{name: "forged-certificate", silent: true},
	{name: "two-of-one-region", silent: true},
	{name: "unsigned-entry"},
	{name: "rewritten-entry"},
	{name: "membership-remove"},
	{name: "membership-add"},
	{name: "stamp-forward", short: true},
	{name: "stamp-backward"},
	{name: "poison-bytes"},
	{name: "poison-body"},
	{name: "forged-snapshot"},
	{name: "swapped-snapshot"},
	{name: "starved-region"},
	{name: "shunned-region"},
	{name: "attest-other"},
	{name: "term-answer", follower: true},
	{name: "term-vote", follower: true},
	{name: "unproven-leader", follower: true},
	{name: "forged-transfer", follower: true},
	{name: "ack-forged", follower: true},
	{name: "ack-another", follower: true},
	{name: "ack-earlier-boot", follower: true, before: reboot},
	{name: "ack-lineage", follower: true},
	{name: "ack-index", follower: true},
	{name: "ack-replayed", follower: true},
	{name: "rival-acks", follower: true},
	{name: "false-accusation", follower: true},
	{name: "undrawn"},
	{name: "forged-value"},
	{name: "grind-partials"},
	{name: "no-reason"},
	{name: "lone-attempt"},
	{name: "health-by-one"},
	{name: "bad-partial", follower: true},
	{name: "wrong-signature", follower: true},
	{name: "other-digest", follower: true},
	{name: "foreign-key", during: anotherKey},
	{name: "other-payload", anew: true},
	{name: "false-complaint", follower: true},
	{name: "foreign-session"},
	{name: "foreign-session-first", during: rebootVictim},
	{name: "stolen-admin", during: stolen},
	{name: "forged-second", during: stolen},
	{name: "freeze-unproposed", during: freezeThroughLiar},
	{name: "freeze-starved", whole: true, during: freezeOnceHeld},
	{name: "completion-hidden", during: collude},
}

// world is one lab, with a lie told in it.
type world struct {
	*lab.Lab
	t       *testing.T
	liar    int // in Regions
	honest  []int
	key     client.KeyID
	service *client.KeySigner
	told    time.Time

	mu     sync.Mutex
	first  time.Duration
	after  int
	given  []client.RequestID
	enough chan struct{}
}

func found(t *testing.T, whole bool) *world {
	dir, err := os.MkdirTemp("", "tetrad-liar-lab-") // short: tokens and sockets stand below
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
		}
	})
	l, err := lab.New(t.Context(), dir, bin)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Lab: l, t: t, enough: make(chan struct{})}
	t.Setenv(liar.ScriptEnv, l.Path("script"))
	for _, r := range l.Regions {
		if whole {
			break
		}
		text, err := os.ReadFile(r.Config())
		if err == nil {
			err = os.WriteFile(r.Config(), bytes.Replace(text, []byte(`profile = "loopback"`), []byte("profile = \"loopback\"\n  snapshot_interval = \"1s\"\n  snapshot_threshold = 20\n  trailing_logs = 50"), 1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = l.StopAll(10 * time.Second); l.Close() })
	for _, step := range []func(context.Context) error{l.Found, w.start, w.settle} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return w
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
	for _, args := range [][]string{
		{"tenant", "create", "desk"},
		{"principal", "add", "hot", "--tenant", "desk", "--public-key", public, "--roles", "signer"},
		{"key", "create", "main", "--tenant", "desk", "--curve", "p256", "--signers", "2"},
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
	Region  string `json:"region"`
	State   string `json:"state"`
	Role    string `json:"role"`
	Applied uint64 `json:"applied_index"`
	Digest  string `json:"digest"`
	Root    string `json:"audit_root"`
	Chain   string `json:"chain"`
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

func (w *world) choose(follower bool) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		nodes, err := w.nodes()
		if err != nil {
			continue
		}
		i := slices.IndexFunc(nodes, func(n node) bool { return n.Role == "leader" && n.State == "ready" })
		if i < 0 {
			continue
		}
		if w.liar = i; follower {
			w.liar = (i + 1) % 4
		}
		for j := range w.Regions {
			if j != w.liar {
				w.honest = append(w.honest, j)
			}
		}
		return
	}
	w.t.Fatal("no region leads")
}

func (w *world) addresses() (out []string) {
	for _, i := range w.honest {
		out = append(out, w.Regions[i].API)
	}
	return out
}

func (w *world) script(text string) {
	name := w.Path("script")
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		w.t.Fatal(err)
	}
}

// done returns how often a lie was told.
func (w *world) done(name string) (n int) {
	files, _ := filepath.Glob(w.Path("script") + ".[0-9]*")
	for _, f := range files {
		var counts map[string]int
		if b, err := os.ReadFile(f); err == nil && json.Unmarshal(b, &counts) == nil {
			n += counts[name]
		}
	}
	return n
}

// sign asks for signatures at the honest regions until ctx ends.
func (w *world) sign(ctx context.Context, worker int) {
	a := w.addresses()
	c, err := w.Client(w.service, append(slices.Clone(a[worker%3:]), a[:worker%3]...)...)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer c.Close()
	for n := 0; ctx.Err() == nil; n++ {
		cmd, err := c.Command(client.NewSignMessage(w.key, client.HashSHA256, fmt.Appendf(nil, "payment %d of %d", n, worker), ""))
		if err != nil {
			w.t.Error(err)
			return
		}
		began := time.Now()
		for ctx.Err() == nil {
			call, cancel := context.WithTimeout(ctx, 8*time.Second)
			r, err := c.Sign(call, cmd)
			cancel()
			if err == nil && len(r.Results) == 2 {
				w.answered(began, client.RequestIDOf(cmd))
				break
			}
			if client.CodeOf(err) == errs.Frozen { // once refused, always: ask for the next one
				time.Sleep(100 * time.Millisecond)
				break
			}
		}
	}
}

func (w *world) answered(began time.Time, id client.RequestID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.given = append(w.given, id)
	if w.told.IsZero() || began.Before(w.told) {
		return
	}
	if w.after++; w.after == 1 {
		w.first = time.Since(w.told)
	}
	if w.after == enough {
		close(w.enough)
	}
}

// countAnew forgets what was answered so far.
func (w *world) countAnew() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told, w.first, w.after, w.enough = time.Now(), 0, 0, make(chan struct{})
}

func (w *world) tell(l *lie) {
	w.mu.Lock()
	w.told = time.Now()
	w.mu.Unlock()
	text := fmt.Sprintf("lie %s %d %d %d\n", l.name, w.liar+1, w.honest[0]+1, w.honest[1]+1)
	for _, d := range l.lower {
		text += fmt.Sprintf("off %d\n", d)
	}
	w.script(text)
}

// agree waits until the honest regions stand at one index, and compares them.
func (w *world) agree() error {
	last := "nothing"
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		nodes, err := w.nodes("--digest", "--all")
		if err != nil || len(nodes) != 4 {
			last = fmt.Sprint(err)
			continue
		}
		last = fmt.Sprintf("%+v", nodes)
		a := nodes[w.honest[0]]
		level, same := true, a.Digest != ""
		for _, i := range w.honest {
			n := nodes[i]
			level = level && n.Applied == a.Applied && n.State == "ready"
			same = same && n.Digest == a.Digest && n.Root == a.Root && n.Chain == a.Chain
		}
		if level && !same {
			return fmt.Errorf("honest regions differ at one index: %s", last)
		}
		if level {
			return nil
		}
	}
	return fmt.Errorf("the honest regions do not come level: %s", last)
}

// audited exports the audit log of an honest region, has it verified offline, and looks
// for every answer.
func (w *world) audited() error {
	completed := map[client.RequestID]int{}
	err := w.leaves(func(l *audit.Leaf) error {
		e, err := audit.DecodeEffect(l.Effect)
		if err != nil {
			return err
		}
		for _, id := range e.Completed {
			completed[id]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := w.Vaultctl(w.t.Context(), []string{"TETRAD_GENESIS=" + w.Genesis()}, "audit", "verify", w.Path("audit.export")); err != nil {
		return err
	}
	for _, id := range w.given {
		if completed[id] != 1 {
			return fmt.Errorf("request %s was answered, and completed %d times in the audit log", id, completed[id])
		}
	}
	return nil
}

// leaves exports the audit log of an honest region and shows each leaf.
func (w *world) leaves(show func(*audit.Leaf) error) error {
	export := w.Path("audit.export")
	env := append(w.As(lab.Admins[0]), "TETRAD_ADDRESS="+strings.Join(w.addresses(), ","))
	if _, err := w.Vaultctl(w.t.Context(), env, "audit", "export", "--out", export); err != nil {
		return err
	}
	f, err := os.Open(export)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := auditor.NewReader(f)
	if err != nil {
		return err
	}
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = show(l)
		}
		if err != nil {
			return err
		}
	}
}

var trouble = regexp.MustCompile(`(?m)^panic:|^fatal error:|^goroutine \d+ \[|DATA RACE`)

func tell(t *testing.T, l *lie) {
	w := found(t, l.whole)
	w.script("")
	w.choose(l.follower)
	if l.before != nil {
		l.before(w)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for i := range 3 {
		working.Go(func() { w.sign(ctx, i) })
	}
	defer working.Wait()
	defer cancel()
	time.Sleep(500 * time.Millisecond) // under load
	w.tell(l)
	end := time.After(goesOnWithin + 5*time.Second)
	if l.during != nil {
		l.during(w)
		end = time.After(goesOnWithin)
	}
	for told := time.Now().Add(goesOnWithin); l.during == nil && w.done(l.name) == 0 && time.Now().Before(told); {
		time.Sleep(10 * time.Millisecond)
	}
	if l.during == nil && w.done(l.name) == 0 {
		t.Errorf("%s was never told", l.name)
	}
	if l.anew {
		w.countAnew()
	}
	if l.silent {
		time.Sleep(100 * time.Millisecond)
		w.Regions[w.liar].Kill()
	}
	select {
	case <-w.enough:
	case <-end:
		t.Errorf("%d answers to what was asked after the lie", w.after)
	}
	if w.first == 0 || w.first > goesOnWithin {
		t.Errorf("the first signature came after %s", w.first)
	}
	time.Sleep(500 * time.Millisecond)
	w.script("")
	cancel()
	working.Wait()
	if err := w.agree(); err != nil {
		t.Error(err)
	}
	err := w.audited()
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); err = w.audited() {
		time.Sleep(time.Second) // an answer leaves before its completion is committed
	}
	if err != nil {
		t.Error(err)
	}
	for _, i := range w.honest {
		r := w.Regions[i]
		if gone, err := r.Exited(); gone {
			t.Errorf("region %s ended: %v", r.Name, err)
		}
		if at := trouble.FindString(r.Said()); at != "" {
			t.Errorf("region %s crashed: %s", r.Name, at)
		}
	}
	t.Logf("%s: told %d times, %d answers, the first after %s; files of evidence: %d", l.name, w.done(l.name), w.after, w.first.Round(time.Millisecond), w.evidence())
}

// evidence counts the files that honest regions keep against the liar.
func (w *world) evidence() (n int) {
	for _, i := range w.honest {
		files, _ := filepath.Glob(filepath.Join(w.Regions[i].Dir, "data", "evidence", fmt.Sprintf("region%d-*", w.liar+1)))
		n += len(files)
	}
	return n
}

// TestLies tells every lie to four real processes; the short form a few of them.
func TestLies(t *testing.T) {
	for i := range lies {
		l := &lies[i]
		t.Run(l.name, func(t *testing.T) {
			if testing.Short() && !l.short {
				t.Skip("told in the long form: make liar")
			}
			tell(t, l)
		})
	}
}

// TestDefencesOff takes down what stands in the way of one lie: the processes must be
// seen to suffer, or the tests above show nothing.
func TestDefencesOff(t *testing.T) {
	w := found(t, false)
	w.script("")
	w.choose(false)
	w.tell(&lie{name: "stamp-forward", lower: []liar.Defence{liar.Stamps}})
	c, err := w.Client(w.service, w.addresses()...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for end := time.Now().Add(goesOnWithin); time.Now().Before(end); {
		cmd, err := c.Command(client.NewSignMessage(w.key, client.HashSHA256, []byte("payment"), ""))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err = c.Sign(ctx, cmd)
		cancel()
		if w.done("stamp-forward") > 0 && err != nil {
			t.Logf("harm: %v", err)
			return // time was moved: requests are expired or skewed before they are signed
		}
	}
	t.Error("the lie did no harm without the defence")
}

// TestUnwillingLeaderStays tells the lies of a leader that does not do its work, while
// nobody leaves one: nothing may be signed.
func TestUnwillingLeaderStays(t *testing.T) {
	for _, name := range []string{"mute-leader", "ignored-requests", "other-payload"} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("told in the long form: make liar")
			}
			w := found(t, false)
			w.script("")
			w.choose(false)
			ctx, cancel := context.WithTimeout(t.Context(), goesOnWithin+2*time.Second)
			defer cancel()
			w.tell(&lie{name: name, lower: []liar.Defence{liar.Willing}})
			time.Sleep(time.Second) // what was under way is answered
			w.countAnew()
			var working sync.WaitGroup
			for i := range 3 {
				working.Go(func() { w.sign(ctx, i) })
			}
			working.Wait()
			if w.done(name) == 0 || w.after > 0 {
				t.Errorf("%s was told %d times, and %d requests were answered", name, w.done(name), w.after)
			}
		})
	}
}

// stolen signs with one administrator's key, alone or beside a forged signature.
func stolen(w *world) {
	signer, err := lab.LoadKey(w.KeyFile(lab.Admins[0]))
	if err != nil {
		w.t.Fatal(err)
	}
	thief, err := w.Client(signer, w.Regions[w.liar].API)
	if err != nil {
		w.t.Fatal(err)
	}
	defer thief.Close()
	cmd, err := thief.Command(&command.PutPrincipal{Name: "eve", Key: w.service.Public(), Roles: command.RoleAdmin})
	if err != nil {
		w.t.Fatal(err)
	}
	if strings.HasPrefix(w.t.Name(), "TestLies/forged-second") {
		second, err := lab.LoadKey(w.KeyFile(lab.Admins[1]))
		if err != nil {
			w.t.Fatal(err)
		}
		cmd.Signatures = append(cmd.Signatures, command.Signature{Principal: second.Public().Fingerprint(), Sig: make([]byte, 64)})
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	if o, err := thief.Submit(ctx, cmd); err == nil {
		w.t.Errorf("one administrator made another: %v", o)
	}
}

// freezeThroughLiar wants no outcome of a freeze that only the liar speaks of.
func freezeThroughLiar(w *world) {
	signer, err := lab.LoadKey(w.KeyFile(lab.Admins[0]))
	if err != nil {
		w.t.Fatal(err)
	}
	admin, err := w.Client(signer, w.Regions[w.liar].API)
	if err != nil {
		w.t.Fatal(err)
	}
	defer admin.Close()
	cmd, err := admin.Command(&command.FreezeKey{Key: w.key, Reason: "theft"})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	if _, err = admin.Submit(ctx, cmd); err == nil {
		w.t.Error("a freeze was called carried out that was never proposed")
	}
}
