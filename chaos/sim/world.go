package sim

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/node"
	"github.com/tetrad-vault/tetrad/internal/node/nodetest"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

const sites = 4

// World is the vault under test with everything around it.
type World struct {
	*nodetest.Cluster
	History *chaos.History

	plan    *Plan
	began   time.Time
	keepers [sites]*keeper
	nodes   [sites]atomic.Pointer[node.Node] // nil while down
	mu      sync.Mutex                       // the sites' disks, which crashes replace
	done    sync.WaitGroup
	log     *slog.Logger
}

func newWorld(t testing.TB, p *Plan, o Options) *World {
	w := &World{Cluster: nodetest.New(t), plan: p, began: time.Now(), log: slog.New(slog.DiscardHandler)}
	if o.Log != nil {
		w.log = slog.New(slog.NewTextHandler(o.Log, &slog.HandlerOptions{Level: slog.LevelInfo}))
		w.Logger = w.log
	}
	w.Timing = p.timing()
	w.Net.SetLatency(p.Latency)
	w.History = &chaos.History{Seed: p.Seed, Genesis: w.Genesis, Value: Beacon(t, w.Cluster)}
	w.Watch = func(i int, m cluster.Machine, view func() fsm.View) cluster.Machine {
		if o.Machine != nil {
			m = o.Machine(i, m)
		}
		return &watched{Machine: m, w: w, site: i, view: view}
	}
	w.Answered = func(i int, answer []byte) {
		w.History.Record(chaos.Answered{Region: region(i), At: time.Now(), Raw: answer})
	}
	for i := range w.Sites {
		w.attend(i)
		w.keepers[i] = newKeeper(w, i)
	}
	return w
}

// attend notes what a site's HSM signs and opens.
func (w *World) attend(i int) {
	d := w.Sites[i].Device
	d.Watch(func(m sealtest.Signature) { w.made(i, m) })
	d.WatchOpened(func(label string) {
		w.History.Record(chaos.Opened{Region: region(i), At: time.Now(), Label: label})
	})
}

func region(site int) identity.RegionID { return identity.RegionID(site + 1) }

func (w *World) hosts() (out []string) {
	for _, s := range w.Sites {
		out = append(out, s.Host())
	}
	return out
}

// leader returns a site that believes to lead, or site 0.
func (w *World) leader() int {
	for i := range w.nodes {
		if n := w.nodes[i].Load(); n != nil && n.Leads() {
			return i
		}
	}
	return 0
}

func (w *World) made(site int, m sealtest.Signature) {
	w.History.Record(chaos.Made{Region: region(site), Asked: m.Asked, Label: m.Label, Data: m.Data})
}

// watched records what a region applies. Half of the regions apply entries one by one,
// whatever raft hands over at once: how they are batched must not matter.
type watched struct {
	cluster.Machine
	w    *World
	site int
	view func() fsm.View
}

const digestEvery = 4 // entries

func (m *watched) Apply(batch []fsm.Input) (out [][]fsm.Outcome) {
	if m.site%2 == 1 {
		out = m.Machine.Apply(batch)
		m.record()
		return out
	}
	for i := range batch {
		out = append(out, m.Machine.Apply(batch[i:i+1])...)
		m.record()
	}
	return out
}

func (m *watched) Restore(r io.Reader) error {
	err := m.Machine.Restore(r)
	if err == nil {
		m.record()
	}
	return err
}

func (m *watched) record() {
	v := m.view()
	f := v.Frontier()
	a := chaos.Applied{Region: region(m.site), At: time.Now(), Meta: v.Meta(), Size: f.Size(), Root: f.Root()}
	if a.Meta.Index%digestEvery == 0 {
		a.Digest = v.Digest()
	}
	m.w.History.Record(a)
}

// crash ends a node's process.
func (w *World) crash(site int, how func(int)) {
	w.nodes[site].Store(nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	how(site)
}

// close stops everything; nothing of the run is left behind.
func (w *World) close() {
	for _, k := range w.keepers {
		close(k.orders)
	}
	w.done.Wait()
	w.Close()
}

// await polls until ok, at most for a time.
func await(ctx context.Context, within time.Duration, ok func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(200 * time.Millisecond):
		}
	}
	return true
}
