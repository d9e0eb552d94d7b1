// Command vaultd is one region of a Tetrad cluster: it reads its configuration, opens
// its HSM and runs the node until it is told to stop. Everything else is vaultctl's.
//
//	vaultd --config FILE          run
//	vaultd check --config FILE    validate the configuration, touch nothing
//	vaultd version
//
// The log goes to standard error. Exit statuses are those of errs.ExitCode; 3 means that
// it was stopped while sealed, since the HSM had not opened. A wrong PIN is tried once a
// start, and a service manager must not restart on it: some tokens lock after a few.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/internal/config"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/version"
)

func main() {
	relax()
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	started := time.Now()
	var usage bool
	root := command(started, stdout, stderr, &usage)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	usage = true // until a command's own code runs, whatever fails is the command line
	err := root.ExecuteContext(ctx)
	if err == nil {
		return errs.ExitOK
	}
	fmt.Fprintf(stderr, "vaultd: %s: %v\n", errs.CodeOf(err), err)
	if hint := errs.HintOf(err); hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	if usage {
		return errs.ExitUsage
	}
	return errs.ExitCode(err)
}

func command(started time.Time, stdout, stderr io.Writer, usage *bool) *cobra.Command {
	var file string
	root := &cobra.Command{Use: "vaultd --config FILE", Short: "Run one region of a Tetrad cluster",
		SilenceUsage: true, SilenceErrors: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(file, usage)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, started, stderr)
		}}
	check := &cobra.Command{Use: "check --config FILE", Short: "Validate the configuration and touch nothing", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := load(file, usage)
			if err != nil {
				return err
			}
			if _, err := timing(cfg.Raft); err != nil {
				return err
			}
			_, err = fmt.Fprintf(stdout, "%s: the configuration of region %q is valid\n", file, cfg.Region)
			return err
		}}
	show := &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(stdout, "vaultd %s\n", version.Version)
			return err
		}}
	for _, c := range []*cobra.Command{root, check} {
		c.Flags().StringVar(&file, "config", "", "configuration file (docs/ops/configuration.md)")
	}
	root.AddCommand(check, show)
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

func load(file string, usage *bool) (*config.Config, error) {
	if file == "" {
		return nil, errs.New(errs.Invalid, "no configuration given").WithHint("vaultd --config FILE")
	}
	*usage = false
	return config.Load(file)
}
