package intent

import (
	"bytes"

	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Combine verifies one BIP-340 signature of 64 bytes for each input and puts them into the
// PSBT (BIP-371, field 0x13), which comes out in the version it came in.
func (w *Taproot) Combine(psbt []byte, sigs [][]byte) ([]byte, error) {
	s, err := w.open(psbt)
	if err != nil {
		return nil, err
	}
	if len(sigs) != len(s.digests) {
		return nil, errs.New(errs.Invalid, "psbt: %d signatures for %d inputs", len(sigs), len(s.digests))
	}
	for i, sig := range sigs {
		if !VerifyBIP340(s.outputs[i].Key[:], s.digests[i], sig) {
			return nil, errs.New(errs.Unverified, "psbt: signature for input %d does not verify", i)
		}
		s.packet.inputs[i].set([]byte{inTapKeySig}, withHashType(sig, s.hashTypes[i]))
	}
	s.packet.closeForChanges()
	return s.packet.encode(), nil
}

// Finalize returns the raw transaction of a PSBT that holds a signature for each input.
func (w *Taproot) Finalize(psbt []byte) ([]byte, error) {
	s, err := w.open(psbt)
	if err != nil {
		return nil, err
	}
	for i, f := range s.packet.inputs {
		sig, ok := f.get(inTapKeySig)
		if !ok {
			return nil, rejected("input %d has no signature", i)
		}
		bare, ok := bareSignature(sig, s.hashTypes[i])
		if !ok || !VerifyBIP340(s.outputs[i].Key[:], s.digests[i], bare) {
			return nil, errs.New(errs.Unverified, "psbt: signature of input %d does not verify", i)
		}
		s.tx.TxIn[i].Witness = wire.TxWitness{bytes.Clone(sig)}
	}
	var raw bytes.Buffer
	if err := s.tx.Serialize(&raw); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "psbt: serialising the transaction")
	}
	return raw.Bytes(), nil
}

// withHashType appends the sighash type, which DEFAULT leaves out.
func withHashType(sig []byte, t txscript.SigHashType) []byte {
	out := bytes.Clone(sig)
	if t != txscript.SigHashDefault {
		out = append(out, byte(t))
	}
	return out
}

// bareSignature undoes withHashType.
func bareSignature(sig []byte, t txscript.SigHashType) ([]byte, bool) {
	switch {
	case t == txscript.SigHashDefault:
		return sig, len(sig) == 64
	case len(sig) != 65 || sig[64] != byte(t):
		return nil, false
	}
	return sig[:64], true
}
