package frost

import (
	"bytes"
	"crypto/rand"
	"slices"
	"testing"

	"filippo.io/edwards25519"
	circl "github.com/cloudflare/circl/group"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// founded is a key as a genesis leaves it: shares of all regions, no ceremony of this
// package.
func founded(t testing.TB, threshold int) *world {
	t.Helper()
	w := newWorld(t, Ristretto255, threshold, rand.Reader)
	out := &world{shares: map[uint8]*Share{}}
	var parts [][]byte
	for _, r := range fourRegions() {
		parts = append(parts, w.key.Part(r))
		b, err := w.shares[r].Scalar()
		must(t, err)
		out.shares[r], err = FoundedShare(Ristretto255, r, b)
		must(t, err)
	}
	var err error
	out.key, err = DecodePublicKey(foundedKey(threshold, w.key.Compressed(), parts))
	must(t, err)
	return out
}

// foundedKey writes the public side of such a key, as the state does.
func foundedKey(threshold int, key []byte, parts [][]byte) []byte {
	b := append([]byte{keyVersion, Ristretto255.id, 0, 0, 0, 0, byte(threshold), byte(len(parts))}, key...)
	for i, p := range parts {
		b = append(append(b, byte(i+1)), p...)
	}
	return b
}

// A founded key is refreshed like any other, by as many dealers as its threshold; epoch 1
// follows, also through the stored forms.
func TestFoundedKeyIsRefreshed(t *testing.T) {
	w := founded(t, 3)
	key, err := DecodePublicKey(w.key.Encode())
	must(t, err)
	for r, s := range w.shares {
		must(t, s.Matches(key))
		b := s.Encode()
		back, err := DecodeShare(b)
		must(t, err)
		if !bytes.Equal(back.Encode(), b) || back.Epoch() != 0 {
			t.Fatalf("share of region %d is %v after decoding", r, back)
		}
	}
	for _, dealers := range signerSets(3) {
		fresh := runCeremony(t, Refresh(key, session("refresh"), "test", dealers), only(w.shares, dealers), rand.Reader)
		if fresh.key.Epoch() != 1 || !bytes.Equal(fresh.key.Compressed(), key.Compressed()) {
			t.Fatalf("refreshed to epoch %d of key %x", fresh.key.Epoch(), fresh.key.Compressed())
		}
		for _, set := range signerSets(3) {
			fresh.sign(t, fresh.key, nil, set)
		}
		wants(t, "share of the genesis, refreshed key", w.shares[1].Matches(fresh.key), errs.Stale)
	}
	without := runCeremony(t, Reshare(key, session("reshare"), "test", 3, []uint8{1, 2, 3, 4}, []uint8{1, 2, 4}), only(w.shares, []uint8{1, 2, 4}), rand.Reader)
	without.sign(t, without.key, nil, []uint8{1, 3, 4}) // region 3 had lost its share
	terms := Refresh(key, session("too few"), "test", []uint8{1, 2})
	wants(t, "two dealers", terms.Check(), errs.Invalid)
}

func TestFoundedRefuses(t *testing.T) {
	w := founded(t, 3)
	parts := [][]byte{w.key.Part(1), w.key.Part(2), w.key.Part(3), w.key.Part(4)}
	swapped := slices.Clone(parts)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	for name, c := range map[string]struct {
		key   []byte
		parts [][]byte
		code  errs.Code
	}{
		"no element":         {make([]byte, 32), parts, errs.Malformed},
		"two shares":         {w.key.Compressed(), parts[:2], errs.Invalid},
		"share of no point":  {w.key.Compressed(), append(slices.Clone(parts[:3]), make([]byte, 32)), errs.Malformed},
		"not one polynomial": {w.key.Compressed(), swapped, errs.Invalid},
	} {
		_, err := DecodePublicKey(foundedKey(3, c.key, c.parts))
		wants(t, name, err, c.code)
	}
	for name, b := range map[string][]byte{"zero": make([]byte, 32), "short": make([]byte, 31), "too large": bytes.Repeat([]byte{0xff}, 32)} {
		_, err := FoundedShare(Ristretto255, 1, b)
		wants(t, name, err, errs.Malformed)
	}
	one := append([]byte{1}, make([]byte, 31)...)
	_, err := FoundedShare(Ristretto255, 0, one)
	wants(t, "region 0", err, errs.Malformed)
	_, err = FoundedShare(Ed25519, 1, one)
	wants(t, "share of a suite that signs", err, errs.Malformed)
	if w.key.Part(9) != nil {
		t.Error("a part of nobody")
	}
}

// Epoch 0 is of founded keys only; nothing of a suite that signs decodes with it.
func TestEpochZeroElsewhere(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		key, share := w.key.Encode(), w.shares[1].Encode()
		clear(key[2:6])
		clear(share[2:6])
		_, err := DecodePublicKey(key)
		wants(t, "key of epoch 0", err, errs.Invalid)
		_, err = DecodeShare(share)
		wants(t, "share of epoch 0", err, errs.Malformed)
		_, err = w.shares[1].Scalar()
		wants(t, "a signing share as a number", err, errs.Invalid)
	}
}

// What is for ceremonies alone signs nothing, whatever is asked of it.
func TestRistrettoSignsNothing(t *testing.T) {
	w := newWorld(t, Ristretto255, 2, rand.Reader)
	_, err := NewPool(Ristretto255, 1, 1, make([]byte, minHedge))
	wants(t, "pool", err, errs.Invalid)
	wants(t, "signature", w.key.Verify(message(1), make([]byte, 64)), errs.Invalid)
	_, _, err = w.key.Child([32]byte{}, 1)
	wants(t, "child", err, errs.Invalid)
	_, err = w.key.Taproot(nil)
	wants(t, "taproot", err, errs.Invalid)
	ed := newWorld(t, Ed25519, 2, rand.Reader)
	cs := ed.commit(t, []uint8{1, 2})
	_, err = w.key.Aggregate(message(1), cs, ed.parts(t, ed.key, message(1), cs))
	wants(t, "aggregate", err, errs.Invalid, 1)
	b := cs[0].Encode()
	b[1] = Ristretto255.id
	_, err = KnownCommitment(b)
	wants(t, "commitment", err, errs.Malformed)
	secret, err := Recover(w.key, []*Share{w.shares[1], w.shares[2]})
	must(t, err)
	_, err = secret.Sign(rand.Reader, message(1))
	wants(t, "the whole secret", err, errs.Invalid)
}

// circl's ristretto255 is the judge of the public side.
func TestRistrettoAgreesWithCircl(t *testing.T) {
	w := newWorld(t, Ristretto255, 3, rand.Reader)
	g := circl.Ristretto255
	for r, s := range w.shares {
		b, err := s.Scalar()
		must(t, err)
		k := g.NewScalar()
		must(t, k.UnmarshalBinary(b))
		want, err := g.NewElement().MulGen(k).MarshalBinaryCompress()
		must(t, err)
		same(t, "public share", w.key.Part(r), want)
	}
}

// A point and the same point shifted by one of order four are one element.
func TestRistrettoCosets(t *testing.T) {
	p := Ristretto255.group.base(Ristretto255.group.number(7)).(*ristPoint)
	four, err := new(edwards25519.Point).SetBytes(make([]byte, 32)) // y = 0
	must(t, err)
	shifted := newRistPoint(four.Add(four, &p.p))
	if !shifted.equal(p) || shifted.p.Equal(&p.p) == 1 {
		t.Error("two points of one coset are two elements")
	}
}
