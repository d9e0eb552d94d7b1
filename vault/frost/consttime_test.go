package frost

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/vault/draw"
)

// Constant time is checked twice, under valgrind. callgrind counts the instructions that
// everything touching a secret executes: exactly as many whatever the secret. memcheck
// takes the secrets for undefined memory and reports every branch and every address that
// depends on one (ctgrind_test.go). A planted leak shows that either would notice.

const (
	callsPerSecret = 6 // the least of them counts: an allocation may refill a cache of the runtime
	childVariable  = "FROST_CONSTANT_TIME_CHILD"
)

// secretsOf are scalars that a variable-time algorithm would treat differently: few bits,
// many bits, leading and trailing zeros, and arbitrary ones.
func secretsOf(t testing.TB, s *Suite) []scalar {
	g := s.group
	one, two := g.number(1), g.number(2)
	half := g.inverse(two)
	high := one
	for range 250 {
		high = s.mul(high, two)
	}
	return []scalar{one, g.negate(one), half, high, g.add(high, g.negate(one)), g.number(255), randomScalarOf(t, s), randomScalarOf(t, s)}
}

// operations returns everything that is computed with a secret, each to be called with one.
func operations(t testing.TB, s *Suite) map[string]func(k scalar) {
	g := s.group
	w := keyOf(t, s, g.number(7))
	other := randomScalarOf(t, s)
	cs := w.commit(t, []uint8{1, 2})
	out, _, err := w.key.Child([32]byte{1}, 1)
	must(t, err)
	r, err := out.newRound(message(1), cs)
	must(t, err)
	fixed := g.add(other, g.number(1))
	beacon := draw.PublicKey{Threshold: 2, Shares: make([][32]byte, 4)}
	beacon.Shares[0][0] = 1
	all := map[string]func(k scalar){
		"decode":              func(k scalar) { g.decodeScalar(k.bytes()) },
		"base multiplication": func(k scalar) { g.base(k) },
		"many of them":        func(k scalar) { g.bases([]scalar{other, k, fixed}) },
		"nonce": func(k scalar) {
			seed := make([]byte, 64)
			g.wide(s.uniform("nonce", seed, hedgeAt(k.bytes(), cs[0], 1)))
		},
		"polynomial":       func(k scalar) { s.evaluate([]scalar{other, k}, 3) },
		"sum of dealt":     func(k scalar) { g.mulAdd(other, k, k) },
		"answer, share":    func(k scalar) { r.respond(0, k, g.add(fixed, g.number(0)), g.add(other, g.number(0))) },
		"answer, hiding":   func(k scalar) { r.respond(0, fixed, g.add(k, g.number(0)), g.add(other, g.number(0))) },
		"answer, binding":  func(k scalar) { r.respond(0, fixed, g.add(other, g.number(0)), g.add(k, g.number(0))) },
		"comparison":       func(k scalar) { sameScalar(k, other) },
		"derived share":    func(k scalar) { out.shareSecret(k) },
		"encoding":         func(k scalar) { k.bytes() },
		"test for nothing": func(k scalar) { k.isZero() },
		"a leak":           func(k scalar) { leak(k) },
	}
	if s == Ed25519 { // a share of the beacon key is a scalar of its order
		all["beacon share"] = func(k scalar) { _, err = draw.KnownShare(beacon, 1, k.bytes()) }
	}
	return all
}

// leak counts bits the quick way; the measurement must see it.
//
//go:noinline
func leak(k scalar) (n int) {
	for _, b := range k.bytes() {
		for ; b != 0; b &= b - 1 {
			n++
		}
	}
	return n
}

// measured is the function whose calls callgrind counts.
//
//go:noinline
func measured(f func(k scalar), k scalar) { f(k) }

// TestConstantTimeChild is the program that runs under valgrind: it makes the calls, in an
// order that the parent knows, and prints nothing else but that order.
func TestConstantTimeChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("run by TestConstantTime, under valgrind")
	}
	for _, s := range suites {
		ops := operations(t, s)
		for _, name := range sortedNames(ops) {
			f := ops[name]
			secrets := secretsOf(t, s)
			for range 3 {
				f(secrets[0]) // tables, stack
			}
			for i, k := range secrets {
				for range callsPerSecret {
					measured(f, k)
					fmt.Printf("call\t%v\t%s\t%d\n", s, name, i)
				}
			}
		}
	}
}

func sortedNames[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestConstantTime(t *testing.T) {
	dir := t.TempDir()
	printed := underValgrind(t, "TestConstantTimeChild", "", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*frost.measured",
		"--dump-after=*frost.measured", "--callgrind-out-file="+filepath.Join(dir, "out"))
	judgeCounts(t, dir, printed)
}

// underValgrind builds the tests anew, because those that run have no symbols, runs one
// under valgrind and returns what both printed.
func underValgrind(t *testing.T, test, tags string, options ...string) string {
	t.Helper()
	for _, tool := range []string{"valgrind", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("TETRAD_CI") != "" {
				t.Fatalf("no %s here: make deps installs it", tool)
			}
			t.Skipf("NOT CHECKED: constant time is checked under valgrind, and there is no %s here", tool)
		}
	}
	if testing.Short() {
		t.Skip("NOT CHECKED: constant time, in short mode")
	}
	self := filepath.Join(t.TempDir(), "frost.test")
	if text, err := exec.Command("go", "test", "-c", "-tags", tags, "-o", self, ".").CombinedOutput(); err != nil {
		t.Fatalf("building the program to measure: %v\n%s", err, text)
	}
	cmd := exec.Command("valgrind", append(options, self, "-test.run=^"+test+"$", "-test.timeout=9m")...)
	cmd.Env = append(os.Environ(), childVariable+"=1", "GOGC=off", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("valgrind: %v\n%s", err, text)
	}
	return string(text)
}

// harmless are the places in filippo.io/edwards25519 where memcheck sees a secret decide:
// a sanity check that cannot fail, and the comparison of the finished, public point with
// an empty one.
var harmless = []string{"edwards25519.(*Scalar).signedRadix16", "edwards25519.(*Point).bytes", "edwards25519.(*Point).extendedCoordinates"}

func TestSecretsReachNoBranch(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("NOT CHECKED: what secrets decide; the call to valgrind is written for amd64")
	}
	printed := underValgrind(t, "TestSecretsChild", "ctgrind,valgrind", "--num-callers=6", "--error-limit=no")
	if n := strings.Count(printed, "begin\t"); n != 14+13 { // BIP-340 has no product that stays secret until many are divided
		t.Fatalf("%d operations were watched, want 27:\n%s", n, printed)
	}
	leakSeen := false
	for _, report := range strings.Split(printed, "uninitialised value")[1:] {
		var frames []string
		for _, line := range strings.Split(report, "\n") {
			if strings.Contains(line, " at 0x") || strings.Contains(line, " by 0x") {
				frames = append(frames, line)
			} else if len(frames) > 0 {
				break
			}
		}
		where := strings.Join(frames[:min(2, len(frames))], "\n")
		switch {
		case len(frames) == 0: // the closing remark
		case strings.Contains(where, "frost.leak"):
			leakSeen = true
		case !slices.ContainsFunc(harmless, func(h string) bool { return strings.Contains(where, h) }):
			t.Errorf("a secret decides a branch or an address:\n%s", strings.Join(frames, "\n"))
		}
	}
	if !leakSeen {
		t.Error("the planted leak was not seen")
	}
}

// judgeCounts pairs the calls in the order they were made with callgrind's dumps.
func judgeCounts(t *testing.T, dir, printed string) {
	least := map[string]map[string]int{} // operation, secret: instructions
	call := 0
	for _, line := range strings.Split(printed, "\n") {
		field := strings.Split(line, "\t")
		if len(field) != 4 || field[0] != "call" {
			continue
		}
		call++
		n := instructions(t, filepath.Join(dir, fmt.Sprintf("out.%d", call)))
		op := field[1] + ", " + field[2]
		if least[op] == nil {
			least[op] = map[string]int{}
		}
		if was, ok := least[op][field[3]]; !ok || n < was {
			least[op][field[3]] = n
		}
	}
	if len(least) != 2*14+1 {
		t.Fatalf("%d operations were measured, want 29", len(least))
	}
	for _, op := range sortedNames(least) {
		var counts []int
		for _, secret := range sortedNames(least[op]) {
			counts = append(counts, least[op][secret])
		}
		low, high := slices.Min(counts), slices.Max(counts)
		t.Logf("%-30s %8d instructions, spread %d", op, low, high-low)
		leaks := strings.HasSuffix(op, "a leak")
		if low == 0 || (low != high) != leaks {
			t.Errorf("%s: %v instructions for %d secrets", op, counts, len(counts))
		}
	}
}

func instructions(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "summary:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			must(t, err)
			return n
		}
	}
	t.Fatalf("%s has no summary", path)
	return 0
}
