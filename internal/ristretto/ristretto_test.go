package ristretto

import (
	"bytes"
	"encoding/hex"
	"testing"

	"filippo.io/edwards25519"
	"github.com/cloudflare/circl/group"
	"pgregory.net/rapid"
)

const testDomain = "QUUX-V01-CS02-with-ristretto255_XMD:SHA-512_R255MAP_RO_"

// First multiples of the generator, RFC 9496 appendix A.1.
var multiples = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
	"6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
	"94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
	"da80862773358b466ffadfe0b3293ab3d9fd53c5ea6c955358f568322daf6a57",
	"e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
}

func TestMultiplesOfGenerator(t *testing.T) {
	p := edwards25519.NewIdentityPoint()
	for i, want := range multiples {
		got := Encode(p)
		if hex.EncodeToString(got[:]) != want {
			t.Fatalf("%d * B encodes as %x", i, got)
		}
		back, ok := Decode(got[:])
		if ok != (i > 0) {
			t.Fatalf("%d * B: decoded %v", i, ok)
		}
		if ok && Encode(back) != got {
			t.Fatalf("%d * B does not survive decoding", i)
		}
		p.Add(p, edwards25519.NewGeneratorPoint())
	}
}

func TestDecodeRefusesNonCanonical(t *testing.T) {
	for _, s := range []string{ // RFC 9496 appendix A.2 and the identity
		"00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
		"c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562",
		"26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
	} {
		b, _ := hex.DecodeString(s)
		if _, ok := Decode(b); ok {
			t.Errorf("%s decoded", s)
		}
	}
}

// circl's independent ristretto255 is the judge of ours.
func TestAgreesWithCircl(t *testing.T) {
	g := group.Ristretto255
	rapid.Check(t, func(t *rapid.T) {
		msg := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "msg")
		k, err := new(edwards25519.Scalar).SetUniformBytes(rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "scalar"))
		if err != nil {
			t.Fatal(err)
		}
		theirs := g.HashToElement(msg, []byte(testDomain))
		ours := Hash(msg, testDomain)
		same(t, "hash", theirs, ours)
		ck := g.NewScalar()
		if err := ck.UnmarshalBinary(k.Bytes()); err != nil {
			t.Fatal(err)
		}
		same(t, "product", g.NewElement().Mul(theirs, ck), new(point).ScalarMult(k, ours))
		same(t, "base product", g.NewElement().MulGen(ck), new(point).ScalarBaseMult(k))
		enc := Encode(ours)
		back, ok := Decode(enc[:])
		if !ok {
			t.Fatal("own encoding refused")
		}
		same(t, "sum", g.NewElement().Add(theirs, g.Generator()), back.Add(back, edwards25519.NewGeneratorPoint()))
	})
}

func same(t *rapid.T, what string, theirs group.Element, ours *point) {
	want, err := theirs.MarshalBinaryCompress()
	got := Encode(ours)
	if err != nil || !bytes.Equal(want, got[:]) {
		t.Fatalf("%s: circl has %x, we have %x (%v)", what, want, got, err)
	}
}

// Whatever 32 bytes come: ours decodes exactly what circl does, the identity apart.
func FuzzDecode(f *testing.F) {
	for _, m := range multiples {
		b, _ := hex.DecodeString(m)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := Decode(b)
		e := group.Ristretto255.NewElement()
		theirs := len(b) == 32 && e.UnmarshalBinary(b) == nil && !e.IsIdentity()
		if ok != theirs {
			t.Fatalf("%x: decoded %v, circl %v", b, ok, theirs)
		}
		if ok {
			if got := Encode(p); !bytes.Equal(got[:], b) {
				t.Fatalf("%x encodes as %x", b, got)
			}
		}
	})
}
