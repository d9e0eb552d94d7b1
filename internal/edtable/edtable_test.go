package edtable

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"math/big"
	"sync"
	"testing"

	"filippo.io/edwards25519"
)

func randomScalar(t testing.TB) *edwards25519.Scalar {
	t.Helper()
	var b [64]byte
	_, _ = rand.Read(b[:])
	s, err := new(edwards25519.Scalar).SetUniformBytes(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func scalarOf(t testing.TB, n *big.Int) *edwards25519.Scalar {
	t.Helper()
	b := n.FillBytes(make([]byte, 32))
	for i := range 16 {
		b[i], b[31-i] = b[31-i], b[i]
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var order, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

// torsion are the encodings of points of order 1, 2, 4 and 8, then some that the library
// reads though they are not canonical.
var torsion = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

func smallPoints(t testing.TB) (out []*edwards25519.Point) {
	t.Helper()
	for _, text := range torsion {
		b, _ := hex.DecodeString(text)
		p, err := new(edwards25519.Point).SetBytes(b)
		if err != nil {
			t.Fatal(text, err)
		}
		out = append(out, p)
	}
	return out
}

// TestDoubleBaseMult compares with the library, on points with and without torsion and on
// the scalars where digits carry.
func TestDoubleBaseMult(t *testing.T) {
	scalars := []*edwards25519.Scalar{}
	for _, n := range []int64{0, 1, 15, 16, 17, 32} {
		scalars = append(scalars, scalarOf(t, big.NewInt(n)), scalarOf(t, new(big.Int).Sub(order, big.NewInt(n+1))))
	}
	for bit := uint(30); bit < 252; bit += 31 {
		ones := new(big.Int).Lsh(big.NewInt(1), bit)
		scalars = append(scalars, scalarOf(t, ones), scalarOf(t, new(big.Int).Sub(ones, big.NewInt(1))))
	}
	for range 4 {
		scalars = append(scalars, randomScalar(t))
	}
	points := smallPoints(t)
	for _, small := range smallPoints(t) {
		p := new(edwards25519.Point).ScalarBaseMult(randomScalar(t))
		points = append(points, p.Add(p, small))
	}
	for _, p := range points {
		table := New(p)
		for i, a := range scalars {
			b := scalars[(i*7+3)%len(scalars)]
			want := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(a, p, b)
			if table.DoubleBaseMult(a, b).Equal(want) != 1 || !bytes.Equal(table.multiply(a, b).bytes(), want.Bytes()) {
				t.Fatalf("point %x, scalars %x and %x", p.Bytes(), a.Bytes(), b.Bytes())
			}
		}
	}
}

// sides asks both implementations; they must agree.
func sides(t testing.TB, pub, msg, sig []byte) bool {
	t.Helper()
	want := ed25519.Verify(pub, msg, sig)
	k, ok := NewKey(pub)
	if got := ok && k.Verify(msg, sig); got != want {
		t.Fatalf("key %x, message %x, signature %x: %v, the standard library says %v", pub, msg, sig, got, want)
	}
	return want
}

func TestVerifyAgrees(t *testing.T) {
	for range 4 {
		pub, priv, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		msg := make([]byte, 40)
		_, _ = rand.Read(msg)
		sig := ed25519.Sign(priv, msg)
		if !sides(t, pub, msg, sig) {
			t.Fatal("a good signature does not verify")
		}
		for i := range sig {
			bad := bytes.Clone(sig)
			bad[i] ^= 1 << (i % 8)
			if sides(t, pub, msg, bad) {
				t.Fatalf("verifies with byte %d changed", i)
			}
		}
		sides(t, pub, msg[1:], sig)
		sides(t, pub, msg, sig[:63])
	}
}

// TestVerifyAgreesOnTorsion is about the signatures on which implementations differ: keys
// and R of small or mixed order, s of the order or more. A signer who wants to can make them.
func TestVerifyAgreesOnTorsion(t *testing.T) {
	good := 0
	msg := make([]byte, 4)
	for _, keyEnc := range torsion {
		for _, rEnc := range torsion {
			for n := range byte(6) {
				msg[0] = n
				pub, _ := hex.DecodeString(keyEnc)
				r, _ := hex.DecodeString(rEnc)
				if sides(t, pub, msg, append(r, make([]byte, 32)...)) {
					good++
				}
				pub, sig := mixed(t, pub, r, msg)
				if sides(t, pub, msg, sig) {
					good++
				}
			}
		}
	}
	if good == 0 {
		t.Fatal("none verified: the cases are not what they should be")
	}
}

// mixed returns a key and an R with the given torsion added, and the s that fits but for it.
func mixed(t testing.TB, keyTorsion, rTorsion, msg []byte) (pub, sig []byte) {
	t.Helper()
	at := func(s *edwards25519.Scalar, enc []byte) []byte {
		small, err := new(edwards25519.Point).SetBytes(enc)
		if err != nil {
			t.Fatal(err)
		}
		p := new(edwards25519.Point).ScalarBaseMult(s)
		return p.Add(p, small).Bytes()
	}
	a, r := randomScalar(t), randomScalar(t)
	pub, rEnc := at(a, keyTorsion), at(r, rTorsion)
	sum := sha512.Sum512(append(append(bytes.Clone(rEnc), pub...), msg...))
	c, err := new(edwards25519.Scalar).SetUniformBytes(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return pub, append(rEnc, new(edwards25519.Scalar).MultiplyAdd(c, a, r).Bytes()...)
}

// TestScalarAboveOrder: s + L would be a second signature of the same message.
func TestScalarAboveOrder(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sig := ed25519.Sign(priv, nil)
	carry := 0
	l := order.FillBytes(make([]byte, 32))
	for i := range 32 {
		carry += int(sig[32+i]) + int(l[31-i])
		sig[32+i], carry = byte(carry), carry>>8
	}
	if sides(t, pub, nil, sig) {
		t.Error("s above the order verifies")
	}
}

func TestKeysRemember(t *testing.T) {
	m := NewKeys(2)
	var wg sync.WaitGroup
	for range 7 {
		pub, priv, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		msg := []byte("message")
		sig := ed25519.Sign(priv, msg)
		bad := bytes.Clone(sig)
		bad[40] ^= 1
		for range 4 {
			wg.Go(func() {
				for range 3 {
					if !m.Verify(pub, msg, sig) || m.Verify(pub, msg, bad) || m.Verify(pub[1:], msg, sig) {
						t.Error("a key with a table and one without must agree")
					}
				}
			})
		}
	}
	wg.Wait()
	if n := len(m.now) + len(m.old); n > 4 {
		t.Errorf("%d keys are remembered, want 4 at most", n)
	}
	none, _ := hex.DecodeString("0200000000000000000000000000000000000000000000000000000000000000")
	if _, ok := NewKey(none); ok {
		t.Fatal("this must not be a point")
	}
	for range 3 {
		if m.Verify(none, nil, make([]byte, 64)) {
			t.Error("no point, no signature")
		}
	}
}

func FuzzVerify(f *testing.F) {
	pub, priv, _ := ed25519.GenerateKey(nil)
	f.Add([]byte(pub), []byte("m"), ed25519.Sign(priv, []byte("m")))
	for _, text := range torsion {
		b, _ := hex.DecodeString(text)
		f.Add(b, []byte("m"), append(bytes.Clone(b), make([]byte, 32)...))
	}
	f.Fuzz(func(t *testing.T, pub, msg, sig []byte) {
		if len(pub) == ed25519.PublicKeySize {
			sides(t, pub, msg, sig)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	pub, priv, _ := ed25519.GenerateKey(nil)
	msg := make([]byte, 200)
	sig := ed25519.Sign(priv, msg)
	k, _ := NewKey(pub)
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			k.Verify(msg, sig)
		}
	})
	b.Run("standard", func(b *testing.B) {
		for b.Loop() {
			ed25519.Verify(pub, msg, sig)
		}
	})
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			NewKey(pub)
		}
	})
}
