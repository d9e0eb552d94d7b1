package draw

import (
	"math/rand"
	"slices"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// reshared puts the key together, as nobody in a vault can, and shares it anew among holders.
func reshared(t testing.TB, seed int64, epoch uint32, old []Share, k PublicKey, holders []uint8) ([]Share, PublicKey) {
	t.Helper()
	random := rand.New(rand.NewSource(seed))
	coefficients := make([]*scalar, k.Threshold)
	for i := range coefficients {
		b := make([]byte, 64)
		random.Read(b)
		coefficients[i], _ = new(scalar).SetUniformBytes(b)
	}
	regions := make([]uint8, k.Threshold)
	for i := range regions {
		regions[i] = old[i].Region
	}
	coefficients[0] = new(scalar)
	for i, l := range lagrange(regions) {
		coefficients[0].MultiplyAdd(l, &old[i].secret, coefficients[0])
	}
	var shares []Share
	var publics [][]byte
	for _, r := range holders {
		s, err := NewShare(epoch, r, horner(coefficients, r).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		public := s.Public()
		shares, publics = append(shares, s), append(publics, public[:])
	}
	fresh, err := NewSharing(epoch, k.Threshold, k.Group[:], holders, publics)
	if err != nil {
		t.Fatal(err)
	}
	return shares, fresh
}

// The value of an entry is the same under every sharing of the key, with whatever holders.
func TestValueSurvivesResharing(t *testing.T) {
	shares, k := deal(t, 7, 4, 3)
	input := []byte("an entry")
	want, err := k.CombineChecked(At(input), evaluate(t, shares, input)[:3])
	if err != nil {
		t.Fatal(err)
	}
	for i, holders := range [][]uint8{{1, 2, 3, 4}, {1, 2, 4}, {1, 2, 3, 4}, {2, 3, 5, 16}} {
		shares, k = reshared(t, int64(i), uint32(i+1), shares, k, holders)
		ps := evaluate(t, shares, input)
		for range len(ps) {
			got, err := k.CombineChecked(At(input), ps[:3])
			if err != nil || got != want {
				t.Fatalf("sharing %d among %v: value %x, want %x: %v", i+1, holders, got, want, err)
			}
			ps = append(ps[1:], ps[0])
		}
		for _, s := range shares {
			if err := s.Matches(k); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Partials of two epochs never combine, whatever epoch they say they are of.
func TestEpochsDoNotMix(t *testing.T) {
	shares, k := deal(t, 8, 4, 3)
	fresh, next := reshared(t, 1, 1, shares, k, []uint8{1, 2, 4})
	input := []byte("an entry")
	old, now := evaluate(t, shares, input), evaluate(t, fresh, input)
	for name, c := range map[string]struct {
		key  PublicKey
		ps   []Partial
		code errs.Code
	}{
		"one of before":      {next, []Partial{now[0], now[1], old[3]}, errs.Stale},
		"all of before":      {next, old[:3], errs.Stale},
		"one of after":       {k, []Partial{old[0], old[1], now[2]}, errs.Stale},
		"of no holder":       {next, []Partial{now[0], now[1], relabel(old[2], 1)}, errs.Invalid},
		"relabelled forward": {next, []Partial{now[0], now[1], relabel(old[3], 1)}, errs.Unverified},
		"relabelled back":    {k, []Partial{old[0], old[1], relabel(now[2], 0)}, errs.Unverified},
	} {
		if _, err := c.key.CombineChecked(At(input), c.ps); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
		if c.code == errs.Stale {
			if _, err := c.key.Combine(At(input), c.ps); errs.CodeOf(err) != errs.Stale {
				t.Errorf("%s, combined without a check: %v", name, err)
			}
		}
	}
	if err := shares[0].Matches(next); errs.CodeOf(err) != errs.Stale {
		t.Errorf("share of the genesis for epoch 1: %v", err)
	}
	if err := fresh[0].Matches(k); errs.CodeOf(err) != errs.Stale {
		t.Errorf("share of epoch 1 for the genesis: %v", err)
	}
}

func relabel(p Partial, epoch uint32) Partial { p.Epoch = epoch; return p }

func TestSharingRefused(t *testing.T) {
	shares, k := deal(t, 9, 4, 3)
	fresh, next := reshared(t, 1, 1, shares, k, []uint8{1, 2, 4})
	var publics [][]byte
	for _, s := range fresh {
		p := s.Public()
		publics = append(publics, p[:])
	}
	swapped := slices.Clone(publics)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	for name, c := range map[string]struct {
		epoch   uint32
		group   []byte
		holders []uint8
		shares  [][]byte
		code    errs.Code
	}{
		"a gap at epoch 0":   {0, k.Group[:], []uint8{1, 2, 4}, publics, errs.Malformed},
		"not ascending":      {1, k.Group[:], []uint8{2, 1, 4}, publics, errs.Malformed},
		"region 0":           {1, k.Group[:], []uint8{0, 2, 4}, publics, errs.Malformed},
		"region 17":          {1, k.Group[:], []uint8{1, 2, 17}, publics, errs.Malformed},
		"a share too few":    {1, k.Group[:], []uint8{1, 2, 4}, publics[:2], errs.Malformed},
		"no holders":         {1, k.Group[:], nil, nil, errs.Malformed},
		"too few holders":    {1, k.Group[:], []uint8{1, 2}, publics[:2], errs.Invalid},
		"no element":         {1, k.Group[:], []uint8{1, 2, 4}, [][]byte{publics[0], make([]byte, 32), publics[2]}, errs.Invalid},
		"not one polynomial": {1, k.Group[:], []uint8{1, 2, 4}, swapped, errs.Invalid},
		"another key":        {1, publics[0], []uint8{1, 2, 4}, publics, errs.Invalid},
	} {
		if _, err := NewSharing(c.epoch, 3, c.group, c.holders, c.shares); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if next.Holds(3) || next.Holds(0) || next.Holds(5) || !next.Holds(4) {
		t.Error("regions 1, 2 and 4 hold it")
	}
	for name, b := range map[string][]byte{"zero": make([]byte, 32), "short": make([]byte, 31)} {
		if _, err := NewShare(1, 1, b); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s share: %v", name, err)
		}
	}
}

// A partial with an epoch has one encoding: epoch 0 is written in the first version only.
func TestPartialOfAnEpoch(t *testing.T) {
	shares, k := deal(t, 10, 4, 3)
	fresh, _ := reshared(t, 1, 7, shares, k, []uint8{1, 2, 3, 4})
	p := evaluate(t, fresh, []byte("an entry"))[1]
	b := p.Encode()
	back, err := DecodePartial(b)
	if err != nil || len(b) != 102 || back.Epoch != 7 || string(back.Encode()) != string(b) {
		t.Fatalf("%x decodes as %+v: %v", b, back, err)
	}
	clear(b[2:6])
	if _, err := DecodePartial(b); errs.CodeOf(err) != errs.Malformed {
		t.Errorf("epoch 0 in the second version: %v", err)
	}
	if _, err := DecodePartial(b[:98]); errs.CodeOf(err) != errs.Malformed {
		t.Errorf("cut short: %v", err)
	}
	fresh[0].Wipe()
	if _, err := fresh[0].Evaluate(At([]byte("an entry"))); err == nil {
		t.Error("a wiped share evaluates")
	}
}
