// Package intenttest makes what tests and demos need to pay with a wallet: a made-up
// funding transaction and the PSBT that spends it. Nothing here touches a network.
package intenttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/btcsuite/btcd/btcutil/psbt"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/fsm/intent"
)

// Funding is a made-up transaction that paid a wallet.
type Funding struct {
	Tx      *wire.MsgTx
	Amounts []int64 // outputs 0..n-1 pay the wallet
}

func seeded(seed uint32, what string) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "tetrad/intenttest/%s/%d", what, seed))
}

// Fund returns a transaction with one output to the wallet for each amount (satoshi).
// seed makes its txid different from other fundings'.
func Fund(w *intent.Wallet, seed uint32, amounts ...int64) *Funding {
	tx := wire.NewMsgTx(2)
	source := wire.OutPoint{Hash: chainhash.Hash(seeded(seed, "source"))}
	tx.AddTxIn(wire.NewTxIn(&source, nil, wire.TxWitness{[]byte("made up")}))
	for _, a := range amounts {
		tx.AddTxOut(wire.NewTxOut(a, w.PkScript()))
	}
	return &Funding{tx, amounts}
}

// Payment is one output of a PSBT.
type Payment struct {
	Script []byte
	Amount int64
}

// To returns a payment to a made-up P2WPKH script.
func To(seed uint32, amount int64) Payment {
	h := seeded(seed, "payee")
	return Payment{append([]byte{txscript.OP_0, txscript.OP_DATA_20}, h[:20]...), amount}
}

// Change returns a payment back to the wallet.
func Change(w *intent.Wallet, amount int64) Payment { return Payment{w.PkScript(), amount} }

// PSBT returns a PSBT of version 0 or 2 that spends all of f's wallet outputs. It panics
// on any other version.
func PSBT(version uint32, w *intent.Wallet, f *Funding, pay ...Payment) []byte {
	p := packet(w, f, pay)
	var b bytes.Buffer
	switch version {
	case 0:
		must(p.Serialize(&b))
	case 2:
		writeV2(&b, w, f, p.UnsignedTx)
	default:
		panic(fmt.Sprintf("intenttest: no PSBT version %d", version))
	}
	return b.Bytes()
}

func packet(w *intent.Wallet, f *Funding, pay []Payment) *psbt.Packet {
	tx, id := wire.NewMsgTx(2), f.Tx.TxHash()
	for i := range f.Amounts {
		tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: id, Index: uint32(i)}, Sequence: wire.MaxTxInSequenceNum - 2})
	}
	for _, out := range pay {
		tx.AddTxOut(wire.NewTxOut(out.Amount, out.Script))
	}
	p, err := psbt.NewFromUnsignedTx(tx)
	must(err)
	for i := range p.Inputs {
		p.Inputs[i].NonWitnessUtxo = f.Tx
		p.Inputs[i].WitnessUtxo = f.Tx.TxOut[i]
		p.Inputs[i].WitnessScript = w.WitnessScript()
		p.Inputs[i].SighashType = txscript.SigHashAll
	}
	return p
}

// writeV2 writes BIP-370, which the library does not know.
func writeV2(b *bytes.Buffer, w *intent.Wallet, f *Funding, tx *wire.MsgTx) {
	u32 := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	put := func(key byte, value []byte) {
		must(wire.WriteVarBytes(b, 0, []byte{key}))
		must(wire.WriteVarBytes(b, 0, value))
	}
	count := func(n int) []byte {
		var c bytes.Buffer
		must(wire.WriteVarInt(&c, 0, uint64(n)))
		return c.Bytes()
	}
	b.WriteString("psbt\xff")
	put(0x02, u32(uint32(tx.Version)))
	put(0x03, u32(tx.LockTime))
	put(0x04, count(len(tx.TxIn)))
	put(0x05, count(len(tx.TxOut)))
	put(0x06, []byte{3})
	put(0xfb, u32(2))
	b.WriteByte(0)
	for i, in := range tx.TxIn {
		var prev, utxo bytes.Buffer
		must(f.Tx.Serialize(&prev))
		must(wire.WriteTxOut(&utxo, 0, 0, f.Tx.TxOut[i]))
		put(0x00, prev.Bytes())
		put(0x01, utxo.Bytes())
		put(0x03, u32(uint32(txscript.SigHashAll)))
		put(0x05, w.WitnessScript())
		put(0x0e, in.PreviousOutPoint.Hash[:])
		put(0x0f, u32(in.PreviousOutPoint.Index))
		put(0x10, u32(in.Sequence))
		b.WriteByte(0)
	}
	for _, out := range tx.TxOut {
		put(0x03, binary.LittleEndian.AppendUint64(nil, uint64(out.Value)))
		put(0x04, out.PkScript)
		b.WriteByte(0)
	}
}

func must(err error) {
	if err != nil {
		panic("intenttest: " + err.Error())
	}
}

// Accepted runs btcd's script engine over every input of a raw transaction, under the
// flags nodes use for what they relay, with f's outputs as what is spent.
func Accepted(raw []byte, f *Funding) error {
	tx := wire.NewMsgTx(2)
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		return fmt.Errorf("raw transaction: %w", err)
	}
	spent := txscript.NewMultiPrevOutFetcher(nil)
	for i, out := range f.Tx.TxOut {
		spent.AddPrevOut(wire.OutPoint{Hash: f.Tx.TxHash(), Index: uint32(i)}, out)
	}
	for i, in := range tx.TxIn {
		out := spent.FetchPrevOutput(in.PreviousOutPoint)
		if out == nil {
			return fmt.Errorf("input %d spends %s, which the funding does not have", i, in.PreviousOutPoint)
		}
		hashes := txscript.NewTxSigHashes(tx, spent)
		vm, err := txscript.NewEngine(out.PkScript, tx, i, txscript.StandardVerifyFlags, nil, hashes, out.Value, spent)
		if err != nil {
			return fmt.Errorf("input %d: %w", i, err)
		}
		if err := vm.Execute(); err != nil {
			return fmt.Errorf("input %d: %w", i, err)
		}
	}
	return nil
}
