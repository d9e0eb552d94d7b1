package sim

import (
	"context"
	"log/slog"
	"math/rand"
	"time"

	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/internal/node"
)

// keeper is a site's supervisor, as systemd is: it starts the node, starts it again when
// it ends itself, and does to it what the schedule orders.
type keeper struct {
	w      *World
	site   int
	orders chan order
	fallen chan fall
	up     bool // wanted

	life  int
	leave context.CancelFunc // ends the watch over the present life
}

// fall is a node's own end.
type fall struct {
	life int
	err  error
}

type order uint8

const (
	orderUp order = iota
	orderKill
	orderPowerOff
	orderStop
)

const restartPause = time.Second

func newKeeper(w *World, site int) *keeper {
	k := &keeper{w: w, site: site, leave: func() {}, orders: make(chan order, 64), fallen: make(chan fall)}
	w.done.Go(k.run)
	return k
}

func (k *keeper) run() {
	rng := rand.New(rand.NewSource(int64(k.w.plan.Seed) + int64(k.site)))
	var retry <-chan time.Time
	for {
		if k.up && k.w.nodes[k.site].Load() == nil && retry == nil && !k.start() {
			retry = time.After(restartPause)
		}
		select {
		case o, ok := <-k.orders:
			if !ok {
				k.leave()
				k.w.nodes[k.site].Store(nil)
				return
			}
			k.obey(o, rng)
		case f := <-k.fallen:
			if f.life == k.life && k.w.nodes[k.site].Swap(nil) != nil {
				k.w.log.Warn("chaos: node ended itself", slog.Int("site", k.site), slog.Any("error", f.err))
				k.leave()
				k.w.crash(k.site, k.w.Kill)
				retry = time.After(restartPause)
			}
		case <-retry:
			retry = nil
		}
	}
}

func (k *keeper) start() bool {
	k.w.History.Record(chaos.Boot{Region: region(k.site), At: time.Now()})
	if err := k.w.Start(k.site); err != nil {
		k.w.log.Warn("chaos: node does not start", slog.Int("site", k.site), slog.Any("error", err))
		return false
	}
	n := k.w.Sites[k.site].Node
	k.w.nodes[k.site].Store(n)
	k.watch(n)
	return true
}

// watch tells the keeper when the node ends itself.
func (k *keeper) watch(n *node.Node) {
	ctx, cancel := context.WithCancel(context.Background())
	k.life++
	k.leave = cancel
	life := k.life
	k.w.done.Go(func() {
		if err := n.Wait(ctx); err != nil {
			select {
			case k.fallen <- fall{life, err}:
			case <-ctx.Done():
			}
		}
	})
}

func (k *keeper) obey(o order, rng *rand.Rand) {
	k.up = o == orderUp
	if k.up || k.w.nodes[k.site].Swap(nil) == nil {
		return
	}
	k.leave()
	switch o {
	case orderKill:
		k.w.crash(k.site, k.w.Kill)
	case orderPowerOff:
		k.w.crash(k.site, func(i int) { k.w.PowerOff(i, rng) })
	case orderStop:
		k.w.Stop(k.site)
	}
}
