package node_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/node/nodetest"
)

// refusals counts the commands that found too few regions with nonces left.
type refusals struct {
	cluster.Machine
	dry *atomic.Int64
}

func (m *refusals) Apply(batch []fsm.Input) [][]fsm.Outcome {
	out := m.Machine.Apply(batch)
	for _, entry := range out {
		for _, o := range entry {
			if o.Code == errs.NoEligiblePair {
				m.dry.Add(1)
			}
		}
	}
	return out
}

// TestNoncesLastAcrossOceans asks for 1,200 threshold signatures a second over the wide
// area, for OCEAN_SECONDS (10) of simulated time, whether or not earlier ones are answered:
// no request may find the pools dry. The pools get three seconds to grow from rest.
func TestNoncesLastAcrossOceans(t *testing.T) {
	if os.Getenv("TETRAD_LONG") == "" {
		t.Skip("in the long form: TETRAD_LONG=1")
	}
	seconds := 10
	if n, err := strconv.Atoi(os.Getenv("OCEAN_SECONDS")); err == nil {
		seconds = n
	}
	synctest.Test(t, func(t *testing.T) { acrossOceans(t, seconds) })
}

func acrossOceans(t *testing.T, seconds int) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	c := nodetest.New(t)
	c.Timing = cluster.WAN()
	var dry atomic.Int64
	c.Watch = func(site int, m cluster.Machine, _ func() fsm.View) cluster.Machine {
		if site == 0 {
			return &refusals{m, &dry}
		}
		return m
	}
	defer time.Sleep(time.Minute) // gossip's last probes
	defer c.Close()
	c.StartAll(ctx)
	leader := slices.IndexFunc(c.Sites, func(s *nodetest.Site) bool { return s.Node.Leads() })
	at := func(site int) int { return (site - leader + 4) % 4 } // it leads from Virginia
	for i, a := range c.Sites {
		for j, b := range c.Sites {
			if i != j {
				c.Net.SetLinkLatency(a.Host(), b.Host(), roundTrip(at(i), at(j))/2)
			}
		}
	}
	desks := thresholdDesks(t, ctx, c, leader)
	l := &oceanLoad{desks: desks}
	for _, rate := range []int{200, 500, 900} {
		l.ask(ctx, t, rate, time.Second)
	}
	l.settle()
	l.took = nil
	grown := dry.Load()
	began := time.Now()
	l.ask(ctx, t, 1200, time.Duration(seconds)*time.Second)
	l.settle()
	elapsed := time.Since(began)
	for _, d := range desks {
		_ = d.Close()
	}
	slices.Sort(l.took)
	n := len(l.took)
	t.Logf("%d signatures asked for at 1,200/s, answered at %.0f/s; p50 %s, p99 %s; %d refusals (no_eligible_pair), %d while the pools grew",
		n, float64(n)/elapsed.Seconds(), l.took[n/2].Round(time.Millisecond), l.took[n*99/100].Round(time.Millisecond), dry.Load()-grown, grown)
	if n != 1200*seconds || dry.Load() != grown {
		t.Errorf("%d of %d answered, %d refusals", n, 1200*seconds, dry.Load()-grown)
	}
}

// oceanLoad asks at a steady rate, in bursts of ten milliseconds.
type oceanLoad struct {
	desks []desk
	next  int
	all   sync.WaitGroup

	mu   sync.Mutex
	took []time.Duration
}

func (l *oceanLoad) ask(ctx context.Context, t *testing.T, rate int, d time.Duration) {
	const burst = 10 * time.Millisecond
	tick := time.NewTicker(burst)
	defer tick.Stop()
	for range int(d / burst) {
		<-tick.C
		for range rate / int(time.Second/burst) {
			l.next++
			n := l.next
			l.all.Go(func() { l.one(ctx, t, n) })
		}
	}
}

func (l *oceanLoad) one(ctx context.Context, t *testing.T, n int) {
	d := l.desks[n%len(l.desks)]
	began := time.Now()
	cmd, err := d.Command(client.NewSignMessage(client.KeyID(d.key.Id), client.HashNone, fmt.Appendf(nil, "payment %d", n), ""))
	if err == nil {
		_, err = d.Sign(ctx, cmd)
	}
	if err != nil {
		t.Errorf("signature %d: %v", n, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, time.Since(began))
}

func (l *oceanLoad) settle() { l.all.Wait() }

// thresholdDesks makes a FROST Ed25519 key and four clients beside the leader.
func thresholdDesks(t *testing.T, ctx context.Context, c *nodetest.Cluster, leader int) (out []desk) {
	t.Helper()
	admin := c.Client(c.Lab.Admins[0])
	defer admin.Close()
	service := identity.GenerateEd25519()
	for _, body := range []command.Body{
		&command.CreateTenant{Name: "desk"},
		&command.PutPrincipal{Name: "hot", Tenant: "desk", Key: service.Public(), Roles: command.RoleSigner},
	} {
		if o, err := c.Dual(ctx, admin, body); err != nil || o.CodeName != "ok" {
			t.Fatalf("%s: %v %v", body.Type(), o, err)
		}
	}
	cmd, err := admin.Command(&command.CreateKey{Name: "main", Tenant: "desk", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2})
	if err != nil {
		t.Fatal(err)
	}
	key, err := admin.CreateKey(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		out = append(out, desk{c.ClientAt(c.Sites[leader].Host(), service, leader), key, service})
	}
	return out
}
