package vault

import (
	"log/slog"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// What is kept of an opened share of the beacon key is its secret, in locked memory, until
// the epoch ends or the vault closes; a user gets a copy for the moment it evaluates.

const beaconSecret = 32 // bytes

// store puts a share's secret into locked memory; nil if there is no room. mu is held, or
// nobody else knows b yet.
func (b *beacon) store(share *draw.Share) *int {
	secret := share.Secret()
	defer clear(secret)
	if slot, ok := b.arena.put(secret); ok {
		return &slot
	}
	return nil
}

// recall copies a sharing's share out of the locked memory; nil if it is not opened yet.
func (b *beacon) recall(st *stand) (*draw.Share, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.current(st); err != nil || st.slot == nil {
		return nil, err
	}
	return draw.KnownShare(st.key, uint8(b.cfg.Region), b.arena.at(*st.slot))
}

// remember keeps an opened share.
func (b *beacon) remember(st *stand, share *draw.Share) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.current(st); err != nil {
		return err
	}
	if st.slot = b.store(share); st.slot == nil {
		return errs.New(errs.Internal, "no room for the share of the beacon key, epoch %d", st.key.Epoch)
	}
	return nil
}

// current reports a sharing whose share has no business in memory any more; mu is held.
func (b *beacon) current(st *stand) error {
	switch {
	case b.arena == nil:
		return errs.New(errs.BadState, "region %d is closing: no share of the beacon key is opened any more", b.cfg.Region)
	case b.stands[st.key.Epoch] != st:
		return errs.New(errs.Stale, "the shares of the beacon key's epoch %d are gone, as all that was open under it is decided", st.key.Epoch)
	}
	return nil
}

// genesis copies the share that the genesis dealt to this region; nil if it has none.
func (b *beacon) genesis() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.arena == nil || b.first == nil {
		return nil
	}
	return slices.Clone(b.arena.at(*b.first))
}

// forget wipes the shares of sharings that are over.
func (b *beacon) forget(key *fsm.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.arena == nil {
		return
	}
	used := func(epoch uint32) bool {
		return epoch >= key.Sharing.Epoch || slices.ContainsFunc(inUse(key), func(s *fsm.Sharing) bool { return s.Epoch == epoch })
	}
	for epoch, st := range b.stands {
		if !used(epoch) {
			delete(b.stands, epoch)
			b.drop(st)
		}
	}
	if b.first != nil && !used(0) {
		b.arena.drop(*b.first)
		b.first = nil
	}
}

// drop wipes what was opened of a sharing, but for the genesis's share, which forget wipes; mu
// is held.
func (b *beacon) drop(st *stand) {
	if st.slot != nil && st.slot != b.first {
		b.arena.drop(*st.slot)
	}
	st.slot = nil
}

// close wipes everything; nothing is evaluated afterwards.
func (b *beacon) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.arena == nil {
		return
	}
	if err := b.arena.close(); err != nil {
		b.cfg.Logger.Warn("memory of beacon shares not given back", slog.Any("error", err))
	}
	b.arena, b.first = nil, nil
}
