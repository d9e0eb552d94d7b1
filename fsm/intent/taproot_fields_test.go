package intent

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/psbt"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func taprootWallet(t testing.TB) *Taproot {
	t.Helper()
	k := testKey("taproot")
	w, err := NewTaproot(TaprootKey{Key: k.PublicKeys[0].Key, ChainCode: bytes.Repeat([]byte{7}, 32),
		Fallback: &Fallback{2, xOnly(testKey("fallback").PublicKeys)}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func xOnly(keys []PublicKey) (out [][]byte) {
	for _, k := range keys {
		out = append(out, k.Key[1:])
	}
	return out
}

// tapSample is a good Taproot PSBT in the making: input 0 spends the key's output, input 1
// that of its child 0/1.
func tapSample(t testing.TB, version uint32) (*Taproot, *sample) {
	w, s := taprootWallet(t), newSample(t, version)
	for i, path := range [][]uint32{nil, {0, 1}} {
		o, err := w.Output(path...)
		if err != nil {
			t.Fatal(err)
		}
		f := &s.inputs[i]
		f.drop(inTx)
		f.drop(inSigHash)
		f.drop(inWitnessScript)
		f.set([]byte{inUTXO}, utxoBytes(50_000, o.PkScript()))
		f.set([]byte{inTapKey}, o.Internal[:])
		f.set([]byte{inTapRoot}, w.root)
		f.set(append([]byte{inTapLeaf}, o.ControlBlock()...), append(w.LeafScript(), 0xc0))
		f.set(append([]byte{inTapDerivation}, o.Internal[:]...), tapPath(w, path...))
	}
	return w, s
}

func tapPath(w *Taproot, path ...uint32) []byte {
	fingerprint := w.Fingerprint()
	b := append([]byte{0}, fingerprint[:]...)
	for _, index := range path {
		b = binary.LittleEndian.AppendUint32(b, index)
	}
	return b
}

func TestTaprootSamplesAreGood(t *testing.T) {
	for _, version := range []uint32{0, 2} {
		w, s := tapSample(t, version)
		if _, _, err := w.Decode(s.encode(), Mainnet); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
	}
	w, s := tapSample(t, 0)
	s.inputs[0] = s.inputs[0][:1] // the key's own output needs nothing but the UTXO
	if _, _, err := w.Decode(s.encode(), Mainnet); err != nil {
		t.Errorf("bare: %v", err)
	}
}

var tapFaults = []fault{
	{"no utxo", errs.PayloadRejected, "input 1 has no witness UTXO", func(s *sample) { s.inputs[1].drop(inUTXO) }},
	{"same output twice", errs.PayloadRejected, "inputs 0 and 1 spend the same output", func(s *sample) {
		s.tx.TxIn[1].PreviousOutPoint = s.tx.TxIn[0].PreviousOutPoint
		if s.version == 0 {
			s.retx()
		} else {
			s.inputs[1].set([]byte{inPrevIndex}, u32le(0))
		}
	}},
	{"multisig script", errs.PayloadRejected, "input 0 spends an output of another script", func(s *sample) {
		s.inputs[0].set([]byte{inUTXO}, utxoBytes(50_000, s.wallet.PkScript()))
	}},
	{"child's output without its key", errs.PayloadRejected, "input 1 spends an output of another script", func(s *sample) { s.inputs[1].drop(inTapKey) }},
	{"strange internal key", errs.PayloadRejected, "neither this key nor derived", func(s *sample) { s.inputs[0].set([]byte{inTapKey}, bytes.Repeat([]byte{2}, 32)) }},
	{"strange Merkle root", errs.PayloadRejected, "input 0 has a Merkle root", func(s *sample) { s.inputs[0].set([]byte{inTapRoot}, make([]byte, 32)) }},
	{"empty Merkle root", errs.PayloadRejected, "input 0 has a Merkle root", func(s *sample) { s.inputs[0].set([]byte{inTapRoot}, nil) }},
	{"strange leaf", errs.PayloadRejected, "input 1 has a leaf script", func(s *sample) {
		s.inputs[1] = append(s.inputs[1], pair{append([]byte{inTapLeaf}, make([]byte, 33)...), []byte{txscript.OP_TRUE, 0xc0}})
	}},
	{"sighash none", errs.PayloadRejected, "input 0 asks for a sighash", func(s *sample) { s.inputs[0].set([]byte{inSigHash}, u32le(2)) }},
	{"sighash anyonecanpay", errs.PayloadRejected, "input 0 asks for a sighash", func(s *sample) { s.inputs[0].set([]byte{inSigHash}, u32le(0x81)) }},
	{"sighash high bits", errs.PayloadRejected, "input 0 asks for a sighash", func(s *sample) { s.inputs[0].set([]byte{inSigHash}, u32le(0x100)) }},
	{"sighash short", errs.PayloadRejected, "input 0 asks for a sighash", func(s *sample) { s.inputs[0].set([]byte{inSigHash}, []byte{0}) }},
	{"signature short", errs.PayloadRejected, "input 0 has a signature of 63", func(s *sample) { s.inputs[0].set([]byte{inTapKeySig}, make([]byte, 63)) }},
	{"signature of another type", errs.PayloadRejected, "input 0 has a signature of 65", func(s *sample) { s.inputs[0].set([]byte{inTapKeySig}, make([]byte, 65)) }},
	{"script path signature", errs.PayloadRejected, "only the key path", func(s *sample) {
		s.inputs[1].set(append([]byte{inTapScriptSig}, make([]byte, 64)...), make([]byte, 64))
	}},
	{"partial signature", errs.PayloadRejected, "field 0x02", func(s *sample) { s.inputs[1].set(append([]byte{inPartial}, s.wallet.keys[0].Key...), []byte{1}) }},
	{"witness script", errs.PayloadRejected, "field 0x05", func(s *sample) { s.inputs[0].set([]byte{inWitnessScript}, s.wallet.script) }},
	{"redeem script", errs.PayloadRejected, "field 0x04", func(s *sample) { s.inputs[0].set([]byte{inRedeemScript}, []byte{0}) }},
	{"finalized", errs.PayloadRejected, "input 1 is already finalized", func(s *sample) { s.inputs[1].set([]byte{inFinalWitness}, []byte{0}) }},
	{"internal key of 33 bytes", errs.Malformed, "internal key of 33", func(s *sample) { s.inputs[0].set([]byte{inTapKey}, make([]byte, 33)) }},
	{"key data of a signature", errs.Malformed, "input 0", func(s *sample) { s.inputs[0].set([]byte{inTapKeySig, 0}, make([]byte, 64)) }},
	{"derivation of 33 bytes", errs.Malformed, "derivation of a key of 33", func(s *sample) {
		s.inputs[0].set(append([]byte{inTapDerivation}, make([]byte, 33)...), []byte{0, 1, 2, 3, 4})
	}},
	{"derivation short", errs.Malformed, "input 1", func(s *sample) {
		s.inputs[1].set(append([]byte{inTapDerivation}, make([]byte, 32)...), []byte{0, 1, 2})
	}},
	{"derivation cut in an index", errs.Malformed, "input 1", func(s *sample) {
		s.inputs[1].set(append([]byte{inTapDerivation}, make([]byte, 32)...), []byte{0, 1, 2, 3, 4, 5})
	}},
	{"derivation claims leaves", errs.Malformed, "do not fit", func(s *sample) {
		s.inputs[1].set(append([]byte{inTapDerivation}, make([]byte, 32)...), []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
	}},
	{"output's internal key of 31 bytes", errs.Malformed, "output 1", func(s *sample) { s.outputs[1].set([]byte{outTapKey}, make([]byte, 31)) }},
	{"output's derivation", errs.Malformed, "output 0", func(s *sample) { s.outputs[0].set(append([]byte{outTapDerivation}, make([]byte, 32)...), []byte{0}) }},
	{"outputs exceed inputs", errs.PayloadRejected, "outputs pay 99000 sat", func(s *sample) {
		raw, _ := s.inputs[0].get(inUTXO)
		s.inputs[0].set([]byte{inUTXO}, append(binary.LittleEndian.AppendUint64(nil, 40_000), raw[8:]...))
	}},
	{"previous transaction differs", errs.PayloadRejected, "input 0 spends transaction", func(s *sample) {
		other := s.prev.Copy()
		other.LockTime++
		s.inputs[0].set([]byte{inTx}, txBytes(other))
	}},
}

func TestTaprootFaults(t *testing.T) {
	for _, version := range []uint32{0, 2} {
		for _, f := range tapFaults {
			w, s := tapSample(t, version)
			f.spoil(s)
			_, err := w.KeySpends(s.encode())
			if errs.CodeOf(err) != f.code || !strings.Contains(err.Error(), f.text) {
				t.Errorf("version %d, %s: %s %v, want %s and %q", version, f.name, errs.CodeOf(err), err, f.code, f.text)
			}
		}
	}
}

func TestDerivationsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		value func(w *Taproot) []byte
		text  string
	}{
		"another path":        {func(w *Taproot) []byte { return tapPath(w, 0, 2) }, "another script"},
		"hardened":            {func(w *Taproot) []byte { return tapPath(w, 1<<31) }, "no whole secret"},
		"too deep":            {func(w *Taproot) []byte { return tapPath(w, 1, 2, 3, 4, 5, 6) }, "6 levels"},
		"another fingerprint": {func(w *Taproot) []byte { b := tapPath(w, 0, 1); b[1] ^= 1; return b }, "neither this key"},
		"with a leaf": {func(w *Taproot) []byte {
			return append(append([]byte{1}, make([]byte, 32)...), tapPath(w, 0, 1)[1:]...)
		}, "neither this key"},
	} {
		w, s := tapSample(t, 0)
		internal, _ := s.inputs[1].get(inTapKey)
		s.inputs[1].set(append([]byte{inTapDerivation}, internal...), c.value(w))
		if _, err := w.KeySpends(s.encode()); errs.CodeOf(err) != errs.PayloadRejected || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w, s := tapSample(t, 0)
	stranger := bytes.Repeat([]byte{2}, 32) // another internal key over the right path
	s.inputs[1].set([]byte{inTapKey}, stranger)
	s.inputs[1].set(append([]byte{inTapDerivation}, stranger...), tapPath(w, 0, 1))
	if _, err := w.KeySpends(s.encode()); errs.CodeOf(err) != errs.PayloadRejected || !strings.Contains(err.Error(), "its derivation gives") {
		t.Errorf("another internal key: %v", err)
	}
	w, s = tapSample(t, 0)
	w.extended = nil
	if _, err := w.KeySpends(s.encode()); errs.CodeOf(err) != errs.PayloadRejected || !strings.Contains(err.Error(), "no chain code") {
		t.Errorf("no chain code: %v", err)
	}
}

func TestNewTaprootRefuses(t *testing.T) {
	good := testKey("refuse").PublicKeys
	xs := xOnly(good)
	seventeen := Fallback{Signers: 2}
	for i := range 5 {
		seventeen.PublicKeys = append(seventeen.PublicKeys, xOnly(testKey(fmt.Sprint("many", i)).PublicKeys)...)
	}
	seventeen.PublicKeys = seventeen.PublicKeys[:command.MaxFallback+1]
	for name, k := range map[string]TaprootKey{
		"x only":           {Key: good[0].Key[1:]},
		"off curve":        {Key: append([]byte{2}, bytes.Repeat([]byte{255}, 32)...)},
		"chain code":       {Key: good[0].Key, ChainCode: make([]byte, 31)},
		"no signers":       {Key: good[0].Key, Fallback: &Fallback{0, xs}},
		"too many signers": {Key: good[0].Key, Fallback: &Fallback{5, xs}},
		"too many keys":    {Key: good[0].Key, Fallback: &seventeen},
		"no keys":          {Key: good[0].Key, Fallback: &Fallback{}},
		"with parity":      {Key: good[0].Key, Fallback: &Fallback{1, [][]byte{good[0].Key}}},
		"x of no point":    {Key: good[0].Key, Fallback: &Fallback{1, [][]byte{xs[0], bytes.Repeat([]byte{255}, 32)}}},
		"same x":           {Key: good[0].Key, Fallback: &Fallback{1, [][]byte{xs[0], xs[1], xs[0]}}},
	} {
		if _, err := NewTaproot(k); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A P2WSH key's judgement of payloads did not change: odd Taproot fields are still unknown to it.
func TestMultisigIgnoresTaprootFields(t *testing.T) {
	s := newSample(t, 0)
	s.inputs[0].set([]byte{inTapKeySig, 9}, []byte{1})
	s.inputs[1].set([]byte{inTapKey}, []byte{1})
	s.outputs[0].set([]byte{outTapTree, 1}, nil)
	if err := decodeSample(s.encode()); err != nil {
		t.Fatal(err)
	}
}

// Of two faults the first input's is told, as ever: the code of a refusal is replicated.
func TestOrderOfFaults(t *testing.T) {
	s := newSample(t, 0)
	s.inputs[0].set([]byte{inUTXO}, []byte{1})
	s.tx.TxIn[1].PreviousOutPoint = s.tx.TxIn[0].PreviousOutPoint
	s.retx()
	if err := decodeSample(s.encode()); errs.CodeOf(err) != errs.Malformed {
		t.Fatal(err)
	}
}

// BIP-341, wallet-test-vectors.json, keyPathSpending: a transaction of nine inputs.
const bip341Tx = "02000000097de20cbff686da83a54981d2b9bab3586f4ca7e48f57f5b55963115f3b334e9c010000000000000000d7b7cab57b1393ace2d064f4d4a2cb8af6def61273e127517d44759b6dafdd990000000000fffffffff8e1f583384333689228c5d28eac13366be082dc57441760d957275419a418420000000000fffffffff0689180aa63b30cb162a73c6d2a38b7eeda2a83ece74310fda0843ad604853b0100000000feffffffaa5202bdf6d8ccd2ee0f0202afbbb7461d9264a25e5bfd3c5a52ee1239e0ba6c0000000000feffffff956149bdc66faa968eb2be2d2faa29718acbfe3941215893a2a3446d32acd050000000000000000000e664b9773b88c09c32cb70a2a3e4da0ced63b7ba3b22f848531bbb1d5d5f4c94010000000000000000e9aa6b8e6c9de67619e6a3924ae25696bb7b694bb677a632a74ef7eadfd4eabf0000000000ffffffffa778eb6a263dc090464cd125c466b5a99667720b1c110468831d058aa1b82af10100000000ffffffff0200ca9a3b000000001976a91406afd46bcdfd22ef94ac122aa11f241244a37ecc88ac807840cb0000000020ac9a87f5594be208f8532db38cff670c450ed2fea8fcdefcc9a663f78bab962b0065cd1d"

var bip341Spent = []struct {
	script string
	amount int64
}{
	{"512053a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343", 420000000},
	{"5120147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3", 462000000},
	{"76a914751e76e8199196d454941c45d1b3a323f1433bd688ac", 294000000},
	{"5120e4d810fd50586274face62b8a807eb9719cef49c04177cc6b76a9a4251d5450e", 504000000},
	{"512091b64d5324723a985170e4dc5a0f84c041804f2cd12660fa5dec09fc21783605", 630000000},
	{"00147dd65592d0ab2fe0d0257d571abf032cd9db93dc", 378000000},
	{"512075169f4001aa68f15bbed28b218df1d0a62cbbcf1188c6665110c293c907b831", 672000000},
	{"5120712447206d7a5238acc7ff53fbe94a3b64539ad291c7cdbc490b7577e4b17df5", 546000000},
	{"512077e30a5522dd9f894c3f8b8bd4c4b2cf82ca7da8a3ea6a239655c39c050ab220", 588000000},
}

// The hash of every key-path input of the vectors, all sighash types, and that the
// signatures there verify. (We sign types 0 and 1 only.)
func TestDigestIsBIP341(t *testing.T) {
	raw, _ := hex.DecodeString(bip341Tx)
	tx, err := readTransaction(raw, false)
	if err != nil {
		t.Fatal(err)
	}
	s := &keyPath{spend: spend{tx: tx}}
	for _, out := range bip341Spent {
		script, _ := hex.DecodeString(out.script)
		s.utxos = append(s.utxos, wire.NewTxOut(out.amount, script))
	}
	s.hashTypes = []txscript.SigHashType{3, 131, 0, 1, 0, 0, 2, 130, 129}
	if err := s.computeDigests(); err != nil {
		t.Fatal(err)
	}
	for input, want := range map[int][2]string{
		0: {"2514a6272f85cfa0f45eb907fcb0d121b808ed37c6ea160a5a9046ed5526d555", "ed7c1647cb97379e76892be0cacff57ec4a7102aa24296ca39af7541246d8ff14d38958d4cc1e2e478e4d4a764bbfd835b16d4e314b72937b29833060b87276c"},
		1: {"325a644af47e8a5a2591cda0ab0723978537318f10e6a63d4eed783b96a71a4d", "052aedffc554b41f52b521071793a6b88d6dbca9dba94cf34c83696de0c1ec35ca9c5ed4ab28059bd606a4f3a657eec0bb96661d42921b5f50a95ad33675b54f"},
		3: {"bf013ea93474aa67815b1b6cc441d23b64fa310911d991e713cd34c7f5d46669", "ff45f742a876139946a149ab4d9185574b98dc919d2eb6754f8abaa59d18b025637a3aa043b91817739554f4ed2026cf8022dbd83e351ce1fabc272841d2510a"},
		4: {"4f900a0bae3f1446fd48490c2958b5a023228f01661cda3496a11da502a7f7ef", "b4010dd48a617db09926f729e79c33ae0b4e94b79f04a1ae93ede6315eb3669de185a17d2b0ac9ee09fd4c64b678a0b61a0a86fa888a273c8511be83bfd6810f"},
		6: {"15f25c298eb5cdc7eb1d638dd2d45c97c4c59dcaec6679cfc16ad84f30876b85", "a3785919a2ce3c4ce26f298c3d51619bc474ae24014bcdd31328cd8cfbab2eff3395fa0a16fe5f486d12f22a9cedded5ae74feb4bbe5351346508c5405bcfee0"},
		7: {"cd292de50313804dabe4685e83f923d2969577191a3e1d2882220dca88cbeb10", "ea0c6ba90763c2d3a296ad82ba45881abb4f426b3f87af162dd24d5109edc1cdd11915095ba47c3a9963dc1e6c432939872bc49212fe34c632cd3ab9fed429c4"},
		8: {"cccb739eca6c13a8a89e6e5cd317ffe55669bbda23f2fd37b0f18755e008edd2", "bbc9584a11074e83bc8c6759ec55401f0ae7b03ef290c3139814f545b58a9f8127258000874f44bc46db7646322107d4d86aec8e73b8719a61fff761d75b5dd9"},
	} {
		if got := hex.EncodeToString(s.digests[input]); got != want[0] {
			t.Errorf("input %d: %s, want %s", input, got, want[0])
		}
		sig, _ := hex.DecodeString(want[1])
		if !VerifyBIP340(s.utxos[input].PkScript[2:], s.digests[input], sig) {
			t.Errorf("input %d: the vectors' signature does not verify", input)
		}
	}
}

// BIP-341, wallet-test-vectors.json, scriptPubKey: those without a tree or with one leaf.
func TestOutputIsBIP341(t *testing.T) {
	for _, v := range []struct{ internal, leaf, root, output, control string }{
		{"d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d", "", "", "53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343", ""},
		{"187791b6f712a8ea41c8ecdd0ee77fab3e85263b37e1ec18a3651926b3a6cf27", "20d85a959b0290bf19bb89ed43c916be835475d013da4b362117393e25a48229b8ac",
			"5b75adecf53548f3ec6ad7d78383bf84cc57b55a3127c72b9a2481752dd88b21", "147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3",
			"c1187791b6f712a8ea41c8ecdd0ee77fab3e85263b37e1ec18a3651926b3a6cf27"},
		{"93478e9488f956df2396be2ce6c5cced75f900dfa18e7dabd2428aae78451820", "20b617298552a72ade070667e86ca63b8f5789a9fe8731ef91202a91c9f3459007ac",
			"c525714a7f49c28aedbbba78c005931a81c234b2f6c99a73e4d06082adc8bf2b", "e4d810fd50586274face62b8a807eb9719cef49c04177cc6b76a9a4251d5450e",
			"c093478e9488f956df2396be2ce6c5cced75f900dfa18e7dabd2428aae78451820"},
	} {
		for parity := byte(2); parity <= 3; parity++ { // the parity of an internal key does not count
			internal, _ := hex.DecodeString(v.internal)
			w := &Taproot{key: append([]byte{parity}, internal...)}
			if v.leaf != "" {
				w.leaf, _ = hex.DecodeString(v.leaf)
				root := txscript.NewBaseTapLeaf(w.leaf).TapHash()
				w.root = root[:]
			}
			o, err := w.Output()
			if err != nil {
				t.Fatal(err)
			}
			if hex.EncodeToString(w.root) != v.root || hex.EncodeToString(o.Key[:]) != v.output || hex.EncodeToString(o.ControlBlock()) != v.control {
				t.Errorf("%s: root %x, output %x, control block %x", v.internal, w.root, o.Key, o.ControlBlock())
			}
		}
	}
}

// BIP-371's PSBTs with lengths that are not x-only: each is refused for the field it names.
func TestInvalidOfBIP371(t *testing.T) {
	for _, v := range []struct{ name, psbt, text string }{
		{"input's internal key", "cHNidP8BAHECAAAAASd0Srq/MCf+DWzyOpbu4u+xiO9SMBlUWFiD5ptmJLJCAAAAAAD/////Anh8AQAAAAAAFgAUg6fjS9mf8DpJYu+KGhAbspVGHs5gawQqAQAAABYAFHrDad8bIOAz1hFmI5V7CsSfPFLoAAAAAAABASsA8gUqAQAAACJRIFosLPW1LPMfg60ujaY/8DGD7Nj2CcdRCuikjgORCgdXARchAv40kGTJjW4qhT+jybEr2LMEoZwZXGDvp+4jkwRtP6IyAAAA", "internal key of 33"},
		{"input's derivation", "cHNidP8BAHECAAAAASd0Srq/MCf+DWzyOpbu4u+xiO9SMBlUWFiD5ptmJLJCAAAAAAD/////Anh8AQAAAAAAFgAUg6fjS9mf8DpJYu+KGhAbspVGHs5gawQqAQAAABYAFHrDad8bIOAz1hFmI5V7CsSfPFLoAAAAAAABASsA8gUqAQAAACJRIFosLPW1LPMfg60ujaY/8DGD7Nj2CcdRCuikjgORCgdXIhYC/jSQZMmNbiqFP6PJsSvYswShnBlcYO+n7iOTBG0/ojIZAHcrLadWAACAAQAAgAAAAIABAAAAAAAAAAAAAA==", "derivation of a key of 33"},
	} {
		raw, err := base64.StdEncoding.DecodeString(v.psbt)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := taprootWallet(t).KeySpends(raw); errs.CodeOf(err) != errs.Malformed || !strings.Contains(err.Error(), v.text) {
			t.Errorf("%s: %v", v.name, err)
		}
	}
}

func FuzzTaprootPSBT(f *testing.F) {
	for _, version := range []uint32{0, 2} {
		_, s := tapSample(f, version)
		f.Add(s.encode())
		for _, fl := range tapFaults {
			_, s := tapSample(f, version)
			fl.spoil(s)
			f.Add(s.encode())
		}
	}
	w := taprootWallet(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		in, spends, err := w.Decode(b, Mainnet)
		if err != nil {
			switch errs.CodeOf(err) {
			case errs.Malformed, errs.PayloadRejected, errs.TooLarge:
				return
			}
			t.Fatalf("code %s: %v", errs.CodeOf(err), err)
		}
		in.Summary()
		if judged, err := w.KeySpends(b); err != nil || len(judged) != len(spends) {
			t.Fatalf("shown, but not judged: %v", err)
		}
		same := make([][]uint32, len(spends))
		for i := range spends {
			same[i] = spends[i].Path
		}
		info := KeyInfo{Threshold: true, Curve: command.Secp256k1, Point: w.key}
		if paths, err := Paths(command.KindPSBT, b, nil, info); err != nil || !reflect.DeepEqual(paths, distinct(same)) {
			t.Fatalf("freezes would see children %v, %v signs: %v", paths, same, err)
		}
		p, err := parsePacket(b)
		if err != nil || !bytes.Equal(p.encode(), b) {
			t.Fatalf("accepted, but written differently: %v", err)
		}
		_, _ = w.Finalize(b)
		if lib, err := psbt.NewFromRawBytes(bytes.NewReader(b), false); err == nil && p.version == 0 {
			if id := lib.UnsignedTx.TxHash().String(); id != in.Transaction.TxID {
				t.Fatalf("the library reads transaction %s, we %s", id, in.Transaction.TxID)
			}
		}
	})
}

// 256 inputs of the key itself, and of as many children as far below it as is read.
func BenchmarkTaproot(b *testing.B) {
	for name, path := range map[string]func(i uint32) []uint32{"key": func(uint32) []uint32 { return nil },
		"children": func(i uint32) []uint32 { return []uint32{0, i} }, "deepest": func(i uint32) []uint32 { return []uint32{i, i, i, i, i} }} {
		w, s := tapSample(b, 0)
		s.inputs, s.tx.TxIn = nil, nil
		for i := range uint32(command.MaxMessages) {
			o, err := w.Output(path(i)...)
			if err != nil {
				b.Fatal(err)
			}
			s.tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: chainhash.Hash{3}, Index: i}})
			s.inputs = append(s.inputs, fields{{[]byte{inUTXO}, utxoBytes(50_000, o.PkScript())}, {[]byte{inTapKey}, o.Internal[:]},
				{append([]byte{inTapDerivation}, o.Internal[:]...), tapPath(w, o.Path...)}})
		}
		s.retx()
		p := s.encode()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := w.KeySpends(p); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/paths", func(b *testing.B) { // what a freeze has to know
			for b.Loop() {
				if _, err := Paths(command.KindPSBT, p, nil, KeyInfo{Threshold: true, Curve: command.Secp256k1, Point: w.key}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
