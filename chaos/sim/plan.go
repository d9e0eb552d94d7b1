package sim

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
)

// Plan is everything the seed decides before the run begins.
type Plan struct {
	Seed    uint64
	Shared  bool          // threshold keys too
	WAN     bool          // periods and latencies between continents, not of one machine
	Latency time.Duration // one way
	Length  time.Duration // of the time with faults
	Faults  []Event       // by time; two tracks, one on the network, one on the sites
}

// Event is one fault: it begins and, unless it is over at once, ends.
type Event struct {
	At, Lasts time.Duration
	Fault     Fault
	Sites     []int // whom it is about, in order; drawn even where the leader is meant
}

// String returns one line for the log of a run.
func (e Event) String() string {
	return fmt.Sprintf("%8s +%-6s %-14s %v", e.At.Round(time.Millisecond), e.Lasts.Round(time.Millisecond), e.Fault, e.Sites)
}

// String shows the whole plan.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s of faults, latency %s, wan %t\n", p.Seed, p.Length, p.Latency, p.WAN)
	for _, e := range p.Faults {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	return b.String()
}

// NewPlan draws a plan.
func NewPlan(seed uint64, length time.Duration) *Plan {
	rng := rand.New(rand.NewSource(int64(seed)))
	p := &Plan{Seed: seed, Length: length, Shared: true, WAN: rng.Intn(3) == 0, Latency: time.Millisecond}
	if p.WAN {
		p.Latency = time.Duration(20+rng.Intn(80)) * time.Millisecond
	}
	p.track(rng, networkFaults)
	p.track(rng, siteFaults)
	slices.SortStableFunc(p.Faults, func(a, b Event) int { return int(a.At - b.At) })
	return p
}

// track draws faults one after the other, with quiet times between them.
func (p *Plan) track(rng *rand.Rand, from []Fault) {
	for at := between(rng, time.Second, 6*time.Second); at < p.Length; {
		e := Event{At: at, Lasts: between(rng, 300*time.Millisecond, 12*time.Second), Fault: from[rng.Intn(len(from))], Sites: rng.Perm(sites)}
		e.Lasts = min(e.Lasts, p.Length-at)
		p.Faults = append(p.Faults, e)
		at += e.Lasts + between(rng, time.Second, 10*time.Second)
	}
}

// between draws a time, short ones more often.
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	x := rng.Float64()
	return low + time.Duration(x*x*float64(high-low))
}

// timing makes snapshots frequent, so that nodes left behind need them.
func (p *Plan) timing() cluster.Timing {
	t := cluster.Loopback()
	if p.WAN {
		t = cluster.WAN()
	}
	t.SnapshotInterval, t.SnapshotThreshold, t.TrailingLogs = 10*time.Second, 64, 32
	return t
}
