package cluster_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"sync"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/race"
)

func large() command.Body {
	return &command.RequestSignature{Kind: command.KindMessage, Payload: bytes.Repeat([]byte{7}, command.MaxPayload)}
}

// TestFaultsLoseNothing cuts, kills, crashes and slows nodes at random, one fault at
// a time, and checks that histories never differ and what was acknowledged stays.
func TestFaultsLoseNothing(t *testing.T) {
	for seed := range int64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			if seed > 0 {
				race.Without(t)
			}
			simulate(t, clustertest.Options{Timing: quickSnapshots()}, func(t *testing.T, a *clustertest.Nodes) {
				storm(t, a, rand.New(rand.NewSource(seed)), 18)
			})
		})
	}
}

func storm(t *testing.T, a *clustertest.Nodes, rng *rand.Rand, faults int) {
	a.Net.SetLatency(5 * time.Millisecond)
	a.StartAll()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	acked := map[command.ID]uint64{}
	wg.Go(func() {
		for ctx.Err() == nil {
			cmd := a.Command()
			for _, n := range a.List {
				c := n.C // racy by nature: a node may stop meanwhile
				if c == nil || !c.IsLeader() {
					continue
				}
				one, stop := context.WithTimeout(ctx, 2*time.Second)
				if o, err := c.Propose(one, cmd); err == nil {
					mu.Lock()
					acked[cmd.ID] = o.Index
					mu.Unlock()
				}
				stop()
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	for range faults {
		n := a.List[rng.Intn(len(a.List))]
		span := time.Duration(rng.Intn(4000)) * time.Millisecond
		switch rng.Intn(4) {
		case 0:
			isolate(a, n)
			time.Sleep(span)
			a.Net.HealAll()
		case 1:
			for _, o := range a.List {
				a.Net.CutOneWay(n.Name, o.Name)
			}
			time.Sleep(span)
			a.Net.HealAll()
		case 2:
			n.Store.SetHook(func(string) error { time.Sleep(time.Duration(span) / 5); return nil })
			time.Sleep(span)
			n.Store.SetHook(nil)
		default:
			for _, o := range a.List {
				if o != n {
					a.Net.ResetLink(n.Name, o.Name)
				}
			}
		}
		time.Sleep(time.Duration(rng.Intn(3000)) * time.Millisecond)
		a.CheckHistory()
	}
	cancel()
	wg.Wait()
	for range 3 { // power cuts, with nobody proposing
		n := a.List[rng.Intn(len(a.List))]
		n.Crash()
		time.Sleep(2 * time.Second)
		n.Start()
		time.Sleep(2 * time.Second)
	}
	a.Propose()
	a.Agree(30 * time.Second)
	if len(acked) < faults {
		t.Errorf("only %d commands were acknowledged", len(acked))
	}
	for id, index := range acked {
		for _, n := range a.List {
			if at, ok := n.Machine.Seen(id); !ok || at != index {
				t.Fatalf("%s: acknowledged at %d, found %v at %d", n.Name, index, ok, at)
			}
		}
	}
	for _, n := range a.List {
		if n.Fatal() != nil {
			t.Errorf("%s gave up: %v", n.Name, n.Fatal())
		}
		honest(t, n)
	}
}

func TestIdleMinutes(t *testing.T) {
	race.Without(t)
	tm := cluster.WAN()
	tm.Commit = 500 * time.Millisecond
	simulate(t, clustertest.Options{Timing: tm}, func(t *testing.T, a *clustertest.Nodes) {
		a.Net.SetLatency(50 * time.Millisecond)
		a.StartAll()
		l := a.Leader()
		term := l.C.Stats().Term
		start := time.Now()
		time.Sleep(5 * time.Minute)
		if now := a.Leader(); now != l || now.C.Stats().Term != term {
			t.Errorf("leadership moved in idle minutes: %s, term %d to %d", now.Name, term, now.C.Stats().Term)
		}
		if n := l.C.Stats().LastIndex; n > 20 {
			t.Errorf("%d entries in idle minutes", n)
		}
		a.Propose()
		_ = start
	})
}

func TestTwoAndTwo(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose()
		for _, x := range a.List[:2] {
			for _, y := range a.List[2:] {
				a.Net.Cut(x.Name, y.Name)
			}
		}
		time.Sleep(30 * time.Second)
		for _, n := range a.List {
			if err := n.C.Ready(); errs.CodeOf(err) != errs.NotReady {
				t.Errorf("%s is ready in a half: %v", n.Name, err)
			}
		}
		a.Net.HealAll()
		a.Propose()
		a.Agree(5 * time.Second)
	})
}

// beacon records partials.
type beacon struct {
	region identity.RegionID
	mu     sync.Mutex
	evals  map[command.Meta]int
	got    map[command.Meta]map[identity.RegionID]string
}

func (b *beacon) Evaluate(m command.Meta) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.evals[m]++
	return []byte{byte(b.region), byte(m.Index)}, nil
}

func (b *beacon) Deliver(from identity.RegionID, m command.Meta, partial []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.got[m] == nil {
		b.got[m] = map[identity.RegionID]string{}
	}
	b.got[m][from] = string(partial)
}

// Partials ride on the replies of appends that open draws, and only on those.
func TestPartialsRideOnReplies(t *testing.T) {
	var mu sync.Mutex
	beacons := map[string]*beacon{}
	o := clustertest.Options{Tune: func(n *clustertest.Node, c *cluster.Config) {
		mu.Lock()
		defer mu.Unlock()
		beacons[n.Name] = &beacon{region: n.Region, evals: map[command.Meta]int{}, got: map[command.Meta]map[identity.RegionID]string{}}
		c.Beacon = beacons[n.Name]
	}}
	simulate(t, o, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		a.Propose() // opens no draw
		l := a.Leader()
		out, err := l.C.Propose(t.Context(), a.CommandOf(large()))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		chain, term, _ := cluster.Link(l.C, out.Index)
		meta := command.Meta{Index: out.Index, Term: term, Chain: chain}
		b := beacons[l.Name]
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.got) != 1 || len(b.got[meta]) != 4 {
			t.Fatalf("partials for %d entries, %d regions for the draw", len(b.got), len(b.got[meta]))
		}
		for region, p := range b.got[meta] {
			if p != string([]byte{byte(region), byte(meta.Index)}) {
				t.Errorf("region %d: partial %x", region, p)
			}
		}
	})
}

// A partial leaves a region only once the entry is on its disk.
func TestPartialWaitsForTheDisk(t *testing.T) {
	var mu sync.Mutex
	beacons := map[string]*beacon{}
	o := clustertest.Options{Tune: func(n *clustertest.Node, c *cluster.Config) {
		mu.Lock()
		defer mu.Unlock()
		beacons[n.Name] = &beacon{region: n.Region, evals: map[command.Meta]int{}, got: map[command.Meta]map[identity.RegionID]string{}}
		c.Beacon = beacons[n.Name]
	}}
	simulate(t, o, func(t *testing.T, a *clustertest.Nodes) {
		a.StartAll()
		l := a.Leader()
		slow := a.Followers(l)[0]
		slow.Store.SetHook(func(op string) error {
			if op == "log" {
				time.Sleep(500 * time.Millisecond)
			}
			return nil
		})
		if _, err := l.C.Propose(t.Context(), a.CommandOf(large())); err != nil {
			t.Fatal(err)
		}
		count := func() int {
			b := beacons[l.Name]
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, m := range b.got {
				return len(m)
			}
			return 0
		}
		time.Sleep(100 * time.Millisecond)
		if n := count(); n != 3 {
			t.Errorf("%d partials while one disk is busy", n)
		}
		time.Sleep(time.Second)
		if n := count(); n != 4 {
			t.Errorf("%d partials in the end", n)
		}
	})
}

// Commands that arrive while an entry commits share the next one.
func TestOneEntryInFlight(t *testing.T) {
	simulate(t, clustertest.Options{}, func(t *testing.T, a *clustertest.Nodes) {
		a.Net.SetLatency(10 * time.Millisecond)
		a.StartAll()
		l := a.Leader()
		var wg sync.WaitGroup
		for range 200 {
			cmd := a.Command()
			wg.Go(func() {
				if _, err := l.C.Propose(context.Background(), cmd); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(l.Machine.History()); n > 3 {
			t.Errorf("200 commands at once took %d entries", n)
		}
	})
}
