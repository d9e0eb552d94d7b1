package frost

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"testing"

	"filippo.io/edwards25519"
	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"pgregory.net/rapid"
)

func randomScalarOf(t testing.TB, s *Suite) scalar {
	b := make([]byte, s.wideSize)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return s.group.wide(b)
}

func secpEdgeScalars() []*secp.ModNScalar {
	var out []*secp.ModNScalar
	for n := range uint32(70) {
		k := new(secp.ModNScalar).SetInt(n)
		out = append(out, k, new(secp.ModNScalar).NegateVal(k))
		half := new(secp.ModNScalar).Mul2(k, &combHalf)
		out = append(out, half, new(secp.ModNScalar).NegateVal(half))
	}
	power := new(secp.ModNScalar).SetInt(1)
	for range 256 {
		power = new(secp.ModNScalar).Add2(power, power)
		out = append(out, power)
	}
	lowest := new(secp.ModNScalar).NegateVal(&combShift) // digits all -31, then the next
	lowest.Mul(new(secp.ModNScalar).SetInt(2))
	return append(out, lowest, new(secp.ModNScalar).Add2(lowest, new(secp.ModNScalar).SetInt(2)))
}

func sameAsDecred(t testing.TB, k *secp.ModNScalar) {
	t.Helper()
	var want secp.JacobianPoint
	secp.ScalarBaseMultNonConst(k, &want)
	if got := combBase(k); got.enc != newSecpPoint(&want).enc {
		t.Fatalf("%v * G: comb has %x, decred %x", k, got.enc, newSecpPoint(&want).enc)
	}
}

// decred's own multiplication is the judge of the constant-time one.
func TestCombAgreesWithDecred(t *testing.T) {
	for _, k := range secpEdgeScalars() {
		sameAsDecred(t, k)
	}
	for range few(1000) {
		sameAsDecred(t, &randomScalarOf(t, BIP340).(*secpScalar).ModNScalar)
	}
}

func TestCombOfZeroIsIdentity(t *testing.T) {
	if p := combBase(new(secp.ModNScalar)); !p.isIdentity() {
		t.Fatalf("0 * G = %x", p.enc)
	}
}

// Both groups obey the laws the protocol uses.
func TestGroupLaws(t *testing.T) {
	for _, s := range ceremonies {
		g := s.group
		rapid.Check(t, func(t *rapid.T) {
			draw := func(name string) scalar {
				return g.wide(rapid.SliceOfN(rapid.Byte(), s.wideSize, s.wideSize).Draw(t, name))
			}
			a, b, c := draw("a"), draw("b"), draw("c")
			sum := g.combine([]point{g.base(a)}, []scalar{b}, []point{g.base(c)})
			if !sum.equal(g.base(g.mulAdd(b, c, a))) {
				t.Fatal("aG + b(cG) is not (bc + a)G")
			}
			if !g.combineBase(a, []scalar{b}, []point{g.base(c)}).equal(sum) {
				t.Fatal("combineBase is another sum")
			}
			if !g.combineBase(a, []scalar{b, c}, []point{g.base(c), g.base(a)}).equal(g.base(g.add(g.mulAdd(b, c, a), s.mul(c, a)))) {
				t.Fatal("combineBase of two is wrong")
			}
			if !s.addPoints(g.base(a), g.negatePoint(g.base(a))).isIdentity() || !g.base(g.negate(a)).equal(g.negatePoint(g.base(a))) {
				t.Fatal("negation is wrong")
			}
			if !a.isZero() && !sameScalar(s.mul(a, g.inverse(a)), g.number(1)) {
				t.Fatal("inverse is wrong")
			}
			p, ok := s.decodeElement(g.base(a).bytes())
			if !ok || !p.equal(g.base(a)) {
				t.Fatal("a point does not survive its encoding")
			}
			if a.isZero() || b.isZero() || c.isZero() {
				return
			}
			for i, p := range g.bases([]scalar{a, b, c, a}) {
				want := g.base([]scalar{a, b, c, a}[i])
				if !p.equal(want) || !g.combine([]point{p}, []scalar{b}, []point{p}).equal(g.combine([]point{want}, []scalar{b}, []point{want})) {
					t.Fatal("one of many is another multiple")
				}
			}
			k, ok := g.decodeScalar(a.bytes())
			if !ok || !sameScalar(k, a) {
				t.Fatal("a scalar does not survive its encoding")
			}
		})
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	must(t, err)
	return b
}

// The eight points of small order, and every non-canonical way to write one.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

func TestEd25519RefusesBadPoints(t *testing.T) {
	for _, s := range smallOrder {
		if _, ok := Ed25519.group.decodePoint(unhex(t, s)); ok {
			t.Errorf("%s decoded", s)
		}
	}
	// y = p + 3 is a point's y beyond the prime, where 3 itself gives a point
	three := make([]byte, 32)
	three[0] = 3
	if _, ok := Ed25519.group.decodePoint(three); !ok {
		t.Fatal("y = 3 is a point")
	}
	beyond := unhex(t, "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
	if _, err := new(edwards25519.Point).SetBytes(beyond); err != nil {
		t.Fatalf("the library reads y = p + 3: %v", err)
	}
	if _, ok := Ed25519.group.decodePoint(beyond); ok {
		t.Error("y = p + 3 decoded")
	}
}

// A point of prime order plus one of small order is canonical, but not of prime order.
func TestEd25519RefusesMixedOrder(t *testing.T) {
	for _, s := range smallOrder[1:8] {
		small, err := new(edwards25519.Point).SetBytes(unhex(t, s))
		must(t, err)
		mixed := newEdPoint(small.Add(small, edwards25519.NewGeneratorPoint()))
		if _, ok := Ed25519.group.decodePoint(mixed.bytes()); !ok {
			t.Errorf("generator + %s: not even the light form reads it", s)
		}
		if _, ok := Ed25519.decodeElement(mixed.bytes()); ok {
			t.Errorf("generator + %s decoded as an element", s)
		}
	}
}

func TestSecpRefusesBadPoints(t *testing.T) {
	good := BIP340.group.base(BIP340.group.number(1)).bytes()
	for name, b := range map[string][]byte{
		"short": good[1:], "long": append(slices.Clone(good), 0), "identity": make([]byte, 33),
		"uncompressed": append([]byte{4}, make([]byte, 64)...), "prefix 4": append([]byte{4}, good[1:]...),
		"hybrid":       append([]byte{6}, good[1:]...),
		"x not on it":  append([]byte{2}, unhex(t, "0000000000000000000000000000000000000000000000000000000000000005")...),
		"x = p":        append([]byte{2}, unhex(t, "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f")...),
		"x = p + 1":    append([]byte{2}, unhex(t, "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30")...),
		"all ones":     append([]byte{2}, unhex(t, "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff")...),
		"empty":        nil,
		"prefix 0":     append([]byte{0}, good[1:]...),
		"prefix 2 bit": append([]byte{0x82}, good[1:]...),
	} {
		if _, ok := BIP340.group.decodePoint(b); ok {
			t.Errorf("%s decoded", name)
		}
	}
}

func TestScalarsMustBeCanonical(t *testing.T) {
	for _, c := range []struct {
		s    *Suite
		b    string
		want bool
	}{
		{Ed25519, "ecd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010", true},  // L - 1
		{Ed25519, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010", false}, // L
		{Ed25519, "eed3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010", false},
		{Ed25519, "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", false},
		{Ed25519, "00000000000000000000000000000000000000000000000000000000000000", false},
		{Ristretto255, "ecd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010", true},
		{Ristretto255, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010", false},
		{BIP340, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140", true}, // n - 1
		{BIP340, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", false},
		{BIP340, "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", false},
		{BIP340, "", false},
	} {
		if _, ok := c.s.group.decodeScalar(unhex(t, c.b)); ok != c.want {
			t.Errorf("%v scalar %s: %v", c.s, c.b, ok)
		}
	}
}

func FuzzDecodePoint(f *testing.F) {
	for _, s := range smallOrder {
		f.Add(unhex(f, s))
	}
	f.Add(Ed25519.group.base(Ed25519.group.number(9)).bytes())
	f.Add(BIP340.group.base(BIP340.group.number(9)).bytes())
	f.Add(Ristretto255.group.base(Ristretto255.group.number(9)).bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range ceremonies {
			p, ok := s.decodeElement(b)
			if !ok {
				continue
			}
			fresh := s.addPoints(p) // encodes from the coordinates, not from what was read
			if string(fresh.bytes()) != string(b) || p.isIdentity() {
				t.Fatalf("%v: %x encodes as %x", s, b, fresh.bytes())
			}
		}
		theirs, err := secp.ParsePubKey(b)
		if _, ok := BIP340.group.decodePoint(b); len(b) == 33 && ok != (err == nil) {
			t.Fatalf("%x: decoded %v, decred %v %v", b, ok, theirs, err)
		}
	})
}
