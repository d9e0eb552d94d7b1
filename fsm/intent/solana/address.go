package solana

import (
	"github.com/btcsuite/btcd/btcutil/base58"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Address is an account: an Ed25519 public key, or a point off the curve that a program
// derived.
type Address [32]byte

// String returns the address in base58.
func (a Address) String() string { return base58.Encode(a[:]) }

// ParseAddress reads 32 bytes in base58, which has one text for them. The error is Malformed.
func ParseAddress(s string) (Address, error) {
	if len(s) > maxAddressText { // decoding takes time in the square of the length
		return Address{}, errs.New(errs.Malformed, "solana address of %d characters, at most %d", len(s), maxAddressText)
	}
	b := base58.Decode(s)
	if len(b) != 32 {
		return Address{}, errs.New(errs.Malformed, "solana address %q is not 32 bytes in base58", s)
	}
	return Address(b), nil
}

func mustAddress(s string) Address {
	a, err := ParseAddress(s)
	if err != nil {
		panic(err) // constants only
	}
	return a
}
