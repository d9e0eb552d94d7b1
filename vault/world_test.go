package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/race"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// poolAtRest is how many nonces a region of these worlds keeps: with the race detector they
// cost more than all else.
const poolAtRest = 64

func TestMain(m *testing.M) {
	race.OneProcessor()
	goleak.VerifyTestMain(m)
}

// world is four vaults over four machines, joined by a log of one sequencer: what is
// proposed at once becomes one entry, every living region applies the same entries.
type world struct {
	t       testing.TB
	kit     *fsmtest.Kit
	admin   [2]*identity.KeySigner
	client  *identity.KeySigner
	nodes   map[identity.RegionID]*node
	queue   chan proposal
	stopped chan struct{}
	stop    context.CancelFunc
	level   uint32 // of the release that starts next

	mu      sync.Mutex
	leader  identity.RegionID
	meta    command.Meta
	log     []fsm.Input
	results []fsm.Result // as the first living region saw them

	withhold func(c *command.Command) bool                       // keeps a command out of the log
	tamper   func(from, to identity.RegionID, m *message)        // on the wire between regions
	lied     map[[32]byte]bool                                   // hashes of wrong answers, by spoil
	cut      map[[2]identity.RegionID]bool                       // directed
	partials func(from identity.RegionID) bool                   // false: not on append replies
	forged   func(meta command.Meta) (identity.RegionID, []byte) // on append replies
	ahead    time.Duration                                       // of stamps, as a lying leader puts them
	sent     map[string]int                                      // messages by kind

	uncovered bool // no entry has a proof

	sharings *sharings                                                    // of threshold keys
	twins    []*node                                                      // copies of regions, which the others know nothing of
	rewrite  func(from identity.RegionID, body command.Body) command.Body // what a region files; nil keeps it out of the log
	way      time.Duration                                                // a message takes between two regions
	keys     int                                                          // threshold keys made
	signs    int                                                          // requests made beside something else
}

// message is a call between regions on its way; answer is nil on the way there.
type message struct {
	ctx      context.Context
	kind     string
	question []byte
	answer   []byte
	err      error
}

type proposal struct {
	c     *command.Command
	reply chan fsm.Outcome
}

// node is one region: process, replica, disk and HSM.
type node struct {
	*world
	id      identity.RegionID
	machine *fsm.Machine
	token   *token
	epochs  *epochs
	opened  map[uint32]*box.Key // wrapping keys, for tests to look into boxes
	disk    *durabletest.Disk
	vault   *vault.Vault
	session *identity.Session
	random  io.Reader // nil: crypto/rand

	shareless bool // its share of the genesis is gone

	mu      sync.Mutex
	down    bool
	paused  bool // applies nothing
	lag     int  // entries it is behind the others
	unready error
	lease   func() error // nil: holds one
	leaves  error
	news    chan struct{} // closed when something was applied
	cancel  context.CancelFunc
	ended   chan struct{}
}

var dealt = sync.OnceValues(func() ([]draw.Share, draw.PublicKey) {
	const n, t = 4, 3
	session := []byte("test")
	var dealings []*draw.Dealing
	var shares [][][32]byte
	for r := uint8(1); r <= n; r++ {
		d, s, err := draw.NewDealing(rand.Reader, session, r, n, t)
		if err != nil {
			panic(err)
		}
		dealings, shares = append(dealings, d), append(shares, s)
	}
	var out []draw.Share
	var pub draw.PublicKey
	for r := uint8(1); r <= n; r++ {
		mine := make([][32]byte, n)
		for i := range mine {
			mine[i] = shares[i][r-1]
		}
		share, p, err := draw.Finish(session, r, n, t, dealings, mine)
		if err != nil {
			panic(err)
		}
		out, pub = append(out, share), p
	}
	return out, pub
})

func beaconKey() genesis.Beacon {
	_, pub := dealt()
	b := genesis.Beacon{Threshold: uint8(pub.Threshold), Public: pub.Group}
	for _, s := range pub.Shares {
		b.Shares = append(b.Shares, s[:])
	}
	return b
}

// simulate runs a test over a world in a bubble of fake time.
func simulate(t *testing.T, body func(t *testing.T, w *world)) {
	t.Helper()
	dealt() // outside the bubble: shared by all tests
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.setUp()
		body(t, w)
	})
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, kit: fsmtest.New(fsmtest.WithBeacon(beaconKey()), fsmtest.At(time.Now())),
		nodes: map[identity.RegionID]*node{}, queue: make(chan proposal, 4096), stopped: make(chan struct{}),
		leader: 1, cut: map[[2]identity.RegionID]bool{}, sent: map[string]int{}, sharings: newSharings(), lied: map[[32]byte]bool{}}
	w.meta = command.Meta{Term: 1, Chain: w.kit.Genesis.Document.Hash()}
	w.admin = [2]*identity.KeySigner{w.kit.Admins[0], w.kit.Admins[1]}
	verifier := fsm.NewVerifier(1 << 16)
	for _, r := range w.kit.Regions {
		n := &node{world: w, id: r.ID, token: newToken(), epochs: newEpochs(w.kit.Cluster(), r.ID),
			opened: map[uint32]*box.Key{}, disk: durabletest.New(), session: r.Session, news: make(chan struct{})}
		m, err := fsm.New(w.kit.Genesis, fsm.Options{Verify: verifier.Verify})
		w.ok(err)
		n.machine = m
		w.nodes[r.ID] = n
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	go w.sequence(ctx)
	for _, n := range w.all() {
		n.start()
	}
	w.nodes[1].vault.SetLeader(true)
	return w
}

// set changes the world's hooks while it runs.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) count(kind string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[kind]
}

func (w *world) slowHSMs(by time.Duration) {
	for _, n := range w.all() {
		n.token.set(func(t *token) { t.delay = by })
	}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", errs.CodeOf(err), err)
	}
}

func (w *world) all() (out []*node) {
	for id := identity.RegionID(1); id <= 4; id++ {
		out = append(out, w.nodes[id])
	}
	return out
}

// start boots a region's process on what its disk and HSM hold.
func (n *node) start() {
	v, err := n.open()
	n.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	n.mu.Lock()
	n.vault, n.cancel, n.ended, n.down = v, cancel, ended, false
	n.mu.Unlock()
	go func() {
		defer close(ended)
		_ = v.Run(ctx)
	}()
}

// open makes the region's vault on what its disk holds.
func (n *node) open() (*vault.Vault, error) {
	logger := slog.New(slog.DiscardHandler)
	if os.Getenv("VAULT_TEST_LOG") != "" {
		logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With(slog.Int("at", int(n.id)))
	}
	shares, _ := dealt()
	share := shares[n.id-1]
	if n.shareless {
		share = draw.Share{}
	}
	return vault.New(vault.Config{
		Region: n.id, Identity: n.kit.Region(n.id).Identity, Session: n.session,
		Curves: []command.Curve{command.Secp256k1, command.P256, command.Ed25519}, Share: share, Level: n.level,
		Proposer: n, Replica: n, Token: n.token, Nonces: poolAtRest, Wraps: n.epochs, Peers: peers{n}, Leaves: leaves{n}, FS: n.disk, Sealer: sealer{}, Covers: n, Escrow: n.escrow,
		Attributes: func(a []byte) error {
			if string(a) == goodAttributes {
				return nil
			}
			return seal.AttributesOK(a, seal.Profile{})
		},
		Timing: vault.Timing{Tick: time.Hour}, Logger: logger, Random: n.random})
}

// kill ends the process at once: what it wrote stays, what it holds in memory does not.
func (n *node) kill() {
	n.mu.Lock()
	n.down = true
	n.mu.Unlock()
	n.cancel()
	<-n.ended
	n.disk = n.disk.Kill()
}

// restart boots a killed region with a new session, after it caught up.
func (n *node) restart() {
	n.kit.NewSession(n.kit.Region(n.id), time.Now())
	n.session = n.kit.Region(n.id).Session
	n.start()
	n.catchUp()
}

func (w *world) lead(id identity.RegionID) {
	w.mu.Lock()
	old := w.leader
	w.leader = id
	w.meta.Term++
	w.mu.Unlock()
	if old != 0 && !w.nodes[old].isDown() {
		w.nodes[old].vault.SetLeader(false)
	}
	if id != 0 {
		w.nodes[id].vault.SetLeader(true)
	}
}

func (w *world) close() {
	for _, n := range slices.Concat(w.all(), w.copies()) {
		if !n.isDown() {
			n.kill()
		}
	}
	w.stop()
	<-w.stopped
}

// sequence is the log: everything proposed since the last entry becomes the next one.
func (w *world) sequence(ctx context.Context) {
	defer close(w.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-w.queue:
			w.mu.Lock()
			way := w.way
			w.mu.Unlock()
			time.Sleep(time.Millisecond + 3*way) // an fsync, in which others may propose; to a quorum, back, and the news of it
			batch := []proposal{p}
			for more := true; more && len(batch) < 512; {
				select {
				case q := <-w.queue:
					batch = append(batch, q)
				default:
					more = false
				}
			}
			w.commit(batch)
		}
	}
}

func (w *world) commit(batch []proposal) {
	w.mu.Lock()
	e := &command.Entry{Stamp: time.Now().Add(w.ahead).Truncate(time.Millisecond)}
	w.mu.Unlock()
	for _, p := range batch {
		e.Commands = append(e.Commands, p.c)
	}
	w.mu.Lock()
	w.meta.Index++
	h := sha256.New()
	h.Write(w.meta.Chain[:])
	_ = binary.Write(h, binary.BigEndian, w.meta.Index)
	h.Write(e.Encode())
	w.meta.Chain = [32]byte(h.Sum(nil))
	in := fsm.Input{Meta: w.meta, Entry: e}
	w.log = append(w.log, in)
	leader, partials, forged := w.leader, w.partials, w.forged
	w.mu.Unlock()
	if opensDraws(e) && leader != 0 {
		if forged != nil {
			from, p := forged(in.Meta)
			w.nodes[leader].vault.Deliver(from, in.Meta, p)
		}
		for _, n := range w.all() {
			if n.isDown() || partials != nil && !partials(n.id) {
				continue
			}
			if p, err := n.vault.Evaluate(in.Meta); err == nil {
				w.nodes[leader].vault.Deliver(n.id, in.Meta, p)
			}
		}
	}
	var outcomes []fsm.Outcome
	for _, n := range w.all() {
		if r := n.catchUp(); len(r) > 0 && outcomes == nil {
			last := r[len(r)-1]
			outcomes = last.Outcomes
			w.mu.Lock()
			w.results = append(w.results, r...)
			w.mu.Unlock()
		}
	}
	for _, n := range w.copies() {
		n.catchUp()
	}
	if outcomes == nil && leader == 0 {
		panic("nobody applied the entry")
	}
	for i, p := range batch {
		if outcomes != nil {
			p.reply <- outcomes[i]
		}
	}
}

func opensDraws(e *command.Entry) bool {
	return slices.ContainsFunc(e.Commands, func(c *command.Command) bool {
		return c.Type == command.TypeRequestSignature || c.Type == command.TypeOpenAttempt
	})
}

// catchUp applies what the log holds and the region has not applied yet.
func (n *node) catchUp() []fsm.Result {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down || n.paused || n.vault == nil {
		return nil
	}
	n.world.mu.Lock()
	missing := slices.Clone(n.log[n.machine.View().Meta().Index:])
	missing = missing[:max(len(missing)-n.lag, 0)]
	n.world.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	results := n.machine.Apply(missing)
	for _, r := range results {
		n.world.given(n.machine.View(), r.Opened)
	}
	n.vault.Applied(results)
	close(n.news)
	n.news = make(chan struct{})
	return results
}

func (n *node) isDown() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// The region's replica.

func (n *node) View() fsm.View { return n.machine.View() }

func (n *node) Ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.unready
}

func (n *node) Lease() error {
	n.mu.Lock()
	lease := n.lease
	n.mu.Unlock()
	if lease == nil {
		return nil
	}
	return lease()
}

// Cover names the entry and who proves it.
func (n *node) Cover(index uint64) ([]byte, error) {
	n.world.mu.Lock()
	uncovered := n.uncovered
	n.world.mu.Unlock()
	if uncovered {
		return nil, errs.New(errs.NotFound, "entry %d is not certified", index)
	}
	return fmt.Appendf(nil, "entry %d by %d", index, n.id), nil
}

func (n *node) WaitApplied(ctx context.Context, index uint64) error {
	for {
		n.mu.Lock()
		news := n.news
		n.mu.Unlock()
		if n.machine.View().Meta().Index >= index {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Propose takes a command to the leader, from whichever region.
func (n *node) Propose(ctx context.Context, c *command.Command) (fsm.Outcome, error) {
	w := n.world
	w.mu.Lock()
	leader, withhold, rewrite, way := w.leader, w.withhold, w.rewrite, w.way
	w.mu.Unlock()
	if leader != n.id {
		time.Sleep(way)
	}
	if leader == 0 || w.nodes[leader].isDown() || w.isCut(n.id, leader) || n.isDown() {
		return fsm.Outcome{}, errs.New(errs.NoLeader, "no leader")
	}
	if rewrite != nil {
		c = n.rewritten(c, rewrite)
	}
	p := proposal{c, make(chan fsm.Outcome, 1)}
	if c != nil && (withhold == nil || !withhold(c)) {
		w.queue <- p
	}
	select {
	case o := <-p.reply:
		return o, nil
	case <-ctx.Done():
		return fsm.Outcome{}, errs.Wrap(errs.OutcomeUnknown, ctx.Err(), "command")
	}
}

// rewritten is what gets into the log of a region's command; nil for nothing.
func (n *node) rewritten(c *command.Command, rewrite func(identity.RegionID, command.Body) command.Body) *command.Command {
	body, err := c.Body()
	n.ok(err)
	switch b := rewrite(n.id, body); b {
	case nil:
		return nil
	case body:
		return c
	default:
		return n.command(b, time.Minute, n.session)
	}
}

// restore gives the region another's state in place of its own, as a snapshot does.
func (n *node) restore(from *node) {
	var b bytes.Buffer
	_, err := from.machine.Snapshot().WriteTo(&b)
	n.ok(err)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ok(n.machine.Restore(&b))
}

func (n *node) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

// setUp waits for the sessions and makes a tenant with a signing service.
func (w *world) setUp() {
	w.eventually("sessions registered", func() bool {
		for _, r := range w.nodes[1].View().Regions() {
			if len(r.Sessions) == 0 || !r.Healthy {
				return false
			}
		}
		return true
	})
	w.must(w.dual(&command.CreateTenant{Name: "acme"}))
	w.client = w.kit.Signer("service")
	w.must(w.dual(&command.PutPrincipal{Name: "service", Tenant: "acme", Key: w.client.Public(), Roles: command.RoleSigner}))
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("still not so: %s", what)
		}
	}
}

func (w *world) command(body command.Body, life time.Duration, author identity.Signer, more ...identity.Signer) *command.Command {
	return w.kit.Command(body, time.Now().Add(life), author, more...)
}

func (w *world) dual(body command.Body) *command.Command {
	return w.command(body, time.Minute, w.admin[0], w.admin[1])
}

func (w *world) leading() *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[w.leader]
}

func (w *world) must(c *command.Command) fsm.Outcome {
	w.t.Helper()
	out, err := w.leading().vault.Submit(context.Background(), c)
	w.ok(err)
	if out.Err() != nil {
		w.t.Fatalf("%s: %s: %s", c.Type, out.Code, out.Text)
	}
	return out
}

// key makes a key and waits until every region confirmed it.
func (w *world) key(curve command.Curve, signers uint8) *fsm.Key {
	w.t.Helper()
	id := w.must(w.dual(&command.CreateKey{Name: fmt.Sprintf("key-%s-%d", curve, signers), Tenant: "acme",
		Scheme: command.SchemeMultisig, Curve: curve, Signers: signers, AllowBlind: true})).Key
	w.eventually("key active", func() bool {
		k, ok := w.nodes[1].View().Key(id)
		return ok && k.State == fsm.KeyActive
	})
	k, _ := w.nodes[1].View().Key(id)
	return k
}

// request is a signed request for one message.
func (w *world) request(k *fsm.Key, message string) *command.Command {
	hash := command.HashSHA256
	if k.Curve == command.Ed25519 {
		hash = command.HashNone
	}
	return w.command(&command.RequestSignature{Key: k.ID, Kind: command.KindMessage, Hash: hash, Payload: []byte(message)}, 5*time.Minute, w.client)
}

func (w *world) sign(c *command.Command) *fsm.Request {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := w.leading().vault.Sign(ctx, c)
	w.ok(err)
	return req
}

// row waits until a request is final in a region's state and returns it.
func (w *world) row(at identity.RegionID, id command.RequestID) *fsm.Request {
	w.t.Helper()
	w.eventually("request final", func() bool {
		r, ok := w.nodes[at].View().Request(id)
		return ok && r.State != fsm.RequestOpen
	})
	r, _ := w.nodes[at].View().Request(id)
	return r
}
