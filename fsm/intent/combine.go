package intent

import (
	"bytes"
	"slices"

	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// SignatureSet is one region's signatures, one a message; convertible from fsm.SignatureSet.
type SignatureSet struct {
	Region     identity.RegionID
	Signatures [][]byte
}

// Combine verifies the regions' signatures and adds them to the PSBT as partial
// signatures. Version 0 or 2 comes out as it came in, unknown fields included.
func (w *Wallet) Combine(psbt []byte, sets []SignatureSet) ([]byte, error) {
	s, err := w.open(psbt)
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		key, ok := w.keyOf(set.Region)
		if !ok {
			return nil, errs.New(errs.Invalid, "signatures of region %d, which has no key in the wallet", set.Region)
		}
		if len(set.Signatures) != len(s.digests) {
			return nil, errs.New(errs.Invalid, "region %d gave %d signatures for %d inputs", set.Region, len(set.Signatures), len(s.digests))
		}
		for i, sig := range set.Signatures {
			if !Verify(command.Secp256k1, key, s.digests[i], sig) {
				return nil, errs.New(errs.Unverified, "signature of region %d for input %d does not verify", set.Region, i)
			}
			s.packet.inputs[i].set(append([]byte{inPartial}, key...), encodePartial(sig))
		}
	}
	for i := range s.packet.inputs {
		s.packet.inputs[i].set([]byte{inWitnessScript}, w.script)
	}
	s.packet.closeForChanges()
	return s.packet.encode(), nil
}

// closeForChanges clears what BIP-370 wants cleared once a signature covers everything.
func (p *packet) closeForChanges() {
	if v, ok := p.global.get(globalModifiable); ok && len(v) == 1 {
		p.global.set([]byte{globalModifiable}, []byte{v[0] &^ 3})
	}
}

// encodePartial turns a verified r||s into DER with SIGHASH_ALL.
func encodePartial(sig []byte) []byte {
	var r, s secp256k1.ModNScalar
	r.SetByteSlice(sig[:32])
	s.SetByteSlice(sig[32:])
	return append(ecdsa.NewSignature(&r, &s).Serialize(), byte(txscript.SigHashAll))
}

// Finalize returns the raw transaction of a PSBT that holds enough partial signatures.
// Every partial signature that is there must verify.
func (w *Wallet) Finalize(psbt []byte) ([]byte, error) {
	s, err := w.open(psbt)
	if err != nil {
		return nil, err
	}
	for i, f := range s.packet.inputs {
		sigs, err := w.signatures(i, f, s.digests[i])
		if err != nil {
			return nil, err
		}
		witness := wire.TxWitness{nil} // CHECKMULTISIG takes one element too many
		s.tx.TxIn[i].Witness = append(append(witness, sigs...), w.script)
	}
	var raw bytes.Buffer
	if err := s.tx.Serialize(&raw); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "psbt: serialising the transaction")
	}
	return raw.Bytes(), nil
}

// signatures returns k partial signatures in order of the script.
func (w *Wallet) signatures(i int, f fields, digest []byte) (sigs [][]byte, err error) {
	for _, k := range w.keys {
		at := slices.IndexFunc(f, func(p pair) bool { return p.key[0] == inPartial && bytes.Equal(p.key[1:], k.Key) })
		if at < 0 {
			continue
		}
		sig, err := parsePartial(f[at].value)
		if err != nil {
			return nil, errs.Wrap(errs.PayloadRejected, err, "psbt: input %d: signature of region %d", i, k.Region)
		}
		pub, err := secp256k1.ParsePubKey(k.Key)
		s := sig.S()
		if err != nil || s.IsOverHalfOrder() || !sig.Verify(digest, pub) {
			return nil, errs.New(errs.Unverified, "psbt: input %d: signature of region %d does not verify", i, k.Region)
		}
		sigs = append(sigs, f[at].value)
	}
	if len(sigs) < int(w.signers) {
		return nil, errs.New(errs.PayloadRejected, "psbt: input %d has %d signatures, the wallet wants %d", i, len(sigs), w.signers)
	}
	return sigs[:w.signers], nil
}
