package intent

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/psbt"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func testKey(seed string) KeyInfo {
	k := KeyInfo{Curve: command.Secp256k1, Signers: 2}
	for i := range 4 {
		h := sha256.Sum256(fmt.Appendf(nil, "%s/%d", seed, i))
		pub := secp256k1.PrivKeyFromBytes(h[:]).PubKey().SerializeCompressed()
		k.PublicKeys = append(k.PublicKeys, PublicKey{identity.RegionID(i + 1), pub})
	}
	return k
}

func testWallet(t testing.TB, seed string) *Wallet {
	t.Helper()
	w, err := NewWallet(testKey(seed))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func u32le(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

func txBytes(tx *wire.MsgTx) []byte {
	var b bytes.Buffer
	if err := tx.Serialize(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func utxoBytes(amount int64, script []byte) []byte {
	return appendBytes(binary.LittleEndian.AppendUint64(nil, uint64(amount)), script)
}

// sample is a good PSBT in the making: tests spoil it before it is encoded.
type sample struct {
	wallet *Wallet
	prev   *wire.MsgTx
	tx     *wire.MsgTx
	packet
}

func newSample(t testing.TB, version uint32) *sample {
	w := testWallet(t, "sample")
	s := &sample{wallet: w, prev: wire.NewMsgTx(2), tx: wire.NewMsgTx(2)}
	s.prev.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: chainhash.Hash{1}}, Witness: wire.TxWitness{{1}}})
	s.prev.AddTxOut(wire.NewTxOut(60_000, w.PkScript()))
	s.prev.AddTxOut(wire.NewTxOut(40_000, w.PkScript()))
	id := s.prev.TxHash()
	for i := range uint32(2) {
		s.tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: id, Index: i}, Sequence: 0xfffffffd})
	}
	s.tx.AddTxOut(wire.NewTxOut(90_000, append([]byte{0, 20}, bytes.Repeat([]byte{7}, 20)...)))
	s.tx.AddTxOut(wire.NewTxOut(9_000, w.PkScript()))
	s.version = version
	if version == 0 {
		s.global = fields{{[]byte{globalTx}, txBytes(s.tx)}}
	} else {
		s.global = fields{{[]byte{globalTxVersion}, u32le(2)}, {[]byte{globalInputs}, []byte{2}},
			{[]byte{globalOutputs}, []byte{2}}, {[]byte{globalVersion}, u32le(2)}}
	}
	for i := range uint32(2) {
		f := fields{{[]byte{inTx}, txBytes(s.prev)}, {[]byte{inUTXO}, utxoBytes(s.prev.TxOut[i].Value, w.PkScript())},
			{[]byte{inSigHash}, u32le(1)}, {[]byte{inWitnessScript}, w.script}}
		out := fields{}
		if version == 2 {
			f = append(f, pair{[]byte{inPrevTxID}, id[:]}, pair{[]byte{inPrevIndex}, u32le(i)}, pair{[]byte{inSequence}, u32le(0xfffffffd)})
			out = fields{{[]byte{outAmount}, binary.LittleEndian.AppendUint64(nil, uint64(s.tx.TxOut[i].Value))}, {[]byte{outScript}, s.tx.TxOut[i].PkScript}}
		}
		s.inputs, s.outputs = append(s.inputs, f), append(s.outputs, out)
	}
	return s
}

// retx puts the changed transaction back into a version 0 PSBT.
func (s *sample) retx() { s.global.set([]byte{globalTx}, txBytes(s.tx)) }

func (f *fields) drop(t byte) {
	for i, p := range *f {
		if len(p.key) == 1 && p.key[0] == t {
			*f = append((*f)[:i:i], (*f)[i+1:]...)
			return
		}
	}
}

func decodeSample(b []byte) error {
	_, err := Decode(command.KindPSBT, command.HashNone, b, testKey("sample"))
	return err
}

func TestSamplesAreGood(t *testing.T) {
	for _, version := range []uint32{0, 2} {
		s := newSample(t, version)
		if err := decodeSample(s.encode()); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
		for i := range s.inputs { // what may be left out
			s.inputs[i].drop(inTx)
			s.inputs[i].drop(inSigHash)
			s.inputs[i].drop(inWitnessScript)
			s.inputs[i].drop(inSequence)
		}
		if err := decodeSample(s.encode()); err != nil {
			t.Errorf("version %d, bare: %v", version, err)
		}
	}
}

type fault struct {
	name  string
	code  errs.Code
	text  string // the error must name this
	spoil func(s *sample)
}

var both = []fault{
	{"no witness utxo", errs.PayloadRejected, "input 1 has no witness UTXO", func(s *sample) { s.inputs[1].drop(inUTXO) }},
	{"foreign script", errs.PayloadRejected, "input 1 spends an output of another script", func(s *sample) {
		s.inputs[1].set([]byte{inUTXO}, utxoBytes(40_000, append([]byte{0, 32}, make([]byte, 32)...)))
	}},
	{"foreign witness script", errs.PayloadRejected, "input 0 has a witness script that is not", func(s *sample) {
		s.inputs[0].set([]byte{inWitnessScript}, []byte{txscript.OP_TRUE})
	}},
	{"sighash none", errs.PayloadRejected, "input 0 asks for sighash", func(s *sample) { s.inputs[0].set([]byte{inSigHash}, u32le(2)) }},
	{"sighash single anyonecanpay", errs.PayloadRejected, "input 1 asks for sighash", func(s *sample) { s.inputs[1].set([]byte{inSigHash}, u32le(0x83)) }},
	{"sighash default", errs.PayloadRejected, "input 0 asks for sighash", func(s *sample) { s.inputs[0].set([]byte{inSigHash}, u32le(0)) }},
	{"sighash high bits", errs.PayloadRejected, "input 0 asks for sighash", func(s *sample) { s.inputs[0].set([]byte{inSigHash}, u32le(0x101)) }},
	{"sighash short", errs.PayloadRejected, "input 0 asks for sighash", func(s *sample) { s.inputs[0].set([]byte{inSigHash}, []byte{1}) }},
	{"final witness", errs.PayloadRejected, "input 0 is already finalized", func(s *sample) { s.inputs[0].set([]byte{inFinalWitness}, []byte{0}) }},
	{"final script", errs.PayloadRejected, "input 1 is already finalized", func(s *sample) { s.inputs[1].set([]byte{inFinalSig}, []byte{0}) }},
	{"redeem script", errs.PayloadRejected, "input 0 has a redeem script", func(s *sample) { s.inputs[0].set([]byte{inRedeemScript}, []byte{0}) }},
	{"amounts differ", errs.PayloadRejected, "input 0: witness UTXO of 61000 sat", func(s *sample) {
		s.inputs[0].set([]byte{inUTXO}, utxoBytes(61_000, s.wallet.PkScript()))
	}},
	{"another transaction", errs.PayloadRejected, "input 0 spends transaction", func(s *sample) {
		other := s.prev.Copy()
		other.LockTime++
		s.inputs[0].set([]byte{inTx}, txBytes(other))
	}},
	{"previous malformed", errs.Malformed, "transaction spent by input 0", func(s *sample) { s.inputs[0].set([]byte{inTx}, txBytes(s.prev)[:20]) }},
	{"previous claims millions of inputs", errs.Malformed, "transaction spent by input 0", func(s *sample) {
		s.inputs[0].set([]byte{inTx}, []byte{2, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x00, 1})
	}},
	{"utxo malformed", errs.Malformed, "witness UTXO of input 0", func(s *sample) { s.inputs[0].set([]byte{inUTXO}, []byte{1, 2, 3}) }},
	{"utxo trailing", errs.Malformed, "witness UTXO of input 0", func(s *sample) {
		s.inputs[0].set([]byte{inUTXO}, append(utxoBytes(60_000, s.wallet.PkScript()), 0))
	}},
	{"negative amount", errs.PayloadRejected, "input 0 has amount -1", func(s *sample) {
		s.inputs[0].drop(inTx)
		s.inputs[0].set([]byte{inUTXO}, utxoBytes(-1, s.wallet.PkScript()))
	}},
	{"more than there is", errs.PayloadRejected, "more than there can be", func(s *sample) {
		for i := range s.inputs {
			s.inputs[i].drop(inTx)
			s.inputs[i].set([]byte{inUTXO}, utxoBytes(maxMoney, s.wallet.PkScript()))
		}
	}},
	{"outputs exceed inputs", errs.PayloadRejected, "outputs pay 99000 sat, inputs hold 90000", func(s *sample) {
		s.inputs[0].drop(inTx)
		s.inputs[0].set([]byte{inUTXO}, utxoBytes(50_000, s.wallet.PkScript()))
	}},
	{"partial of a stranger", errs.PayloadRejected, "which is not in the wallet", func(s *sample) {
		s.inputs[0].set(append([]byte{inPartial}, testKey("stranger").PublicKeys[0].Key...), []byte{1})
	}},
	{"partial not DER", errs.PayloadRejected, "partial signature", func(s *sample) {
		s.inputs[0].set(append([]byte{inPartial}, s.wallet.keys[0].Key...), []byte{0x30, 0x01})
	}},
	{"partial with sighash none", errs.PayloadRejected, "sighash type is not ALL", func(s *sample) {
		s.inputs[0].set(append([]byte{inPartial}, s.wallet.keys[0].Key...), []byte{0x30, 0x02})
	}},
	{"partial empty", errs.PayloadRejected, "partial signature", func(s *sample) {
		s.inputs[0].set(append([]byte{inPartial}, s.wallet.keys[0].Key...), nil)
	}},
	{"repeated key", errs.Malformed, "map of input 1", func(s *sample) { s.inputs[1] = append(s.inputs[1], s.inputs[1][0]) }},
	{"key data", errs.Malformed, "map of input 0", func(s *sample) { s.inputs[0] = append(s.inputs[0], pair{[]byte{inUTXO, 1}, nil}) }},
	{"version 1", errs.Malformed, "version 1", func(s *sample) { s.global.set([]byte{globalVersion}, u32le(1)) }},
	{"version of one byte", errs.Malformed, "version of 1 bytes", func(s *sample) { s.global.set([]byte{globalVersion}, []byte{2}) }},
}

var onlyV0 = []fault{
	{"no transaction", errs.Malformed, "without an unsigned transaction", func(s *sample) { s.global.drop(globalTx) }},
	{"no inputs", errs.Malformed, "without inputs", func(s *sample) { s.tx.TxIn = nil; s.retx() }},
	{"no outputs", errs.PayloadRejected, "0 outputs", func(s *sample) { s.tx.TxOut = nil; s.retx() }},
	{"signature script", errs.Malformed, "input 1 of the unsigned", func(s *sample) { s.tx.TxIn[1].SignatureScript = []byte{1}; s.retx() }},
	{"witness", errs.Malformed, "unsigned transaction", func(s *sample) { s.tx.TxIn[1].Witness = wire.TxWitness{{1}}; s.retx() }},
	{"same output twice", errs.PayloadRejected, "inputs 0 and 1 spend the same output", func(s *sample) {
		s.tx.TxIn[1].PreviousOutPoint = s.tx.TxIn[0].PreviousOutPoint
		s.retx()
	}},
	{"output index", errs.PayloadRejected, "input 0 spends output 9", func(s *sample) { s.tx.TxIn[0].PreviousOutPoint.Index = 9; s.retx() }},
	{"output amount", errs.PayloadRejected, "output 0 has amount", func(s *sample) { s.tx.TxOut[0].Value = -5; s.retx() }},
	{"output amounts overflow", errs.PayloadRejected, "output 0 has amount", func(s *sample) { s.tx.TxOut[0].Value = 1<<63 - 1; s.retx() }},
	{"map missing", errs.Malformed, "map of output 1", func(s *sample) { s.outputs = s.outputs[:1] }},
	{"map too many", errs.Malformed, "after the last output", func(s *sample) { s.outputs = append(s.outputs, nil) }},
	{"field of version 2", errs.Malformed, "version 0 forbids", func(s *sample) { s.inputs[1].set([]byte{inSequence}, u32le(0)) }},
	{"global of version 2", errs.Malformed, "version 0 forbids", func(s *sample) { s.global.set([]byte{globalInputs}, []byte{9}) }},
	{"output of version 2", errs.Malformed, "version 0 forbids", func(s *sample) { s.outputs[0].set([]byte{outAmount}, make([]byte, 8)) }},
	{"too many inputs", errs.TooLarge, "257 inputs", func(s *sample) {
		for i := range maxInputs - 1 {
			s.tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: chainhash.Hash{9}, Index: uint32(i)}})
		}
		s.retx()
	}},
}

var onlyV2 = []fault{
	{"unsigned transaction", errs.Malformed, "version 2 forbids", func(s *sample) { s.global.set([]byte{globalTx}, txBytes(s.tx)) }},
	{"no input count", errs.Malformed, "without input count", func(s *sample) { s.global.drop(globalInputs) }},
	{"no output count", errs.Malformed, "without output count", func(s *sample) { s.global.drop(globalOutputs) }},
	{"count not shortest", errs.Malformed, "input count", func(s *sample) { s.global.set([]byte{globalInputs}, []byte{0xfd, 2, 0}) }},
	{"count huge", errs.TooLarge, "inputs", func(s *sample) {
		s.global.set([]byte{globalInputs}, bytes.Repeat([]byte{0xff}, 9))
	}},
	{"count zero", errs.PayloadRejected, "0 outputs", func(s *sample) { s.global.set([]byte{globalOutputs}, []byte{0}) }},
	{"no transaction version", errs.Malformed, "transaction version", func(s *sample) { s.global.drop(globalTxVersion) }},
	{"transaction version 1", errs.Malformed, "transaction version 1", func(s *sample) { s.global.set([]byte{globalTxVersion}, u32le(1)) }},
	{"no txid", errs.Malformed, "input 1", func(s *sample) { s.inputs[1].drop(inPrevTxID) }},
	{"short txid", errs.Malformed, "input 1", func(s *sample) { s.inputs[1].set([]byte{inPrevTxID}, make([]byte, 31)) }},
	{"no index", errs.Malformed, "output index", func(s *sample) { s.inputs[0].drop(inPrevIndex) }},
	{"short sequence", errs.Malformed, "sequence", func(s *sample) { s.inputs[0].set([]byte{inSequence}, []byte{1}) }},
	{"no amount", errs.Malformed, "output 1", func(s *sample) { s.outputs[1].drop(outAmount) }},
	{"no script", errs.Malformed, "output 0", func(s *sample) { s.outputs[0].drop(outScript) }},
	{"short amount", errs.Malformed, "output 0", func(s *sample) { s.outputs[0].set([]byte{outAmount}, []byte{1}) }},
	{"same output twice", errs.PayloadRejected, "the same output", func(s *sample) { s.inputs[1].set([]byte{inPrevIndex}, u32le(0)) }},
	{"height out of range", errs.Malformed, "input 0", func(s *sample) { s.inputs[0].set([]byte{inHeightLock}, u32le(500_000_000)) }},
	{"height zero", errs.Malformed, "input 0", func(s *sample) { s.inputs[0].set([]byte{inHeightLock}, u32le(0)) }},
	{"time out of range", errs.Malformed, "input 1", func(s *sample) { s.inputs[1].set([]byte{inTimeLock}, u32le(499_999_999)) }},
	{"height and time", errs.PayloadRejected, "both a height and a time", func(s *sample) {
		s.inputs[0].set([]byte{inHeightLock}, u32le(1))
		s.inputs[1].set([]byte{inTimeLock}, u32le(500_000_000))
	}},
	{"fallback locktime short", errs.Malformed, "fallback locktime", func(s *sample) { s.global.set([]byte{globalLockTime}, []byte{1}) }},
}

func TestFaultsOfPSBTs(t *testing.T) {
	run := func(version uint32, faults []fault) {
		for _, f := range faults {
			s := newSample(t, version)
			f.spoil(s)
			err := decodeSample(s.encode())
			if errs.CodeOf(err) != f.code || !strings.Contains(err.Error(), f.text) {
				t.Errorf("version %d, %s: %s %v, want %s and %q", version, f.name, errs.CodeOf(err), err, f.code, f.text)
			}
		}
	}
	run(0, both)
	run(2, both)
	run(0, onlyV0)
	run(2, onlyV2)
}

func TestContainerFaults(t *testing.T) {
	good := newSample(t, 0).encode()
	for i := range good {
		if err := decodeSample(good[:i]); err == nil {
			t.Fatalf("accepted when cut to %d of %d bytes", i, len(good))
		}
	}
	if err := decodeSample(append(bytes.Clone(good), 0)); errs.CodeOf(err) != errs.Malformed {
		t.Errorf("trailing byte: %v", err)
	}
	if err := decodeSample(make([]byte, command.MaxPayload+1)); errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("oversized: %v", err)
	}
	if err := decodeSample(nil); errs.CodeOf(err) != errs.PayloadRejected {
		t.Errorf("empty: %v", err)
	}
	text := []byte(base64.StdEncoding.EncodeToString(good) + "\n")
	if err := decodeSample(text); errs.CodeOf(err) != errs.Malformed || !strings.Contains(errs.HintOf(err), "base64") {
		t.Errorf("base64: %v, hint %q", err, errs.HintOf(err))
	}
	if b, ok := Armored(text); !ok || !bytes.Equal(b, good) {
		t.Error("base64 is not recognised")
	}
	if b, ok := Armored(good); ok || !bytes.Equal(b, good) {
		t.Error("bytes are taken for base64")
	}
}

func TestLockTimeOfVersion2(t *testing.T) {
	for _, c := range []struct {
		name           string
		fallback       uint32
		h0, t0, h1, t1 uint32
		want           uint32
	}{
		{"none", 0, 0, 0, 0, 0, 0},
		{"fallback", 77, 0, 0, 0, 0, 77},
		{"one height", 77, 5, 0, 0, 0, 5},
		{"highest", 0, 5, 0, 9, 0, 9},
		{"time", 0, 0, 500_000_001, 0, 500_000_000, 500_000_001},
		{"height preferred", 0, 5, 500_000_001, 9, 500_000_000, 9},
		{"only time fits both", 0, 5, 500_000_001, 0, 500_000_009, 500_000_009},
	} {
		s := newSample(t, 2)
		put := func(f *fields, k byte, v uint32) {
			if v != 0 {
				f.set([]byte{k}, u32le(v))
			}
		}
		put(&s.global, globalLockTime, c.fallback)
		put(&s.inputs[0], inHeightLock, c.h0)
		put(&s.inputs[0], inTimeLock, c.t0)
		put(&s.inputs[1], inHeightLock, c.h1)
		put(&s.inputs[1], inTimeLock, c.t1)
		in, err := Decode(command.KindPSBT, command.HashNone, s.encode(), testKey("sample"))
		if err != nil || in.Transaction.LockTime != c.want {
			t.Errorf("%s: %v, %v", c.name, in, err)
		}
	}
}

// The native P2WPKH example of BIP-143, second input of 6 BTC, with its script code where
// the wallet's script stands.
func TestDigestIsBIP143(t *testing.T) {
	raw, _ := hex.DecodeString("0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000")
	tx, err := readTransaction(raw, false)
	if err != nil {
		t.Fatal(err)
	}
	script, _ := hex.DecodeString("76a9141d0f172a0ecb48aee1be1f2687d2963ae33f71a188ac")
	s := &spend{wallet: &Wallet{script: script}, tx: tx, amounts: []int64{0, 600_000_000}}
	if err := s.computeDigests(); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(s.digests[1]); got != "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670" {
		t.Fatalf("digest %s", got)
	}
}

func TestReadTransactionAgreesWithLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tx := wire.NewMsgTx(rapid.Int32().Draw(t, "version"))
		blob := rapid.SliceOfN(rapid.Byte(), 0, 300)
		for range rapid.IntRange(1, 4).Draw(t, "inputs") {
			in := &wire.TxIn{SignatureScript: blob.Draw(t, "script"), Sequence: rapid.Uint32().Draw(t, "sequence")}
			in.PreviousOutPoint.Index = rapid.Uint32().Draw(t, "index")
			if rapid.Bool().Draw(t, "witness") {
				in.Witness = wire.TxWitness{blob.Draw(t, "element"), blob.Draw(t, "element")}
			}
			tx.AddTxIn(in)
		}
		for range rapid.IntRange(0, 4).Draw(t, "outputs") {
			tx.AddTxOut(wire.NewTxOut(rapid.Int64().Draw(t, "amount"), blob.Draw(t, "script")))
		}
		tx.LockTime = rapid.Uint32().Draw(t, "locktime")
		b := txBytes(tx)
		got, err := readTransaction(b, true)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(txBytes(got), b) || got.TxHash() != tx.TxHash() {
			t.Fatal("read differs from written")
		}
		if _, err := readTransaction(b[:len(b)-1], true); err == nil {
			t.Fatal("a cut transaction is accepted")
		}
	})
}

func FuzzDecodePSBT(f *testing.F) {
	k := testKey("sample")
	for _, version := range []uint32{0, 2} {
		f.Add(newSample(f, version).encode())
		for _, fl := range both {
			s := newSample(f, version)
			fl.spoil(s)
			f.Add(s.encode())
		}
	}
	for _, fl := range onlyV2 {
		s := newSample(f, 2)
		fl.spoil(s)
		f.Add(s.encode())
	}
	w := testWallet(f, "sample")
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := Decode(command.KindPSBT, command.HashNone, b, k)
		if err != nil {
			switch errs.CodeOf(err) {
			case errs.Malformed, errs.PayloadRejected, errs.TooLarge:
				return
			}
			t.Fatalf("code %s: %v", errs.CodeOf(err), err)
		}
		in.Summary()
		p, err := parsePacket(b)
		if err != nil || !bytes.Equal(p.encode(), b) {
			t.Fatalf("accepted, but written differently: %v", err)
		}
		if _, err := w.Combine(b, nil); err != nil {
			t.Fatalf("accepted, but not combined: %v", err)
		}
		_, _ = w.Finalize(b)
		if lib, err := psbt.NewFromRawBytes(bytes.NewReader(b), false); err == nil && p.version == 0 {
			if id := lib.UnsignedTx.TxHash().String(); id != in.Transaction.TxID {
				t.Fatalf("the library reads transaction %s, we %s", id, in.Transaction.TxID)
			}
		}
	})
}

func FuzzReadTransaction(f *testing.F) {
	f.Add(txBytes(newSample(f, 0).tx))
	f.Add(txBytes(newSample(f, 0).prev))
	f.Fuzz(func(t *testing.T, b []byte) {
		tx, err := readTransaction(b, true)
		if err != nil {
			return
		}
		var lib wire.MsgTx
		if err := lib.Deserialize(bytes.NewReader(b)); err == nil && lib.TxHash() != tx.TxHash() {
			t.Fatal("the library reads another transaction")
		}
	})
}

func BenchmarkDecodePSBT(b *testing.B) {
	for _, n := range []int{1, 256} {
		s := newSample(b, 2)
		s.global.set([]byte{globalInputs}, appendCompact(nil, uint64(n)))
		f := s.inputs[0]
		f.drop(inTx)
		s.inputs = nil
		for i := range n {
			g := append(fields(nil), f...)
			g.set([]byte{inPrevIndex}, u32le(uint32(i)))
			s.inputs = append(s.inputs, g)
		}
		s.outputs[0].set([]byte{outAmount}, make([]byte, 8))
		p, k := s.encode(), testKey("sample")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := Decode(command.KindPSBT, command.HashNone, p, k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
