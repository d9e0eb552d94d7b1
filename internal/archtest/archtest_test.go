// Package archtest holds the house rules as tests: which room may import which, and
// which room owns which library (docs/design/rooms.md). It parses the source itself,
// because a test that asks the go command is answered from the cache.
package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tetrad-vault/tetrad/"

var leaves = []string{"internal/errs", "internal/wire", "internal/identity", "internal/network",
	"internal/durable", "internal/clock", "internal/version", "internal/liar", "internal/box", "internal/edtable", "internal/erase", "internal/roll"}

// cluster/chain is pure: signed objects that an auditor and a client verify as well.

// rooms lists, for the longest matching prefix, what non-test code below it may import of ours.
var rooms = map[string][]string{
	"fsm":                append([]string{"fsm"}, leaves...),
	"seal":               append([]string{"seal"}, leaves...),
	"vault":              append([]string{"vault", "fsm"}, leaves...),
	"vault/draw":         {"internal/errs", "internal/wire", "internal/edtable", "internal/erase", "internal/ristretto"},
	"vault/frost":        {"internal/errs", "internal/wire", "internal/erase", "internal/ristretto"},
	"vault/address":      {"fsm/intent", "fsm/command", "internal/errs"},
	"cluster":            append([]string{"cluster", "fsm"}, leaves...),
	"replication":        append([]string{"replication", "fsm"}, leaves...),
	"api":                {"api", "cluster/chain", "fsm/command", "internal/errs", "internal/wire", "internal/identity", "internal/network", "internal/version", "internal/liar", "internal/roll"},
	"internal/rpc":       append([]string{"internal/rpc", "api", "vault", "replication", "cluster/chain", "fsm"}, leaves...),
	"internal/auditor":   append([]string{"internal/auditor", "fsm", "vault/draw", "vault/frost", "cluster/chain"}, leaves...),
	"internal/ceremony":  append([]string{"internal/ceremony", "internal/config", "seal", "vault/draw", "fsm"}, leaves...),
	"internal/escrow":    append([]string{"internal/escrow", "internal/ceremony", "seal", "vault/frost", "fsm"}, leaves...),
	"internal/node":      {"fsm", "seal", "vault", "cluster", "replication", "api", "internal"},
	"internal/config":    leaves,
	"internal/errs":      {},
	"internal/wire":      {"internal/errs"},
	"internal/identity":  {"internal/errs", "internal/wire", "internal/edtable"},
	"internal/network":   {"internal/network", "internal/errs"},
	"internal/durable":   {"internal/durable", "internal/errs"},
	"internal/clock":     {},
	"internal/box":       {"internal/errs", "internal/wire", "internal/erase"},
	"internal/roll":      {"internal/errs", "internal/wire", "internal/identity"},
	"internal/edtable":   {},
	"internal/erase":     {},
	"internal/version":   {},
	"internal/liar":      {"internal/identity", "internal/clock"},
	"internal/archtest":  {},
	"cmd":                {"cmd", "fsm", "seal", "vault", "cluster", "replication", "api", "internal"},
	"chaos":              {"chaos", "fsm", "seal", "vault", "cluster", "replication", "api", "internal"},
	"docs":               {"docs", "fsm", "internal", "api"},
	"deploy":             {"deploy", "fsm", "internal", "api", "seal", "vault/draw"},
	"internal/race":      {},
	"internal/ristretto": {},
}

// owners confines libraries to rooms.
var owners = map[string][]string{
	"github.com/hashicorp/raft":        {"cluster"},
	"github.com/hashicorp/raft-boltdb": {"cluster"},
	"github.com/hashicorp/memberlist":  {"cluster"},
	"go.etcd.io/bbolt":                 {"cluster"},
	"github.com/miekg/pkcs11":          {"seal/pkcs11"},
	"google.golang.org/grpc":           {"api", "internal/rpc", "internal/node", "cmd", "chaos"},
	"github.com/hashicorp/go-memdb":    {"fsm"},
}

// impure may not appear in fsm: no clock, randomness, I/O, goroutines' helpers or loggers.
var impure = []string{"crypto/rand", "math/rand", "math/rand/v2", "os", "net", "log", "log/slog", "syscall"}

type file struct {
	dir, name string
	imports   []string
}

func sources(t *testing.T) []file {
	return files(t, func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
}

// files are our Go files of the names that are wanted.
func files(t *testing.T, wanted func(name string) bool) []file {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(p, ".go") || !wanted(p) {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		f := file{dir: path.Dir(filepath.ToSlash(rel)), name: filepath.ToSlash(rel)}
		for _, i := range parsed.Imports {
			s, _ := strconv.Unquote(i.Path.Value)
			f.imports = append(f.imports, s)
		}
		out = append(out, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func within(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }

func roomOf(dir string) (string, []string) {
	best := ""
	for room := range rooms {
		if within(dir, room) && len(room) > len(best) {
			best = room
		}
	}
	return best, rooms[best]
}

func allowed(target string, may []string) bool {
	for _, m := range may {
		if within(target, m) {
			return true
		}
	}
	return false
}

// violations returns what in f breaks the rules.
func violations(f file) []string {
	room, may := roomOf(f.dir)
	if room == "" {
		return []string{f.name + ": the folder belongs to no room; add it to the table on purpose"}
	}
	testKit := strings.HasSuffix(f.dir, "test")
	var out []string
	for _, imp := range f.imports {
		if ours, ok := strings.CutPrefix(imp, module); ok {
			if !within(ours, f.dir) && !allowed(ours, may) && !testKit {
				out = append(out, f.name+": "+room+" may not import "+ours)
			}
			continue
		}
		for lib, rs := range owners {
			if within(imp, lib) && !allowed(f.dir, rs) {
				out = append(out, f.name+": only "+strings.Join(rs, ", ")+" may import "+lib)
			}
		}
		if within(f.dir, "fsm") && !testKit {
			for _, bad := range impure {
				if imp == bad {
					out = append(out, f.name+": fsm is pure and may not import "+bad)
				}
			}
		}
	}
	return out
}

func TestRooms(t *testing.T) {
	all := sources(t)
	if len(all) < 10 {
		t.Fatalf("found only %d source files", len(all))
	}
	for _, f := range all {
		for _, v := range violations(f) {
			t.Error(v)
		}
	}
}

// TestRulesCanFail plants one violation of each kind.
func TestRulesCanFail(t *testing.T) {
	for _, f := range []file{
		{dir: "vault", name: "vault/x.go", imports: []string{module + "cluster"}},
		{dir: "seal", name: "seal/x.go", imports: []string{module + "fsm"}},
		{dir: "vault/draw", name: "vault/draw/x.go", imports: []string{module + "fsm"}},
		{dir: "vault", name: "vault/x.go", imports: []string{"github.com/hashicorp/raft"}},
		{dir: "seal", name: "seal/x.go", imports: []string{"github.com/miekg/pkcs11"}},
		{dir: "fsm/audit", name: "fsm/audit/x.go", imports: []string{"math/rand/v2"}},
		{dir: "util", name: "util/x.go"},
	} {
		if len(violations(f)) != 1 {
			t.Errorf("%s importing %v: %d violations, want 1", f.name, f.imports, len(violations(f)))
		}
	}
}
