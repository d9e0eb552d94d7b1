package intent_test

import (
	"bytes"
	"crypto/ed25519"
	"reflect"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
	"github.com/tetrad-vault/tetrad/vault/frost"
	"github.com/tetrad-vault/tetrad/vault/frost/frosttest"
)

// threshold is a key that exists nowhere: four regions made it, any two sign.
type threshold struct{ *frosttest.Key }

func newThreshold(suite *frost.Suite) *threshold {
	return &threshold{frosttest.New(suite, 2, 1, 2, 3, 4)}
}

func (k *threshold) info(curve command.Curve) intent.KeyInfo {
	return intent.KeyInfo{Curve: curve, Signers: 2, Threshold: true, Point: k.Public.Compressed(), Chain: k.Chain}
}

// spend signs as the regions do: from the shares, under what they derive themselves.
func (k *threshold) spend(s intent.Spend, signers ...uint8) []byte {
	root := s.Root
	if s.Taproot {
		root = append([]byte{}, root...)
	}
	return k.Sign(s.Message, s.Path, root, signers...)
}

// A threshold key and its children pay from Taproot outputs, by two of four, with and
// without a script tree; the script engine is the judge.
func TestThresholdKeySpendsTaproot(t *testing.T) {
	k := newThreshold(frost.BIP340)
	tk := intent.TaprootKey{Key: k.Public.Compressed(), ChainCode: k.Chain[:]}
	info, _ := newKey("threshold fallback", 2, 4)
	script := &intent.Fallback{Signers: 2}
	for _, p := range info.PublicKeys {
		script.PublicKeys = append(script.PublicKeys, p.Key[1:])
	}
	for _, fallback := range []*intent.Fallback{nil, script} {
		tk.Fallback = fallback
		w, err := intent.NewTaproot(tk)
		if err != nil {
			t.Fatal(err)
		}
		var outs []*intent.TaprootOutput
		for _, p := range [][]uint32{nil, {0, 7}, {1, 2, 3}} {
			o, err := w.Output(p...)
			if err != nil {
				t.Fatal(err)
			}
			outs = append(outs, o)
		}
		f := intenttest.FundTaproot(9, outs, 10_000, 20_000, 30_000)
		for _, version := range []uint32{0, 2} {
			p := intenttest.TaprootPSBT(version, w, f, outs, intenttest.To(1, 59_000))
			spends, err := w.KeySpends(p)
			if err != nil {
				t.Fatal(err)
			}
			var sigs [][]byte
			for i, s := range spends {
				child, _, err := k.Public.Derive(k.Chain, s.Path...)
				if err != nil {
					t.Fatal(err)
				}
				output, err := child.Taproot(w.MerkleRoot())
				if err != nil {
					t.Fatal(err)
				}
				if string(output.Bytes()) != string(s.Key[:]) {
					t.Fatalf("input %d: the regions derive another output key", i)
				}
				sigs = append(sigs, k.Sign(s.Message, s.Path, append([]byte{}, w.MerkleRoot()...), uint8(i+1), uint8(i+2)))
			}
			combined, err := w.Combine(p, sigs)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := w.Finalize(combined)
			if err != nil {
				t.Fatal(err)
			}
			if err := intenttest.Accepted(raw, f); err != nil {
				t.Error(version, err)
			}
		}
	}
}

// Public derivation here and from the shares are one scheme.
func TestChildIsTheRegions(t *testing.T) {
	for curve, suite := range map[command.Curve]*frost.Suite{command.Secp256k1: frost.BIP340, command.Ed25519: frost.Ed25519} {
		k := newThreshold(suite)
		for _, path := range [][]uint32{nil, {0}, {1<<31 - 1}, {3, 0, 7}, {1, 2, 3, 4, 5, 6, 7, 8}} {
			want, chain, err := k.Public.Derive(k.Chain, path...)
			if err != nil {
				t.Fatal(err)
			}
			got, next, err := intent.Child(curve, k.Public.Compressed(), k.Chain, path...)
			if err != nil || !bytes.Equal(got, want.Compressed()) || next != chain {
				t.Errorf("%s %v: %x, regions derive %x: %v", curve, path, got, want.Compressed(), err)
			}
		}
	}
}

// What Spends says is what the regions sign and anybody verifies, for every kind.
func TestThresholdKeySignsEveryKind(t *testing.T) {
	ed, btc := newThreshold(frost.Ed25519), newThreshold(frost.BIP340)
	path := []uint32{4, 9}
	edInfo, btcInfo := ed.info(command.Ed25519), btc.info(command.Secp256k1)
	edInfo.AllowBlind, btcInfo.AllowBlind = true, true
	child, _, err := intent.Child(command.Ed25519, edInfo.Point, edInfo.Chain, path...)
	if err != nil {
		t.Fatal(err)
	}
	w, err := btcInfo.Taproot()
	if err != nil {
		t.Fatal(err)
	}
	outs := []*intent.TaprootOutput{output(t, w), output(t, w, 0, 5)}
	psbt := intenttest.TaprootPSBT(2, w, intenttest.FundTaproot(3, outs, 5_000, 6_000), outs, intenttest.To(1, 10_000))
	for _, c := range []struct {
		name    string
		k       *threshold
		info    intent.KeyInfo
		kind    command.Kind
		hash    command.Hash
		payload []byte
		path    []uint32
		spends  int
	}{
		{"ed25519 message", ed, edInfo, command.KindMessage, command.HashNone, []byte("hello"), path, 1},
		{"ed25519 root", ed, edInfo, command.KindMessage, command.HashNone, []byte("hello"), nil, 1},
		{"ed25519 digest", ed, edInfo, command.KindDigest, command.HashNone, make([]byte, 32), path, 1},
		{"solana", ed, edInfo, command.KindSolana, command.HashNone, transfer(solana.Address(child)), path, 1},
		{"solana version 0", ed, edInfo, command.KindSolana, command.HashNone, intenttest.SolanaTransfer(solana.V0, solana.Address(child), 9), path, 1},
		{"psbt", btc, btcInfo, command.KindPSBT, command.HashNone, psbt, nil, 2},
		{"bip340 message", btc, btcInfo, command.KindMessage, command.HashSHA256, []byte("hello"), path, 1},
		{"bip340 digest", btc, btcInfo, command.KindDigest, command.HashNone, make([]byte, 32), path, 1},
	} {
		spends, err := intent.Spends(c.kind, c.hash, c.payload, c.path, c.info)
		if err != nil || len(spends) != c.spends {
			t.Errorf("%s: %d spends, %v", c.name, len(spends), err)
			continue
		}
		in, err := intent.Decode(c.kind, c.hash, c.payload, c.info, c.path...)
		if err != nil || !reflect.DeepEqual(in.Spends, spends) || len(in.Messages) != c.spends {
			t.Errorf("%s: people are shown something else than is signed: %v", c.name, err)
		}
		if paths, err := intent.Paths(c.kind, c.payload, c.path, c.info); err != nil || !reflect.DeepEqual(paths, intent.PathsOf(spends)) {
			t.Errorf("%s: freezes would see other children than sign: %v, %v", c.name, paths, err)
		}
		for _, s := range spends {
			sig := c.k.spend(s, 1, 3)
			if !s.Verify(c.info, sig) {
				t.Errorf("%s: the regions' signature does not verify", c.name)
			}
			sig[40] ^= 1
			if s.Verify(c.info, sig) {
				t.Errorf("%s: a spoilt signature verifies", c.name)
			}
		}
	}
}

func output(t *testing.T, w *intent.Taproot, path ...uint32) *intent.TaprootOutput {
	t.Helper()
	o, err := w.Output(path...)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// transfer is a Solana message: key pays nine lamports to account 5.
func transfer(key solana.Address) []byte { return intenttest.SolanaTransfer(solana.Legacy, key, 9) }

// A threshold key signs a Solana transaction of either version, which anybody verifies. With
// version 0 the signature covers the lookup table that names the payee, too.
func TestThresholdKeySignsSolana(t *testing.T) {
	k := newThreshold(frost.Ed25519)
	key := solana.Address(k.Public.Bytes())
	for _, version := range []int{solana.Legacy, solana.V0} {
		m, err := solana.Decode(intenttest.SolanaTransfer(version, key, 9))
		if err != nil || m.Version != version || len(m.Accounts) != 3 || (m.Accounts[2].Table != nil) != (version == solana.V0) {
			t.Fatal(version, m, err)
		}
		tx, err := m.Transaction(solana.Signature{Signer: key, Bytes: k.Sign(m.Bytes(), nil, nil, 2, 4)})
		if err != nil {
			t.Fatal(version, err)
		}
		if !ed25519.Verify(key[:], tx[65:], tx[1:65]) {
			t.Errorf("version %d: the transaction's signature does not verify", version)
		}
		read, sigs, err := solana.DecodeTransaction(tx)
		if err != nil || len(sigs) != 1 || read.Version != version {
			t.Error(version, len(sigs), err)
		}
		for at := 65; at < len(tx); at++ {
			bad := bytes.Clone(tx)
			if bad[at] ^= 1; ed25519.Verify(key[:], bad[65:], bad[1:65]) {
				t.Errorf("version %d: spoilt at byte %d it verifies", version, at)
			}
		}
	}
}
