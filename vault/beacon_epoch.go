package vault

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// stand is one sharing of the beacon key: what partials of its epoch are made with and
// checked under. Which one an entry has follows from the log alone (fsm.Key.SharingAt).
type stand struct {
	key        draw.PublicKey
	transcript [32]byte
	holds      bool // this region has a share

	opening sync.Mutex
	slot    *int // of the secret, once opened; beacon.mu guards it
}

func (st *stand) none(region identity.RegionID) error {
	return errs.New(errs.Denied, "region %d holds no share of the beacon key, epoch %d", region, st.key.Epoch).
		WithHint("vaultctl beacon reshare gives it one")
}

// sharingKey is the public side of a sharing of the beacon key.
func sharingKey(s *fsm.Sharing) (draw.PublicKey, error) {
	k, err := frost.DecodePublicKey(s.Public)
	if err == nil && (k.Suite() != frost.Ristretto255 || k.Epoch() != s.Epoch) {
		err = errs.New(errs.Corrupt, "it is of %v, epoch %d", k.Suite(), k.Epoch())
	}
	if err != nil {
		return draw.PublicKey{}, errs.Wrap(errs.Corrupt, err, "public side of the beacon key, epoch %d", s.Epoch)
	}
	return draw.KeyOf(k)
}

// under returns the sharing that the entry at an index is evaluated under. That is certain
// once this replica has applied the entry before it.
func (b *beacon) under(index uint64) (*stand, error) {
	s := b.cfg.Replica.View().BeaconKey().SharingAt(index)
	if s == nil {
		return nil, errs.New(errs.Stale, "entry %d: the beacon shares it was opened under are gone, as all that was open then is decided", index)
	}
	return b.stand(s)
}

func (b *beacon) stand(s *fsm.Sharing) (*stand, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	holds := s.Holds(b.cfg.Region) && (!s.Founded() || b.cfg.Share.Region != 0) // no more, once its HSM is lost
	if st := b.stands[s.Epoch]; st != nil && st.transcript == s.Transcript && st.holds == holds {
		return st, nil
	}
	key, err := sharingKey(s)
	if err != nil {
		return nil, err
	}
	st := &stand{key: key, transcript: s.Transcript, holds: holds}
	if s.Founded() && st.holds {
		if err := b.cfg.Share.Matches(key); err != nil {
			return nil, err
		}
		st.slot = b.first
	}
	if old := b.stands[s.Epoch]; old != nil {
		b.drop(old)
	}
	b.stands[s.Epoch] = st
	return st, nil
}

// open returns a copy of this region's share of a sharing, the caller's to wipe; the first
// time it takes the HSM.
func (b *beacon) open(ctx context.Context, st *stand) (*draw.Share, error) {
	if !st.holds {
		return nil, st.none(b.cfg.Region)
	}
	if s, err := b.recall(st); s != nil || err != nil {
		return s, err
	}
	st.opening.Lock()
	defer st.opening.Unlock()
	if s, err := b.recall(st); s != nil || err != nil {
		return s, err
	}
	held, _, err := b.held.get(ctx, b.cfg.Replica.View().BeaconKey(), st.key.Epoch)
	if err != nil {
		return nil, err
	}
	defer held.Wipe()
	secret, err := held.Scalar()
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	share, err := draw.NewShare(st.key.Epoch, uint8(b.cfg.Region), secret)
	if err != nil {
		return nil, err
	}
	defer share.Wipe()
	if err := share.Matches(st.key); err != nil {
		return nil, err
	}
	if err := b.remember(st, &share); err != nil {
		return nil, err
	}
	return b.recall(st)
}

// partial evaluates an entry with a share, once; the caller, who waits for it, wipes the share.
func (b *beacon) partial(e *evaluation, st *stand, share *draw.Share) (draw.Partial, error) {
	e.mu.Lock()
	f := e.own[st.key.Epoch]
	if f == nil {
		if e.own == nil {
			e.own = map[uint32]func() (draw.Partial, error){}
		}
		f = sync.OnceValues(func() (draw.Partial, error) { return share.Evaluate(e.at()) })
		e.own[st.key.Epoch] = f
	}
	e.mu.Unlock()
	return f()
}

// mine is this region's partial of an entry, made at will; none if it holds no share or cannot
// open it now: then others' have to do.
func (b *beacon) mine(ctx context.Context, e *evaluation, st *stand) []draw.Partial {
	share, err := b.open(ctx, st)
	var p draw.Partial
	if err == nil {
		defer share.Wipe()
		p, err = b.partial(e, st, share)
	}
	if err != nil {
		if st.holds {
			b.cfg.Logger.Warn("no beacon partial of this region", slog.Uint64("index", e.meta.Index), slog.Any("error", err))
		}
		return nil
	}
	return []draw.Partial{p}
}

// give makes the partial of an applied entry for another region.
func (b *beacon) give(ctx context.Context, m command.Meta) ([]byte, error) {
	st, err := b.under(m.Index)
	if err != nil {
		return nil, err
	}
	share, err := b.open(ctx, st)
	if err != nil {
		return nil, err
	}
	defer share.Wipe()
	p, err := b.partial(b.at(m), st, share)
	if err != nil {
		return nil, err
	}
	return p.Encode(), nil
}

// secret is 32 bytes of this region that hang on its live share and an input that no entry
// gives. Denied: it holds none.
func (b *beacon) secret(ctx context.Context, input []byte) ([32]byte, error) {
	st, err := b.stand(b.cfg.Replica.View().BeaconKey().Sharing)
	if err != nil {
		return [32]byte{}, err
	}
	share, err := b.open(ctx, st)
	if err != nil {
		return [32]byte{}, err
	}
	defer share.Wipe()
	p, err := share.Evaluate(draw.At(input))
	return p.Eval, err
}

// run keeps the shares in use open, so that no ack waits for the HSM, and lets go of those
// that are not.
func (b *beacon) run(ctx context.Context) {
	pause := b.cfg.Timing.Retry
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-b.wake:
		case <-alarm.C: // also in case the state changed by a snapshot, which tells nobody
		case <-ctx.Done():
			return
		}
		next := b.cfg.Timing.Health
		if err := b.ready(ctx); err == nil {
			pause = b.cfg.Timing.Retry
		} else if ctx.Err() == nil {
			b.cfg.Logger.Warn("share of the beacon key not opened", slog.Any("error", err))
			next, pause = pause, min(2*pause, b.cfg.Timing.RetryMost)
		}
		alarm.Reset(next)
	}
}

func (b *beacon) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timing.KeyStep)
	defer cancel()
	key := b.cfg.Replica.View().BeaconKey()
	b.forget(key)
	for _, s := range inUse(key) {
		st, err := b.stand(s)
		if err == nil && st.holds {
			var share *draw.Share
			if share, err = b.open(ctx, st); err == nil {
				share.Wipe()
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inUse are the sharings that entries are or may still be evaluated under.
func inUse(key *fsm.Key) []*fsm.Sharing {
	if key.Retiring == nil {
		return []*fsm.Sharing{key.Sharing}
	}
	return []*fsm.Sharing{key.Sharing, key.Retiring}
}
