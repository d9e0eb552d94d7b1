package intenttest

import (
	"bytes"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/fsm/intent"
)

// FallbackSpend returns the raw transaction that spends f's outputs outs by the fallback's
// script, as the owners of the fallback's keys make it without the vault. Keys that are not
// in the script sign nothing.
func FallbackSpend(w *intent.Taproot, f *Funding, outs []*intent.TaprootOutput, signers []*btcec.PrivateKey, pay ...Payment) []byte {
	tx, id := wire.NewMsgTx(2), f.Tx.TxHash()
	spent := txscript.NewMultiPrevOutFetcher(nil)
	for i := range outs {
		op := wire.OutPoint{Hash: id, Index: uint32(i)}
		tx.AddTxIn(wire.NewTxIn(&op, nil, nil))
		spent.AddPrevOut(op, f.Tx.TxOut[i])
	}
	for _, out := range pay {
		tx.AddTxOut(wire.NewTxOut(out.Amount, out.Script))
	}
	script := w.LeafScript()
	hashes, leaf := txscript.NewTxSigHashes(tx, spent), txscript.NewBaseTapLeaf(script)
	for i, o := range outs {
		digest, err := txscript.CalcTapscriptSignaturehash(hashes, txscript.SigHashDefault, tx, i, spent, leaf)
		must(err)
		tx.TxIn[i].Witness = append(leafSignatures(script, digest, signers), script, o.ControlBlock())
	}
	var raw bytes.Buffer
	must(tx.Serialize(&raw))
	return raw.Bytes()
}

// leafSignatures returns a signature, or nothing, for each key of a leaf script; the last
// key's stands first.
func leafSignatures(script, digest []byte, signers []*btcec.PrivateKey) wire.TxWitness {
	byKey := map[string][]byte{}
	for _, k := range signers {
		sig, err := schnorr.Sign(k, digest)
		must(err)
		byKey[string(schnorr.SerializePubKey(k.PubKey()))] = sig.Serialize()
	}
	var witness wire.TxWitness
	for i := len(script)/34 - 1; i >= 0; i-- {
		witness = append(witness, byKey[string(script[34*i+1:34*i+33])])
	}
	return witness
}
