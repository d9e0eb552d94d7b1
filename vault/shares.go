package vault

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// Keeping says how long opened shares stay in memory. Zero fields take the default.
type Keeping struct {
	Keep time.Duration // unused that long, a share is dropped; 10 minutes
	Most int           // shares at once, the least recently used goes first; 4096
}

// Opened says what is in memory of shares.
type Opened struct {
	Shares   int
	Most     int
	Unlocked error // why their memory could be swapped out; nil: it cannot
}

// shares gives the co-signer this region's share of a key, opened when first needed, and
// the key's public side. What is kept of a share between two uses is its stored form in
// locked memory; a user gets a copy for the moment it signs.
type shares struct {
	cfg     *Config
	wraps   *wraps
	genesis func() []byte // secret of the beacon share that the genesis dealt, the caller's to clear; nil if there is none

	mu     sync.Mutex
	arena  *arena // nil before the first use
	closed bool
	rows   map[shareID]*list.Element // of *openShare
	recent *list.List                // last used in front
}

type shareID struct {
	key   command.KeyID
	epoch uint32
}

type openShare struct {
	id     shareID
	public *frost.PublicKey
	slot   int
	used   time.Time
}

func newShares(cfg *Config, w *wraps) *shares {
	return &shares{cfg: cfg, wraps: w, rows: map[shareID]*list.Element{}, recent: list.New(), genesis: func() []byte { return nil }}
}

// get returns this region's share of a sharing of key, live or retiring, and the public
// side to sign under. The share is the caller's to wipe. Stale: the key has no such sharing
// any more; Denied: this region holds no share of it.
func (s *shares) get(ctx context.Context, key *fsm.Key, epoch uint32) (*frost.Share, *frost.PublicKey, error) {
	sharing := key.SharingOf(epoch)
	if key.State == fsm.KeyRetired || sharing == nil {
		return nil, nil, errs.New(errs.Stale, "key %s has no sharing %d: it was refreshed or retired since", key.ID, epoch)
	}
	if !sharing.Holds(s.cfg.Region) { // also one it had before its HSM was lost, still in memory
		return nil, nil, errs.New(errs.Denied, "region %d holds no share of key %s, sharing %d", s.cfg.Region, key.ID, epoch)
	}
	id := shareID{key.ID, epoch}
	if share, public, err := s.recall(id); share != nil || err != nil {
		return share, public, err
	}
	share, public, err := s.unseal(ctx, key.ID, sharing)
	if err != nil {
		return nil, nil, err
	}
	if err := s.remember(id, share, public); err != nil {
		share.Wipe()
		return nil, nil, err
	}
	return share, public, nil
}

// recall copies a share out of the locked memory; nil if it is not there.
func (s *shares) recall(id shareID) (*frost.Share, *frost.PublicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.rows[id]
	if e == nil {
		return nil, nil, nil
	}
	row := e.Value.(*openShare)
	row.used = time.Now()
	s.recent.MoveToFront(e)
	share, err := frost.KnownShare(s.arena.at(row.slot)[:frost.ShareSize], row.public)
	return share, row.public, err
}

// unseal opens a share as it lies in the state and checks that it is the one the public
// side expects.
func (s *shares) unseal(ctx context.Context, key command.KeyID, sharing *fsm.Sharing) (*frost.Share, *frost.PublicKey, error) {
	public, err := frost.DecodePublicKey(sharing.Public)
	if err != nil {
		return nil, nil, errs.Wrap(errs.Corrupt, err, "public side of key %s, sharing %d", key, sharing.Epoch)
	}
	if sharing.Founded() {
		share, err := s.founded(public)
		return share, public, err
	}
	sealed := sharing.Share(s.cfg.Region)
	if len(sealed) == 0 {
		return nil, nil, errs.New(errs.Denied, "region %d holds no share of key %s, sharing %d", s.cfg.Region, key, sharing.Epoch)
	}
	cluster := s.cfg.Replica.View().Cluster()
	plain, err := s.wraps.open(ctx, sharing.Wrap, sealed, shareInfo(cluster, key, sharing.Epoch, s.cfg.Region))
	if err != nil {
		return nil, nil, errs.Wrap(errs.CodeOf(err), err, "share of key %s, sharing %d", key, sharing.Epoch).WithHint("%s", errs.HintOf(err))
	}
	share, err := frost.DecodeShare(plain)
	clear(plain)
	if err == nil {
		err = share.Matches(public)
	}
	if err == nil && (share.Region() != uint8(s.cfg.Region) || share.Epoch() != sharing.Epoch) {
		err = errs.New(errs.Corrupt, "%v lies in the place of region %d's of sharing %d", share, s.cfg.Region, sharing.Epoch)
	}
	if err != nil {
		if share != nil {
			share.Wipe()
		}
		return nil, nil, errs.Wrap(errs.Corrupt, err, "share of key %s, sharing %d", key, sharing.Epoch)
	}
	return share, public, nil
}

// founded is the share of the beacon key that the genesis dealt to this region.
func (s *shares) founded(public *frost.PublicKey) (*frost.Share, error) {
	secret := s.genesis()
	if secret == nil {
		return nil, errs.New(errs.Denied, "region %d has no share of the beacon key from the genesis", s.cfg.Region)
	}
	defer clear(secret)
	share, err := frost.FoundedShare(frost.Ristretto255, uint8(s.cfg.Region), secret)
	if err != nil {
		return nil, err
	}
	if err := share.Matches(public); err != nil {
		share.Wipe()
		return nil, err
	}
	return share, nil
}

// remember keeps a share's stored form, in the place of the one used longest ago if need
// be. Of two callers who opened the same, the first one's stays.
func (s *shares) remember(id shareID, share *frost.Share, public *frost.PublicKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	if s.rows[id] != nil {
		return nil
	}
	for s.recent.Len() >= s.cfg.Shares.Most {
		s.evict(s.recent.Back())
	}
	b := share.Encode()
	slot, ok := s.arena.put(b)
	clear(b)
	if !ok {
		return errs.New(errs.Internal, "no room for the share of key %s among %d", id.key, s.recent.Len())
	}
	s.rows[id] = s.recent.PushFront(&openShare{id, public, slot, time.Now()})
	return nil
}

// open maps the memory, once; mu is held.
func (s *shares) open() (err error) {
	switch {
	case s.closed:
		return errs.New(errs.BadState, "region %d is closing: no share is opened any more", s.cfg.Region)
	case s.arena != nil:
		return nil
	}
	if s.arena, err = newArena(s.cfg.Shares.Most, frost.ShareSize); err == nil && s.arena.locked != nil {
		s.cfg.Logger.Warn("memory of opened shares is not locked: they could reach the swap space", slog.Any("error", s.arena.locked))
	}
	return err
}

// evict wipes one share; mu is held.
func (s *shares) evict(e *list.Element) {
	row := s.recent.Remove(e).(*openShare)
	delete(s.rows, row.id)
	s.arena.drop(row.slot)
}

// look drops what changed keys no longer sign with.
func (s *shares) look(view fsm.View, keys []command.KeyID) {
	if len(keys) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := make(map[command.KeyID]bool, len(keys))
	for _, id := range keys {
		changed[id] = true
	}
	s.sweep(func(row *openShare) bool { return changed[row.id.key] && s.over(view, row.id) })
}

// over reports whether this region signs nothing any more with a share.
func (s *shares) over(view fsm.View, id shareID) bool {
	k, ok := view.Key(id.key)
	return !ok || k.State == fsm.KeyRetired || !k.SharingOf(id.epoch).Holds(s.cfg.Region)
}

// sweep evicts what gone says; mu is held.
func (s *shares) sweep(gone func(*openShare) bool) {
	var next *list.Element
	for e := s.recent.Front(); e != nil; e = next {
		if next = e.Next(); gone(e.Value.(*openShare)) {
			s.evict(e)
		}
	}
}

// tidy drops what was not used for long, and what a snapshot made pointless.
func (s *shares) tidy() {
	view := s.cfg.Replica.View()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(func(row *openShare) bool { return time.Since(row.used) >= s.cfg.Shares.Keep || s.over(view, row.id) })
}

// run tidies up until ctx ends, and then wipes everything.
func (s *shares) run(ctx context.Context) {
	s.mu.Lock()
	if err := s.open(); err != nil { // now, so that an operator reads it at the start
		s.cfg.Logger.Error("no memory for shares", slog.Any("error", err))
	}
	s.mu.Unlock()
	for sleep(ctx, min(s.cfg.Shares.Keep/4, s.cfg.Timing.Tick)) {
		s.tidy()
	}
	s.close()
}

func (s *shares) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.sweep(func(*openShare) bool { return true })
	if s.arena == nil {
		return
	}
	if err := s.arena.close(); err != nil {
		s.cfg.Logger.Warn("memory of shares not given back", slog.Any("error", err))
	}
	s.arena = nil
}

func (s *shares) status() Opened {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := Opened{Shares: s.recent.Len(), Most: s.cfg.Shares.Most}
	if s.arena != nil {
		o.Unlocked = s.arena.locked
	}
	return o
}
