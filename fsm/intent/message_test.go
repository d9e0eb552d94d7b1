package intent

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func TestMessagesAndDigests(t *testing.T) {
	msg, digest := []byte("abc"), bytes.Repeat([]byte{5}, 32)
	for _, c := range []struct {
		name    string
		kind    command.Kind
		hash    command.Hash
		curve   command.Curve
		blind   bool
		payload []byte
		code    errs.Code
		want    string
	}{
		{"sha256", command.KindMessage, command.HashSHA256, command.P256, false, msg, errs.OK, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"sha256d", command.KindMessage, command.HashSHA256d, command.Secp256k1, false, msg, errs.OK, "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"},
		{"keccak256", command.KindMessage, command.HashKeccak256, command.Secp256k1, false, msg, errs.OK, "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"},
		{"sha512-256", command.KindMessage, command.HashSHA512256, command.P256, false, msg, errs.OK, "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"},
		{"ed25519", command.KindMessage, command.HashNone, command.Ed25519, false, msg, errs.OK, "616263"},
		{"ed25519 hashed", command.KindMessage, command.HashSHA256, command.Ed25519, false, msg, errs.PayloadRejected, ""},
		{"ecdsa unhashed", command.KindMessage, command.HashNone, command.P256, false, digest, errs.PayloadRejected, ""},
		{"unknown hash", command.KindMessage, 99, command.P256, false, msg, errs.PayloadRejected, ""},
		{"unknown curve", command.KindMessage, command.HashSHA256, 9, false, msg, errs.Invalid, ""},
		{"empty", command.KindMessage, command.HashSHA256, command.P256, false, nil, errs.PayloadRejected, ""},
		{"digest", command.KindDigest, command.HashNone, command.P256, true, digest, errs.OK, hex.EncodeToString(digest)},
		{"digest not allowed", command.KindDigest, command.HashNone, command.P256, false, digest, errs.BlindDenied, ""},
		{"digest for ed25519", command.KindDigest, command.HashNone, command.Ed25519, true, digest, errs.PayloadRejected, ""},
		{"digest of 31", command.KindDigest, command.HashNone, command.P256, true, digest[:31], errs.PayloadRejected, ""},
		{"digest hashed", command.KindDigest, command.HashSHA256, command.P256, true, digest, errs.PayloadRejected, ""},
		{"digest, unknown curve", command.KindDigest, command.HashNone, 9, true, digest, errs.Invalid, ""},
		{"psbt on p256", command.KindPSBT, command.HashNone, command.P256, false, msg, errs.PayloadRejected, ""},
		{"psbt hashed", command.KindPSBT, command.HashSHA256, command.Secp256k1, false, msg, errs.PayloadRejected, ""},
		{"unknown kind", 9, command.HashNone, command.P256, false, msg, errs.Invalid, ""},
	} {
		in, err := Decode(c.kind, c.hash, c.payload, KeyInfo{Curve: c.curve, AllowBlind: c.blind})
		if errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want code %s", c.name, err, c.code)
			continue
		}
		if err == nil && (len(in.Messages) != 1 || hex.EncodeToString(in.Messages[0]) != c.want) {
			t.Errorf("%s: messages %x, want %s", c.name, in.Messages, c.want)
		}
		if err == nil && len(in.Summary()) < 4 {
			t.Errorf("%s: summary %v", c.name, in.Summary())
		}
	}
}

// What a PSBT is judged by must not be signed past it as a message.
func TestMessageCannotHideATransaction(t *testing.T) {
	s := newSample(t, 0)
	preimage := bytes.Join([][]byte{u32le(2), make([]byte, 64), make([]byte, 36), appendBytes(nil, s.wallet.script),
		make([]byte, 8), u32le(0xffffffff), make([]byte, 32), u32le(0), u32le(1)}, nil)
	legacy := append(txBytes(s.tx), 1, 0, 0, 0)
	inner := sha256.Sum256(preimage)
	k := testKey("sample")
	for name, c := range map[string]struct {
		hash    command.Hash
		payload []byte
		code    errs.Code
	}{
		"BIP-143 preimage":    {command.HashSHA256d, preimage, errs.BlindDenied},
		"its inner hash":      {command.HashSHA256, inner[:], errs.BlindDenied},
		"legacy preimage":     {command.HashSHA256d, legacy, errs.BlindDenied},
		"one byte longer":     {command.HashSHA256d, append(bytes.Clone(preimage), 0), errs.OK},
		"another hash":        {command.HashSHA256, preimage, errs.OK},
		"signed text":         {command.HashSHA256d, []byte("\x18Bitcoin Signed Message:\n\x05hello"), errs.OK},
		"three bytes":         {command.HashSHA256d, []byte{1, 2, 3}, errs.OK},
		"33 bytes of a text":  {command.HashSHA256, make([]byte, 33), errs.OK},
		"no such hash type":   {command.HashSHA256d, append(txBytes(s.tx), 1, 0, 1, 0), errs.OK},
		"ethereum-style text": {command.HashKeccak256, inner[:], errs.OK},
	} {
		if _, err := Decode(command.KindMessage, c.hash, c.payload, k); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		blind := k
		blind.AllowBlind = true
		if _, err := Decode(command.KindMessage, c.hash, c.payload, blind); err != nil {
			t.Errorf("%s, blind signing allowed: %v", name, err)
		}
	}
}

type signer struct {
	curve command.Curve
	pub   []byte
	sign  func(msg []byte) []byte // low s
}

func signers(t testing.TB) []signer {
	priv, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	p, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := p.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	pub, edPriv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return []signer{
		{command.Secp256k1, priv.PubKey().SerializeCompressed(), func(m []byte) []byte {
			sig := secpecdsa.Sign(priv, m)
			r, s := sig.R(), sig.S()
			rb, sb := r.Bytes(), s.Bytes()
			return append(rb[:], sb[:]...)
		}},
		{command.P256, append([]byte{2 + raw[64]&1}, raw[1:33]...), func(m []byte) []byte {
			r, s, err := ecdsa.Sign(rand.Reader, p, m)
			if err != nil {
				t.Fatal(err)
			}
			out := make([]byte, 64)
			r.FillBytes(out[:32])
			s.FillBytes(out[32:])
			if out, err = NormalizeLowS(command.P256, out); err != nil {
				t.Fatal(err)
			}
			return out
		}},
		{command.Ed25519, pub, func(m []byte) []byte { return ed25519.Sign(edPriv, m) }},
	}
}

func TestVerify(t *testing.T) {
	for _, s := range signers(t) {
		for i := range 20 {
			msg := sha256.Sum256(fmt.Appendf(nil, "message %d", i))
			sig := s.sign(msg[:])
			if err := CheckPublicKey(s.curve, s.pub); err != nil {
				t.Fatal(err)
			}
			if !Verify(s.curve, s.pub, msg[:], sig) {
				t.Fatalf("%s: good signature refused", s.curve)
			}
			if same, err := NormalizeLowS(s.curve, sig); err != nil || !bytes.Equal(same, sig) {
				t.Fatalf("%s: normalising a normal signature: %v", s.curve, err)
			}
			if s.curve != command.Ed25519 {
				high := highS(s.curve, sig)
				back, err := NormalizeLowS(s.curve, high)
				if Verify(s.curve, s.pub, msg[:], high) || err != nil || !bytes.Equal(back, sig) {
					t.Fatalf("%s: high s: %v", s.curve, err)
				}
				if Verify(s.curve, s.pub, msg[:31], sig) || Verify(s.curve, s.pub, append(msg[:], 0), sig) {
					t.Fatalf("%s: digest of another size", s.curve)
				}
			}
			bad := bytes.Clone(sig)
			bad[i*3%64] ^= 1 << (i % 8)
			other := msg
			other[i] ^= 1
			if Verify(s.curve, s.pub, msg[:], bad) || Verify(s.curve, s.pub, other[:], sig) || Verify(s.curve, s.pub, msg[:], sig[:63]) ||
				Verify(s.curve, s.pub, msg[:], nil) || Verify(s.curve, nil, msg[:], sig) || Verify(9, s.pub, msg[:], sig) {
				t.Fatalf("%s: bad signature accepted", s.curve)
			}
		}
		if _, err := NormalizeLowS(s.curve, make([]byte, 63)); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: short: %v", s.curve, err)
		}
		if s.curve != command.Ed25519 {
			for _, sig := range [][]byte{make([]byte, 64), bytes.Repeat([]byte{0xff}, 64)} {
				if _, err := NormalizeLowS(s.curve, sig); errs.CodeOf(err) != errs.Malformed {
					t.Errorf("%s: %x: %v", s.curve, sig[:2], err)
				}
			}
		}
	}
}

func highS(curve command.Curve, sig []byte) []byte {
	n := secp256k1.Params().N
	if curve == command.P256 {
		n = elliptic.P256().Params().N
	}
	return negateS(n.Bytes(), sig)
}

// negateS returns r || n-s by school subtraction, so that it shares nothing with the code under test.
func negateS(n, sig []byte) []byte {
	out, borrow := bytes.Clone(sig), 0
	for i := 31; i >= 0; i-- {
		d := int(n[i]) - int(sig[32+i]) - borrow
		borrow = 0
		if d < 0 {
			d, borrow = d+256, 1
		}
		out[32+i] = byte(d)
	}
	return out
}

func TestCheckPublicKeyRefuses(t *testing.T) {
	unhex := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	for name, c := range map[string]struct {
		curve command.Curve
		pub   []byte
	}{
		"identity":             {command.Ed25519, unhex("0100000000000000000000000000000000000000000000000000000000000000")},
		"order two":            {command.Ed25519, unhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")},
		"order eight":          {command.Ed25519, unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")},
		"non-canonical":        {command.Ed25519, unhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")},
		"not on curve":         {command.Ed25519, unhex("0200000000000000000000000000000000000000000000000000000000000000")},
		"short ed25519":        {command.Ed25519, make([]byte, 31)},
		"secp256k1 x too high": {command.Secp256k1, append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)},
		"secp256k1 tag":        {command.Secp256k1, append([]byte{5}, secp256k1.Params().Gx.Bytes()...)},
		"p256 not on curve":    {command.P256, append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)},
		"p256 empty":           {command.P256, nil},
		"curve":                {0, make([]byte, 33)},
	} {
		if err := CheckPublicKey(c.curve, c.pub); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Hostile signatures that a verifier must refuse.
func TestWycheproofBitcoin(t *testing.T) {
	var file struct {
		TestGroups []struct {
			PublicKey struct{ Uncompressed string }
			Tests     []struct {
				TcID             int
				Comment          string
				Msg, Sig, Result string
			}
		}
	}
	readVectors(t, "testdata/wycheproof-ecdsa-secp256k1-sha256-bitcoin.json", &file)
	ran, valid := 0, 0
	for _, g := range file.TestGroups {
		raw, _ := hex.DecodeString(g.PublicKey.Uncompressed)
		pub, err := secp256k1.ParsePubKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range g.Tests {
			msg, _ := hex.DecodeString(c.Msg)
			der, _ := hex.DecodeString(c.Sig)
			digest := sha256.Sum256(msg)
			ok := false
			if sig, err := parsePartial(append(bytes.Clone(der), 1)); err == nil {
				r, s := sig.R(), sig.S()
				rb, sb := r.Bytes(), s.Bytes()
				ok = Verify(command.Secp256k1, pub.SerializeCompressed(), digest[:], append(rb[:], sb[:]...))
			}
			if want := c.Result == "valid"; ok != want {
				t.Errorf("case %d (%s): %v, want %s", c.TcID, c.Comment, ok, c.Result)
			}
			ran++
			if ok {
				valid++
			}
		}
	}
	if ran < 400 || valid < 50 {
		t.Fatalf("only %d cases, %d of them valid", ran, valid)
	}
}

func TestWycheproofEd25519(t *testing.T) {
	var file struct {
		TestGroups []struct {
			PublicKey struct{ Pk string }
			Tests     []struct {
				TcID             int
				Comment          string
				Msg, Sig, Result string
			}
		}
	}
	readVectors(t, "../../vault/frost/testdata/wycheproof-ed25519.json", &file)
	ran := 0
	for _, g := range file.TestGroups {
		pub, _ := hex.DecodeString(g.PublicKey.Pk)
		for _, c := range g.Tests {
			msg, _ := hex.DecodeString(c.Msg)
			sig, _ := hex.DecodeString(c.Sig)
			if ok := Verify(command.Ed25519, pub, msg, sig); ok != (c.Result == "valid") {
				t.Errorf("case %d (%s): %v, want %s", c.TcID, c.Comment, ok, c.Result)
			}
			ran++
		}
	}
	if ran < 100 {
		t.Fatalf("only %d cases", ran)
	}
}

func readVectors(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(path))
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Checksums of BIP-380's and Bitcoin Core's own examples.
func TestDescriptorChecksum(t *testing.T) {
	for desc, want := range map[string]string{
		"raw(deadbeef)": "89f8spxm",
		"pkh(02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5)":  "8fhd9pwu",
		"wpkh(02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9)": "8zl0zxma",
	} {
		if got := DescriptorChecksum(desc); got != want {
			t.Errorf("%s: checksum %s, want %s", desc, got, want)
		}
	}
	if DescriptorChecksum("raw(é)") != "" {
		t.Error("a foreign character has a checksum")
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(uint8(2), uint8(2), uint8(1), []byte("message"))
	f.Add(uint8(3), uint8(0), uint8(1), make([]byte, 32))
	k := testKey("sample")
	f.Fuzz(func(t *testing.T, kind, hash, curve uint8, payload []byte) {
		k := k
		k.Curve, k.AllowBlind = command.Curve(curve), true
		in, err := Decode(command.Kind(kind), command.Hash(hash), payload, k)
		if err == nil {
			in.Summary()
			for _, m := range in.Messages {
				if k.Curve != command.Ed25519 && len(m) != 32 {
					t.Fatalf("a message of %d bytes for %s", len(m), k.Curve)
				}
			}
		}
	})
}

func FuzzVerify(f *testing.F) {
	for _, s := range signers(f) {
		msg := sha256.Sum256(nil)
		f.Add(uint8(s.curve), s.pub, msg[:], s.sign(msg[:]))
	}
	f.Fuzz(func(t *testing.T, curve uint8, pub, msg, sig []byte) {
		c := command.Curve(curve)
		if Verify(c, pub, msg, sig) {
			if same, err := NormalizeLowS(c, sig); err != nil || !bytes.Equal(same, sig) {
				t.Fatal("accepted a signature that is not normal")
			}
		}
		_, _ = NormalizeLowS(c, sig)
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, s := range signers(b) {
		msg := sha256.Sum256(nil)
		sig := s.sign(msg[:])
		b.Run(s.curve.String(), func(b *testing.B) {
			for b.Loop() {
				Verify(s.curve, s.pub, msg[:], sig)
			}
		})
	}
}
