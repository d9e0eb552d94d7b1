package intenttest

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/btcsuite/btcd/btcutil/psbt"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/fsm/intent"
)

// FundTaproot returns a transaction that pays amounts[i] (satoshi) to outs[i].
func FundTaproot(seed uint32, outs []*intent.TaprootOutput, amounts ...int64) *Funding {
	tx := wire.NewMsgTx(2)
	source := wire.OutPoint{Hash: chainhash.Hash(seeded(seed, "source"))}
	tx.AddTxIn(wire.NewTxIn(&source, nil, wire.TxWitness{[]byte("made up")}))
	for i, a := range amounts {
		tx.AddTxOut(wire.NewTxOut(a, outs[i].PkScript()))
	}
	return &Funding{tx, amounts}
}

// ToTaproot returns a payment to an output of a threshold key.
func ToTaproot(o *intent.TaprootOutput, amount int64) Payment { return Payment{o.PkScript(), amount} }

// TaprootPSBT returns a PSBT of version 0 or 2 that spends f's outputs outs by the key path,
// with internal keys, derivations and Merkle root as BIP-371 has them. It panics on any
// other version.
func TaprootPSBT(version uint32, w *intent.Taproot, f *Funding, outs []*intent.TaprootOutput, pay ...Payment) []byte {
	tx, id := wire.NewMsgTx(2), f.Tx.TxHash()
	for i := range f.Amounts {
		tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: id, Index: uint32(i)}, Sequence: wire.MaxTxInSequenceNum - 2})
	}
	for _, out := range pay {
		tx.AddTxOut(wire.NewTxOut(out.Amount, out.Script))
	}
	var b bytes.Buffer
	switch version {
	case 0:
		p, err := psbt.NewFromUnsignedTx(tx)
		must(err)
		var raw bytes.Buffer
		must(p.UnsignedTx.SerializeNoWitness(&raw))
		b.WriteString("psbt\xff")
		put(&b, []byte{0x00}, raw.Bytes())
	case 2:
		b.WriteString("psbt\xff")
		put(&b, []byte{0x02}, u32le(uint32(tx.Version)))
		put(&b, []byte{0x04}, []byte{byte(len(tx.TxIn))})
		put(&b, []byte{0x05}, []byte{byte(len(tx.TxOut))})
		put(&b, []byte{0x06}, []byte{3})
		put(&b, []byte{0xfb}, u32le(2))
	default:
		panic(fmt.Sprintf("intenttest: no PSBT version %d", version))
	}
	b.WriteByte(0)
	for i, in := range tx.TxIn {
		taprootInput(&b, w, f.Tx.TxOut[i], outs[i])
		if version == 2 {
			put(&b, []byte{0x0e}, in.PreviousOutPoint.Hash[:])
			put(&b, []byte{0x0f}, u32le(in.PreviousOutPoint.Index))
			put(&b, []byte{0x10}, u32le(in.Sequence))
		}
		b.WriteByte(0)
	}
	for _, out := range tx.TxOut {
		if version == 2 {
			put(&b, []byte{0x03}, binary.LittleEndian.AppendUint64(nil, uint64(out.Value)))
			put(&b, []byte{0x04}, out.PkScript)
		}
		b.WriteByte(0)
	}
	return b.Bytes()
}

func taprootInput(b *bytes.Buffer, w *intent.Taproot, spent *wire.TxOut, o *intent.TaprootOutput) {
	var utxo bytes.Buffer
	must(wire.WriteTxOut(&utxo, 0, 0, spent))
	put(b, []byte{0x01}, utxo.Bytes())
	if leaf := w.LeafScript(); leaf != nil {
		put(b, append([]byte{0x15}, o.ControlBlock()...), append(leaf, 0xc0))
		put(b, []byte{0x18}, w.MerkleRoot())
	}
	if len(o.Path) > 0 {
		put(b, append([]byte{0x16}, o.Internal[:]...), Derivation(w, o.Path))
	}
	put(b, []byte{0x17}, o.Internal[:])
}

// Derivation returns the value of a BIP-371 derivation of an internal key.
func Derivation(w *intent.Taproot, path []uint32) []byte {
	fingerprint := w.Fingerprint()
	v := append([]byte{0}, fingerprint[:]...)
	for _, index := range path {
		v = binary.LittleEndian.AppendUint32(v, index)
	}
	return v
}

func put(b *bytes.Buffer, key, value []byte) {
	must(wire.WriteVarBytes(b, 0, key))
	must(wire.WriteVarBytes(b, 0, value))
}

func u32le(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
