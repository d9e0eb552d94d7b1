package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// app is one run of vaultctl.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	connect        func(ctx context.Context, addr string) (net.Conn, error) // nil: TCP

	output   string // "table" or "json"
	quiet    bool
	began    bool // a command's own code was reached: what fails now is not the command line
	color    bool
	width    int // of the terminal, 0: none
	profile  string
	address  []string
	keyFile  string
	genesis  string
	timeout  time.Duration
	lifetime time.Duration
	noAck    bool
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitStatus is the process's exit status for what run returned.
func exitStatus(err error) int {
	var u usageError
	if errors.As(err, &u) {
		return errs.ExitUsage
	}
	return errs.ExitCode(err)
}

// run executes one command line and reports its error on stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return (&app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv}).execute(ctx, args)
}

func (a *app) execute(ctx context.Context, args []string) error {
	a.terminal()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.began {
		err = usageError{err}
	}
	a.report(err)
	return err
}

// report tells the user what went wrong and what to do about it.
func (a *app) report(err error) {
	if err == nil {
		return
	}
	var u usageError
	usage := errors.As(err, &u)
	hint := errs.HintOf(err)
	if usage && hint == "" {
		hint = "vaultctl --help lists all commands, vaultctl COMMAND --help explains one"
	}
	if a.output == "json" {
		code := errs.CodeOf(err).String()
		if usage {
			code = "usage"
		}
		_ = json.NewEncoder(a.stderr).Encode(map[string]any{"error": map[string]any{
			"code": code, "message": err.Error(), "hint": hint, "exit": exitStatus(err)}})
		return
	}
	fmt.Fprintf(a.stderr, "%s %v\n", a.paint(red, "vaultctl:"), err)
	if hint != "" {
		fmt.Fprintf(a.stderr, "%s %s\n", a.paint(yellow, "hint:"), hint)
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{Use: "vaultctl", Short: "Operate, use and verify a Tetrad vault",
		Long: `Operate, use and verify a Tetrad vault.

Who you are is a key file (vaultctl keygen), whom you trust is the cluster's
genesis.json. Name them with --key-file and --genesis, with TETRAD_KEY_FILE and
TETRAD_GENESIS, or in a profile: $TETRAD_HOME/NAME.hcl (default ~/.config/tetrad).

Exit status: 0 ok, 1 failure, 2 usage, 3 sealed, 4 no leader or quorum, 5 denied,
6 outcome unknown (ask again), 7 verification failed, 8 carried out but not acknowledged:
a region may still act against it.`,
		SilenceUsage: true, SilenceErrors: true}
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", "table", "table or json")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress on standard error")
	f.StringVar(&a.profile, "profile", "", "profile to use (TETRAD_PROFILE, default \"default\")")
	f.StringSliceVar(&a.address, "address", nil, "API addresses of nodes (TETRAD_ADDRESS, default: all of the genesis)")
	f.StringVar(&a.keyFile, "key-file", "", "private key of the principal you are (TETRAD_KEY_FILE)")
	f.StringVar(&a.genesis, "genesis", "", "genesis.json of the cluster you trust (TETRAD_GENESIS)")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to wait for an answer")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.output != "table" && a.output != "json" {
			bad := a.output
			a.output = "table"
			return fmt.Errorf("--output %q: want table or json", bad)
		}
		a.color = a.color && a.output == "table"
		return nil
	}
	root.AddGroup(&cobra.Group{ID: "found", Title: "Founding a cluster:"}, &cobra.Group{ID: "use", Title: "Keys and signatures:"},
		&cobra.Group{ID: "run", Title: "Operating:"}, &cobra.Group{ID: "audit", Title: "Auditing:"})
	add := func(group string, cs ...*cobra.Command) {
		for _, c := range cs {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("found", a.initCmd(), a.keygenCmd())
	add("use", a.keyCmd(), a.recoverCmd(), a.signCmd(), a.requestCmd(), a.freezeCmd(), a.unfreezeCmd())
	add("run", a.statusCmd(), a.unsealCmd(), a.regionCmd(), a.clockCmd(), a.beaconCmd(), a.nonceCmd(), a.principalCmd(), a.tenantCmd(), a.configureCmd(), a.levelCmd(), a.approveCmd())
	add("audit", a.auditCmd())
	root.AddCommand(a.versionCmd())
	return root
}

// leaf is a command that does something. Its own errors are no longer about usage,
// unless it says so.
func (a *app) leaf(use, short, long string, args cobra.PositionalArgs, do func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: strings.TrimSpace(long), Args: args, DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.began = true
			return do(cmd.Context(), args)
		}}
}

// noArgs is for commands that take flags only.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments: %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// group is a command that only has commands.
func (a *app) group(use, short, long string, cs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Long: strings.TrimSpace(long),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return cmd.Help()
		}}
	g.AddCommand(cs...)
	return g
}

// progress says on stderr what takes its time.
func (a *app) progress(format string, args ...any) {
	if !a.quiet && a.output == "table" {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// need reports the first missing flag, given names and values in turns.
func need(pairs ...string) error {
	for p := range slices.Chunk(pairs, 2) {
		if p[1] == "" {
			return usagef("--%s is required", p[0])
		}
	}
	return nil
}
