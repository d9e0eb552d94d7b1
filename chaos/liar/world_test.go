//go:build liar

package liar_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/chaos/sim"
	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/internal/node/nodetest"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

const (
	goesOnWithin = 10 * time.Second // of the first lie
	callWithin   = 8 * time.Second
	settleWithin = time.Minute
	workers      = 3
)

// world is a vault with one region that lies.
type world struct {
	*nodetest.Cluster
	t       *testing.T
	history *chaos.History
	ctx     context.Context

	liar    int // site
	honest  []int
	admin   *client.Client // of the honest sites
	service *identity.KeySigner
	key     client.KeyID
	limited client.KeyID // where the lie is about a limit

	pace time.Duration // between two requests of one signer

	told    atomic.Int64 // when the lie began, nanoseconds; 0: not yet
	thawed  atomic.Int64 // when the key was thawed, if nothing was answered before it was frozen
	first   atomic.Int64 // when the first request asked after that was answered
	after   atomic.Int64 // answers since
	quit    chan struct{}
	working sync.WaitGroup

	mu    sync.Mutex
	harm  map[string]bool // what must not be, seen while it was lied
	term  uint64          // when the lie began
	index uint64          // likewise
	size  uint64          // leaves of the audit then
	late  sync.Map        // site -> since when its clock lags
	open  sync.Map        // message -> since when its request is not answered
	worst atomic.Int64    // longest that one waited, nanoseconds
}

func region(site int) identity.RegionID { return identity.RegionID(site + 1) }

// found starts a vault with a tenant, a signing service and a key.
func found(t *testing.T, ctx context.Context, l *lie) *world {
	w := &world{Cluster: nodetest.New(t), t: t, ctx: ctx, quit: make(chan struct{}), harm: map[string]bool{}, liar: -1, pace: 200 * time.Millisecond, service: identity.GenerateEd25519()}
	if os.Getenv("LIAR_LOG") != "" {
		w.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	if l.joint {
		w.pace = 500 * time.Millisecond
	}
	if l.joint && l.stay > time.Minute {
		w.pace = 2 * time.Second
	}
	if l.marks > 0 {
		w.Timing.SnapshotThreshold, w.Timing.SnapshotInterval, w.Timing.TrailingLogs = l.marks, 10*time.Second, 4*l.marks
	}
	w.Net.SetLatency(time.Millisecond)
	w.history = &chaos.History{Genesis: w.Genesis, Value: sim.Beacon(t, w.Cluster)}
	w.Watch = func(i int, m cluster.Machine, view func() fsm.View) cluster.Machine { return &watched{m, w, i, view} }
	for i, s := range w.Sites {
		s.Device.Watch(func(m sealtest.Signature) {
			w.history.Record(chaos.Made{Region: region(i), Asked: m.Asked, Label: m.Label, Data: m.Data})
		})
		w.history.Record(chaos.Boot{Region: region(i), At: time.Now()})
	}
	w.Answered = func(i int, answer []byte) {
		w.history.Record(chaos.Answered{Region: region(i), At: time.Now(), Raw: answer})
	}
	w.StartAll(ctx)
	w.settle(ctx, l)
	return w
}

func (w *world) settle(ctx context.Context, l *lie) {
	admin := w.ClientAt("founder", w.Lab.Admins[0], 0, 1, 2, 3)
	defer admin.Close()
	for _, b := range []command.Body{
		&command.CreateTenant{Name: "desk"},
		&command.PutPrincipal{Name: "hot", Tenant: "desk", Key: w.service.Public(), Roles: command.RoleSigner},
	} {
		if _, err := w.Dual(ctx, admin, b); err != nil {
			w.t.Fatal(err)
		}
	}
	w.key = w.createKey(ctx, admin, "main")
	if l.joint {
		w.key = w.createJoint(ctx, admin)
	}
}

func (w *world) createKey(ctx context.Context, c *client.Client, name string) client.KeyID {
	cmd, err := c.Command(&command.CreateKey{Name: name, Tenant: "desk", Scheme: command.SchemeMultisig, Curve: command.P256, Signers: 2})
	if err != nil {
		w.t.Fatal(err)
	}
	k, err := c.CreateKey(ctx, cmd)
	if err != nil {
		w.t.Fatal(err)
	}
	return client.KeyID(k.Id)
}

// watched records what each region applies, and looks for what must not be.
type watched struct {
	cluster.Machine
	w    *world
	site int
	view func() fsm.View
}

func (m *watched) Apply(batch []fsm.Input) [][]fsm.Outcome {
	out := m.Machine.Apply(batch)
	m.record()
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
	m.w.history.Record(chaos.Applied{Region: region(m.site), At: time.Now(), Meta: v.Meta(), Size: f.Size(), Root: f.Root(), Digest: v.Digest()})
}

// choose makes the leader the liar, or a follower.
func (w *world) choose(follower bool) {
	leader := -1
	for leader < 0 {
		for i, s := range w.Sites {
			if s.Node != nil && s.Node.Leads() && s.Node.Ready() == nil {
				leader = i
			}
		}
		if leader < 0 {
			time.Sleep(100 * time.Millisecond)
		}
	}
	w.liar = leader
	if follower {
		w.liar = (leader + 1) % len(w.Sites)
	}
	w.honest = nil
	for i := range w.Sites {
		if i != w.liar {
			w.honest = append(w.honest, i)
		}
	}
	if w.admin != nil {
		_ = w.admin.Close()
	}
	w.admin = w.ClientAt("admin", w.Lab.Admins[0], w.honest...)
}

func (w *world) clusterOf(site int) *cluster.Cluster {
	if n := w.Sites[site].Node; n != nil {
		return n.Cluster()
	}
	return nil
}

// tell has the liar begin.
func (w *world) tell(name string) {
	for _, i := range w.honest {
		t, _ := w.clusterOf(i).Term()
		w.term = max(w.term, t)
	}
	view := w.Sites[w.honest[0]].Node.View()
	frontier := view.Frontier()
	w.index, w.size = view.Meta().Index, frontier.Size()
	for _, i := range w.honest { // quiet entries too: an earlier boot may have certified them
		w.index = max(w.index, w.clusterOf(i).Certified().Index)
	}
	w.told.Store(time.Now().UnixNano())
	liar.Tell(region(w.liar), liar.Lie{Name: name, Victim: region(w.honest[0]), Other: region(w.honest[1])})
}

// work asks for signatures all the time, at the honest regions.
func (w *world) work() {
	for i := range workers {
		c := w.ClientAt(fmt.Sprintf("signer-%d", i), w.service, append(slices.Clone(w.honest[i%3:]), w.honest[:i%3]...)...)
		w.working.Go(func() {
			defer c.Close()
			for n := 0; ; n++ {
				select {
				case <-w.quit:
					return
				case <-time.After(w.pace):
					w.sign(c, fmt.Sprintf("payment %d of %d", n, i))
				}
			}
		})
	}
}

// sign asks for one signature until there is an answer.
func (w *world) sign(c *client.Client, message string) {
	cmd, err := c.Command(client.NewSignMessage(w.key, client.HashSHA256, []byte(message), ""))
	if err != nil {
		return
	}
	began := time.Now().UnixNano()
	w.open.Store(message, time.Now())
	defer w.open.Delete(message)
	for {
		err := w.signOnce(c, cmd)
		if err == nil {
			if told := w.told.Load(); told > 0 && began >= told {
				w.first.CompareAndSwap(0, time.Now().UnixNano())
				w.after.Add(1)
			}
			return
		}
		if !unsure(err) {
			return
		}
		select {
		case <-w.quit:
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (w *world) signOnce(c *client.Client, cmd *command.Command) error {
	ctx, cancel := context.WithTimeout(w.ctx, callWithin)
	defer cancel()
	op := chaos.Op{Client: "signer", Kind: chaos.OpSign, Command: cmd, Call: time.Now()}
	r, err := c.Sign(ctx, cmd)
	op.Return, op.Err = time.Now(), err
	if err == nil && len(r.Results) == 0 {
		op.Err = errs.New(errs.BadState, "the request ended as %s", r.State)
	}
	for _, s := range r.GetResults() {
		op.Signed = append(op.Signed, chaos.SignatureSet{Region: identity.RegionID(s.Region), Signatures: s.Signatures})
	}
	op.Sums = r.GetSignatures()
	w.history.Record(op)
	return op.Err
}

func unsure(err error) bool {
	switch errs.CodeOf(err) {
	case errs.OutcomeUnknown, errs.Unavailable, errs.NoLeader, errs.NotLeader, errs.NotReady, errs.DeadlineExceeded,
		errs.Canceled, errs.Throttled, errs.Stale, errs.Sealed, errs.DiskFull, errs.Internal, errs.NoEligiblePair:
		return true
	}
	return false
}

// saw notes what must not be.
func (w *world) saw(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.harm) < 10 {
		w.harm[fmt.Sprintf(format, args...)] = true
	}
}

// look is the oracle beside the history: what must never be at an honest region, whatever
// the lie.
func (w *world) look() {
	applied := make([]uint64, 4)
	for _, i := range w.honest {
		if c := w.clusterOf(i); c != nil {
			applied[i] = c.Applied()
		}
	}
	for _, i := range w.honest {
		c, n := w.clusterOf(i), w.Sites[i].Node
		if c == nil {
			continue
		}
		w.holds(i, applied[i])
		if t, _ := c.Term(); w.told.Load() > 0 && t > w.term+10 {
			w.saw("the terms run away")
		}
		if ahead := time.Until(n.View().Clock()); ahead > time.Minute {
			w.saw("the committed clock of region %d is far ahead", region(i))
		}
		if ms := c.Members(); len(ms) != 4 && len(ms) != 0 {
			w.saw("region %d counts %d members, which nobody approved", region(i), len(ms))
		}
		for _, r := range c.LeftLeaders() {
			if r != region(w.liar) {
				w.saw("region %d left an honest leader, region %d", region(i), r)
			}
		}
		for _, r := range c.Convicted() {
			if r != region(w.liar) {
				w.saw("region %d is convicted at region %d, and honest", r, region(i))
			}
		}
	}
}

// holds wants what a region applied to be held by another honest one too: a certificate
// has two.
func (w *world) holds(site int, index uint64) {
	own, ok := w.clusterOf(site).Link(index)
	if !ok || index == 0 {
		return
	}
	for _, i := range w.honest {
		c := w.clusterOf(i)
		if i == site || c == nil {
			continue
		}
		if l, ok := c.Link(index); !ok && c.Applied() >= index || l == own {
			return
		}
	}
	w.saw("region %d applied entry %d, which no other honest region holds", region(site), index)
}

// sample looks every now and then until the lie is over.
func (w *world) sample(l *lie) {
	w.working.Go(func() {
		for {
			select {
			case <-w.quit:
				return
			case <-time.After(50 * time.Millisecond):
				w.look()
				w.waits(l)
				if l.watch != nil {
					l.watch(w)
				}
			}
		}
	})
}

// waits looks for requests, asked since the lie began, that nobody answers.
func (w *world) waits(l *lie) {
	told := w.told.Load()
	if told == 0 {
		return
	}
	w.open.Range(func(message, since any) bool {
		d := time.Since(later(since.(time.Time), time.Unix(0, told)))
		w.worst.Store(max(w.worst.Load(), int64(d)))
		if l.prompt && d > goesOnWithin {
			w.saw("a request is not answered within %s", goesOnWithin)
		}
		return true
	})
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// calm waits until the honest regions stand at one index with nothing open.
func (w *world) calm() error {
	for end := time.Now().Add(settleWithin); ; time.Sleep(200 * time.Millisecond) {
		if why := w.restless(); why == "" {
			return nil
		} else if time.Now().After(end) {
			return fmt.Errorf("the honest regions do not settle: %s", why)
		}
	}
}

func (w *world) restless() string {
	index := uint64(0)
	for _, i := range w.honest {
		n := w.Sites[i].Node
		if err := n.Ready(); err != nil {
			return fmt.Sprintf("region %d: %v", region(i), err)
		}
		v := n.View()
		if k := len(v.OpenRequests()); k > 0 {
			return fmt.Sprintf("region %d has %d open requests", region(i), k)
		}
		if index != 0 && v.Meta().Index != index {
			return fmt.Sprintf("region %d is at %d, another at %d", region(i), v.Meta().Index, index)
		}
		index = v.Meta().Index
	}
	return ""
}

// judge exports the honest regions' logs and has the checkers judge what was seen.
func (w *world) judge() (found []chaos.Violation) {
	for _, i := range w.honest {
		e, err := w.export(i)
		if err != nil {
			found = append(found, chaos.Violation{Text: fmt.Sprintf("region %d does not serve its audit log: %v", region(i), err)})
			continue
		}
		w.history.Record(e)
	}
	h := &chaos.History{Genesis: w.Genesis, Value: w.history.Value, Ops: w.history.Ops, Boots: w.history.Boots, Exports: w.history.Exports,
		Liar: region(w.liar), Opened: w.history.Opened, Answers: w.history.Answers}
	for _, a := range w.history.Applied { // of the liar's own state and HSM nobody asks
		if a.Region != region(w.liar) {
			h.Applied = append(h.Applied, a)
		}
	}
	for _, m := range w.history.Made {
		if m.Region != region(w.liar) {
			h.Made = append(h.Made, m)
		}
	}
	return append(found, chaos.Check(h)...)
}

func (w *world) export(site int) (chaos.Export, error) {
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	n := w.Sites[site].Node
	e := chaos.Export{Region: region(site), At: time.Now()}
	size := n.Leaves().Size()
	for uint64(len(e.Leaves)) < size {
		page, err := n.Leaves().Leaves(ctx, uint64(len(e.Leaves)), 256)
		if err != nil {
			return e, err
		}
		e.Leaves = append(e.Leaves, page...)
	}
	e.Leaves = e.Leaves[:size] // what comes meanwhile is not in the checkpoint
	var err error
	e.Checkpoint, err = n.Leaves().Checkpoint(ctx, size)
	return e, err
}
