package lab_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/deploy/lab"
)

// split is a threshold key: its shares come back after a reshare.
const split = "canary-split-8e21"

// TestReenrol loses a region's HSM and disk at once, and brings the region back with another
// HSM by the documented way: it is drawn again for a threshold key, never for the keys that
// died with its HSM. Whoever has the old one is nobody. Then the same region loses its disk
// again, and another one its own: the genesis alone would tell them the wrong identity.
func TestReenrol(t *testing.T) {
	w := ownWorld(t)
	w.tenant(t, split, "key", "create", split, "--tenant", tenant, "--scheme", "threshold", "--curve", "secp256k1", "--signers", "2")
	w.signs(t, 5)
	r := w.leader(t) // the hardest one: its votes and signatures stand in the newest entries
	was := w.identity(t, r)
	thief := w.stolen(t, r)
	if err := w.Token(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	enrolment := w.Path(r.Name + ".reenrol")
	w.reenrols(t, r, enrolment)
	w.replaced(t, r, enrolment)
	now := w.identity(t, r)
	if now == was {
		t.Fatal("the region has the identity it had")
	}
	w.arrives(t, r, "--welcome", w.welcome(t, r))
	w.must(t, w.both("key", "reshare", split, "--tenant", tenant, "--holders", strings.Join(lab.RegionNames, ","))...)
	w.must(t, w.both("beacon", "reshare", "--holders", strings.Join(lab.RegionNames, ","))...)
	w.drawn(t, split, r, true)
	w.drawn(t, fast, r, false)
	if out := w.must(t, "key", "show", fast, "--tenant", tenant); !strings.Contains(out, "lost with its HSM") {
		t.Errorf("key show says nothing of the loss:\n%s", out)
	}
	w.shutsOut(t, r, thief)
	w.judged(t)

	// The same region again: the founding's envelopes do not open in the HSM it has.
	w.loses(t, r)
	again := w.Path(r.Name + ".again")
	w.arrives(t, r, "--rejoin", "--out", again, "--welcome", w.welcome(t, r))
	w.drawn(t, split, r, true)

	// Another one, whose genesis has the wrong identity for r.
	o := w.Regions[(slices.Index(w.Regions, r)+1)%len(w.Regions)]
	w.loses(t, o)
	w.arrives(t, o, "--rejoin", "--out", w.Path(o.Name+".again"), "--welcome", w.welcome(t, o), w.Path("founding/ceremony.pem"))
	w.drawn(t, split, o, true)

	// All at once: every region finds on its own disk who r is.
	for _, r := range w.Regions {
		r.Kill()
	}
	if err := w.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.drawn(t, split, r, true)
	w.judged(t)
}

// ownWorld is a lab of this test alone: what it does to keys no later test should meet.
func ownWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	if os.Getenv("KEEP") != "" {
		dir = filepath.Join(shared.Dir, "reenrol")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w, err := grown(t.Context(), dir, shared.Bin)
	t.Cleanup(func() {
		if err := w.end(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// must runs vaultctl as the first administrator.
func (w *world) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.Vaultctl(t.Context(), w.As(lab.Admins[0]), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// both lets the second administrator sign too.
func (w *world) both(args ...string) []string {
	return append(args, "--cosign-key", w.KeyFile(lab.Admins[1]))
}

// tenant makes a key of the tenant and remembers it.
func (w *world) tenant(t *testing.T, name string, args ...string) {
	t.Helper()
	w.must(t, w.both(args...)...)
	k, err := w.service.KeyByName(t.Context(), tenant, name)
	if err != nil {
		t.Fatal(err)
	}
	w.keys[name] = k
}

func (w *world) identity(t *testing.T, r *lab.Region) string {
	t.Helper()
	ids, err := w.admin.Identities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ids[client.RegionID(slices.Index(w.Regions, r)+1)].Fingerprint().String()
}

// stolen ends a region and takes token and disk away from it, to a site of a thief's own.
func (w *world) stolen(t *testing.T, r *lab.Region) *lab.Region {
	t.Helper()
	r.Kill()
	thief := *r
	thief.Dir = w.Path("thief")
	if err := os.Mkdir(thief.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{r.Tokens(): thief.Tokens(), data(r): data(&thief)} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"softhsm2.conf", "vaultd.hcl"} {
		text, err := os.ReadFile(filepath.Join(r.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		moved := strings.NewReplacer(r.Tokens(), thief.Tokens(), data(r), data(&thief)).Replace(string(text))
		if err := os.WriteFile(filepath.Join(thief.Dir, name), []byte(moved), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &thief
}

// reenrols makes the region's keys in its new token, twice the same.
func (w *world) reenrols(t *testing.T, r *lab.Region, out string) {
	t.Helper()
	if _, err := w.Vaultctl(t.Context(), r.Env(), "init", "install", "--config", r.Config(), "--rejoin", "--out", out,
		w.Genesis(), w.Path("founding/ceremony.pem")); err == nil {
		t.Fatal("an empty token was taken for the region's")
	}
	var made [2][]byte
	for i := range made {
		if _, err := w.Vaultctl(t.Context(), r.Env(), "init", "reenrol", "--config", r.Config(), "--out", out, w.Genesis()); err != nil {
			t.Fatal(err)
		}
		var err error
		if made[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(out, out+".kept"); err != nil {
			t.Fatal(err)
		}
	}
	if string(made[0]) != string(made[1]) {
		t.Error("re-enrolled twice, and not the same")
	}
	if err := os.Rename(out+".kept", out); err != nil {
		t.Fatal(err)
	}
}

// replaced has two administrators approve an enrolment, once the others report the region
// away.
func (w *world) replaced(t *testing.T, r *lab.Region, enrolment string) {
	t.Helper()
	replace := []string{"region", "replace", r.Name, "--enrolment", enrolment}
	if _, err := w.Vaultctl(t.Context(), w.As(lab.Admins[0]), replace...); err == nil || !strings.Contains(err.Error(), "exit status 5") {
		t.Errorf("one administrator replaced a region: %v", err)
	}
	w.away(t, r)
	proposal := w.Path("replace-" + filepath.Base(enrolment) + ".cmd")
	w.must(t, append(replace, "--propose-to", proposal)...)
	if _, err := w.Vaultctl(t.Context(), w.As(lab.Admins[1]), "approve", "--yes", proposal); err != nil {
		t.Fatal(err)
	}
}

// away signs until the others have reported a region away.
func (w *world) away(t *testing.T, r *lab.Region) {
	t.Helper()
	for deadline := time.Now().Add(4 * patience); time.Now().Before(deadline); {
		s, err := w.admin.Status(t.Context())
		if err == nil && !s.Regions[slices.Index(w.Regions, r)].Healthy {
			return
		}
		w.asks(t, fast)
	}
	t.Fatalf("nobody reported region %s away", r.Name)
}

// asks wants one signature.
func (w *world) asks(t *testing.T, key string) answer {
	t.Helper()
	a, err := w.insist(t.Context(), w.service, key, fmt.Sprintf("%s %d", t.Name(), len(w.book.all())))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *world) welcome(t *testing.T, r *lab.Region) string {
	t.Helper()
	out := w.Path(r.Name + ".welcome")
	_ = os.Remove(out)
	w.must(t, "region", "welcome", r.Name, "--out", out)
	return out
}

// loses ends a region and its disk.
func (w *world) loses(t *testing.T, r *lab.Region) {
	t.Helper()
	if err := r.Stop(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(data(r)); err != nil {
		t.Fatal(err)
	}
}

// arrives installs a region with what was given, has its new incarnation approved where
// there is one, and starts it.
func (w *world) arrives(t *testing.T, r *lab.Region, args ...string) {
	t.Helper()
	install := append([]string{"init", "install", "--config", r.Config(), w.Genesis()}, args...)
	if _, err := w.Vaultctl(t.Context(), r.Env(), install...); err != nil {
		t.Fatal(err)
	}
	if i := slices.Index(args, "--out"); i >= 0 {
		w.must(t, w.both("region", "replace", r.Name, "--enrolment", args[i+1])...)
	}
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	if err := w.ready(t.Context(), r); err != nil {
		t.Fatalf("%v\n%s", err, r.Said())
	}
	if err := w.healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// drawn signs with a key until the region is among the signers: it is drawn for a threshold
// key once it offered nonces, some seconds after its start. Never is 20 times.
func (w *world) drawn(t *testing.T, key string, r *lab.Region, ever bool) {
	t.Helper()
	deadline := time.Now().Add(2 * patience)
	for n := 0; ever && time.Now().Before(deadline) || n < 20; n++ {
		for _, set := range w.asks(t, key).request.Results {
			if w.Regions[set.Region-1] == r {
				if !ever {
					t.Errorf("region %s signed with a key that was lost with its HSM", r.Name)
				}
				return
			}
		}
		if ever {
			time.Sleep(50 * time.Millisecond)
		}
	}
	if ever {
		t.Errorf("region %s did not sign within %s:\n%s", r.Name, 2*patience, r.Said())
	}
}

// shutsOut lets the thief of the old HSM run the old disk in the region's place: nobody
// believes it, and the vault goes on with three.
func (w *world) shutsOut(t *testing.T, r, thief *lab.Region) {
	t.Helper()
	if err := r.Stop(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(thief); err != nil {
		t.Fatal(err)
	}
	defer thief.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := thief.AwaitReady(ctx); err == nil {
		t.Errorf("the thief's region is ready:\n%s", thief.Said())
	}
	w.asks(t, split)
	if ids, err := w.admin.Identities(t.Context()); err != nil || ids[client.RegionID(slices.Index(w.Regions, r)+1)].Fingerprint().String() == "" {
		t.Errorf("%v, %v", ids, err)
	}
	region := client.RegionID(slices.Index(w.Regions, r) + 1)
	if stop, err := w.admin.StopHere(t.Context(), region, "is it the thief who hears this"); err == nil {
		t.Errorf("a client took the thief for the region: %v", stop)
	}
	thief.Kill()
	// With another incarnation of its own making it gets no further.
	if err := os.RemoveAll(data(thief)); err != nil {
		t.Fatal(err)
	}
	again := w.Path("thief.again")
	if _, err := w.Vaultctl(t.Context(), thief.Env(), "init", "install", "--config", thief.Config(), "--rejoin", "--out", again,
		w.Genesis(), w.Path("founding/ceremony.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Vaultctl(t.Context(), w.As(lab.Admins[0]), w.both("region", "replace", r.Name, "--enrolment", again)...); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("an enrolment by the old HSM: %v", err)
	}
	if text := thief.Said(); trouble.MatchString(text) {
		t.Errorf("the thief's region crashed:\n%s", text)
	}
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	if err := w.ready(t.Context(), r); err != nil {
		t.Fatalf("%v\n%s", err, r.Said())
	}
	if err := w.healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// judged wants all regions to agree, and the audit to verify offline with every answer.
func (w *world) judged(t *testing.T) {
	t.Helper()
	if err := w.agree(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.Path("audit.export")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := w.audited(t.Context(), w.book.all()); err != nil {
		t.Fatal(err)
	}
}
