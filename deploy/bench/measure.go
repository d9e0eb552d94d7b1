package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/deploy/lab"
)

// measurement is one part of the table. Later ones find the lab as earlier ones left it.
type measurement struct {
	name  string
	run   func(b *bench, ctx context.Context, o options) error
	apart bool // only when asked for by name: it takes long
}

var measurements = []measurement{
	{name: "start", run: (*bench).starts},
	{name: "idle", run: (*bench).idle},
	{name: "one", run: (*bench).one},
	{name: "p256", run: (*bench).p256},
	{name: "curves", run: (*bench).curves},
	{name: "frost", run: (*bench).frost},
	{name: "grow", run: (*bench).grow},
	{name: "memory", run: (*bench).memory},
	{name: "restart", run: (*bench).restart},
	{name: "failover", run: (*bench).failover},
	{name: "many", run: (*bench).manyKeys, apart: true},
}

func names() (out []string) {
	for _, m := range measurements {
		out = append(out, m.name)
	}
	return out
}

func row(name, format string, args ...any) {
	fmt.Printf("%-34s %s\n", name, fmt.Sprintf(format, args...))
}

// warm makes connections, HSM sessions and caches before anything is timed.
func (b *bench) warm(ctx context.Context, key *client.Key) {
	run(ctx, b, key, 8, 500*time.Millisecond)
}

func (b *bench) load(ctx context.Context, name string, workers int, d time.Duration) (*figures, error) {
	key := b.keys[name]
	b.warm(ctx, key)
	title := fmt.Sprintf("%s, %d at once", name, workers)
	defer b.profile(ctx, title, d)()
	f := &figures{}
	var quietest *figures
	for range max(1, int(d/window)) {
		w := run(ctx, b, key, workers, min(d, window))
		if w.done == 0 {
			return f, fmt.Errorf("no signature in %s: %w", window, w.lastErr)
		}
		if quietest == nil || w.others < quietest.others {
			quietest = w
		}
		f.add(w)
	}
	row(title, "%s", f)
	if quietest.took < f.took {
		row("  the quietest of it", "%s", quietest)
	}
	return f, nil
}

// window is how long a load runs at a time. Machines are shared: the window in which
// others used least of it says more about the software than the sum does.
const window = 2 * time.Second

// idle shows what of the cost at light load is there without any.
func (b *bench) idle(ctx context.Context, o options) error {
	defer b.profile(ctx, "idle", o.duration)()
	index, before := applied(ctx, b.service), sum(cpu(b.lab))
	select {
	case <-time.After(o.duration):
	case <-ctx.Done():
	}
	row("nobody signs", "CPU %.1f ms a second over all regions, %.1f entries a second",
		ms(sum(cpu(b.lab))-before)/o.duration.Seconds(), float64(applied(ctx, b.service)-index)/o.duration.Seconds())
	return nil
}

func (b *bench) one(ctx context.Context, o options) error {
	_, err := b.load(ctx, "P-256", 1, o.duration)
	return err
}

const many = 64

func (b *bench) p256(ctx context.Context, o options) error {
	_, err := b.load(ctx, "P-256", many, o.duration)
	return err
}

// curves compares the slower curves with what the HSM alone can do on this machine.
func (b *bench) curves(ctx context.Context, o options) error {
	if err := b.hsm(ctx, o.duration/5); err != nil {
		return err
	}
	for _, name := range []string{"secp256k1", "Ed25519"} {
		if _, err := b.load(ctx, name, many, o.duration); err != nil {
			return err
		}
	}
	return nil
}

// grow signs for long and shows what a signature costs as the log grows.
func (b *bench) grow(ctx context.Context, o options) error {
	const steps = 4
	key := b.keys["P-256"]
	for range steps {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f := run(ctx, b, key, many, o.grow/steps)
		cp, err := b.admin.AuditCheckpoint(ctx)
		if err != nil {
			return err
		}
		row(fmt.Sprintf("P-256, to %d leaves", cp.Size), "%s", f)
	}
	return nil
}

// restart stops one region in order and starts it again over what the loads have left.
func (b *bench) restart(ctx context.Context, o options) error {
	r := b.lab.Regions[len(b.lab.Regions)-1]
	if err := r.Stop(20 * time.Second); err != nil {
		return err
	}
	if err := b.lab.Start(r); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if err := r.AwaitReady(wait); err != nil {
		return err
	}
	return b.started(r, fmt.Sprintf("over a log of %d entries", applied(ctx, b.service)))
}

// starts reads from the regions' own logs how long each took to its key and to ready.
func (b *bench) starts(context.Context, options) error {
	for _, r := range b.lab.Regions {
		if err := b.started(r, "four at once"); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) started(r *lab.Region, how string) error {
	open, err := logged(r, "root key open")
	if err != nil {
		return err
	}
	ready, err := logged(r, "ready to sign")
	if err != nil {
		return err
	}
	row("start of "+r.Name, "root key open after %.0f ms, ready to sign after %.0f ms (%s)", ms(open), ms(ready), how)
	return nil
}

var after = regexp.MustCompile(`after=(\S+)`)

func logged(r *lab.Region, what string) (time.Duration, error) {
	for line := range strings.SplitSeq(r.Said(), "\n") {
		if strings.Contains(line, what) {
			if m := after.FindStringSubmatch(line); m != nil {
				return time.ParseDuration(m[1])
			}
		}
	}
	return 0, fmt.Errorf("region %s has not logged %q", r.Name, what)
}

func (b *bench) memory(ctx context.Context, _ options) error {
	for _, r := range b.lab.Regions {
		u, err := r.Usage()
		if err != nil {
			return err
		}
		row("resident memory of "+r.Name, "%.0f MiB, of it %.0f of mapped files", float64(u.RSS)/(1<<20), float64(u.Mapped)/(1<<20))
	}
	return b.heaps(ctx)
}

// failover kills the leader and waits for the next signature, from clients that talk
// to the others.
func (b *bench) failover(ctx context.Context, o options) error {
	var took []time.Duration
	for range o.kills {
		d, err := b.killLeader(ctx)
		if err != nil {
			return err
		}
		took = append(took, d)
	}
	slices.Sort(took)
	row("leader killed to next signature", "median %.0f ms, longest %.0f ms of %d", ms(took[len(took)/2]), ms(took[len(took)-1]), len(took))
	return nil
}

func (b *bench) killLeader(ctx context.Context) (time.Duration, error) {
	i := b.leader(ctx)
	if i < 0 {
		return 0, fmt.Errorf("no leader is known")
	}
	leader := b.lab.Regions[i]
	addresses := slices.DeleteFunc(b.lab.Addresses(), func(a string) bool { return a == leader.API })
	others, err := b.lab.Client(b.signer, addresses...)
	if err != nil {
		return 0, err
	}
	defer others.Close()
	b2 := *b
	b2.service = others
	b2.warm(ctx, b.keys["P-256"])
	leader.Kill()
	took, err := b.nextSignature(ctx, others)
	if err != nil {
		return 0, err
	}
	if err := b.lab.Start(leader); err != nil {
		return 0, err
	}
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := leader.AwaitReady(wait); err != nil {
		return 0, err
	}
	return took, nil
}

// leader is the place among the lab's regions of the one that leads; -1 if none is known.
func (b *bench) leader(ctx context.Context) int {
	status, err := b.service.Status(ctx)
	if err != nil || int(status.Leader) > len(b.lab.Regions) {
		return -1
	}
	return int(status.Leader) - 1
}

func (b *bench) nextSignature(ctx context.Context, c *client.Client) (time.Duration, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	message := []byte(begin.String())
	err := signOnce(ctx, c, client.NewSignMessage(client.KeyID(b.keys["P-256"].Id), client.HashSHA256, message, ""))
	return time.Since(begin), err
}
