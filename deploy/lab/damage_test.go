package lab_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func data(r *lab.Region) string { return filepath.Join(r.Dir, "data") }

// copyTree copies a directory, and replaces what stood at the other place.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// newest returns the last file in a folder of the data directory, by name.
func newest(r *lab.Region, folder string) string {
	names, err := filepath.Glob(filepath.Join(data(r), folder, "[0-9s]*"))
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, ".proof") })
	if err != nil || len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return names[len(names)-1]
}

// flip inverts a bit in each of n places of a file, from an offset on.
func flip(t *testing.T, name string, from, n int, rng *rand.Rand) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	for range n {
		i := from + rng.IntN(len(b)-from)
		b[i] ^= 1 << rng.IntN(8)
		places = append(places, fmt.Sprint(i))
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return "bytes " + strings.Join(places, ", ")
}

// TestDamagedFiles damages each file of a stopped region in turn. Either the region
// refuses to start, naming the file, or it mends what others have too.
func TestDamagedFiles(t *testing.T) {
	w := take(t)
	l := w.load(t, 4)
	for newest(w.Regions[2], "snapshots") == "" {
		l.goesOn(20)
	}
	l.stop()
	r := w.Regions[2]
	w.stopped(t, r)
	whole := w.Path("whole")
	copyTree(t, data(r), whole)
	at := func(name string) string { return filepath.Join(data(r), name) }
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	cut := func(name string, size int64) {
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	// Refused: only this region has it, or it cannot be trusted any more.
	for _, c := range []struct {
		name   string
		file   string // named in the refusal
		status int
		damage func()
	}{
		{"genesis.json", "genesis.json", errs.ExitUnverified, func() { flip(t, at("genesis.json"), 200, 1, rng) }},
		{"genesis.json, cut", "genesis.json", errs.ExitUnverified, func() { cut(at("genesis.json"), 5000) }},
		{"genesis.json, gone", "genesis.json", errs.ExitFailure, func() { _ = os.Remove(at("genesis.json")) }},
		{"region, empty", "region", errs.ExitUnverified, func() { cut(at("region"), 0) }},
		{"unseal", "unseal", errs.ExitUnverified, func() { flip(t, at("unseal"), 200, 1, rng) }},
		{"unseal, names of keys", "unseal", errs.ExitFailure, func() { change(t, at("unseal"), 40) }},
		{"unseal, cut", "unseal", errs.ExitUnverified, func() { cut(at("unseal"), 100) }},
		{"unseal, gone", "unseal", errs.ExitFailure, func() { _ = os.Remove(at("unseal")) }},
		{"incarnation, cut", "incarnation", errs.ExitUnverified, func() { cut(at("incarnation"), 20) }},
		{"incarnation, gone", "server", errs.ExitFailure, func() { _ = os.Remove(at("incarnation")) }},
		{"highwater, cut", "high-water mark", errs.ExitUnverified, func() { cut(at("highwater"), 40) }},
		{"log.db, both meta pages", "log.db", errs.ExitUnverified, func() { zero(t, at("raft/log.db"), 0, 8192) }},
		{"log.db, cut", "log.db", errs.ExitUnverified, func() { cut(at("raft/log.db"), 100_000) }},
		{"stable.db, both meta pages", "stable.db", errs.ExitUnverified, func() { zero(t, at("raft/stable.db"), 0, 8192) }},
		{"log.db, gone", "log", errs.ExitFailure, func() { _ = os.Remove(at("raft/log.db")); _ = os.RemoveAll(at("snapshots")) }},
		{"all of raft, gone", "log", errs.ExitFailure, func() { _ = os.RemoveAll(at("raft")); _ = os.RemoveAll(at("snapshots")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			copyTree(t, whole, data(r))
			c.damage()
			w.refuses(t, r, c.status, c.file)
		})
	}
	// Mended, or refused where no honest mending is left; never silently wrong.
	for _, c := range []struct {
		name   string
		file   string // named if it is refused, "" if it must not be
		log    string // said when it is mended
		damage func() string
	}{
		{"region", "region", "", func() string { return flip(t, at("region"), 0, 1, rng) }},
		{"highwater", "mark", "", func() string { return flip(t, at("highwater"), 0, 1, rng) }},
		{"incarnation", "disk", "", func() string { return flip(t, at("incarnation"), 0, 1, rng) }},
		{"newest snapshot", "snapshot", "snapshot is damaged", func() string { return flip(t, newest(r, "snapshots"), 0, 1, rng) }},
		{"newest snapshot, cut", "snapshot", "snapshot is damaged", func() string { cut(newest(r, "snapshots"), 1000); return "" }},
		{"newest snapshot's signatures", "", "voucher of a snapshot is damaged", func() string { return flip(t, newest(r, "snapshots")+".proof", 0, 1, rng) }},
		{"one log page", "log", "", func() string { return flip(t, at("raft/log.db"), 8192, 1, rng) }},
		{"many log pages", "log", "", func() string { return flip(t, at("raft/log.db"), 8192, 200, rng) }},
		{"one stable page", "stable", "", func() string { return flip(t, at("raft/stable.db"), 8192, 1, rng) }},
		{"many stable pages", "stable", "", func() string { return flip(t, at("raft/stable.db"), 8192, 200, rng) }},
		{"leaf segment", "", "audit leaf repaired", func() string { return flip(t, newest(r, "leaves"), 0, 10, rng) }},
		{"leaf segment, cut", "", "", func() string { cut(newest(r, "leaves"), 30_000); return "" }},
		{"leaf segment, gone", "", "", func() string { _ = os.Remove(newest(r, "leaves")); return "" }},
		{"leaf hashes", "", "", func() string { return flip(t, at("leaves/hashes"), 0, 10, rng) }},
		{"leaf places", "", "", func() string { return flip(t, at("leaves/places"), 0, 10, rng) }},
		{"leaf mark", "", "audit mark is damaged", func() string { return flip(t, at("leaves/mark"), 0, 1, rng) }},
		{"all leaves, gone", "", "", func() string { _ = os.RemoveAll(at("leaves")); return "" }},
		{"answers", "", "stored answers ", func() string { return flip(t, newest(r, "answers"), 4, 3, rng) }},
		{"answers, gone", "", "", func() string { _ = os.RemoveAll(at("answers")); return "" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			copyTree(t, whole, data(r))
			where := c.damage()
			w.mends(t, r, c.file, c.log, where)
		})
	}
	copyTree(t, whole, data(r))
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	if err := w.ready(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.draws(t, r)
}

func change(t *testing.T, name string, at int) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func zero(t *testing.T, name string, from, to int) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[from:to])
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mends starts a region with a damaged file: it comes level with the others, or refuses
// as file allows. It is stopped afterwards.
func (w *world) mends(t *testing.T, r *lab.Region, file, log, where string) {
	t.Helper()
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	defer r.Kill()
	if err := w.ready(t.Context(), r); err != nil {
		gone, _ := r.Exited()
		said := r.Said()
		code, _ := 0, error(nil)
		if gone {
			code, _ = r.Wait(t.Context())
		}
		if !gone || file == "" || !strings.Contains(said, file) || code != errs.ExitUnverified && code != errs.ExitFailure || trouble.MatchString(said) {
			t.Errorf("%s: exit status %d, %v\n%s", where, code, err, said)
		}
		return
	}
	w.signs(t, 3)
	if err := w.agree(t.Context()); err != nil {
		t.Errorf("%s: %v\n%s", where, err, r.Said())
	}
	w.until(t, where, func() error { // damaged leaves are found on a round
		if said := r.Said(); !strings.Contains(said, log) || trouble.MatchString(said) {
			return fmt.Errorf("the log lacks %q:\n%s", log, said)
		}
		return nil
	})
}
