//go:build !liar

package liar_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/liar"
)

// TestOrdinaryBuildCannotLie builds vaultd as it is delivered and looks for what only the
// test build has: its files, its symbols, the names of its lies. The test build itself
// shows that they would be found.
func TestOrdinaryBuildCannotLie(t *testing.T) {
	for d := range liar.SameKey + 1 {
		if !liar.Defends(d) {
			t.Errorf("defence %d is off", d)
		}
	}
	const vaultd = "github.com/tetrad-vault/tetrad/cmd/vaultd"
	dir := t.TempDir()
	for _, b := range []struct {
		tags string
		lies bool
	}{{"", false}, {"liar", true}} {
		bin := filepath.Join(dir, "vaultd-"+b.tags)
		run(t, "go", "build", "-tags", b.tags, "-o", bin, vaultd)
		symbols := run(t, "go", "tool", "nm", bin)
		for _, s := range []string{"internal/liar.follow", "internal/liar.obey", "internal/clock.shift", "cluster.(*Cluster).equivocate", "internal/node.falsePeers", "internal/node.(*Node).grind"} {
			if strings.Contains(symbols, s) != b.lies {
				t.Errorf("tags %q: symbol %s: found %t", b.tags, s, !b.lies)
			}
		}
		files := run(t, "go", "list", "-deps", "-tags", b.tags, "-f", "{{.ImportPath}} {{.GoFiles}}", vaultd)
		if strings.Contains(files, "lies.go") != b.lies {
			t.Errorf("tags %q: lies.go among the files: %t", b.tags, !b.lies)
		}
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
