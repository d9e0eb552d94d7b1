package intent_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/btcutil/psbt"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// whole is a threshold key whose secret the test has in one place.
type whole struct {
	*intent.Taproot
	secret   *hdkeychain.ExtendedKey
	fallback []*btcec.PrivateKey
}

func newWhole(t testing.TB, seed string, fallback bool) *whole {
	t.Helper()
	h := sha256.Sum256([]byte(seed))
	master, err := hdkeychain.NewMaster(h[:], &chaincfg.MainNetParams)
	if err != nil {
		t.Fatal(err)
	}
	public, err := master.ECPubKey()
	if err != nil {
		t.Fatal(err)
	}
	w := &whole{secret: master}
	k := intent.TaprootKey{Key: public.SerializeCompressed(), ChainCode: master.ChainCode()}
	if fallback {
		k.Fallback = &intent.Fallback{Signers: 2}
		for i := range 4 {
			h := sha256.Sum256(fmt.Appendf(nil, "%s/fallback/%d", seed, i))
			private, public := btcec.PrivKeyFromBytes(h[:])
			w.fallback = append(w.fallback, private)
			k.Fallback.PublicKeys = append(k.Fallback.PublicKeys, schnorr.SerializePubKey(public))
		}
	}
	if w.Taproot, err = intent.NewTaproot(k); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *whole) at(t testing.TB, path ...uint32) *intent.TaprootOutput {
	t.Helper()
	o, err := w.Output(path...)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// sign signs with the secret of each child, tweaked by btcd.
func (w *whole) sign(t testing.TB, spends []intent.KeySpend) (sigs [][]byte) {
	t.Helper()
	for _, s := range spends {
		k := w.secret
		for _, index := range s.Path {
			var err error
			if k, err = k.Derive(index); err != nil {
				t.Fatal(err)
			}
		}
		private, err := k.ECPrivKey()
		if err != nil {
			t.Fatal(err)
		}
		tweaked := txscript.TweakTaprootPrivKey(*private, w.MerkleRoot())
		sig, err := schnorr.Sign(tweaked, s.Message)
		if err != nil {
			t.Fatal(err)
		}
		sigs = append(sigs, sig.Serialize())
	}
	return sigs
}

var paths = [][]uint32{nil, {0, 0}, {0, 1}, {1, 7}, {5}}

// Every version, with and without a tree, from the key and its children: the script engine
// accepts what comes out.
func TestTaprootSpends(t *testing.T) {
	for _, version := range []uint32{0, 2} {
		for _, fallback := range []bool{false, true} {
			w := newWhole(t, "spend", fallback)
			var outs []*intent.TaprootOutput
			for _, p := range paths {
				outs = append(outs, w.at(t, p...))
			}
			f := intenttest.FundTaproot(1, outs, 10_000, 20_000, 30_000, 40_000, 50_000)
			p := intenttest.TaprootPSBT(version, w.Taproot, f, outs, intenttest.To(1, 100_000), intenttest.ToTaproot(w.at(t), 49_000))
			in, spends, err := w.Decode(p, intent.Regtest)
			if err != nil {
				t.Fatal(version, fallback, err)
			}
			if again, err := w.KeySpends(p); err != nil || !reflect.DeepEqual(again, spends) {
				t.Error("judging and showing differ", err)
			}
			for i, s := range spends {
				if !reflect.DeepEqual(s.Path, paths[i]) || s.Key != outs[i].Key || !bytes.Equal(s.Message, in.Messages[i]) {
					t.Errorf("input %d is signed at %v", i, s.Path)
				}
			}
			combined, err := w.Combine(p, w.sign(t, spends))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := w.Finalize(combined)
			if err != nil {
				t.Fatal(err)
			}
			if err := intenttest.Accepted(raw, f); err != nil {
				t.Errorf("version %d, fallback %v: %v", version, fallback, err)
			}
			tx := wire.NewMsgTx(2)
			if err := tx.Deserialize(bytes.NewReader(raw)); err != nil || tx.TxHash().String() != in.Transaction.TxID {
				t.Errorf("another transaction: %v", err)
			}
			if size := int64((tx.SerializeSizeStripped()*3 + tx.SerializeSize() + 3) / 4); in.Transaction.VSize != size {
				t.Errorf("size %d, shown as %d", size, in.Transaction.VSize)
			}
			tr := in.Transaction
			if tr.Fee != 1000 || tr.Spent() != 101_000 || tr.Outputs[0].Change || !tr.Outputs[1].Change || tr.Outputs[1].Address != w.at(t).Address(intent.Regtest) {
				t.Errorf("shown as %+v", tr)
			}
		}
	}
}

// The library finalizes what we combine to the same transaction.
func TestTaprootAgreesWithLibrary(t *testing.T) {
	w := newWhole(t, "library", true)
	outs := []*intent.TaprootOutput{w.at(t, 0, 3), w.at(t)}
	f := intenttest.FundTaproot(2, outs, 70_000, 30_000)
	p := intenttest.TaprootPSBT(0, w.Taproot, f, outs, intenttest.To(1, 99_000))
	_, spends, err := w.Decode(p, intent.Mainnet)
	if err != nil {
		t.Fatal(err)
	}
	combined, err := w.Combine(p, w.sign(t, spends))
	if err != nil {
		t.Fatal(err)
	}
	packet, err := psbt.NewFromRawBytes(bytes.NewReader(combined), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := psbt.MaybeFinalizeAll(packet); err != nil {
		t.Fatal(err)
	}
	tx, err := psbt.Extract(packet)
	if err != nil {
		t.Fatal(err)
	}
	var theirs bytes.Buffer
	if err := tx.Serialize(&theirs); err != nil {
		t.Fatal(err)
	}
	if ours, err := w.Finalize(combined); err != nil || !bytes.Equal(ours, theirs.Bytes()) {
		t.Fatalf("ours %x, theirs %x (%v)", ours, theirs.Bytes(), err)
	}
}

// Any two of its keys spend by the fallback's script, no single one does.
func TestFallbackSpends(t *testing.T) {
	w := newWhole(t, "fallback", true)
	for _, path := range paths {
		o := w.at(t, path...)
		f := intenttest.FundTaproot(3, []*intent.TaprootOutput{o}, 50_000)
		for a := range 4 {
			for b := a; b < 4; b++ {
				signers := []*btcec.PrivateKey{w.fallback[a], w.fallback[b]}
				err := intenttest.Accepted(intenttest.FallbackSpend(w.Taproot, f, []*intent.TaprootOutput{o}, signers, intenttest.To(1, 49_000)), f)
				if want := a != b; (err == nil) != want {
					t.Errorf("path %v, keys %d and %d: %v", path, a+1, b+1, err)
				}
			}
		}
	}
}

// SIGHASH_ALL signs another hash, over the same things, with a byte behind.
func TestTaprootSighashAll(t *testing.T) {
	w := newWhole(t, "all", false)
	outs := []*intent.TaprootOutput{w.at(t)}
	f := intenttest.FundTaproot(4, outs, 50_000)
	p := intenttest.TaprootPSBT(0, w.Taproot, f, outs, intenttest.To(1, 49_000))
	all := withField(p, []byte{0x03}, []byte{1, 0, 0, 0})
	byDefault, err := w.KeySpends(p)
	if err != nil {
		t.Fatal(err)
	}
	_, spends, err := w.Decode(all, intent.Mainnet)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(spends[0].Message, byDefault[0].Message) {
		t.Error("one hash for two sighash types")
	}
	combined, err := w.Combine(all, w.sign(t, spends))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.Finalize(combined)
	if err != nil {
		t.Fatal(err)
	}
	if err := intenttest.Accepted(raw, f); err != nil {
		t.Error(err)
	}
}

// withField puts a field in front of the first input's.
func withField(p, key, value []byte) []byte {
	field := append(append([]byte{byte(len(key))}, key...), byte(len(value)))
	field = append(field, value...)
	at := bytes.Index(p, []byte{0, 1, 1, 43}) + 1 // end of the global map, then the witness UTXO
	if at == 0 {
		panic("no first input")
	}
	return bytes.Join([][]byte{p[:at], field, p[at:]}, nil)
}

func TestTaprootSignaturesRefused(t *testing.T) {
	w := newWhole(t, "refuse", false)
	outs := []*intent.TaprootOutput{w.at(t), w.at(t, 0, 1)}
	f := intenttest.FundTaproot(5, outs, 50_000, 20_000)
	p := intenttest.TaprootPSBT(2, w.Taproot, f, outs, intenttest.To(1, 69_000))
	spends, err := w.KeySpends(p)
	if err != nil {
		t.Fatal(err)
	}
	good := w.sign(t, spends)
	for name, c := range map[string]struct {
		sigs [][]byte
		code errs.Code
	}{
		"one missing": {good[:1], errs.Invalid},
		"swapped":     {[][]byte{good[1], good[0]}, errs.Unverified},
		"short":       {[][]byte{good[0][:63], good[1]}, errs.Unverified},
		"long":        {[][]byte{append(bytes.Clone(good[0]), 0), good[1]}, errs.Unverified},
		"zeros":       {[][]byte{make([]byte, 64), good[1]}, errs.Unverified},
		"flipped":     {[][]byte{append([]byte{good[0][0] ^ 1}, good[0][1:]...), good[1]}, errs.Unverified},
		"ones":        {[][]byte{bytes.Repeat([]byte{255}, 64), good[1]}, errs.Unverified},
	} {
		if _, err := w.Combine(p, c.sigs); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Finalize(p); errs.CodeOf(err) != errs.PayloadRejected {
		t.Errorf("nothing signed: %v", err)
	}
	combined, err := w.Combine(p, good)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := w.Combine(combined, good); err != nil || !bytes.Equal(again, combined) {
		t.Errorf("the same signatures again change the PSBT: %v", err)
	}
	if !bytes.Contains(p, []byte{1, 0x06, 1, 3}) || !bytes.Contains(combined, []byte{1, 0x06, 1, 0}) {
		t.Error("the transaction is still marked modifiable")
	}
	spoiled := bytes.Replace(combined, good[0], good[1], 1)
	if _, err := w.Finalize(spoiled); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("another input's signature: %v", err)
	}
}

func TestTaprootChange(t *testing.T) {
	w, other := newWhole(t, "change", false), newWhole(t, "other", false)
	outs := []*intent.TaprootOutput{w.at(t)}
	f := intenttest.FundTaproot(6, outs, 50_000)
	child, foreign := w.at(t, 1, 2), other.at(t, 1, 2)
	p := intenttest.TaprootPSBT(0, w.Taproot, f, outs, intenttest.ToTaproot(child, 10_000), intenttest.ToTaproot(foreign, 20_000), intenttest.ToTaproot(child, 19_000))
	if !bytes.HasSuffix(p, []byte{0, 0, 0, 0}) {
		t.Fatal("the outputs' maps are not empty")
	}
	p = p[:len(p)-3]
	for _, claimed := range []*intent.TaprootOutput{child, child, foreign} { // true; a lie; a lie over an output that is the wallet's
		p = append(p, 1, 0x05, 32)
		p = append(p, claimed.Internal[:]...)
		p = append(p, 33, 0x07)
		p = append(p, claimed.Internal[:]...)
		d := intenttest.Derivation(w.Taproot, []uint32{1, 2})
		p = append(append(append(p, byte(len(d))), d...), 0)
	}
	in, _, err := w.Decode(p, intent.Mainnet)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, true} { // the script decides
		if in.Transaction.Outputs[i].Change != want {
			t.Errorf("output %d: change is %v", i, !want)
		}
	}
	if text := fmt.Sprint(in.Summary()); !strings.Contains(text, child.Address(intent.Mainnet)+" (back to this wallet)") {
		t.Error(text)
	}
}
