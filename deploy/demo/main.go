// Command demo runs the main job from end to end on one machine: four regions with
// four SoftHSM tokens are founded, pay with a 2-of-4 Bitcoin wallet, lose a region,
// go on, get it back, and have their audit log verified offline. Everything runs as an
// operator would run it: vaultd processes and vaultctl.
//
//	demo [--bin DIR] [--keep]   run; --keep leaves the regions running
//	demo stop                   end every demo that was left running
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tetrad-vault/tetrad/deploy/lab"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "stop" {
		exit(stopAll())
	}
	bin := flag.String("bin", "bin", "folder of vaultd and vaultctl")
	keep := flag.Bool("keep", os.Getenv("KEEP") == "1", "leave the regions running")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	exit(run(ctx, *bin, *keep))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

const (
	dirPattern = "tetrad-demo-"
	keepFile   = "keep"
	stopGrace  = 15 * time.Second
)

// demo is one run.
type demo struct {
	*lab.Lab
	began time.Time
	facts [][2]string // the summary
}

// run does the main job. The regions are stopped and their files removed whatever
// happens, unless they are to be kept; after a failure the files stay for reading.
func run(ctx context.Context, bin string, keep bool) (err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", dirPattern)
	if err != nil {
		return err
	}
	d := &demo{began: time.Now()}
	defer func() { err = d.end(dir, keep, err) }()
	d.step("four sites: directories, SoftHSM tokens, PINs, free ports")
	if d.Lab, err = lab.New(ctx, dir, bin); err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{d.found, d.start, d.wallet, d.pay, d.threshold, d.ten, d.lose, d.audit, d.canaries} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) end(dir string, keep bool, err error) error {
	if err == nil && keep {
		err = os.WriteFile(filepath.Join(dir, keepFile), nil, 0o600)
		d.summary()
		d.exports()
		return err
	}
	if d.Lab != nil {
		if serr := d.StopAll(stopGrace); serr != nil && err == nil {
			err = serr
		}
		d.Close()
	}
	if err != nil {
		return fmt.Errorf("%w\nlogs and files are in %s", err, dir)
	}
	d.summary()
	return os.RemoveAll(dir)
}

// step says what happens next, and when.
func (d *demo) step(format string, args ...any) {
	fmt.Printf("%6.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// detail is a line below a step.
func (d *demo) detail(format string, args ...any) {
	fmt.Printf("         %s\n", fmt.Sprintf(format, args...))
}

func (d *demo) fact(name, format string, args ...any) {
	d.facts = append(d.facts, [2]string{name, fmt.Sprintf(format, args...)})
}

func (d *demo) summary() {
	fmt.Println("\nsummary")
	for _, f := range d.facts {
		fmt.Printf("  %-22s %s\n", f[0], f[1])
	}
	fmt.Printf("  %-22s %.1f s\n", "whole demo", time.Since(d.began).Seconds())
}

func (d *demo) exports() {
	fmt.Println("\nfour regions are running; to talk to them:")
	for _, e := range d.As(lab.Admins[0]) {
		fmt.Printf("  export %s\n", e)
	}
	fmt.Printf("  alias vaultctl=%s\n  vaultctl status\n", filepath.Join(d.Bin, "vaultctl"))
	fmt.Printf("keys of the second administrator and the signing service: %s %s\nmake demo-stop ends them\n",
		d.KeyFile(lab.Admins[1]), d.KeyFile(service))
}

// stopAll ends every demo that was kept, by the pid files its regions left.
func stopAll() error {
	kept, err := filepath.Glob(filepath.Join(os.TempDir(), dirPattern+"*", keepFile))
	if err != nil {
		return err
	}
	var faults []error
	for _, k := range kept {
		dir := filepath.Dir(k)
		n, err := lab.StopLeft(dir, stopGrace)
		if err == nil {
			err = os.RemoveAll(dir)
		}
		faults = append(faults, err)
		fmt.Printf("%s: %d regions stopped\n", dir, n)
	}
	if len(kept) == 0 {
		fmt.Println("no demo is running")
	}
	return errors.Join(faults...)
}

func indent(text string) string {
	return "         " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n         ")
}
