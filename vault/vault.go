package vault

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Vault is one region's part in the use cases: coordinator while it leads, co-signer
// always.
type Vault struct {
	cfg        Config
	stats      counters
	waiting    *waiting
	beacon     *beacon
	answers    *answers
	signer     *cosigner
	witness    *witness
	leader     *coordinator
	keys       *keymaker
	wraps      *wraps
	shares     *shares
	dealer     *dealer
	escrower   *escrower
	keeper     *keeper
	statements *statements
	refunds    *refunds
	nonces     *nonces
	sums       *sums
	places     places
}

// New checks the configuration and reads back the answers already given. The beacon share is
// copied; the caller's copy is the caller's to wipe.
func New(cfg Config) (*Vault, error) {
	defer cfg.Share.Wipe()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	v := &Vault{cfg: cfg, waiting: newWaiting(), sums: newSums()}
	var err error
	if v.cfg.stop, err = openOverlay(&v.cfg); err != nil {
		return nil, err
	}
	if v.answers, err = openAnswers(&v.cfg); err != nil {
		return nil, err
	}
	a := &author{&v.cfg}
	keys := newKeyring()
	v.statements = &statements{cfg: &v.cfg, author: a, pending: map[command.RequestID]*released{}}
	v.keeper = &keeper{cfg: &v.cfg, author: a, answers: v.answers, filing: v.statements, wake: newBell()}
	v.keeper.applied.Store(time.Now().UnixNano())
	v.keys = &keymaker{cfg: &v.cfg, author: a, notice: newNotices()}
	v.wraps = newWraps(&v.cfg, a)
	v.shares = newShares(&v.cfg, v.wraps)
	if v.beacon, err = newBeacon(&v.cfg, v.shares); err != nil {
		return nil, err
	}
	v.nonces = newNonces(&v.cfg, a, &v.stats, v.beacon)
	v.dealer = newDealer(&v.cfg, a, &v.stats, v.wraps, v.shares)
	v.escrower = &escrower{cfg: &v.cfg, author: a, held: v.shares, wake: newBell()}
	v.witness = &witness{cfg: &v.cfg, answers: v.answers, fit: v.keeper.fit}
	v.signer = &cosigner{cfg: &v.cfg, beacon: v.beacon, answers: v.answers, statements: v.statements,
		stats: &v.stats, ailing: v.keeper.signal, hsm: make(chan struct{}, cfg.HSMWorkers),
		keys: keys, nonces: v.nonces, shares: v.shares}
	for i := range v.signer.asked {
		v.signer.asked[i] = make(chan struct{}, maxQuestions)
	}
	v.leader = &coordinator{cfg: &v.cfg, author: a, beacon: v.beacon, signer: v.signer, witness: v.witness,
		waiting: v.waiting, stats: &v.stats, keys: keys, nonces: v.nonces, sums: v.sums, wake: newBell(), pause: cfg.Timing.Retry,
		running: map[command.RequestID]bool{}, reporting: map[identity.RegionID]bool{}}
	v.witness.asker = v.leader
	v.refunds = &refunds{coordinator: v.leader, news: make(chan struct{}, 1), due: map[command.RequestID]time.Time{}}
	return v, nil
}

// Run does the region's work until ctx ends; it returns when all of it has stopped.
func (v *Vault) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { v.leader.run(ctx) })
	parts.Go(func() { v.keys.run(ctx) })
	parts.Go(func() { v.wraps.run(ctx) })
	parts.Go(func() { v.wraps.expire(ctx) })
	parts.Go(func() { v.shares.run(ctx) })
	parts.Go(func() { v.beacon.run(ctx) })
	parts.Go(func() { v.dealer.run(ctx) })
	parts.Go(func() { v.escrower.run(ctx) })
	parts.Go(func() { v.keeper.run(ctx) })
	parts.Go(func() { v.keeper.tick(ctx, v.leader) })
	parts.Go(func() { v.nonces.run(ctx) })
	parts.Go(func() { v.refunds.run(ctx) })
	parts.Wait()
	v.wraps.close()
	v.beacon.close()
	return v.answers.book.close()
}

// Applied hears what every Apply did, in order, on every region, once the replica's
// view shows it. It never waits for anything.
func (v *Vault) Applied(results []fsm.Result) {
	view := v.cfg.Replica.View()
	v.cfg.stop.obey(view)
	for i := range results {
		r := &results[i]
		v.places.applied(r)
		if len(r.Opened) > 0 {
			v.beacon.applied(r.Meta)
			v.leader.opened(r.Meta, r.Opened)
		}
		for i, final := range [][]command.RequestID{r.Completed, r.Failed, r.Expired} {
			v.waiting.applied(view, final)
			v.answers.forget(final, i == 0)
		}
		v.refunds.look(view, r.Failed)
		v.refunds.look(view, r.Expired)
		v.statements.completed(view, r.Completed)
		v.keys.look(r.Keys)
		v.nonces.applied(view, r)
		v.dealer.look(r.Keys)
		if len(r.Keys) > 0 {
			v.escrower.signal()
		}
		if slices.Contains(r.Keys, command.BeaconKey) {
			v.beacon.wake.ring()
		}
		v.shares.look(view, r.Keys)
		if r.Wraps {
			v.wraps.signal()
		}
		if r.Regions || r.Lifted {
			v.keeper.signal()
		}
	}
	v.keeper.applied.Store(time.Now().UnixNano())
}

// SetLeader says whether this region leads now. Both transitions may come at any time,
// and twice.
func (v *Vault) SetLeader(leads bool) { v.leader.lead(leads) }

// Evaluate returns the region's partial for an entry that opens draws. The caller sends
// it only once the entry is on disk.
func (v *Vault) Evaluate(meta command.Meta) ([]byte, error) { return v.beacon.evaluate(meta) }

// Deliver hands over a partial that came with an append reply. It never waits.
func (v *Vault) Deliver(from identity.RegionID, meta command.Meta, partial []byte) {
	v.beacon.deliver(from, meta, partial)
}

// HandleCoSign answers another region's Question with an encoded command.Answer.
func (v *Vault) HandleCoSign(ctx context.Context, from identity.RegionID, question []byte) ([]byte, error) {
	return v.signer.handle(ctx, from, question)
}

// HandlePartial returns the region's partial for an applied entry that opened draws.
func (v *Vault) HandlePartial(ctx context.Context, _ identity.RegionID, meta command.Meta) ([]byte, error) {
	return v.beacon.handlePartial(ctx, meta)
}

// HandleWord answers an Ask with the region's signed words.
func (v *Vault) HandleWord(ctx context.Context, _ identity.RegionID, ask []byte) ([]byte, error) {
	return v.witness.handle(ctx, ask)
}

// Shares says what is in memory of this region's shares of threshold keys.
func (v *Vault) Shares() Opened { return v.shares.status() }

// Stats returns what was counted so far.
func (v *Vault) Stats() Stats { return v.stats.stats() }
