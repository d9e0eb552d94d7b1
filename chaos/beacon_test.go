package chaos

import (
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/vault/draw"
	"github.com/tetrad-vault/tetrad/vault/frost"
	"github.com/tetrad-vault/tetrad/vault/frost/frosttest"
)

// drawing is a ledger with a beacon that was refreshed at entry 10, and one completed draw.
type drawing struct {
	t      testing.TB
	l      *ledger
	shares [2][]draw.Share // before and after
}

func newDrawing(t testing.TB) *drawing {
	t.Helper()
	made := frosttest.Run(frost.NewKey(frost.Ristretto255, []byte("a session of the checker"), "test", 3, []uint8{1, 2, 3, 4}), nil)
	d := &drawing{t: t}
	doc := genesis.Document{Beacon: genesis.Beacon{Threshold: 3, Public: [32]byte(made[1].Key.Compressed())}}
	for r := uint8(1); r <= 4; r++ {
		doc.Beacon.Shares = append(doc.Beacon.Shares, made[r].Key.Part(r))
		secret, err := made[r].Share.Scalar()
		d.ok(err)
		share, err := draw.DecodeShare(append([]byte{1, r}, secret...))
		d.ok(err)
		d.shares[0] = append(d.shares[0], share)
	}
	next := frosttest.Run(frost.Refresh(made[1].Key, []byte("a refresh of the beacon"), "test", []uint8{1, 2, 3, 4}), made)
	key, err := draw.KeyOf(next[1].Key)
	d.ok(err)
	for r := uint8(1); r <= 4; r++ {
		secret, err := next[r].Share.Scalar()
		d.ok(err)
		share, err := draw.NewShare(key.Epoch, r, secret)
		d.ok(err)
		d.shares[1] = append(d.shares[1], share)
	}
	h := &History{Genesis: &genesis.Genesis{Document: doc}}
	d.l = &ledger{history: h, requests: map[command.RequestID]*request{}, beacon: []beaconSharing{{10, key}}}
	h.Value = func(m command.Meta) ([32]byte, error) {
		first, err := (&ledger{history: h}).beaconAt(m.Index)
		d.ok(err)
		return first.CombineChecked(draw.At(d.input(m)), d.partials(m, d.shares[0][:3]))
	}
	return d
}

func (d *drawing) ok(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *drawing) input(m command.Meta) []byte {
	return draw.Input(d.l.history.Genesis.Document.Hash(), m.Term, m.Index, m.Chain)
}

func (d *drawing) partials(m command.Meta, shares []draw.Share) (out []draw.Partial) {
	for _, s := range shares {
		p, err := s.Evaluate(draw.At(d.input(m)))
		d.ok(err)
		out = append(out, p)
	}
	return out
}

// complete files a completion of what was opened at an index.
func (d *drawing) complete(index uint64, shares []draw.Share) {
	m := command.Meta{Index: index, Term: 1}
	d.l.requests[command.RequestID{byte(index)}] = &request{attempts: []attempt{{meta: m}}}
	p := proof{seq: index, index: index}
	for _, partial := range d.partials(m, shares) {
		p.partials = append(p.partials, partial.Encode())
	}
	d.l.proofs = append(d.l.proofs, p)
}

// TestProven: each thing that must not be is found, and nothing else is.
func TestProven(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(d *drawing)
		want string
	}{
		"honest": {func(d *drawing) {
			d.complete(9, d.shares[0][:3])
			d.complete(10, d.shares[0][1:]) // the entry that switches
			d.complete(11, d.shares[1][:3])
		}, ""},
		"too early":    {func(d *drawing) { d.complete(10, d.shares[1][:3]) }, "is of epoch 2, the entry is of 0"},
		"too late":     {func(d *drawing) { d.complete(11, d.shares[0][:3]) }, "is of epoch 0, the entry is of 2"},
		"epochs mixed": {func(d *drawing) { d.complete(11, append(d.shares[1][:2:2], d.shares[0][2])) }, "is of epoch 0, the entry is of 2"},
		"two partials": {func(d *drawing) { d.complete(11, d.shares[1][:2]) }, "prove value"},
		"never opened": {func(d *drawing) { d.complete(11, d.shares[1][:3]); clear(d.l.requests) }, "where nothing was"},
		"another entry": {func(d *drawing) {
			d.complete(11, d.shares[1][:3])
			d.l.requests[command.RequestID{11}].attempts[0].meta.Term = 2
		}, "prove value"},
	} {
		d, f := newDrawing(t), &findings{invariant: 9}
		c.do(d)
		proven(d.l, f)
		if c.want == "" && len(f.list) > 0 || c.want != "" && (len(f.list) == 0 || !strings.Contains(f.list[0].Text, c.want)) {
			t.Errorf("%s: found %v", name, f.list)
		}
	}
}
