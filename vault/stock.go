package vault

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// stock keeps this region's pool of one curve, in the committed state, filled ahead of
// need, and burns what nobody can ask for any more.
//
// How full follows demand: a pool that was nearly used up before the next offer came, or
// for want of whose nonces somebody was turned away, is to hold more; one that is hardly
// touched for a minute, less.
type stock struct {
	cfg     *Config
	author  *author
	stats   *counters
	beacon  *beacon
	curve   command.Curve
	boot    uint64                     // number of this boot in commitments; set before the pool
	pool    atomic.Pointer[frost.Pool] // set before the first offer
	wake    bell                       // capacity 1
	wanted  atomic.Bool                // the curve has a live threshold key
	starved atomic.Bool                // somebody found no pair

	mu     sync.Mutex
	target int           // commitments the pool is to hold
	flying int           // commitments in offers whose fate is not known yet
	offers int           // such offers
	pause  time.Duration // after an offer was refused; doubles
	notYet time.Time     // the end of it

	// Of run's goroutine only.
	seen    uint32    // highest serial the state has shown
	taken   uint64    // of this session's, when the target was last looked at
	settled time.Time // that moment
	swept   time.Time
	rest    int // nonces held beside the listed ones, after the last sweep
}

func (s *stock) signal() {
	s.wake.ring()
}

// wants notices a key that changed.
func (s *stock) wants(k *fsm.Key) {
	if needsNonces(k, s.curve) && !s.wanted.Swap(true) {
		s.signal()
	}
}

// needsNonces reports whether a key is one that nonces of a curve are needed for.
func needsNonces(k *fsm.Key, curve command.Curve) bool {
	return k.Scheme == command.SchemeThreshold && k.Curve == curve && k.Sharing != nil && k.State != fsm.KeyRetired
}

// rescan looks through all keys: at start and now and then, since keys retire, and a
// snapshot tells nobody.
func (s *stock) rescan() {
	s.wanted.Store(slices.ContainsFunc(s.cfg.Replica.View().Keys(""), func(k *fsm.Key) bool { return needsNonces(k, s.curve) }))
}

func (s *stock) run(ctx context.Context) {
	var offers sync.WaitGroup
	defer offers.Wait()
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	s.settled = time.Now()
	for pause := s.cfg.Timing.Retry; ; pause = min(2*pause, s.cfg.Timing.RetryMost) {
		err := s.open(ctx)
		if err == nil {
			break
		}
		s.cfg.Logger.Warn("no nonces yet: they want a state that is not stale, and for their hedge the share of the beacon key", slog.Any("error", err))
		if !sleep(ctx, pause) {
			return
		}
	}
	for {
		select {
		case <-s.wake:
		case <-alarm.C:
			s.rescan()
		case <-ctx.Done():
			return
		}
		if n := s.look(); n > 0 { // one at a time: what overtakes an earlier offer voids it
			s.offer(ctx, &offers, n)
		}
		alarm.Reset(s.next())
	}
}

// next is how long to wait without news.
func (s *stock) next() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait := time.Until(s.notYet); wait > 0 {
		return min(wait, s.cfg.Timing.Health)
	}
	return s.cfg.Timing.Health
}

// look compares the committed pool with what it should hold and returns how many
// commitments to offer now.
func (s *stock) look() int {
	if s.cfg.Replica.Ready() != nil {
		return 0
	}
	view := s.cfg.Replica.View()
	if !s.wanted.Load() || !mayOffer(view, s.cfg.Region, s.cfg.Session.Public().Fingerprint()) {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.listed(view)
	s.adapt(view, have)
	if rest := s.pool.Load().Len() - have - s.flying; rest > s.rest+maxOffer || time.Since(s.swept) > s.cfg.Timing.Health {
		s.sweep(view)
		s.rest = s.pool.Load().Len() - have - s.flying
	}
	if s.offers >= maxOffers || have+s.flying > s.target/2 || time.Now().Before(s.notYet) {
		return 0
	}
	return min(s.target-have-s.flying, maxOffer, maxNonces-s.pool.Load().Len())
}

// mayOffer reports whether a region's present session is the one given: no other may offer.
func mayOffer(view fsm.View, region identity.RegionID, session identity.Fingerprint) bool {
	row, ok := view.Region(region)
	return ok && row.Status == fsm.RegionActive && len(row.Sessions) > 0 && row.Sessions[0].Session.Fingerprint() == session
}

// listed counts the commitments of this boot left in the committed pool.
func (s *stock) listed(view fsm.View) int {
	b, size := s.inState(view), fsm.CommitmentLen(s.curve)
	if len(b) < size {
		return 0
	}
	if last, ok := s.serialOf(b[len(b)-size:]); ok {
		s.seen = max(s.seen, last)
	}
	return len(b) / size
}

// inState returns the commitments of this session in the committed pool, one after the
// other.
func (s *stock) inState(view fsm.View) []byte {
	p, ok := view.NoncePool(s.cfg.Region, s.curve)
	if !ok || p.Session != s.cfg.Session.Public().Fingerprint() {
		return nil
	}
	return p.Commitments
}

// adapt moves the target with demand.
func (s *stock) adapt(view fsm.View, have int) {
	taken := s.taken
	if p, ok := view.NoncePool(s.cfg.Region, s.curve); ok && p.Session == s.cfg.Session.Public().Fingerprint() {
		taken = p.Offered - uint64(have)
	}
	switch {
	case s.starved.Swap(false):
		s.target = min(4*s.target, mostNonces)
	case taken > s.taken && have < s.target/4:
		s.target = min(2*s.target, mostNonces)
	case time.Since(s.settled) < calmNonces:
		return
	case taken-s.taken < uint64(s.target/4):
		s.target = max(s.target/2, s.cfg.Nonces)
	}
	s.taken, s.settled = taken, time.Now()
}

// offer makes nonces and proposes their commitments. Its outcome is read off the state:
// what is listed there counts, whatever became of the proposal.
func (s *stock) offer(ctx context.Context, offers *sync.WaitGroup, n int) {
	made, err := s.pool.Load().Prepare(s.cfg.Random, n)
	if err != nil {
		s.cfg.Logger.Error("no nonces made", slog.String("curve", s.curve.String()), slog.Any("error", err))
		s.later()
		return
	}
	body := &command.OfferNonces{Curve: s.curve}
	for _, c := range made {
		body.Commitments = append(body.Commitments, c.Encode()...)
	}
	s.mu.Lock()
	s.flying += n
	s.offers++
	s.mu.Unlock()
	offers.Go(func() { s.propose(ctx, body, made) })
}

func (s *stock) propose(ctx context.Context, body *command.OfferNonces, made []*frost.Commitment) {
	out, err := s.author.file(ctx, s.cfg.Session, body)
	if err == nil {
		err = s.cfg.Replica.WaitApplied(ctx, out.Index) // before it counts as landed
	}
	s.mu.Lock()
	s.flying -= len(made)
	s.offers--
	s.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return
	case err == nil && out.Err() == nil:
		s.stats.noncesOffered.Add(uint64(len(made)))
		s.mu.Lock()
		s.pause = 0
		s.mu.Unlock()
	default:
		if err == nil {
			err = out.Err()
			s.discard(made)
		}
		s.cfg.Logger.Warn("nonces not offered", slog.String("curve", s.curve.String()), slog.Any("error", err))
		s.later()
	}
	s.signal()
}

// discard burns what a refused offer held, unless the state lists it all the same: by a
// copy of this process.
func (s *stock) discard(made []*frost.Commitment) {
	listed := map[uint32]bool{}
	s.note(listed, s.inState(s.cfg.Replica.View()))
	for _, c := range made {
		if !listed[c.Serial()] {
			s.pool.Load().Burn(c)
		}
	}
}

// note adds the serials of commitments of this boot to a set, and returns the highest.
func (s *stock) note(set map[uint32]bool, commitments []byte) (highest uint32) {
	for size := fsm.CommitmentLen(s.curve); len(commitments) >= size; commitments = commitments[size:] {
		if serial, ok := s.serialOf(commitments); ok {
			set[serial] = true
			highest = max(highest, serial)
		}
	}
	return highest
}

// later holds offers back for a while, ever longer while they fail.
func (s *stock) later() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause = min(max(2*s.pause, s.cfg.Timing.Retry), s.cfg.Timing.RetryMost)
	s.notYet = time.Now().Add(s.pause)
}

// sweep burns the nonces that the state has shown and neither lists nor names in an open
// attempt any more: nobody can rightly ask for them again.
func (s *stock) sweep(view fsm.View) {
	keep := map[uint32]bool{}
	s.seen = max(s.seen, s.note(keep, s.inState(view)))
	for _, q := range view.OpenRequests() {
		if a := q.Open(); a != nil {
			for i := range a.Nonces {
				if set := &a.Nonces[i]; set.Region == s.cfg.Region {
					s.seen = max(s.seen, s.note(keep, slices.Concat(set.Commitments...)))
				}
			}
		}
	}
	s.pool.Load().Keep(func(serial uint32) bool { return serial > s.seen || keep[serial] })
	s.swept = time.Now()
}
