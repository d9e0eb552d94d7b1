package solana

import (
	"crypto/ed25519"

	"github.com/tetrad-vault/tetrad/fsm/intent/octets"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Signature is one signer's Ed25519 signature of the message.
type Signature struct {
	Signer Address
	Bytes  []byte
}

// Transaction joins verified signatures to the message. Those still missing are zeros, as
// wallets hand on what others sign as well. Errors: PayloadRejected for a key that does not
// sign here, Unverified.
func (m *Message) Transaction(sigs ...Signature) ([]byte, error) {
	slots := make([][64]byte, m.Signers)
	for _, s := range sigs {
		i, err := m.SignerIndex(s.Signer)
		if err != nil {
			return nil, err
		}
		if !verify(s.Signer, m.raw, s.Bytes) {
			return nil, errs.New(errs.Unverified, "solana transaction: signature of %s does not verify", s.Signer)
		}
		slots[i] = [64]byte(s.Bytes)
	}
	b := appendCompact(nil, m.Signers)
	for _, s := range slots {
		b = append(b, s[:]...)
	}
	return append(b, m.raw...), nil
}

// DecodeTransaction reads a transaction whose signatures are there, or zeros. One that is
// there must verify. It returns the message and the signatures that are there.
func DecodeTransaction(b []byte) (*Message, []Signature, error) {
	if len(b) > maxTransaction {
		return nil, nil, errs.New(errs.TooLarge, "solana transaction of %d bytes, at most %d", len(b), maxTransaction)
	}
	r := &reader{octets.Reader{B: b}}
	slots := make([][]byte, r.count(ed25519.SignatureSize))
	for i := range slots {
		slots[i] = r.Take(ed25519.SignatureSize)
	}
	if r.Err != nil {
		return nil, nil, errs.Wrap(errs.Malformed, r.Err, "solana transaction: signatures")
	}
	m, err := Decode(b[r.Off:])
	if err != nil {
		return nil, nil, err
	}
	if len(slots) != m.Signers {
		return nil, nil, errs.New(errs.PayloadRejected, "solana transaction: room for %d signatures, its message wants %d", len(slots), m.Signers)
	}
	var sigs []Signature
	for i, s := range slots {
		key := m.Accounts[i].Address
		switch {
		case [64]byte(s) == [64]byte{}:
			continue
		case !verify(key, m.raw, s):
			return nil, nil, errs.New(errs.Unverified, "solana transaction: signature of %s does not verify", key)
		}
		sigs = append(sigs, Signature{key, append([]byte(nil), s...)})
	}
	return m, sigs, nil
}

// verify refuses keys of small order as well, under which more than one message verifies.
func verify(key Address, message, sig []byte) bool {
	if (identity.PublicKey{Alg: identity.Ed25519, Key: key[:]}).Check() != nil {
		return false
	}
	return len(sig) == ed25519.SignatureSize && ed25519.Verify(key[:], message, sig)
}
