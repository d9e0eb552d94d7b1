package intent

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"

	"github.com/tetrad-vault/tetrad/fsm/intent/octets"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// One parser reads both versions of PSBT as they are on the wire: maps of key-value
// pairs, kept in order, so that what is not understood goes out as it came in.
// (btcutil/psbt knows version 0 only; it is the judge in tests.)
var magic = []byte("psbt\xff")

// Types of keys: BIP-174, and BIP-370 for version 2.
const (
	globalTx         = 0x00 // version 0
	globalTxVersion  = 0x02 // version 2, as all up to globalModifiable
	globalLockTime   = 0x03
	globalInputs     = 0x04
	globalOutputs    = 0x05
	globalModifiable = 0x06
	globalVersion    = 0xfb

	inTx            = 0x00
	inUTXO          = 0x01
	inPartial       = 0x02 // followed by a public key
	inSigHash       = 0x03
	inRedeemScript  = 0x04
	inWitnessScript = 0x05
	inFinalSig      = 0x07
	inFinalWitness  = 0x08
	inPrevTxID      = 0x0e // version 2, as all up to inHeightLock
	inPrevIndex     = 0x0f
	inSequence      = 0x10
	inTimeLock      = 0x11
	inHeightLock    = 0x12

	inTapKeySig     = 0x13 // BIP-371, as all up to inTapRoot
	inTapScriptSig  = 0x14 // followed by a key and a leaf hash
	inTapLeaf       = 0x15 // followed by a control block
	inTapDerivation = 0x16 // followed by an x-only key
	inTapKey        = 0x17
	inTapRoot       = 0x18

	outRedeemScript  = 0x00
	outWitnessScript = 0x01
	outAmount        = 0x03 // version 2
	outScript        = 0x04 // version 2
	outTapKey        = 0x05 // BIP-371, as all up to outTapDerivation
	outTapTree       = 0x06
	outTapDerivation = 0x07 // followed by an x-only key
)

type pair struct{ key, value []byte }

// fields is one map. Keys are whole: type and key data.
type fields []pair

// get returns the value of a key that is a type alone.
func (f fields) get(t byte) ([]byte, bool) {
	for _, p := range f {
		if len(p.key) == 1 && p.key[0] == t {
			return p.value, true
		}
	}
	return nil, false
}

func (f fields) has(t byte) bool { _, ok := f.get(t); return ok }

// set replaces or appends.
func (f *fields) set(key, value []byte) {
	for i := range *f {
		if bytes.Equal((*f)[i].key, key) {
			(*f)[i].value = value
			return
		}
	}
	*f = append(*f, pair{key, value})
}

type packet struct {
	version uint32
	global  fields
	inputs  []fields
	outputs []fields
}

// Armored tells a PSBT in base64, as wallets export it, from its bytes, and returns the
// bytes: requests carry bytes.
func Armored(b []byte) ([]byte, bool) {
	text := bytes.TrimSpace(b)
	if !bytes.HasPrefix(text, []byte("cHNidP")) {
		return b, false
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(out, text)
	if err != nil {
		return b, false
	}
	return out[:n], true
}

func parsePacket(b []byte) (*packet, error) {
	if !bytes.HasPrefix(b, magic) {
		e := errs.New(errs.Malformed, "psbt: the payload does not begin with the magic bytes of a PSBT")
		if _, ok := Armored(b); ok {
			return nil, e.WithHint("this is base64 text: send the decoded bytes")
		}
		return nil, e
	}
	r := &reader{octets.Reader{B: b, Off: len(magic)}}
	p := &packet{}
	var err error
	if p.global, err = readFields(r, globalSingles); err != nil {
		return nil, errs.Wrap(errs.Malformed, err, "psbt: global map")
	}
	if v, ok := p.global.get(globalVersion); ok {
		if len(v) != 4 {
			return nil, errs.New(errs.Malformed, "psbt: version of %d bytes, want 4", len(v))
		}
		p.version = binary.LittleEndian.Uint32(v)
	}
	ins, outs, err := p.counts()
	if err != nil {
		return nil, err
	}
	if p.inputs, err = readMaps(r, ins, "input", inputSingles); err != nil {
		return nil, err
	}
	if p.outputs, err = readMaps(r, outs, "output", outputSingles); err != nil {
		return nil, err
	}
	if err := r.Done(); err != nil {
		return nil, errs.Wrap(errs.Malformed, err, "psbt: after the last output")
	}
	return p, p.checkVersionFields()
}

// Types whose key may carry no data.
var (
	globalSingles = []byte{globalTx, globalTxVersion, globalLockTime, globalInputs, globalOutputs, globalModifiable, globalVersion}
	inputSingles  = []byte{inTx, inUTXO, inSigHash, inRedeemScript, inWitnessScript, inFinalSig, inFinalWitness,
		inPrevTxID, inPrevIndex, inSequence, inTimeLock, inHeightLock}
	outputSingles = []byte{outRedeemScript, outWitnessScript, outAmount, outScript}
)

func readMaps(r *reader, n int, what string, singles []byte) ([]fields, error) {
	out := make([]fields, n)
	for i := range out {
		f, err := readFields(r, singles)
		if err != nil {
			return nil, errs.Wrap(errs.Malformed, err, "psbt: map of %s %d", what, i)
		}
		out[i] = f
	}
	return out, nil
}

func readFields(r *reader, singles []byte) (fields, error) {
	var out fields
	seen := map[string]bool{}
	for {
		key := r.bytes()
		if r.Err != nil {
			return nil, r.Err
		}
		if len(key) == 0 {
			return out, nil
		}
		p := pair{key, r.bytes()}
		switch {
		case r.Err != nil:
		case seen[string(key)]:
			r.Fail("key %x stands twice", key)
		case len(key) > 1 && bytes.IndexByte(singles, key[0]) >= 0:
			r.Fail("key of type %#02x carries data", key[0])
		case len(out) == maxPairs:
			r.Fail("more than %d keys", maxPairs)
		}
		if r.Err != nil {
			return nil, r.Err
		}
		seen[string(key)] = true
		out = append(out, p)
	}
}

func (p *packet) encode() []byte {
	b := bytes.Clone(magic)
	for _, maps := range [][]fields{{p.global}, p.inputs, p.outputs} {
		for _, f := range maps {
			for _, kv := range f {
				b = appendBytes(appendBytes(b, kv.key), kv.value)
			}
			b = append(b, 0)
		}
	}
	return b
}

func appendBytes(b, v []byte) []byte { return append(appendCompact(b, uint64(len(v))), v...) }

func appendCompact(b []byte, v uint64) []byte {
	switch {
	case v < 0xfd:
		return append(b, byte(v))
	case v < 1<<16:
		return binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(v))
	case v < 1<<32:
		return binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(v))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0xff), v)
}
