package command

import (
	"bytes"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Fallback is the script path of a threshold key's Taproot outputs: any Signers of
// PublicKeys spend them without the vault. The keys are their owners' alone; the vault
// never signs for them. What they are good for, it cannot check: their owners prove it to
// each other.
type Fallback struct {
	Signers    uint8
	PublicKeys [][]byte // BIP-340, x only, 32 bytes each, ascending
}

// Encode returns the number of signers and the keys, one after the other.
func (b *Fallback) Encode() []byte {
	return append([]byte{b.Signers}, bytes.Join(b.PublicKeys, nil)...)
}

// DecodeFallback parses Encode's form: 1 to MaxFallback keys in strictly ascending order.
// Whether they are on the curve, the state machine asks.
func DecodeFallback(b []byte) (*Fallback, error) {
	if len(b) < 33 || len(b)%32 != 1 || len(b) > 1+32*MaxFallback {
		return nil, errs.New(errs.Malformed, "a fallback of %d bytes, want one and 32 for each of 1 to %d keys", len(b), MaxFallback)
	}
	out := &Fallback{Signers: b[0]}
	for i := 1; i < len(b); i += 32 {
		if i > 1 && bytes.Compare(b[i-32:i], b[i:i+32]) >= 0 {
			return nil, errs.New(errs.Malformed, "fallback key %d does not ascend", i/32)
		}
		out.PublicKeys = append(out.PublicKeys, bytes.Clone(b[i:i+32]))
	}
	return out, nil
}

func (f *fields) fallback(name string, p **Fallback) {
	var b []byte
	if *p != nil {
		b = (*p).Encode()
	}
	f.bytes(name, &b, 1+32*MaxFallback)
	if f.decoding && f.err == nil {
		var err error
		if *p, err = DecodeFallback(b); err != nil {
			f.fail(name, "%v", err)
		}
	}
}
