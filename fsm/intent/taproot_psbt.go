package intent

import (
	"bytes"
	"crypto/sha256"

	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// KeySpend is what the signers of a threshold key sign for one input: the BIP-341 hash,
// under the output key of the child at Path with the wallet's Merkle root.
type KeySpend struct {
	Path    []uint32
	Key     [32]byte // x of the output key
	Message Message
}

// Decode judges a PSBT of version 0 or 2 whose inputs are all the wallet's own, and shows
// it. Errors as for the function Decode.
func (w *Taproot) Decode(payload []byte, n Network) (*Intent, []KeySpend, error) {
	s, err := w.open(payload)
	if err != nil {
		return nil, nil, err
	}
	in := &Intent{Kind: command.KindPSBT, Size: len(payload), SHA256: sha256.Sum256(payload), Messages: s.digests}
	in.Transaction = s.describe(n, s.vsize(), s.change)
	return in, s.spends(), nil
}

// KeySpends returns what is signed for each input, by the same rules and without showing it.
func (w *Taproot) KeySpends(payload []byte) ([]KeySpend, error) {
	s, err := w.open(payload)
	if err != nil {
		return nil, err
	}
	return s.spends(), nil
}

// keyPath is a PSBT found to spend nothing but the wallet's own outputs, by the key path.
type keyPath struct {
	spend
	w         *Taproot
	children  *children
	utxos     []*wire.TxOut
	outputs   []*TaprootOutput
	hashTypes []txscript.SigHashType
}

// open rebuilds what the inputs sign. A BIP-341 hash covers the amounts and scripts of all
// inputs: a payload that lies about one gets signatures that no node accepts.
func (w *Taproot) open(payload []byte) (*keyPath, error) {
	switch {
	case len(payload) == 0:
		return nil, rejected("payload is empty")
	case len(payload) > command.MaxPayload:
		return nil, errs.New(errs.TooLarge, "psbt payload of %d bytes, limit %d", len(payload), command.MaxPayload)
	}
	p, err := parsePacket(payload)
	if err != nil {
		return nil, err
	}
	tx, err := p.transaction()
	if err != nil {
		return nil, err
	}
	s := &keyPath{spend: spend{packet: p, tx: tx}, w: w, children: newChildren(w)}
	seen := outpoints{}
	for i, in := range tx.TxIn {
		if err := seen.add(i, in.PreviousOutPoint); err != nil {
			return nil, err
		}
		if err := s.addInput(i, in.PreviousOutPoint, p.inputs[i]); err != nil {
			return nil, err
		}
	}
	for i, f := range p.outputs {
		if err := f.checkTaproot(tapOutputSingles, outTapDerivation, outTapKey); err != nil {
			return nil, errs.Wrap(errs.Malformed, err, "psbt: output %d", i)
		}
	}
	if err := s.checkAmounts(); err != nil {
		return nil, err
	}
	return s, s.computeDigests()
}

func (s *keyPath) addInput(i int, op wire.OutPoint, f fields) error {
	if err := f.checkTaproot(tapInputSingles, inTapDerivation, inTapKey); err != nil {
		return errs.Wrap(errs.Malformed, err, "psbt: input %d", i)
	}
	if err := checkForeign(i, f); err != nil {
		return err
	}
	utxo, err := f.utxo(i)
	if err != nil {
		return err
	}
	path, err := f.path(s.w, inTapKey, inTapDerivation)
	if err == nil {
		err = s.w.asset.Check(path)
	}
	if err != nil {
		return errs.Wrap(errs.PayloadRejected, err, "psbt: input %d", i)
	}
	out, err := s.children.output(path)
	if err != nil {
		return errs.Wrap(errs.PayloadRejected, err, "psbt: input %d", i)
	}
	if !bytes.Equal(utxo.PkScript, out.PkScript()) {
		return rejected("input %d spends an output of another script than this key's wallet", i).
			WithHint("compare the wallet's address with that of the input; an output of a derived key needs the input's internal key and derivation (fields 0x17, 0x16)")
	}
	t, err := s.checkOwn(i, f, out)
	if err != nil {
		return err
	}
	proven, err := checkPrevious(i, op, utxo, f)
	s.utxos, s.outputs, s.hashTypes = append(s.utxos, utxo), append(s.outputs, out), append(s.hashTypes, t)
	s.amounts, s.proven = append(s.amounts, utxo.Value), append(s.proven, proven)
	return err
}

// checkForeign refuses fields that belong to another way of spending.
func checkForeign(i int, f fields) error {
	if f.has(inFinalSig) || f.has(inFinalWitness) {
		return rejected("input %d is already finalized", i)
	}
	for _, p := range f {
		switch p.key[0] {
		case inRedeemScript, inWitnessScript, inPartial:
			return rejected("input %d has field %#02x: the wallet's outputs are Taproot", i, p.key[0])
		case inTapScriptSig:
			return rejected("input %d has a signature of a script path, only the key path is signed", i)
		}
	}
	return nil
}

// checkOwn compares what the payload says of the output with what it is.
func (s *keyPath) checkOwn(i int, f fields, out *TaprootOutput) (txscript.SigHashType, error) {
	if key, ok := f.get(inTapKey); ok && !bytes.Equal(key, out.Internal[:]) {
		return 0, rejected("input %d has internal key %x, its derivation gives %x", i, key, out.Internal)
	}
	if root, ok := f.get(inTapRoot); ok && !bytes.Equal(root, s.w.root) {
		return 0, rejected("input %d has a Merkle root that is not this key's own", i)
	}
	leaf := append(bytes.Clone(s.w.leaf), byte(txscript.BaseLeafVersion))
	for _, p := range f {
		if p.key[0] == inTapLeaf && (s.w.leaf == nil || !bytes.Equal(p.key[1:], out.ControlBlock()) || !bytes.Equal(p.value, leaf)) {
			return 0, rejected("input %d has a leaf script that is not this key's own", i)
		}
	}
	t, ok := f.hashType()
	if !ok {
		return 0, rejected("input %d asks for a sighash type that is neither DEFAULT nor ALL", i)
	}
	if sig, ok := f.get(inTapKeySig); ok {
		if _, ok := bareSignature(sig, t); !ok {
			return 0, rejected("input %d has a signature of %d bytes or of another sighash type", i, len(sig))
		}
	}
	return t, nil
}

func (s *keyPath) computeDigests() error {
	spent := txscript.NewMultiPrevOutFetcher(nil)
	for i, in := range s.tx.TxIn {
		spent.AddPrevOut(in.PreviousOutPoint, s.utxos[i])
	}
	hashes := txscript.NewTxSigHashes(s.tx, spent)
	for i, t := range s.hashTypes {
		d, err := txscript.CalcTaprootSignatureHash(hashes, t, s.tx, i, spent)
		if err != nil {
			return errs.Wrap(errs.Internal, err, "psbt: digest of input %d", i)
		}
		s.digests = append(s.digests, d)
	}
	return nil
}

func (s *keyPath) spends() []KeySpend {
	out := make([]KeySpend, len(s.outputs))
	for i, o := range s.outputs {
		out[i] = KeySpend{o.Path, o.Key, s.digests[i]}
	}
	return out
}

// change reports whether an output pays the wallet: the key itself, or the child that the
// output's own fields name. What the key's asset class lets nobody sign for is lost, not change.
func (s *keyPath) change(i int, script []byte) bool {
	if root, err := s.children.output(nil); err == nil && s.w.asset.Check(nil) == nil && bytes.Equal(root.PkScript(), script) {
		return true
	}
	path, err := s.packet.outputs[i].path(s.w, outTapKey, outTapDerivation)
	if err != nil || s.w.asset.Check(path) != nil || !txscript.IsPayToTaproot(script) {
		return false
	}
	out, err := s.children.output(path)
	return err == nil && bytes.Equal(out.PkScript(), script)
}

// vsize counts a quarter of the witness: one signature an input.
func (s *keyPath) vsize() int64 {
	witness := 2 // marker and flag
	for _, t := range s.hashTypes {
		witness += 2 + len(withHashType(make([]byte, 64), t))
	}
	return int64(s.tx.SerializeSizeStripped() + (witness+3)/4)
}
