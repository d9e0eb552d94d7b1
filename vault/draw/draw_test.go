package draw

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/cloudflare/circl/group"
	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

var session = []byte("a ceremony of the tests")

// deal runs the whole dealing among n regions, deterministically in seed.
func deal(t testing.TB, seed int64, n, k int) ([]Share, PublicKey) {
	t.Helper()
	dealings, shares := dealAll(t, seed, n, k)
	out := make([]Share, n)
	var public PublicKey
	for i := range out {
		mine := make([][32]byte, n)
		for j := range mine {
			mine[j] = shares[j][i]
		}
		s, pk, err := Finish(session, uint8(i+1), n, k, dealings, mine)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && fmt.Sprint(pk) != fmt.Sprint(public) {
			t.Fatalf("region %d finished with another public key", i+1)
		}
		out[i], public = s, pk
	}
	return out, public
}

func dealAll(t testing.TB, seed int64, n, k int) ([]*Dealing, [][][32]byte) {
	t.Helper()
	random := rand.New(rand.NewSource(seed))
	dealings, shares := make([]*Dealing, n), make([][][32]byte, n)
	for i := range n {
		var err error
		if dealings[i], shares[i], err = NewDealing(random, session, uint8(i+1), n, k); err != nil {
			t.Fatal(err)
		}
	}
	return dealings, shares
}

func evaluate(t testing.TB, shares []Share, input []byte) []Partial {
	t.Helper()
	out := make([]Partial, len(shares))
	for i, s := range shares {
		p, err := s.Evaluate(At(input))
		if err != nil {
			t.Fatal(err)
		}
		out[i] = p
	}
	return out
}

func TestAnyThreeGiveOneValueTwoNever(t *testing.T) {
	shares, k := deal(t, 1, 4, 3)
	rapid.Check(t, func(rt *rapid.T) {
		input := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(rt, "input")
		ps := evaluate(t, shares, input)
		order := rapid.Permutation([]int{0, 1, 2, 3}).Draw(rt, "order")
		pick := []Partial{ps[order[0]], ps[order[1]], ps[order[2]]}
		want, err := k.CombineChecked(At(input), ps[:3])
		if err != nil {
			rt.Fatal(err)
		}
		got, err := k.CombineChecked(At(input), pick)
		if err != nil || got != want {
			rt.Fatalf("partials %v give %x, want %x (%v)", order, got, want, err)
		}
		if _, err := k.Combine(At(input), pick[:2]); errs.CodeOf(err) != errs.Unavailable {
			rt.Fatalf("two partials: %v", err)
		}
		// Nor do two interpolated as if two were enough.
		k2 := k
		k2.Threshold = 2
		if got, err := k2.Combine(At(input), pick[:2]); err != nil || got == want {
			rt.Fatalf("two partials gave the value (%v)", err)
		}
	})
}

// The value is what the definition says: hash of secret * H(input), the secret known here
// by interpolation with circl.
func TestValueMatchesDefinition(t *testing.T) {
	shares, k := deal(t, 2, 4, 3)
	g, input := group.Ristretto255, []byte("input")
	secret := g.NewScalar()
	for i := range 3 {
		term, num, den := g.NewScalar(), g.NewScalar().SetUint64(1), g.NewScalar().SetUint64(1)
		if err := term.UnmarshalBinary(shares[i].secret.Bytes()); err != nil {
			t.Fatal(err)
		}
		for j := range 3 {
			if i != j {
				xj, xi := g.NewScalar().SetUint64(uint64(j+1)), g.NewScalar().SetUint64(uint64(i+1))
				num.Mul(num, xj)
				den.Mul(den, xj.Sub(xj, xi))
			}
		}
		secret.Add(secret, term.Mul(term, num.Mul(num, den.Inv(den))))
	}
	enc, _ := g.NewElement().Mul(g.HashToElement(input, []byte(groupDomain)), secret).MarshalBinary()
	pub, _ := g.NewElement().MulGen(secret).MarshalBinary()
	if !bytes.Equal(pub, k.Group[:]) {
		t.Fatalf("group key %x, circl %x", k.Group, pub)
	}
	got, err := k.Combine(At(input), evaluate(t, shares, input)[1:])
	if err != nil || got != value(input, [32]byte(enc)) {
		t.Fatalf("value %x, want %x (%v)", got, value(input, [32]byte(enc)), err)
	}
}

// Proofs verify by an independent implementation of the equations on circl's group.
func TestProofJudgedByCircl(t *testing.T) {
	shares, k := deal(t, 3, 4, 3)
	g := group.Ristretto255
	for i := range 20 {
		input := fmt.Appendf(nil, "input %d", i)
		for _, p := range evaluate(t, shares, input) {
			h := g.HashToElement(input, []byte(groupDomain))
			x, v, c, s := g.NewElement(), g.NewElement(), g.NewScalar(), g.NewScalar()
			for _, err := range []error{x.UnmarshalBinary(k.Shares[p.Region-1][:]), v.UnmarshalBinary(p.Eval[:]),
				c.UnmarshalBinary(p.Proof[:32]), s.UnmarshalBinary(p.Proof[32:])} {
				if err != nil {
					t.Fatal(err)
				}
			}
			enc := func(e group.Element) [32]byte { b, _ := e.MarshalBinary(); return [32]byte(b) }
			r1 := g.NewElement().Add(g.NewElement().MulGen(s), g.NewElement().Mul(x, c))
			r2 := g.NewElement().Add(g.NewElement().Mul(h, s), g.NewElement().Mul(v, c))
			if !bytes.Equal(challenge(enc(x), enc(h), enc(v), enc(r1), enc(r2)).Bytes(), p.Proof[:32]) {
				t.Fatalf("region %d, input %d: the judge refuses the proof", p.Region, i)
			}
		}
	}
}

func TestWrongPartialRefusedAndNamed(t *testing.T) {
	shares, k := deal(t, 4, 4, 3)
	input := []byte("input")
	good := evaluate(t, shares, input)
	other := evaluate(t, shares, []byte("another input"))
	stranger, _ := deal(t, 5, 4, 3)
	foreign := evaluate(t, stranger, input)
	cases := map[string]Partial{
		"another region's": {Region: 2, Eval: good[0].Eval, Proof: good[0].Proof},
		"another input's":  other[1],
		"another key's":    foreign[1],
		"swapped proof":    {Region: 2, Eval: good[1].Eval, Proof: good[2].Proof},
		"swapped value":    {Region: 2, Eval: other[1].Eval, Proof: good[1].Proof},
		"no proof":         {Region: 2, Eval: good[1].Eval},
		"long proof":       {Region: 2, Eval: good[1].Eval, Proof: append(bytes.Clone(good[1].Proof), 0)},
		"zero proof":       {Region: 2, Eval: good[1].Eval, Proof: make([]byte, 64)},
		"identity":         {Region: 2, Proof: good[1].Proof},
	}
	prepared := withTables(t, k)
	for name, p := range cases {
		for _, k := range []PublicKey{k, prepared} {
			if err := k.Check(At(input), p); errs.CodeOf(err) != errs.Unverified || !strings.Contains(err.Error(), "region 2") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := k.CombineChecked(At(input), []Partial{good[0], p, good[2]}); errs.CodeOf(err) != errs.Unverified {
			t.Errorf("%s combined: %v", name, err)
		}
	}
	for _, region := range []uint8{0, 5, 255} {
		p := good[1]
		p.Region = region
		if err := k.Check(At(input), p); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("region %d: %v", region, err)
		}
	}
	if _, err := k.Combine(At(input), []Partial{good[0], good[1], good[1]}); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("repeated partial: %v", err)
	}
	for i, p := range good {
		if err := errors.Join(k.Check(At(input), p), prepared.Check(At(input), p)); err != nil {
			t.Errorf("good partial %d: %v", i, err)
		}
	}
}

// withTables is the key as regions have it.
func withTables(t testing.TB, k PublicKey) PublicKey {
	t.Helper()
	shares := make([][]byte, len(k.Shares))
	for i := range shares {
		shares[i] = k.Shares[i][:]
	}
	prepared, err := NewPublicKey(k.Threshold, k.Group, shares)
	if err != nil || len(prepared.tables) != len(shares) {
		t.Fatal(err)
	}
	return prepared
}

// TestChangedAfterDecoding: what is checked is what the partial says, not what was decoded.
func TestChangedAfterDecoding(t *testing.T) {
	shares, k := deal(t, 15, 4, 3)
	p, err := DecodePartial(evaluate(t, shares, []byte("input"))[1].Encode())
	if err != nil || k.Check(At([]byte("input")), p) != nil {
		t.Fatal(err)
	}
	p.Eval = evaluate(t, shares, []byte("another"))[1].Eval
	if err := k.Check(At([]byte("input")), p); errs.CodeOf(err) != errs.Unverified {
		t.Fatal(err)
	}
	got, _ := p.point()
	if want, _ := decodePoint(p.Eval[:]); got.Equal(want) != 1 {
		t.Fatal("the old value is used")
	}
}

func TestEveryBitOfAPartialCounts(t *testing.T) {
	shares, k := deal(t, 6, 4, 3)
	k = withTables(t, k)
	input := []byte("input")
	p, err := shares[0].Evaluate(At(input))
	if err != nil {
		t.Fatal(err)
	}
	enc := p.Encode()
	for bit := range 8 * len(enc) {
		bad := bytes.Clone(enc)
		bad[bit/8] ^= 1 << (bit % 8)
		q, err := DecodePartial(bad)
		if err == nil {
			err = k.Check(At(input), q)
		}
		if err == nil {
			t.Fatalf("bit %d does not matter", bit)
		}
	}
}

func TestEvaluateIsDeterministic(t *testing.T) {
	shares, _ := deal(t, 7, 4, 3)
	a, b := evaluate(t, shares, []byte("x")), evaluate(t, shares, []byte("x"))
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Fatal("two evaluations differ")
	}
	if _, err := new(Share).Evaluate(At([]byte("x"))); errs.CodeOf(err) != errs.Invalid {
		t.Fatalf("empty share: %v", err)
	}
}

func TestShareKeepsItsSecret(t *testing.T) {
	shares, k := deal(t, 8, 4, 3)
	s := shares[2]
	back, err := DecodeShare(s.Encode())
	if err != nil || !bytes.Equal(back.Encode(), s.Encode()) || back.Matches(k) != nil {
		t.Fatalf("share does not survive encoding: %v", err)
	}
	secret := hex.EncodeToString(s.secret.Bytes())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{s, &s, []Share{s}, struct{ S Share }{s}} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, secret[:8]) || !strings.Contains(out, "region 3") {
				t.Errorf("%s of %T prints %q", verb, v, out)
			}
		}
	}
	wrong := s
	wrong.Region = 2
	if err := wrong.Matches(k); errs.CodeOf(err) != errs.Corrupt {
		t.Errorf("share of another region: %v", err)
	}
}

func TestValidateRefusesBadKeys(t *testing.T) {
	_, k := deal(t, 9, 4, 3)
	_, other := deal(t, 10, 4, 3)
	edit := func(f func(*PublicKey)) PublicKey {
		c := k
		c.Shares = append([][32]byte(nil), k.Shares...)
		f(&c)
		return c
	}
	for name, bad := range map[string]PublicKey{
		"threshold 1":   edit(func(k *PublicKey) { k.Threshold = 1 }),
		"threshold 2":   edit(func(k *PublicKey) { k.Threshold = 2 }),
		"threshold 5":   edit(func(k *PublicKey) { k.Threshold = 5 }),
		"group":         edit(func(k *PublicKey) { k.Group = other.Group }),
		"last share":    edit(func(k *PublicKey) { k.Shares[3] = other.Shares[3] }),
		"first share":   edit(func(k *PublicKey) { k.Shares[0] = other.Shares[0] }),
		"identity":      edit(func(k *PublicKey) { k.Shares[1] = [32]byte{} }),
		"no shares":     {Threshold: 3, Group: k.Group},
		"swapped share": edit(func(k *PublicKey) { k.Shares[0], k.Shares[1] = k.Shares[1], k.Shares[0] }),
	} {
		if bad.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	raw := [][]byte{k.Shares[0][:], k.Shares[1][:], k.Shares[2][:], k.Shares[3][:]}
	if got, err := NewPublicKey(3, k.Group, raw); err != nil || got.Threshold != k.Threshold || got.Group != k.Group || !slices.Equal(got.Shares, k.Shares) {
		t.Errorf("stored parts: %v", err)
	}
	raw[2] = raw[2][:31]
	if _, err := NewPublicKey(3, k.Group, raw); errs.CodeOf(err) != errs.Malformed {
		t.Errorf("short share: %v", err)
	}
}

func TestInputBindsEverything(t *testing.T) {
	base := func() []byte { return Input([32]byte{1}, 2, 3, [32]byte{4}) }
	seen := map[[32]byte]bool{sha256.Sum256(base()): true}
	for _, in := range [][]byte{Input([32]byte{9}, 2, 3, [32]byte{4}), Input([32]byte{1}, 9, 3, [32]byte{4}),
		Input([32]byte{1}, 2, 9, [32]byte{4}), Input([32]byte{1}, 2, 3, [32]byte{9})} {
		if h := sha256.Sum256(in); seen[h] {
			t.Fatal("two places in the log have one input")
		} else {
			seen[h] = true
		}
	}
}

func FuzzDecodePartial(f *testing.F) {
	shares, k := deal(f, 11, 4, 3)
	for _, p := range evaluate(f, shares, []byte("input")) {
		f.Add(p.Encode())
	}
	fresh, _ := reshared(f, 12, 3, shares, k, []uint8{1, 2, 4})
	f.Add(evaluate(f, fresh, []byte("input"))[2].Encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePartial(b)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Encode(), b) {
			t.Fatal("two encodings of one partial")
		}
		_ = k.Check(At([]byte("input")), p)
	})
}

func FuzzDecodeShare(f *testing.F) {
	shares, _ := deal(f, 12, 4, 3)
	f.Add(shares[0].Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeShare(b); err == nil && !bytes.Equal(s.Encode(), b) {
			t.Fatal("two encodings of one share")
		}
	})
}

func BenchmarkDraw(b *testing.B) {
	shares, k := deal(b, 13, 4, 3)
	k = withTables(b, k)
	input := Input([32]byte{1}, 2, 3, [32]byte{4})
	ps := evaluate(b, shares, input)
	b.Run("evaluate", func(b *testing.B) {
		for b.Loop() {
			_, _ = shares[0].Evaluate(At(input))
		}
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			_ = k.Check(At(input), ps[1])
		}
	})
	b.Run("combine", func(b *testing.B) {
		for b.Loop() {
			_, _ = k.Combine(At(input), ps)
		}
	})
	b.Run("combine-checked", func(b *testing.B) {
		for b.Loop() {
			_, _ = k.CombineChecked(At(input), ps[:3])
		}
	})
	value, _ := k.Combine(At(input), ps)
	b.Run("permutation", func(b *testing.B) {
		for b.Loop() {
			Permutation(value, [16]byte{1}, 1, []uint8{1, 2, 3, 4})
		}
	})
}
