package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// answer is a signature somebody was given.
type answer struct {
	cmd     *client.Command
	request *client.Request
}

// book is every answer given.
type book struct {
	mu      sync.Mutex
	answers []answer
}

func (b *book) add(a answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers = append(b.answers, a)
}

func (b *book) all() []answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.answers)
}

// patience is how long a client asks on while regions come and go.
const patience = 30 * time.Second

// insist signs, asking again with the same command while nobody knows the outcome. A
// request whose three draws each met a region that died is failed for good: then, and only
// then, it asks with a new one.
func (w *world) insist(ctx context.Context, c *client.Client, name, text string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, failed, err := w.insistOnce(ctx, c, name, text)
	if failed {
		a, _, err = w.insistOnce(ctx, c, name, text)
	}
	return a, err
}

func (w *world) insistOnce(ctx context.Context, c *client.Client, name, text string) (a answer, failed bool, err error) {
	cmd, err := c.Command(w.message(name, text))
	if err != nil {
		return answer{}, false, err
	}
	for {
		r, err := c.Sign(ctx, cmd)
		if err == nil {
			if len(r.Results) != 2 {
				return answer{}, false, fmt.Errorf("%d regions signed", len(r.Results))
			}
			a := answer{cmd, r}
			w.book.add(a)
			return a, false, nil
		}
		switch errs.CodeOf(err) {
		case errs.OutcomeUnknown, errs.Unavailable, errs.NoLeader, errs.NotReady, errs.DeadlineExceeded, errs.NotLeader:
			if ctx.Err() == nil {
				continue
			}
		}
		shown, _ := c.Request(ctx, client.RequestIDOf(cmd))
		failed = shown.GetState() == tetradv1.RequestState_REQUEST_STATE_FAILED && len(shown.Attempts) == 3
		return answer{}, failed, fmt.Errorf("request %s: %s: %w\n%s", client.RequestIDOf(cmd), errs.CodeOf(err), err, w.story(cmd))
	}
}

// story is what the vault knows of a request that was not answered.
func (w *world) story(cmd *client.Command) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := w.service.Request(ctx, client.RequestIDOf(cmd))
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("state %s, attempts %v, index %d to %d", r.State, r.Attempts, r.OpenedIndex, r.ClosedIndex)
}

// signs asks for n signatures, one after the other.
func (w *world) signs(t *testing.T, n int) []answer {
	t.Helper()
	var out []answer
	for i := range n {
		a, err := w.insist(t.Context(), w.service, fast, fmt.Sprintf("%s %d", t.Name(), i))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

// load signs from several clients until stopped.
type load struct {
	w      *world
	t      *testing.T
	cancel context.CancelFunc
	work   sync.WaitGroup
	mu     sync.Mutex
	given  []answer
}

const loadPause = 25 * time.Millisecond // of each client; the audit is verified in the end

func (w *world) load(t *testing.T, clients int) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{w: w, t: t, cancel: cancel}
	for i := range clients {
		// Each begins with another region, so that some ask one that dies.
		addresses := slices.Concat(w.Addresses()[i%4:], w.Addresses()[:i%4])
		c, err := w.client(service, addresses...)
		if err != nil {
			t.Fatal(err)
		}
		l.work.Go(func() {
			defer c.Close()
			for n := 0; ctx.Err() == nil; n++ {
				// Not ctx: what was asked for is asked for until there is an answer.
				a, err := w.insist(context.WithoutCancel(ctx), c, fast, fmt.Sprintf("%s load %d.%d", t.Name(), i, n))
				if err != nil {
					t.Errorf("under load: %v", err)
					return
				}
				l.mu.Lock()
				l.given = append(l.given, a)
				l.mu.Unlock()
				time.Sleep(loadPause)
			}
		})
	}
	t.Cleanup(func() { l.cancel(); l.work.Wait() })
	return l
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.given)
}

// goesOn waits until n more answers were given.
func (l *load) goesOn(n int) {
	l.t.Helper()
	want, deadline := l.count()+n, time.Now().Add(patience)
	for l.count() < want {
		if time.Now().After(deadline) || l.t.Failed() {
			l.t.Fatalf("signing does not go on: %d of %d answers", l.count(), want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// stop ends the load and returns what was answered.
func (l *load) stop() []answer {
	l.cancel()
	l.work.Wait()
	return l.given
}

// same asks again for answers given before. Each must be the very same, unless the answer
// left while its leader, one of the signers, died: then a second draw was needed, and only
// the regions in both draws give the same signatures.
func (w *world) same(t *testing.T, given []answer) {
	t.Helper()
	for _, a := range given {
		r, err := w.service.Sign(t.Context(), a.cmd)
		if err != nil {
			t.Errorf("asked again for %s: %s: %v", a.cmd.ID, errs.CodeOf(err), err)
			return
		}
		redrawn := len(r.Attempts) > len(a.request.Attempts)
		if len(r.Results) != 2 || !sameResults(a.request.Results, r.Results, redrawn) {
			t.Errorf("asked again for %s: another answer\n%v\n%v", a.cmd.ID, a.request, r)
		}
	}
}

func sameResults(a, b []*tetradv1.SignatureSet, redrawn bool) bool {
	common := 0
	for _, x := range a {
		for _, y := range b {
			if x.Region == y.Region {
				if !slices.EqualFunc(x.Signatures, y.Signatures, bytes.Equal) {
					return false
				}
				common++
			}
		}
	}
	return common == len(a) || redrawn
}

// node is what vaultctl status says of one.
type node struct {
	Region  string `json:"region"`
	State   string `json:"state"`
	Role    string `json:"role"`
	Applied uint64 `json:"applied_index"`
	Size    uint64 `json:"audit_size"`
	Stored  uint64 `json:"audit_stored"`
	Digest  string `json:"digest"`
	Root    string `json:"audit_root"`
	Chain   string `json:"chain"`
	HSM     string `json:"hsm_error"`
	Store   string `json:"store_error"`
}

func (w *world) nodes(ctx context.Context, args ...string) ([]node, error) {
	out, err := w.Vaultctl(ctx, w.As(lab.Admins[0]), append([]string{"status", "--output", "json"}, args...)...)
	if err != nil {
		return nil, err
	}
	var v struct {
		Nodes []node `json:"nodes"`
	}
	return v.Nodes, json.Unmarshal([]byte(out), &v)
}

// leader returns the region that leads.
func (w *world) leader(t *testing.T) *lab.Region {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		nodes, err := w.nodes(t.Context())
		if err != nil {
			continue // nobody leads just now
		}
		for i, n := range nodes {
			if n.Role == "leader" && n.State == "ready" {
				return w.Regions[i]
			}
		}
	}
	t.Fatal("no region leads")
	return nil
}

func (w *world) follower(t *testing.T) *lab.Region {
	t.Helper()
	leader := w.leader(t)
	for _, r := range w.Regions {
		if r != leader {
			return r
		}
	}
	return nil
}

// healthy waits until every region counts as able to sign: one that others reported ill
// says that it is well at its next regular check.
func (w *world) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := w.allHealthy(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w\n%s", err, w.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// allHealthy asks once whether every region counts as able to sign.
func (w *world) allHealthy(ctx context.Context) error {
	s, err := w.admin.Status(ctx)
	if err != nil {
		return err
	}
	var ill []string
	for _, r := range s.Regions {
		if !r.Healthy {
			ill = append(ill, fmt.Sprintf("%s since entry %d, %s", r.Name, r.Since, r.Status))
		}
	}
	if len(ill) > 0 || len(s.Regions) != len(w.Regions) {
		return fmt.Errorf("of %d regions these are not healthy: %q", len(s.Regions), ill)
	}
	return nil
}

// lastWords are the last lines of every region's log.
func (w *world) lastWords() string {
	var out strings.Builder
	for _, r := range w.Regions {
		lines := strings.Split(strings.TrimSpace(r.Said()), "\n")
		fmt.Fprintf(&out, "%s said:\n%s\n", r.Name, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return out.String()
}

// agree waits until all four regions stand at one index and compares what they hold.
func (w *world) agree(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last string
	for {
		nodes, err := w.nodes(ctx, "--digest", "--all")
		if err == nil {
			last = fmt.Sprintf("%+v", nodes)
			if level, same := compare(nodes); level {
				if !same {
					return fmt.Errorf("regions differ at one index: %s", last)
				}
				return nil
			}
		} else {
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("regions do not come level: %s", last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func compare(nodes []node) (level, same bool) {
	same = true
	for _, n := range nodes {
		if n.Applied != nodes[0].Applied || n.State != "ready" || n.Stored < n.Size {
			return false, false
		}
		same = same && n.Digest != "" && n.Digest == nodes[0].Digest && n.Root == nodes[0].Root && n.Chain == nodes[0].Chain
	}
	return len(nodes) == 4, same
}

// audited exports the audit log, has it verified offline and looks for every answer.
func (w *world) audited(ctx context.Context, given []answer) error {
	export := w.Path("audit.export")
	if _, err := w.Vaultctl(ctx, w.As(lab.Admins[0]), "audit", "export", "--out", export); err != nil {
		return err
	}
	if _, err := w.Vaultctl(ctx, []string{"TETRAD_GENESIS=" + w.Genesis()}, "audit", "verify", export); err != nil {
		return err
	}
	opened, err := requestsIn(export)
	if err != nil {
		return err
	}
	for _, a := range given {
		if n := opened[client.RequestIDOf(a.cmd)]; n != 1 {
			return fmt.Errorf("request %s was answered, and completed %d times in the audit log", client.RequestIDOf(a.cmd), n)
		}
	}
	return nil
}

// requestsIn counts how often each request was completed.
func requestsIn(export string) (map[client.RequestID]int, error) {
	f, err := os.Open(export)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := auditor.NewReader(f)
	if err != nil {
		return nil, err
	}
	found := map[client.RequestID]int{}
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		e, err := audit.DecodeEffect(l.Effect)
		if err != nil {
			return nil, err
		}
		for _, id := range e.Completed {
			found[id]++
		}
	}
}

// refuses starts a region that must end by itself with an exit status, saying what is
// wrong without a stack trace.
func (w *world) refuses(t *testing.T, r *lab.Region, status int, texts ...string) {
	t.Helper()
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	code, err := r.Wait(ctx)
	if err != nil {
		r.Kill()
		t.Errorf("%v\n%s", err, r.Said())
		return
	}
	said := r.Said()
	if code != status {
		t.Errorf("exit status %d, want %d\n%s", code, status, said)
	}
	for _, text := range append(texts, "\nhint: ") {
		if !strings.Contains(said, text) {
			t.Errorf("the log lacks %q:\n%s", text, said)
		}
	}
	if trouble.MatchString(said) {
		t.Errorf("crashed:\n%s", said)
	}
}
