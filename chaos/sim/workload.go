package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/chaos"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const (
	signers    = 3
	callWithin = 8 * time.Second // of one call; the same command is sent again after it
	readWithin = 2 * time.Second
	tenant     = "desk"
	askedAgain = 30 // acknowledged requests, after all

	limitRequests = 3 // of the limited key
	limitWindow   = 10 * time.Second
)

// workload is the people and services that use the vault while it is ill-treated: signing
// services, two administrators who add tenants, freeze, unfreeze and make keys, and a
// reader at each region.
type workload struct {
	w     *World
	local bool
	idle  bool // administrators

	admin   *client.Client
	signers []*client.Client
	readers []*client.Client
	working sync.WaitGroup
	quit    chan struct{}

	mu   sync.Mutex
	keys []*key
	sent []*command.Command // signature requests of which an answer is owed
	kept []*command.Command // acknowledged, to be asked for again
}

type key struct {
	id        command.KeyID
	curve     command.Curve
	threshold bool
	wallet    *intent.Taproot // of a threshold key on secp256k1
}

func newWorkload(ctx context.Context, w *World, o Options) (*workload, error) {
	l := &workload{w: w, local: o.LocalReads, idle: o.NoAdmin, quit: make(chan struct{}), admin: w.ClientAt("admin", w.Lab.Admins[0], 0, 1, 2, 3)}
	auditor := identity.GenerateEd25519()
	for i := range w.Sites {
		l.readers = append(l.readers, w.ClientAt(fmt.Sprintf("reader-%d", i), auditor, i))
	}
	bodies := []command.Body{
		&command.CreateTenant{Name: tenant},
		&command.PutPrincipal{Name: "auditor", Key: auditor.Public(), Roles: command.RoleAuditor},
	}
	for i := range signers {
		service := identity.GenerateEd25519()
		order := rand.New(rand.NewSource(int64(w.plan.Seed) + int64(i))).Perm(sites)
		l.signers = append(l.signers, w.ClientAt(fmt.Sprintf("signer-%d", i), service, order...))
		bodies = append(bodies, &command.PutPrincipal{Name: fmt.Sprintf("signer-%d", i), Tenant: tenant, Key: service.Public(), Roles: command.RoleSigner})
	}
	for _, b := range bodies {
		if _, err := l.submit(ctx, b); err != nil {
			return l, err
		}
	}
	for i, c := range []command.Curve{command.P256, command.Ed25519} {
		if err := l.createKey(ctx, fmt.Sprintf("key-%d", i), command.SchemeMultisig, c); err != nil {
			return l, err
		}
	}
	for i, c := range []command.Curve{command.Secp256k1, command.Ed25519} {
		if !w.plan.Shared {
			break
		}
		if err := l.createKey(ctx, fmt.Sprintf("shared-%d", i), command.SchemeThreshold, c); err != nil {
			return l, err
		}
	}
	return l, l.limitKey(ctx)
}

// limitKey makes a key with a limit that the workload reaches all the time.
func (l *workload) limitKey(ctx context.Context) error {
	if err := l.createKey(ctx, "limited", command.SchemeMultisig, command.P256); err != nil {
		return err
	}
	_, err := l.submit(ctx, &command.LimitKey{Key: l.keys[len(l.keys)-1].id, Requests: limitRequests, Window: limitWindow})
	return err
}

func (l *workload) close() {
	for _, c := range append(append([]*client.Client{l.admin}, l.signers...), l.readers...) {
		_ = c.Close()
	}
}

// start sets everybody to work; stop lets everybody finish the call at hand.
func (l *workload) start(ctx context.Context) {
	for i := range l.signers {
		l.loop(ctx, 100+i, 200*time.Millisecond, 1500*time.Millisecond, func(rng *rand.Rand, n int) { l.sign(ctx, i, n, rng) })
	}
	for i := range l.readers {
		l.loop(ctx, 200+i, 300*time.Millisecond, 1200*time.Millisecond, func(*rand.Rand, int) { l.read(ctx, i) })
	}
	if l.idle {
		return
	}
	if l.w.plan.Shared {
		l.loop(ctx, 301, time.Second, 20*time.Second, func(rng *rand.Rand, _ int) { l.refresh(ctx, rng) })
		l.loop(ctx, 302, 5*time.Second, 40*time.Second, func(rng *rand.Rand, _ int) { l.refreshBeacon(ctx, rng) })
	}
	l.loop(ctx, 300, 500*time.Millisecond, 6*time.Second, func(rng *rand.Rand, n int) { l.administer(ctx, rng, n) })
}

func (l *workload) stop() {
	close(l.quit)
	l.working.Wait()
}

func (l *workload) loop(ctx context.Context, seed int, low, high time.Duration, do func(rng *rand.Rand, n int)) {
	rng := rand.New(rand.NewSource(int64(l.w.plan.Seed)<<16 + int64(seed)))
	l.working.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-l.quit:
				return
			case <-time.After(between(rng, low, high)):
				do(rng, n)
			}
		}
	})
}

// unsure reports whether the same command should be sent again.
func unsure(err error) bool {
	switch errs.CodeOf(err) {
	case errs.OutcomeUnknown, errs.Unavailable, errs.NoLeader, errs.NotLeader, errs.NotReady, errs.DeadlineExceeded,
		errs.Canceled, errs.Throttled, errs.Stale, errs.Sealed, errs.DiskFull, errs.Internal:
		return true
	}
	return false
}

// sign asks for one signature until there is an answer or the faults are over; what is
// still open then is asked for again after healing.
func (l *workload) sign(ctx context.Context, who, n int, rng *rand.Rand) {
	l.mu.Lock()
	k := l.keys[rng.Intn(len(l.keys))]
	l.mu.Unlock()
	cmd, err := l.signers[who].Command(k.payload(fmt.Appendf(nil, "payment %d of signer %d, seed %d", n, who, l.w.plan.Seed), rng))
	if err != nil {
		return
	}
	for try := 0; ; try++ {
		err := l.signOnce(ctx, who, cmd)
		if !unsure(err) {
			if err == nil {
				l.remember(&l.kept, cmd)
			}
			return
		}
		select {
		case <-l.quit:
			l.remember(&l.sent, cmd)
			return
		case <-time.After(between(rng, 50*time.Millisecond, time.Second)):
		}
	}
}

func (l *workload) remember(list *[]*command.Command, c *command.Command) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*list = append(*list, c)
}

func (l *workload) signOnce(ctx context.Context, who int, cmd *command.Command) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	op := chaos.Op{Client: fmt.Sprintf("signer-%d", who), Kind: chaos.OpSign, Command: cmd, Call: time.Now()}
	r, err := l.signers[who].Sign(ctx, cmd)
	op.Return, op.Err = time.Now(), err
	if err == nil && len(r.Results) == 0 {
		op.Err = errs.New(errs.BadState, "the request ended as %s", r.State)
	}
	for _, s := range r.GetResults() {
		op.Signed = append(op.Signed, chaos.SignatureSet{Region: identity.RegionID(s.Region), Signatures: s.Signatures})
	}
	op.Sums = r.GetSignatures()
	l.w.History.Record(op)
	return op.Err
}

// read asks one region for the tenants.
func (l *workload) read(ctx context.Context, site int) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	op := chaos.Op{Client: fmt.Sprintf("reader-%d", site), Kind: chaos.OpRead, Region: region(site), Call: time.Now()}
	op.Tenants, op.Err = l.readers[site].Tenants(ctx)
	if n := l.w.nodes[site].Load(); l.local && n != nil {
		op.Tenants, op.Err = n.View().Tenants(), nil
	}
	op.Return = time.Now()
	slices.Sort(op.Tenants)
	l.w.History.Record(op)
}

// administer does one of an administrator's deeds.
func (l *workload) administer(ctx context.Context, rng *rand.Rand, n int) {
	l.mu.Lock()
	k := l.keys[rng.Intn(len(l.keys))]
	l.mu.Unlock()
	switch rng.Intn(8) {
	case 0:
		_ = l.createKey(ctx, fmt.Sprintf("spare-%d", n), command.SchemeMultisig, []command.Curve{command.P256, command.Ed25519}[rng.Intn(2)])
	case 1, 2:
		if _, err := l.submit(ctx, &command.FreezeKey{Key: k.id, Reason: "drill"}); err != nil {
			return
		}
		select {
		case <-time.After(between(rng, time.Second, 5*time.Second)):
		case <-l.quit:
		}
		_, _ = l.submit(ctx, &command.UnfreezeKey{Key: k.id, Reason: "drill over"})
	case 3:
		l.freezeChild(ctx, rng)
	default:
		_, _ = l.submit(ctx, &command.CreateTenant{Name: fmt.Sprintf("tenant-%d", n)})
	}
}

// submit sends a body signed by both administrators until there is an answer or the
// workload ends.
func (l *workload) submit(ctx context.Context, body command.Body) (*client.Outcome, error) {
	return l.submitWhile(ctx, body, unsure)
}

// submitWhile is submit as long as the error is one to send the same command again for.
func (l *workload) submitWhile(ctx context.Context, body command.Body, again func(error) bool) (*client.Outcome, error) {
	cmd, err := l.admin.Command(body)
	if err == nil {
		err = cmd.Sign(ctx, l.w.Genesis.Document.Cluster, l.w.Lab.Admins[1])
	}
	if err != nil {
		return nil, err
	}
	for {
		o, err := l.submitOnce(ctx, cmd, body)
		if !again(err) {
			return o, err
		}
		select {
		case <-l.quit:
			return nil, err
		case <-ctx.Done():
			return nil, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (l *workload) submitOnce(ctx context.Context, cmd *command.Command, body command.Body) (*client.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	op := chaos.Op{Client: "admin", Kind: chaos.OpSubmit, Command: cmd, Call: time.Now()}
	if t, ok := body.(*command.CreateTenant); ok {
		op.Adds = t.Name
	}
	o, err := l.admin.Submit(ctx, cmd)
	op.Return, op.Err, op.Index = time.Now(), err, o.GetIndex()
	l.w.History.Record(op)
	return o, err
}

func (l *workload) createKey(ctx context.Context, name string, scheme command.Scheme, c command.Curve) error {
	o, err := l.submit(ctx, &command.CreateKey{Name: name, Tenant: tenant, Scheme: scheme, Curve: c, Signers: 2})
	if err != nil {
		return err
	}
	k := &key{curve: c, threshold: scheme == command.SchemeThreshold}
	copy(k.id[:], o.KeyId)
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if row, err := l.admin.AwaitKey(ctx, k.id); err != nil || row.State != tetradv1.KeyState_KEY_STATE_ACTIVE {
		return errs.New(errs.BadState, "key %s is %s: %v", name, row.GetState(), err)
	}
	if row := l.w.row(k.id); k.threshold && c == command.Secp256k1 && row != nil {
		k.wallet, _ = row.Info().Taproot() // without, it signs no payments
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys = append(l.keys, k)
	return nil
}

// finish works on the healed vault: a new tenant, keys thawed, a new signature with every
// key, and an answer to everything that was asked before.
func (l *workload) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	l.quit = make(chan struct{})
	if _, err := l.submit(ctx, &command.CreateTenant{Name: "after"}); err != nil {
		return fmt.Errorf("a new tenant: %w", err)
	}
	for _, k := range l.keys {
		if _, err := l.submit(ctx, &command.UnfreezeKey{Key: k.id, Reason: "all over"}); err != nil && errs.CodeOf(err) != errs.BadState {
			return fmt.Errorf("thawing key %s: %w", k.id, err)
		}
		if err := l.thawChildren(ctx, k); err != nil {
			return err
		}
		if err := l.signAnew(ctx, k); err != nil {
			return fmt.Errorf("a signature with key %s: %w", k.id, err)
		}
	}
	for _, c := range append(l.sent, l.kept[max(0, len(l.kept)-askedAgain):]...) {
		if err := l.insist(ctx, c); unsure(err) {
			return fmt.Errorf("the answer to %s: %w", c.ID, err)
		}
	}
	for site := range l.readers {
		l.read(ctx, site)
	}
	return nil
}

// signAnew wants a new signature, with new requests while regions still count as ill or
// the key has no room.
func (l *workload) signAnew(ctx context.Context, k *key) error {
	rng := rand.New(rand.NewSource(int64(l.w.plan.Seed)))
	for n := 0; ; n++ {
		cmd, err := l.signers[0].Command(k.payload(fmt.Appendf(nil, "payment after all %d", n), rng))
		if err == nil {
			err = l.insist(ctx, cmd)
		}
		if c := errs.CodeOf(err); c != errs.NoEligiblePair && c != errs.OverLimit || ctx.Err() != nil {
			return err
		}
		time.Sleep(time.Second)
	}
}

// insist sends a signature request until there is an answer or ctx ends.
func (l *workload) insist(ctx context.Context, cmd *command.Command) error {
	who := slices.IndexFunc(l.signers, func(c *client.Client) bool { return c.Fingerprint() == cmd.Principal })
	for {
		err := l.signOnce(ctx, who, cmd)
		if !unsure(err) || ctx.Err() != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// export reads a region's whole audit log, until it is complete there.
func (l *workload) export(ctx context.Context, site int) (e chaos.Export, err error) {
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	for {
		if e, err = l.exportOnce(ctx, site); err == nil || ctx.Err() != nil {
			return e, err
		}
		l.w.log.Warn("chaos: export", slog.Int("site", site), slog.Any("error", err))
		time.Sleep(time.Second)
	}
}

func (l *workload) exportOnce(ctx context.Context, site int) (chaos.Export, error) {
	e := chaos.Export{Region: region(site), At: time.Now()}
	n := l.w.nodes[site].Load()
	if n == nil {
		return e, errs.New(errs.Unavailable, "site %d is down", site)
	}
	size := n.Leaves().Size()
	for uint64(len(e.Leaves)) < size {
		page, err := n.Leaves().Leaves(ctx, uint64(len(e.Leaves)), 256)
		if err != nil {
			return e, err
		}
		e.Leaves = append(e.Leaves, page...)
	}
	var err error
	e.Checkpoint, err = n.Leaves().Checkpoint(ctx, size)
	return e, err
}
