package seal

import (
	"bytes"
	"crypto/rand"
	mrand "math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// gfMulSlow multiplies by the definition: polynomials, then the remainder.
func gfMulSlow(a, b uint8) uint8 {
	var p uint16
	for i := range 8 {
		if b>>i&1 == 1 {
			p ^= uint16(a) << i
		}
	}
	for i := 15; i >= 8; i-- {
		if p>>i&1 == 1 {
			p ^= 0x11b << (i - 8)
		}
	}
	return uint8(p)
}

func TestField(t *testing.T) {
	for a := range 256 {
		for b := range 256 {
			if got, want := gfMul(uint8(a), uint8(b)), gfMulSlow(uint8(a), uint8(b)); got != want {
				t.Fatalf("%d * %d = %d, want %d", a, b, got, want)
			}
		}
		if a != 0 && gfMul(uint8(a), gfInv(uint8(a))) != 1 {
			t.Fatalf("1 / %d = %d", a, gfInv(uint8(a)))
		}
	}
	if gfMul(0x57, 0x83) != 0xc1 { // FIPS 197, section 4.2
		t.Error("not the field of FIPS 197")
	}
}

func TestSplitAndCombine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 12).Draw(t, "n")
		m := rapid.IntRange(2, n).Draw(t, "m")
		secret := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(t, "secret")
		shares, err := Split(rand.Reader, secret, m, n)
		if err != nil {
			t.Fatal(err)
		}
		order := rapid.Permutation(shares).Draw(t, "order")
		take := rapid.IntRange(m, n).Draw(t, "take")
		got, err := Combine(order[:take])
		if err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("%d of %d: %x, %v", take, n, got, err)
		}
		if _, err := Combine(order[:m-1]); errs.CodeOf(err) != errs.Invalid {
			t.Fatalf("too few shares: %v, want Invalid", err)
		}
		i := rapid.IntRange(0, take-1).Draw(t, "damaged")
		order[i].Data = bytes.Clone(order[i].Data)
		order[i].Data[0] ^= rapid.ByteRange(1, 255).Draw(t, "damage")
		if _, err := Combine(order[:take]); errs.CodeOf(err) != errs.Corrupt {
			t.Fatalf("damaged share: %v, want Corrupt", err)
		}
	})
}

// TestTooFewSharesSayNothing: for any m-1 shares every secret is equally possible. With
// m = 2 and one byte that can be counted: over all polynomials, one share's value says
// nothing about the secret.
func TestTooFewSharesSayNothing(t *testing.T) {
	seen := map[[2]byte]int{} // secret, value of share 1
	for secret := range 256 {
		for slope := range 256 {
			value := gfEval([]byte{byte(secret), byte(slope)}, 1)
			seen[[2]byte{byte(secret), value}]++
		}
	}
	if len(seen) != 1<<16 {
		t.Errorf("%d combinations of secret and share, want all 65536 alike", len(seen))
	}
}

func TestSplitUsesFreshRandomness(t *testing.T) {
	a, err := Split(rand.Reader, []byte{1, 2, 3, 4, 5, 6, 7, 8}, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Split(rand.Reader, []byte{1, 2, 3, 4, 5, 6, 7, 8}, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a[0].Data, b[0].Data) || a[0].Set == b[0].Set {
		t.Error("two splits are alike")
	}
	if _, err := Combine([]Share{a[0], b[1]}); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("shares of two splits: %v, want Invalid", err)
	}
	if _, err := Combine([]Share{a[0], a[0]}); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("one share twice: %v, want Invalid", err)
	}
	if _, err := Combine(nil); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("no shares: %v, want Invalid", err)
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, c := range []struct{ m, n, size int }{{1, 3, 32}, {3, 2, 32}, {2, 256, 32}, {2, 3, 0}, {2, 3, maxShareSecret + 1}} {
		if _, err := Split(rand.Reader, make([]byte, c.size), c.m, c.n); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%+v: %v, want Invalid", c, err)
		}
	}
}

func TestShareCodec(t *testing.T) {
	shares, err := Split(rand.Reader, []byte("secret"), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	b := shares[1].Encode()
	back, err := DecodeShare(b)
	if err != nil || !bytes.Equal(back.Encode(), b) {
		t.Fatal(back, err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= byte(1 + mrand.IntN(255))
		if _, err := DecodeShare(bad); err == nil {
			t.Errorf("byte %d changed and not noticed", i)
		}
	}
}

func FuzzDecodeShare(f *testing.F) {
	shares, err := Split(rand.Reader, []byte("secret"), 2, 2)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shares[0].Encode())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeShare(b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Encode(), b) {
			t.Errorf("%x decodes and encodes to %x", b, s.Encode())
		}
		_, _ = Combine([]Share{s, shares[0]}) // whatever it says: no panic
	})
}
