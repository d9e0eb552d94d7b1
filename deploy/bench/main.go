// Command bench measures Tetrad the way its users meet it: four vaultd processes with a
// SoftHSM token each, set up by the real ceremony, clients over the real API, real
// fsync. It prints one table (docs/performance.md) and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tetrad-vault/tetrad/deploy/lab"
)

// options are the flags.
type options struct {
	bin      string
	duration time.Duration
	only     string
	grow     time.Duration
	kills    int
	keys     int
	profile  string
	keep     bool
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of vaultd and vaultctl")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "of each load")
	flag.StringVar(&o.only, "only", "", "comma-separated measurements, of: "+strings.Join(names(), ", ")+" (default all but many)")
	flag.DurationVar(&o.grow, "grow", time.Minute, "how long the log grows, for the cost of a signature as it does")
	flag.IntVar(&o.kills, "kills", 5, "how often the leader is killed")
	flag.IntVar(&o.keys, "keys", 10_000, "threshold keys that many makes")
	flag.StringVar(&o.profile, "profile", "", "folder to write profiles to: CPU of each region and of the client for each load, heaps where memory is measured")
	flag.BoolVar(&o.keep, "keep", false, "leave the directory, for its logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bounded(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bounded runs everything in a directory of its own and removes it.
func bounded(ctx context.Context, o options) (err error) {
	wanted, err := selected(o.only)
	if err != nil {
		return err
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tetrad-bench-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Println("in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	fmt.Println(machine())
	l, err := found(ctx, dir, o.bin)
	defer func() {
		if l == nil {
			return
		}
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		} else if err != nil {
			report(l)
		}
		if e := l.StopAll(20 * time.Second); err == nil {
			err = e
		}
	}()
	if err != nil {
		return err
	}
	b, err := prepare(ctx, l)
	if err != nil {
		return err
	}
	b.profiles = o.profile
	defer b.service.Close()
	defer b.admin.Close()
	for _, m := range wanted {
		if err := m.run(b, ctx, o); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// report prints the last lines of every region's log: the directory is about to go.
func report(l *lab.Lab) {
	for _, r := range l.Regions {
		text, err := os.ReadFile(r.Log())
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(os.Stderr, "--- %s\n%s\n", r.Name, strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
}

func selected(only string) (out []measurement, err error) {
	if only == "" {
		return slices.DeleteFunc(slices.Clone(measurements), func(m measurement) bool { return m.apart }), nil
	}
	for name := range strings.SplitSeq(only, ",") {
		found := false
		for _, m := range measurements {
			if m.name == name {
				out, found = append(out, m), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no measurement is called %q; there are %s", name, strings.Join(names(), ", "))
		}
	}
	return out, nil
}
