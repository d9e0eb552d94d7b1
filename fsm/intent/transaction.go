package intent

import (
	"bytes"

	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent/octets"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Transaction is what a PSBT would do.
type Transaction struct {
	PSBT     uint32 // version, 0 or 2
	TxID     string // as explorers show it; the witness does not change it
	Version  int32
	LockTime uint32
	Inputs   []Input
	Outputs  []Output
	Fee      int64 // satoshi
	VSize    int64 // virtual bytes once signed, upper estimate
}

// Input is one input, always of the key's own wallet.
type Input struct {
	Outpoint string // txid:index
	Amount   int64  // satoshi
	Sequence uint32
	Proven   bool // the transaction it spends was given and shows the amount
}

// Output is one output.
type Output struct {
	Amount  int64 // satoshi
	Script  []byte
	Address string // "" where the script has none
	Change  bool   // back to the key's own wallet
}

// Total returns what the inputs hold.
func (t *Transaction) Total() (sum int64) {
	for _, in := range t.Inputs {
		sum += in.Amount
	}
	return sum
}

// Spent returns what leaves the wallet, the fee included.
func (t *Transaction) Spent() int64 {
	sum := t.Total()
	for _, out := range t.Outputs {
		if out.Change {
			sum -= out.Amount
		}
	}
	return sum
}

func (in *Intent) decodePSBT(payload []byte, k KeyInfo, show bool) error {
	if in.Hash != command.HashNone {
		return errs.New(errs.PayloadRejected, "psbt: hash %s is declared, but a PSBT has its own", hashName(in.Hash))
	}
	w, err := NewWallet(k)
	if err != nil {
		return err
	}
	s, err := w.open(payload)
	if err != nil {
		return err
	}
	in.Messages = s.digests
	if show {
		change := func(_ int, script []byte) bool { return bytes.Equal(script, w.PkScript()) }
		in.Transaction = s.describe(k.Network, s.vsize(), change)
	}
	return nil
}

// spend is a PSBT found to spend nothing but the wallet's own outputs.
type spend struct {
	wallet  *Wallet
	packet  *packet
	tx      *wire.MsgTx
	amounts []int64
	proven  []bool
	digests [][]byte
	fee     int64
}

func rejected(format string, args ...any) *errs.Error {
	return errs.New(errs.PayloadRejected, "psbt: "+format, args...)
}

// open judges a PSBT against the wallet and rebuilds what its inputs sign. The payload's
// word counts for nothing that a signature depends on: scripts come from the attested
// keys, and a wrong amount makes a signature that no node accepts.
func (w *Wallet) open(payload []byte) (*spend, error) {
	p, err := parsePacket(payload)
	if err != nil {
		return nil, err
	}
	tx, err := p.transaction()
	if err != nil {
		return nil, err
	}
	s := &spend{wallet: w, packet: p, tx: tx}
	if err := s.checkInputs(); err != nil {
		return nil, err
	}
	if err := s.checkAmounts(); err != nil {
		return nil, err
	}
	return s, s.computeDigests()
}

func (s *spend) checkInputs() error {
	seen := outpoints{}
	for i, in := range s.tx.TxIn {
		op := in.PreviousOutPoint
		if err := seen.add(i, op); err != nil {
			return err
		}
		amount, proven, err := s.wallet.checkInput(i, op, s.packet.inputs[i])
		if err != nil {
			return err
		}
		s.amounts, s.proven = append(s.amounts, amount), append(s.proven, proven)
	}
	return nil
}

// outpoints remembers which input spends what.
type outpoints map[wire.OutPoint]int

func (o outpoints) add(i int, op wire.OutPoint) error {
	if j, ok := o[op]; ok {
		return rejected("inputs %d and %d spend the same output %s", j, i, op)
	}
	o[op] = i
	return nil
}

func (w *Wallet) checkInput(i int, op wire.OutPoint, f fields) (amount int64, proven bool, err error) {
	switch {
	case f.has(inFinalSig) || f.has(inFinalWitness):
		return 0, false, rejected("input %d is already finalized", i)
	case f.has(inRedeemScript):
		return 0, false, rejected("input %d has a redeem script: the wallet's outputs are native P2WSH", i)
	}
	utxo, err := f.utxo(i)
	if err != nil {
		return 0, false, err
	}
	if !bytes.Equal(utxo.PkScript, w.PkScript()) {
		return 0, false, rejected("input %d spends an output of another script than this key's wallet", i).
			WithHint("compare the wallet's address with that of the input; was the PSBT meant for another key?")
	}
	if script, ok := f.get(inWitnessScript); ok && !bytes.Equal(script, w.script) {
		return 0, false, rejected("input %d has a witness script that is not this key's own", i)
	}
	if v, ok := f.get(inSigHash); ok && !bytes.Equal(v, []byte{byte(txscript.SigHashAll), 0, 0, 0}) {
		return 0, false, rejected("input %d asks for sighash type %x, only ALL (01000000) is signed", i, v)
	}
	if err := w.checkPartials(i, f); err != nil {
		return 0, false, err
	}
	proven, err = checkPrevious(i, op, utxo, f)
	return utxo.Value, proven, err
}

// utxo reads the witness UTXO of input i.
func (f fields) utxo(i int) (*wire.TxOut, error) {
	raw, ok := f.get(inUTXO)
	if !ok {
		return nil, rejected("input %d has no witness UTXO", i).
			WithHint("let the wallet software add the UTXO it spends (field 0x01) to every input")
	}
	r := &reader{octets.Reader{B: raw}}
	out := &wire.TxOut{Value: int64(r.U64()), PkScript: r.bytes()}
	if err := r.Done(); err != nil {
		return nil, errs.Wrap(errs.Malformed, err, "psbt: witness UTXO of input %d", i)
	}
	return out, nil
}

// checkPrevious holds the witness UTXO against the whole transaction, where it is given.
func checkPrevious(i int, op wire.OutPoint, utxo *wire.TxOut, f fields) (bool, error) {
	raw, ok := f.get(inTx)
	if !ok {
		return false, nil
	}
	prev, err := readTransaction(raw, true)
	if err != nil {
		return false, errs.Wrap(errs.Malformed, err, "psbt: transaction spent by input %d", i)
	}
	if id := prev.TxHash(); id != op.Hash {
		return false, rejected("input %d spends transaction %s, but carries %s", i, op.Hash, id)
	}
	if int64(op.Index) >= int64(len(prev.TxOut)) {
		return false, rejected("input %d spends output %d of a transaction with %d", i, op.Index, len(prev.TxOut))
	}
	out := prev.TxOut[op.Index]
	if out.Value != utxo.Value || !bytes.Equal(out.PkScript, utxo.PkScript) {
		return false, rejected("input %d: witness UTXO of %d sat and the transaction's output of %d sat differ", i, utxo.Value, out.Value)
	}
	return true, nil
}

// checkPartials wants partial signatures to be by the wallet's keys, over everything.
func (w *Wallet) checkPartials(i int, f fields) error {
	for _, p := range f {
		if p.key[0] != inPartial {
			continue
		}
		if _, ok := w.regionOf(p.key[1:]); !ok {
			return rejected("input %d has a partial signature of key %x, which is not in the wallet", i, p.key[1:])
		}
		if _, err := parsePartial(p.value); err != nil {
			return errs.Wrap(errs.PayloadRejected, err, "psbt: input %d: partial signature of key %x", i, p.key[1:])
		}
	}
	return nil
}

// parsePartial reads strict DER with SIGHASH_ALL behind it.
func parsePartial(b []byte) (*ecdsa.Signature, error) {
	if len(b) == 0 || b[len(b)-1] != byte(txscript.SigHashAll) {
		return nil, errs.New(errs.PayloadRejected, "its sighash type is not ALL")
	}
	sig, err := ecdsa.ParseDERSignature(b[:len(b)-1])
	if err != nil {
		return nil, errs.Wrap(errs.PayloadRejected, err, "it is not DER")
	}
	return sig, nil
}

func (s *spend) checkAmounts() error {
	total := int64(0)
	inRange := func(what string, i int, v int64) error {
		if v < 0 || v > maxMoney {
			return rejected("%s %d has amount %d sat, outside 0 to %d", what, i, v, maxMoney)
		}
		return nil
	}
	for i, v := range s.amounts {
		if err := inRange("input", i, v); err != nil {
			return err
		}
		total += v // at most maxInputs * maxMoney: no overflow
	}
	if total > maxMoney {
		return rejected("inputs hold %d sat, more than there can be", total)
	}
	paid := int64(0)
	for i, out := range s.tx.TxOut {
		if err := inRange("output", i, out.Value); err != nil {
			return err
		}
		paid += out.Value
	}
	if paid > total {
		return rejected("outputs pay %d sat, inputs hold %d", paid, total)
	}
	s.fee = total - paid
	return nil
}

func (s *spend) computeDigests() error {
	outputs := txscript.NewCannedPrevOutputFetcher(s.wallet.PkScript(), 0) // segwit v0 hashes take amounts one by one
	hashes := txscript.NewTxSigHashes(s.tx, outputs)
	for i, amount := range s.amounts {
		d, err := txscript.CalcWitnessSigHash(s.wallet.script, hashes, txscript.SigHashAll, s.tx, i, amount)
		if err != nil {
			return errs.Wrap(errs.Internal, err, "psbt: digest of input %d", i)
		}
		s.digests = append(s.digests, d)
	}
	return nil
}

// describe shows the transaction; change tells which outputs go back to the key's wallet.
func (s *spend) describe(n Network, vsize int64, change func(i int, script []byte) bool) *Transaction {
	t := &Transaction{PSBT: s.packet.version, TxID: s.tx.TxHash().String(), Version: s.tx.Version,
		LockTime: s.tx.LockTime, Fee: s.fee, VSize: vsize}
	for i, in := range s.tx.TxIn {
		t.Inputs = append(t.Inputs, Input{in.PreviousOutPoint.String(), s.amounts[i], in.Sequence, s.proven[i]})
	}
	for i, out := range s.tx.TxOut {
		t.Outputs = append(t.Outputs, Output{out.Value, bytes.Clone(out.PkScript), n.addressOf(out.PkScript), change(i, out.PkScript)})
	}
	return t
}

// vsize counts a quarter of the witness: the empty element, k signatures of at most 72
// bytes, the script.
func (s *spend) vsize() int64 {
	w := s.wallet
	witness := 2 // marker and flag
	script := len(appendBytes(nil, w.script))
	witness += len(s.tx.TxIn) * (1 + 1 + int(w.signers)*73 + script)
	return int64(s.tx.SerializeSizeStripped() + (witness+3)/4)
}
