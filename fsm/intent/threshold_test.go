package intent_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// thresholdInfo is a made-up key: only the public half is looked at.
func thresholdInfo(t testing.TB, curve command.Curve) intent.KeyInfo {
	t.Helper()
	k := intent.KeyInfo{Curve: curve, Signers: 2, Threshold: true, Chain: sha256.Sum256([]byte("chain"))}
	switch curve {
	case command.Ed25519: // the public key of RFC 8032's first test
		k.Point, _ = hex.DecodeString("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
	default:
		seed := sha256.Sum256([]byte("secret"))
		k.Point = secp256k1.PrivKeyFromBytes(seed[:]).PubKey().SerializeCompressed()
	}
	return k
}

func solanaChild(t testing.TB, k intent.KeyInfo, path ...uint32) solana.Address {
	t.Helper()
	child, _, err := intent.Child(k.Curve, k.Point, k.Chain, path...)
	if err != nil {
		t.Fatal(err)
	}
	return solana.Address(child)
}

func TestThresholdRefusals(t *testing.T) {
	ed, btc := thresholdInfo(t, command.Ed25519), thresholdInfo(t, command.Secp256k1)
	w, err := btc.Taproot()
	if err != nil {
		t.Fatal(err)
	}
	outs := []*intent.TaprootOutput{output(t, w, 0, 1)}
	psbt := intenttest.TaprootPSBT(0, w, intenttest.FundTaproot(1, outs, 9_000), outs, intenttest.To(1, 8_000))
	tag := sha256.Sum256([]byte("TapSighash"))
	preimage := slices.Concat(tag[:], tag[:], make([]byte, 200))
	message, digest := transfer(solanaChild(t, ed, 7)), make([]byte, 32)
	later := slices.Concat([]byte{0x81}, message)
	deep := make([]uint32, command.MaxDepth+1)
	multisig, _ := newKey("multisig", 2, 3)
	p256 := btc
	p256.Curve = command.P256
	bare := btc
	bare.Point = nil
	for _, c := range []struct {
		name    string
		k       intent.KeyInfo
		kind    command.Kind
		hash    command.Hash
		payload []byte
		path    []uint32
		code    errs.Code
		blind   errs.Code // where the key allows blind signing
	}{
		{"message", ed, command.KindMessage, command.HashNone, []byte("hello"), nil, errs.OK, errs.OK},
		{"hashed message", ed, command.KindMessage, command.HashSHA256, []byte("hello"), nil, errs.PayloadRejected, errs.PayloadRejected},
		{"empty", ed, command.KindMessage, command.HashNone, nil, nil, errs.PayloadRejected, errs.PayloadRejected},
		{"solana as message", ed, command.KindMessage, command.HashNone, message, []uint32{7}, errs.BlindDenied, errs.OK},
		{"solana as message of another child", ed, command.KindMessage, command.HashNone, message, nil, errs.BlindDenied, errs.OK},
		{"later version as message", ed, command.KindMessage, command.HashNone, later, nil, errs.BlindDenied, errs.OK},
		{"ed25519 digest", ed, command.KindDigest, command.HashNone, digest, nil, errs.BlindDenied, errs.OK},
		{"ed25519 digest of 31", ed, command.KindDigest, command.HashNone, digest[1:], nil, errs.BlindDenied, errs.PayloadRejected},
		{"solana", ed, command.KindSolana, command.HashNone, message, []uint32{7}, errs.OK, errs.OK},
		{"solana, key of another path", ed, command.KindSolana, command.HashNone, message, []uint32{8}, errs.PayloadRejected, errs.PayloadRejected},
		{"solana, trailing byte", ed, command.KindSolana, command.HashNone, append(bytes.Clone(message), 0), []uint32{7}, errs.Malformed, errs.Malformed},
		{"solana, hashed", ed, command.KindSolana, command.HashSHA256, message, []uint32{7}, errs.PayloadRejected, errs.PayloadRejected},
		{"solana, later version", ed, command.KindSolana, command.HashNone, later, []uint32{7}, errs.Malformed, errs.Malformed},
		{"solana on secp256k1", btc, command.KindSolana, command.HashNone, message, nil, errs.PayloadRejected, errs.PayloadRejected},
		{"solana of a multisig key", multisig, command.KindSolana, command.HashNone, message, nil, errs.Invalid, errs.Invalid},
		{"psbt on ed25519", ed, command.KindPSBT, command.HashNone, psbt, nil, errs.PayloadRejected, errs.PayloadRejected},
		{"psbt", btc, command.KindPSBT, command.HashNone, psbt, nil, errs.OK, errs.OK},
		{"psbt with path", btc, command.KindPSBT, command.HashNone, psbt, []uint32{0, 1}, errs.PayloadRejected, errs.PayloadRejected},
		{"psbt with hash", btc, command.KindPSBT, command.HashSHA256d, psbt, nil, errs.PayloadRejected, errs.PayloadRejected},
		{"bip340 message", btc, command.KindMessage, command.HashKeccak256, []byte("hello"), nil, errs.OK, errs.OK},
		{"bip340 unhashed", btc, command.KindMessage, command.HashNone, digest, nil, errs.PayloadRejected, errs.PayloadRejected},
		{"bip341 preimage", btc, command.KindMessage, command.HashSHA256, preimage, nil, errs.BlindDenied, errs.OK},
		{"the two tags alone", btc, command.KindMessage, command.HashSHA256, preimage[:64], nil, errs.BlindDenied, errs.OK},
		{"one tag", btc, command.KindMessage, command.HashSHA256, preimage[:63], nil, errs.OK, errs.OK},
		{"under another hash", btc, command.KindMessage, command.HashSHA256d, preimage, nil, errs.OK, errs.OK},
		{"bip340 digest", btc, command.KindDigest, command.HashNone, digest, nil, errs.BlindDenied, errs.OK},
		{"hardened", btc, command.KindMessage, command.HashSHA256, []byte("hello"), []uint32{1 << 31}, errs.PayloadRejected, errs.PayloadRejected},
		{"too deep", ed, command.KindMessage, command.HashNone, []byte("hello"), deep, errs.PayloadRejected, errs.PayloadRejected},
		{"p256", p256, command.KindMessage, command.HashSHA256, []byte("hello"), nil, errs.PayloadRejected, errs.PayloadRejected},
		{"not made yet", bare, command.KindMessage, command.HashSHA256, []byte("hello"), nil, errs.PayloadRejected, errs.PayloadRejected},
		{"unknown kind", ed, 9, command.HashNone, []byte("hello"), nil, errs.Invalid, errs.Invalid},
	} {
		for _, blind := range []bool{false, true} {
			want := c.code
			if c.k.AllowBlind = blind; blind {
				want = c.blind
			}
			if _, err := intent.Spends(c.kind, c.hash, c.payload, c.path, c.k); errs.CodeOf(err) != want {
				t.Errorf("%s, blind %t: %v, want %s", c.name, blind, err, want)
			}
		}
	}
}

// The two schemes have an entry each: a share never signs what a whole key would, and a
// multisig key has no children.
func TestSchemesDoNotMix(t *testing.T) {
	multisig, _ := newKey("multisig", 2, 3)
	_, one := intent.Messages(command.KindMessage, command.HashNone, []byte("hello"), thresholdInfo(t, command.Ed25519))
	_, two := intent.Decode(command.KindMessage, command.HashSHA256, []byte("hello"), multisig, 1)
	_, three := intent.Decode(command.KindSolana, command.HashNone, []byte("hello"), multisig)
	if errs.CodeOf(one) != errs.Invalid || errs.CodeOf(two) != errs.PayloadRejected || errs.CodeOf(three) != errs.PayloadRejected {
		t.Error(one, two, three)
	}
}

func TestThresholdSummary(t *testing.T) {
	ed := thresholdInfo(t, command.Ed25519)
	in, err := intent.Decode(command.KindSolana, command.HashNone, transfer(solanaChild(t, ed, 7)), ed, 7)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, l := range in.Summary() {
		text += l.Name + ": " + l.Value + "\n"
	}
	for _, want := range []string{"path: m/7", "signing key: " + hex.EncodeToString(in.Key), "fee payer: " + solana.Address(in.Key).String(), "transfer 0.000000009 SOL"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// The golden vectors of what threshold keys sign.
type thresholdVectors struct {
	Keys []thresholdKeyVector
}

type thresholdKeyVector struct {
	Curve        string
	Point, Chain string
	Children     []childVector
	Payloads     []spendsVector
}

type childVector struct{ Path, Point, Chain string }

type spendsVector struct {
	Kind, Hash, Path string
	Payload          string // base64
	Spends           []spendVector
}

type spendVector struct {
	Path, Message string
	Taproot       bool
	Key           string // under which the signature verifies
}

func TestThresholdGoldenVectors(t *testing.T) {
	golden(t, "threshold.json", thresholdVectors{[]thresholdKeyVector{edVector(t), btcVector(t)}})
}

func edVector(t *testing.T) thresholdKeyVector {
	k := thresholdInfo(t, command.Ed25519)
	return keyVector(t, k,
		spendsOf(t, k, command.KindMessage, command.HashNone, []byte("tetrad"), "m/0/5"),
		spendsOf(t, k, command.KindSolana, command.HashNone, transfer(solanaChild(t, k, 7)), "m/7"))
}

func btcVector(t *testing.T) thresholdKeyVector {
	k := thresholdInfo(t, command.Secp256k1)
	w, err := k.Taproot()
	if err != nil {
		t.Fatal(err)
	}
	outs := []*intent.TaprootOutput{output(t, w), output(t, w, 0, 5)}
	psbt := intenttest.TaprootPSBT(2, w, intenttest.FundTaproot(3, outs, 5_000, 6_000), outs, intenttest.To(1, 10_000))
	return keyVector(t, k,
		spendsOf(t, k, command.KindMessage, command.HashSHA256, []byte("tetrad"), "m/0/5"),
		spendsOf(t, k, command.KindPSBT, command.HashNone, psbt, "m"))
}

func keyVector(t *testing.T, k intent.KeyInfo, payloads ...spendsVector) thresholdKeyVector {
	v := thresholdKeyVector{Curve: k.Curve.String(), Point: hex.EncodeToString(k.Point), Chain: hex.EncodeToString(k.Chain[:]), Payloads: payloads}
	for _, text := range []string{"m", "m/0", "m/0/5", "m/2147483647", "m/1/2/3/4/5/6/7/8"} {
		path, err := command.ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		point, chain, err := intent.Child(k.Curve, k.Point, k.Chain, path...)
		if err != nil {
			t.Fatal(err)
		}
		v.Children = append(v.Children, childVector{text, hex.EncodeToString(point), hex.EncodeToString(chain[:])})
	}
	return v
}

func spendsOf(t *testing.T, k intent.KeyInfo, kind command.Kind, hash command.Hash, payload []byte, text string) spendsVector {
	path, err := command.ParsePath(text)
	if err != nil {
		t.Fatal(err)
	}
	spends, err := intent.Spends(kind, hash, payload, path, k)
	if err != nil {
		t.Fatal(err)
	}
	v := spendsVector{Kind: kind.String(), Hash: hash.String(), Path: text, Payload: base64.StdEncoding.EncodeToString(payload)}
	for _, s := range spends {
		key, err := s.Key(k)
		if err != nil {
			t.Fatal(err)
		}
		v.Spends = append(v.Spends, spendVector{command.PathText(s.Path), hex.EncodeToString(s.Message), s.Taproot, hex.EncodeToString(key)})
	}
	return v
}

// Whatever the payload: a coded refusal, or messages of the form their curve signs, which
// showing does not change and which are no transaction unless they came as one.
func FuzzSpends(f *testing.F) {
	keys := []intent.KeyInfo{thresholdInfo(f, command.Ed25519), thresholdInfo(f, command.Secp256k1)}
	f.Add(uint8(0), uint8(4), uint8(0), []byte{0, 0, 0, 7}, transfer(solanaChild(f, keys[0], 7)))
	f.Add(uint8(0), uint8(2), uint8(0), []byte{}, []byte("hello"))
	f.Add(uint8(1), uint8(2), uint8(1), []byte{0, 0, 0, 1}, []byte("hello"))
	w, err := keys[1].Taproot()
	if err != nil {
		f.Fatal(err)
	}
	o, err := w.Output(0, 5)
	if err != nil {
		f.Fatal(err)
	}
	outs := []*intent.TaprootOutput{o}
	f.Add(uint8(1), uint8(1), uint8(0), []byte{}, intenttest.TaprootPSBT(0, w, intenttest.FundTaproot(3, outs, 5_000), outs, intenttest.To(1, 4_000)))
	f.Fuzz(func(t *testing.T, which, kind, hash uint8, rawPath, payload []byte) {
		k := keys[which&1]
		path, err := command.DecodePath(rawPath)
		if err != nil {
			return
		}
		spends, err := intent.Spends(command.Kind(kind), command.Hash(hash), payload, path, k)
		in, same := intent.Decode(command.Kind(kind), command.Hash(hash), payload, k, path...)
		if errs.CodeOf(err) != errs.CodeOf(same) {
			t.Fatalf("judged %v, shown %v", err, same)
		}
		if err != nil {
			return
		}
		in.Summary()
		for i, s := range spends {
			if _, err := s.Key(k); err != nil || !bytes.Equal(in.Messages[i], s.Message) {
				t.Fatalf("spend %d: %v", i, err)
			}
			if k.Curve == command.Secp256k1 && len(s.Message) != 32 {
				t.Fatalf("a message of %d bytes for BIP-340", len(s.Message))
			}
			if k.Curve == command.Ed25519 && command.Kind(kind) == command.KindMessage && solana.CouldBeMessage(s.Message) {
				t.Fatal("a payment is signed as a message")
			}
		}
	})
}

// Threshold keys: what judging costs beyond decoding is the derivation of the child.
func BenchmarkSpends(b *testing.B) {
	ed, btc := thresholdInfo(b, command.Ed25519), thresholdInfo(b, command.Secp256k1)
	for _, c := range []struct {
		name    string
		k       intent.KeyInfo
		kind    command.Kind
		hash    command.Hash
		payload []byte
		path    []uint32
	}{
		{"ed25519", ed, command.KindMessage, command.HashNone, []byte("hello"), nil},
		{"ed25519/two-levels", ed, command.KindMessage, command.HashNone, []byte("hello"), []uint32{0, 7}},
		{"solana/two-levels", ed, command.KindSolana, command.HashNone, transfer(solanaChild(b, ed, 0, 7)), []uint32{0, 7}},
		{"bip340/two-levels", btc, command.KindMessage, command.HashSHA256, []byte("hello"), []uint32{0, 7}},
		{"bip340/eight-levels", btc, command.KindMessage, command.HashSHA256, []byte("hello"), []uint32{1, 2, 3, 4, 5, 6, 7, 8}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := intent.Spends(c.kind, c.hash, c.payload, c.path, c.k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
