package fsm

import (
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// The beacon key is a row among the keys, so that ceremonies, wrapping epochs and time
// treat it as any other; but nobody creates, lists, brakes or retires it, and nothing signs
// with it. The row appears with its first refresh. Before, and so in every state of an
// earlier version, the beacon is what the genesis dealt: sharing 0.

// foundedBeacon is the beacon key as of the genesis. Its shares lie in the regions' unseal
// files, so the sharing here names holders and the public side only.
func foundedBeacon(d *genesis.Document) *Key {
	k := &Key{ID: command.BeaconKey, Name: "beacon", Scheme: command.SchemeBeacon, Curve: command.Ristretto255, Signers: d.Beacon.Threshold,
		State: KeyActive, Version: 1, Stamp: d.Created, Point: d.Beacon.Public[:], Sharing: &Sharing{Threshold: d.Beacon.Threshold}}
	for i := range d.Beacon.Shares {
		r := identity.RegionID(i + 1)
		k.Regions = append(k.Regions, r)
		k.Sharing.Shares = append(k.Sharing.Shares, Sealed{Region: r})
	}
	k.Sharing.Public = foundedPublic(&d.Beacon)
	return k
}

// ristrettoSuite is the number of the beacon's group in what vault/frost encodes.
const ristrettoSuite = 3

// foundedPublic writes a genesis's public side as a frost.PublicKey, docs/spec/frost.md.
func foundedPublic(b *genesis.Beacon) []byte {
	w := wire.NewWriter(256)
	w.U8(1)
	w.U8(ristrettoSuite)
	w.U32(0) // epoch
	w.U8(b.Threshold)
	w.U8(uint8(len(b.Shares)))
	w.Fixed(b.Public[:])
	for i, s := range b.Shares {
		w.U8(uint8(i + 1))
		w.Fixed(s)
	}
	return w.Bytes()
}

// Founded reports whether the sharing is the genesis's, whose shares the state does not hold.
func (s *Sharing) Founded() bool { return s.Epoch == 0 }

// Holders returns who has a share, ascending.
func (s *Sharing) Holders() []identity.RegionID {
	ids := make([]identity.RegionID, len(s.Shares))
	for i := range s.Shares {
		ids[i] = s.Shares[i].Region
	}
	return ids
}

// SharingAt returns the sharing that the entry at an index is evaluated under: the one that
// was live when the entry began. An entry that makes another one live is itself still under
// the one before. Nil: it was so long ago that nothing opened there is open any more.
func (k *Key) SharingAt(index uint64) *Sharing {
	if index > k.Since {
		return k.Sharing
	}
	return k.Retiring
}

// sharedKey finds a key that ceremonies are for: the beacon always, since it needs no row.
func (w *work) sharedKey(id command.KeyID) (*Key, bool) {
	k, ok := w.keys.get(id)
	if !ok && id == command.BeaconKey {
		return w.m.beacon, true
	}
	return k, ok && k.Scheme.Shared()
}

// ordinary refuses the beacon where only keys that sign are meant.
func ordinary(k *Key) error {
	if k.Scheme == command.SchemeBeacon {
		return errs.New(errs.BadState, "the beacon key draws who signs; it can be refreshed and reshared, and nothing else")
	}
	return nil
}

// drawing reports whether an attempt is open that was opened under the sharing before the
// live one: its value is yet to be shown from that one's partials.
func (w *work) drawing(k *Key) (found bool) {
	old := func(q *Request) bool {
		a := q.Open()
		return a != nil && a.Meta.Index <= k.Since
	}
	scan(w.base, openTable, nil, func(q *Request) bool {
		if _, written := w.open.rows[q.ID]; !written {
			found = old(q)
		}
		return !found
	})
	for _, p := range w.open.rows {
		found = found || !p.gone && old(p.row)
	}
	return found
}
