//go:build liar

package liar_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
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
