package intent

import (
	"encoding/binary"
	"math"

	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/fsm/intent/octets"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// The unsigned transaction: carried whole in version 0, spread over the maps in 2.

func malformed(format string, args ...any) error {
	return errs.New(errs.Malformed, "psbt: "+format, args...)
}

// counts returns how many input and output maps follow the global one.
func (p *packet) counts() (ins, outs int, err error) {
	switch p.version {
	case 0:
		tx, err := p.globalTransaction()
		if err != nil {
			return 0, 0, err
		}
		ins, outs = len(tx.TxIn), len(tx.TxOut)
	case 2:
		var i, o uint64
		if i, err = p.globalCount(globalInputs, "input count"); err != nil {
			return 0, 0, err
		}
		if o, err = p.globalCount(globalOutputs, "output count"); err != nil {
			return 0, 0, err
		}
		ins, outs = int(min(i, math.MaxInt32)), int(min(o, math.MaxInt32))
	default:
		return 0, 0, malformed("version %d, this version reads 0 and 2", p.version)
	}
	switch {
	case ins == 0 || outs == 0:
		return 0, 0, errs.New(errs.PayloadRejected, "psbt: %d inputs and %d outputs, want at least one of each", ins, outs)
	case ins > maxInputs || outs > maxOutputs:
		return 0, 0, errs.New(errs.TooLarge, "psbt: %d inputs and %d outputs, limits %d and %d", ins, outs, maxInputs, maxOutputs)
	}
	return ins, outs, nil
}

func (p *packet) globalTransaction() (*wire.MsgTx, error) {
	raw, ok := p.global.get(globalTx)
	if !ok {
		return nil, malformed("version 0 without an unsigned transaction")
	}
	tx, err := readTransaction(raw, false)
	if err != nil {
		return nil, errs.Wrap(errs.Malformed, err, "psbt: unsigned transaction")
	}
	for i, in := range tx.TxIn {
		if len(in.SignatureScript) != 0 {
			return nil, malformed("input %d of the unsigned transaction carries a signature script", i)
		}
	}
	return tx, nil
}

func (p *packet) globalCount(t byte, name string) (uint64, error) {
	v, ok := p.global.get(t)
	if !ok {
		return 0, malformed("version 2 without %s", name)
	}
	r := &reader{octets.Reader{B: v}}
	n := r.compact()
	if err := r.Done(); err != nil {
		return 0, errs.Wrap(errs.Malformed, err, "psbt: %s", name)
	}
	return n, nil
}

// checkVersionFields refuses fields of the other version: two readers could otherwise
// see two transactions in one payload.
func (p *packet) checkVersionFields() error {
	global, input, output := []byte{globalTx}, []byte(nil), []byte(nil)
	if p.version == 0 {
		global = []byte{globalTxVersion, globalLockTime, globalInputs, globalOutputs, globalModifiable}
		input = []byte{inPrevTxID, inPrevIndex, inSequence, inTimeLock, inHeightLock}
		output = []byte{outAmount, outScript}
	}
	check := func(f fields, types []byte, what string, i int) error {
		for _, t := range types {
			if f.has(t) {
				return malformed("%s %d has field %#02x, which version %d forbids", what, i, t, p.version)
			}
		}
		return nil
	}
	if err := check(p.global, global, "global map", 0); err != nil {
		return err
	}
	for i, f := range p.inputs {
		if err := check(f, input, "input", i); err != nil {
			return err
		}
	}
	for i, f := range p.outputs {
		if err := check(f, output, "output", i); err != nil {
			return err
		}
	}
	return nil
}

// transaction returns the unsigned transaction of either version.
func (p *packet) transaction() (*wire.MsgTx, error) {
	if p.version == 0 {
		return p.globalTransaction()
	}
	version, err := p.global.u32(globalTxVersion, "transaction version", nil)
	if err != nil {
		return nil, err
	}
	if int32(version) < 2 {
		return nil, malformed("transaction version %d, version 2 wants at least 2", int32(version))
	}
	tx := wire.NewMsgTx(int32(version))
	for i, f := range p.inputs {
		in, err := f.txIn()
		if err != nil {
			return nil, errs.Wrap(errs.Malformed, err, "psbt: input %d", i)
		}
		tx.AddTxIn(in)
	}
	for i, f := range p.outputs {
		amount, okA := f.get(outAmount)
		script, okS := f.get(outScript)
		if !okA || !okS || len(amount) != 8 {
			return nil, malformed("output %d: amount or script is missing or of wrong size", i)
		}
		tx.AddTxOut(wire.NewTxOut(int64(binary.LittleEndian.Uint64(amount)), script))
	}
	tx.LockTime, err = p.lockTime()
	return tx, err
}

// u32 reads a four-byte value; absent is an error unless there is a default.
func (f fields) u32(t byte, name string, otherwise *uint32) (uint32, error) {
	v, ok := f.get(t)
	switch {
	case !ok && otherwise != nil:
		return *otherwise, nil
	case !ok:
		return 0, malformed("%s is missing", name)
	case len(v) != 4:
		return 0, malformed("%s of %d bytes, want 4", name, len(v))
	}
	return binary.LittleEndian.Uint32(v), nil
}

func (f fields) txIn() (*wire.TxIn, error) {
	id, ok := f.get(inPrevTxID)
	if !ok || len(id) != chainhash.HashSize {
		return nil, malformed("previous txid is missing or of wrong size")
	}
	index, err := f.u32(inPrevIndex, "output index", nil)
	if err != nil {
		return nil, err
	}
	final := uint32(wire.MaxTxInSequenceNum)
	sequence, err := f.u32(inSequence, "sequence", &final)
	if err != nil {
		return nil, err
	}
	return &wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: chainhash.Hash(id), Index: index}, Sequence: sequence}, nil
}

// lockTime follows BIP-370: the kind every input that asks for one can live with, height
// before time, and the latest asked for.
func (p *packet) lockTime() (uint32, error) {
	const threshold = 500_000_000 // below: height; from there: time
	zero := uint32(0)
	fallback, err := p.global.u32(globalLockTime, "fallback locktime", &zero)
	if err != nil {
		return 0, err
	}
	var height, time uint32
	asked, heightOK, timeOK := false, true, true
	for i, f := range p.inputs {
		h, errH := f.u32(inHeightLock, "required height", &zero)
		t, errT := f.u32(inTimeLock, "required time", &zero)
		hasH, hasT := f.has(inHeightLock), f.has(inTimeLock)
		if errH != nil || errT != nil || hasH && (h == 0 || h >= threshold) || hasT && t < threshold {
			return 0, malformed("input %d: required locktime is out of range", i)
		}
		if hasH || hasT {
			asked, heightOK, timeOK = true, heightOK && hasH, timeOK && hasT
		}
		height, time = max(height, h), max(time, t)
	}
	switch {
	case !asked:
		return fallback, nil
	case heightOK:
		return height, nil
	case timeOK:
		return time, nil
	}
	return 0, errs.New(errs.PayloadRejected, "psbt: inputs require both a height and a time as locktime")
}
