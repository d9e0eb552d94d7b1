package intent

import (
	"bytes"
	"encoding/binary"

	"github.com/btcsuite/btcd/txscript"

	"github.com/tetrad-vault/tetrad/fsm/intent/octets"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// BIP-371 on top of the packet. Its rules are held here and not in the packet's reader,
// whose judgement of P2WSH payloads is older and stays as it was.

var (
	tapInputSingles  = []byte{inTapKeySig, inTapKey, inTapRoot}
	tapOutputSingles = []byte{outTapKey, outTapTree}
)

// checkTaproot holds the form of a map's Taproot fields: keys without data where BIP-371
// says so, x-only keys of 32 bytes, derivations that read.
func (f fields) checkTaproot(singles []byte, derivation, internal byte) error {
	for _, p := range f {
		switch t := p.key[0]; {
		case bytes.IndexByte(singles, t) >= 0 && len(p.key) != 1:
			return malformed("key of type %#02x carries data", t)
		case t == internal && len(p.value) != 32:
			return malformed("internal key of %d bytes, want 32", len(p.value))
		case t == derivation && len(p.key) != 33:
			return malformed("derivation of a key of %d bytes, want 32", len(p.key)-1)
		case t == derivation:
			if _, err := readDerivation(p.value); err != nil {
				return errs.Wrap(errs.Malformed, err, "psbt: derivation of key %x", p.key[1:])
			}
		}
	}
	return nil
}

// derivation is the value of a Taproot BIP-32 derivation.
type derivation struct {
	leaves      int
	fingerprint [4]byte
	path        []uint32
}

func readDerivation(b []byte) (d derivation, err error) {
	r := &reader{octets.Reader{B: b}}
	d.leaves = r.count(32)
	r.Take(32 * d.leaves)
	copy(d.fingerprint[:], r.Take(4))
	for r.Err == nil && r.Left() > 0 {
		d.path = append(d.path, r.U32())
	}
	return d, r.Done()
}

// path returns where below the wallet's key the internal key of a map stands: the payload
// says, and whoever uses it derives the key again and compares.
func (f fields) path(w *Taproot, internal, of byte) ([]uint32, error) {
	key, ok := f.get(internal)
	if !ok || bytes.Equal(key, w.key[1:]) {
		return nil, nil
	}
	for _, p := range f {
		if p.key[0] != of || !bytes.Equal(p.key[1:], key) {
			continue
		}
		d, err := readDerivation(p.value)
		if err == nil && d.leaves == 0 && d.fingerprint == w.Fingerprint() {
			return d.path, nil
		}
	}
	return nil, rejected("internal key %x is neither this key nor derived from it", key).
		WithHint("the input's derivation (field 0x16) must start at this key's fingerprint")
}

// hashType returns the sighash type of an input: absent is DEFAULT, ALL commits to the same.
func (f fields) hashType() (txscript.SigHashType, bool) {
	v, ok := f.get(inSigHash)
	if !ok {
		return txscript.SigHashDefault, true
	}
	if len(v) != 4 {
		return 0, false
	}
	t := binary.LittleEndian.Uint32(v)
	return txscript.SigHashType(t), t <= uint32(txscript.SigHashAll)
}
