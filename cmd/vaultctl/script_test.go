package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/seal/pkcs11"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vaultctl": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: filepath.Join("testdata", "script"), RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TETRAD_HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "sites": sites, "grab": grab, "kit": kit, "escrowed": escrowed}})
}

// exits STATUS COMMAND... runs a command that must end with this status.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var e *exec.ExitError
	if errors.As(err, &e) {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// grab FILE NAME sets $NAME to what follows NAME in a line of FILE.
func grab(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if v, ok := strings.CutPrefix(line, strings.ReplaceAll(args[1], "_", " ")); ok {
			ts.Setenv(strings.ToUpper(args[1]), strings.TrimSpace(v))
			return
		}
	}
	ts.Fatalf("no %q in %s", args[1], args[0])
}

// sites NAME... sets up a SoftHSM token and a vaultd configuration for each region:
// NAME.hcl, beside a shared SOFTHSM2_CONF. Skips where SoftHSM is not installed.
func sites(ts *testscript.TestScript, _ bool, names []string) {
	module, err := pkcs11.SoftHSM()
	if err != nil {
		ts.Logf("skipped: %v", err)
		ts.Setenv("SKIP", "1")
		return
	}
	ts.Check(os.MkdirAll(ts.MkAbs("tokens"), 0o700))
	conf := ts.MkAbs("softhsm2.conf")
	ts.Check(os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", ts.MkAbs("tokens")), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("pin"), []byte("1234\n"), 0o600))
	ts.Setenv("SOFTHSM2_CONF", conf)
	for i, n := range names {
		ts.Check(ts.Exec("softhsm2-util", "--init-token", "--free", "--label", n, "--so-pin", "1234", "--pin", "1234"))
		cfg := fmt.Sprintf("region = %q\ndata_dir = %q\nhsm {\n  module = %q\n  token_label = %q\n  pin_file = \"pin\"\n}\n"+
			"listen {\n  raft = \"127.0.0.1:%d\"\n  api = \"127.0.0.1:%d\"\n  gossip = \"127.0.0.1:%d\"\n}\n",
			n, "data-"+n, module, n, 7000+10*i+1, 7000+10*i+2, 7000+10*i+3)
		ts.Check(os.WriteFile(ts.MkAbs(n+".hcl"), []byte(cfg), 0o600))
	}
}

// kit writes the genesis of a vault of software regions, the keys of its administrators,
// and evidence that its third region signed two entries for one place.
func kit(ts *testscript.TestScript, _ bool, _ []string) {
	k := fsmtest.New()
	text, err := k.Genesis.MarshalFile()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("genesis.json"), text, 0o600))
	for i, name := range []string{"alice.key", "bob.key"} {
		der, err := x509.MarshalPKCS8PrivateKey(k.Admins[i].Private())
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	}
	e, err := rivals(k, 3, 2)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("gamma.evidence"), e.Encode(), 0o600))
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{{nil, 0}, {usagef("x"), 2}, {usageError{errs.New(errs.Denied, "x")}, 2}, {errs.New(errs.Sealed, "x"), 3}, {errs.New(errs.NoLeader, "x"), 4},
		{errs.New(errs.Denied, "x"), 5}, {errs.New(errs.OutcomeUnknown, "x"), 6}, {errs.New(errs.Unverified, "x"), 7}, {errors.New("x"), 1}} {
		if got := exitStatus(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

// TestEveryCommand: each has a help text and no flags clash.
func TestEveryCommand(t *testing.T) {
	a := &app{getenv: func(string) string { return "" }}
	seen := 0
	help := func(path []string) {
		var out, errOut bytes.Buffer
		if err := run(context.Background(), append(path, "--help"), strings.NewReader(""), &out, &errOut); err != nil {
			t.Errorf("%v --help: %v", path, err)
		}
		if !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%v has no usage", path)
		}
		seen++
	}
	root := a.root()
	queue := [][]string{{}}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		help(path)
		cmd, _, err := root.Find(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, sub := range cmd.Commands() {
			if sub.Short == "" {
				t.Errorf("%s has no short text", sub.CommandPath())
			}
			queue = append(queue, append(append([]string{}, path...), sub.Name()))
		}
	}
	if seen < 40 {
		t.Errorf("only %d commands found", seen)
	}
}

func TestTableFits(t *testing.T) {
	tab := &table{head: []string{"NAME", "NOTE"}}
	tab.add("short", strings.Repeat("x", 300))
	for _, width := range []int{0, 40, 80} {
		a := &app{width: width}
		var b bytes.Buffer
		a.table(&b, tab)
		for line := range strings.Lines(b.String()) {
			n := len([]rune(strings.TrimRight(line, "\n")))
			if width > 0 && n > width {
				t.Errorf("width %d: line of %d", width, n)
			}
			if width == 0 && strings.Contains(line, "…") {
				t.Error("cut although nobody watches")
			}
		}
	}
	a := &app{color: true}
	if got := a.state("sealed"); !strings.Contains(got, "\x1b[") {
		t.Errorf("no colour: %q", got)
	}
	a.color = false
	if got := a.state("sealed"); got != "sealed" {
		t.Errorf("colour: %q", got)
	}
}
