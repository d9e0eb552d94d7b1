package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

// figures are what one load measured.
type figures struct {
	done      int
	failed    int
	took      time.Duration
	latencies []time.Duration
	cpu       time.Duration // all four regions and the clients
	client    time.Duration // of it, the clients' own
	leader    time.Duration // of it, the leader's
	entries   uint64        // of the log
	others    float64       // share of the machine that others used meanwhile
	lastErr   error
}

// add joins the figures of a load that followed.
func (f *figures) add(w *figures) {
	both := f.took + w.took
	f.others = (f.others*f.took.Seconds() + w.others*w.took.Seconds()) / both.Seconds()
	f.took = both
	f.done += w.done
	f.failed += w.failed
	f.cpu += w.cpu
	f.client += w.client
	f.leader += w.leader
	f.entries += w.entries
	f.latencies = append(f.latencies, w.latencies...)
	slices.Sort(f.latencies)
	if w.lastErr != nil {
		f.lastErr = w.lastErr
	}
}

func (f *figures) percentile(p float64) time.Duration {
	if len(f.latencies) == 0 {
		return 0
	}
	return f.latencies[min(int(p*float64(len(f.latencies))), len(f.latencies)-1)]
}

func (f *figures) rate() float64 { return float64(f.done) / f.took.Seconds() }

// String is one line for people: rate, latencies, and CPU a signature, since machines
// are shared and a rate alone says little.
func (f *figures) String() string {
	s := fmt.Sprintf("%7.0f /s   p50 %6.2f ms   p99 %7.2f ms   CPU %5.0f us a signature (leader %.0f, client %.0f)   %.1f an entry   %d signatures   others used %.0f%%",
		f.rate(), ms(f.percentile(0.5)), ms(f.percentile(0.99)), us(f.cpu, f.done), us(f.leader, f.done), us(f.client, f.done),
		float64(f.done)/float64(max(f.entries, 1)), f.done, 100*f.others)
	if f.failed > 0 {
		s += fmt.Sprintf("   %d failed: %v", f.failed, f.lastErr)
	}
	return s
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func us(d time.Duration, n int) float64 {
	if n == 0 {
		return 0
	}
	return float64(d.Microseconds()) / float64(n)
}

// run signs with key from workers at once for the duration; each worker asks for its
// next signature when it has the last.
func run(ctx context.Context, b *bench, key *client.Key, workers int, duration time.Duration) *figures {
	hash := client.HashSHA256
	if key.Curve == tetradv1.Curve_CURVE_ED25519 {
		hash = client.HashNone
	}
	var (
		mu    sync.Mutex
		total figures
		group sync.WaitGroup
	)
	c, index, leader := b.service, applied(ctx, b.service), b.leader(ctx)
	before, self, all := cpu(b.lab), ownCPU(), processors()
	start := time.Now()
	for range workers {
		group.Go(func() {
			mine := worker(ctx, c, client.KeyID(key.Id), hash, start.Add(duration))
			mu.Lock()
			defer mu.Unlock()
			total.done += mine.done
			total.failed += mine.failed
			total.latencies = append(total.latencies, mine.latencies...)
			if mine.lastErr != nil {
				total.lastErr = mine.lastErr
			}
		})
	}
	group.Wait()
	total.took = time.Since(start)
	total.client = ownCPU() - self
	after := cpu(b.lab)
	if leader >= 0 {
		total.leader = after[leader] - before[leader]
	}
	total.cpu = sum(after) - sum(before) + total.client
	total.others = processors().others(all, total.cpu)
	total.entries = applied(ctx, c) - index
	slices.Sort(total.latencies)
	return &total
}

// commandLifetime keeps what every region must remember of finished requests small.
const commandLifetime = 30 * time.Second

func worker(ctx context.Context, c *client.Client, key client.KeyID, hash client.Hash, until time.Time) (f figures) {
	for time.Now().Before(until) && ctx.Err() == nil {
		message := make([]byte, 300)
		_, _ = rand.Read(message)
		message[0] = 'm' // what may pass for a payment no key signs as a message
		begin := time.Now()
		if err := signOnce(ctx, c, client.NewSignMessage(key, hash, message, "")); err != nil {
			f.failed++
			f.lastErr = err
			continue
		}
		f.done++
		f.latencies = append(f.latencies, time.Since(begin))
	}
	return f
}

func signOnce(ctx context.Context, c *client.Client, body *command.RequestSignature) error {
	var id command.ID
	_, _ = rand.Read(id[:])
	cmd, err := c.CommandWith(body, id, time.Now().Add(commandLifetime))
	if err != nil {
		return err
	}
	r, err := c.Sign(ctx, cmd)
	if err != nil {
		return err
	}
	if len(r.Results) != 2 {
		return fmt.Errorf("%d regions signed, want 2", len(r.Results))
	}
	return nil
}

// applied is how far a region has applied the log; 0 if it does not say.
func applied(ctx context.Context, c *client.Client) uint64 {
	status, err := c.Status(ctx)
	if err != nil {
		return 0
	}
	return status.AppliedIndex
}
