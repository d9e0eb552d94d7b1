package chaos

import (
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/vault/draw"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// beaconSharing is what all holders of the beacon key said of one sharing: so it went live.
type beaconSharing struct {
	since uint64 // index of the entry that made it live: later ones are drawn under it
	key   draw.PublicKey
}

// proof is what a completion shows of the value of the entry it is on.
type proof struct {
	seq, index uint64
	partials   [][]byte
}

// reshared enters a sharing of the beacon key that went live.
func (l *ledger) reshared(leaf *audit.Leaf, public *frost.PublicKey) {
	if key, err := draw.KeyOf(public); err == nil {
		l.beacon = append(l.beacon, beaconSharing{leaf.Meta.Index, key})
	}
}

// beaconAt returns what the partials of an entry must verify under.
func (l *ledger) beaconAt(index uint64) (draw.PublicKey, error) {
	for i := len(l.beacon) - 1; i >= 0; i-- {
		if l.beacon[i].since < index {
			return l.beacon[i].key, nil
		}
	}
	b := &l.history.Genesis.Document.Beacon
	return draw.NewPublicKey(int(b.Threshold), b.Public, b.Shares)
}

// proven is the part of invariant 9 about the beacon's epochs: whatever was completed is shown
// by partials that are all of the epoch live when its entry began, verify under that epoch's
// public shares, and give the only value there is.
func proven(l *ledger, f *findings) {
	metas := map[uint64]command.Meta{}
	for _, q := range l.requests {
		for _, t := range q.attempts {
			metas[t.meta.Index] = t.meta
		}
	}
	for _, p := range l.proofs {
		m, opened := metas[p.index]
		key, err := l.beaconAt(p.index)
		if err != nil || !opened {
			f.add("leaf %d completes what was opened at entry %d, where nothing was: %v", p.seq, p.index, err)
			continue
		}
		partials := make([]draw.Partial, len(p.partials))
		for i, raw := range p.partials {
			if partials[i], err = draw.DecodePartial(raw); err != nil || partials[i].Epoch != key.Epoch {
				f.add("leaf %d: partial %d on entry %d is of epoch %d, the entry is of %d: %v", p.seq, i, p.index, partials[i].Epoch, key.Epoch, err)
			}
		}
		value, err := key.CombineChecked(draw.At(draw.Input(l.history.Genesis.Document.Hash(), m.Term, m.Index, m.Chain)), partials)
		if want, e := l.history.Value(m); err != nil || e != nil || value != want {
			f.add("leaf %d: the partials on entry %d prove value %x, the beacon's is %x: %v", p.seq, p.index, value, want, err)
		}
	}
}
