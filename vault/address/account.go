package address

import (
	"crypto/sha256"
	"strings"

	"github.com/btcsuite/btcd/btcutil/bech32"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Limits.
const (
	maxBech32 = 90                     // characters of an address
	maxPrefix = maxBech32 - 1 - 32 - 6 // separator, 20 bytes, checksum
	maxXpub   = 112                    // characters of 82 bytes in base58
	cosmosSet = "abcdefghijklmnopqrstuvwxyz0123456789"
)

// Solana returns the address of an Ed25519 key. The error is Invalid.
func Solana(public []byte) (string, error) {
	if err := intent.CheckPublicKey(command.Ed25519, public); err != nil {
		return "", errs.Wrap(errs.Invalid, err, "solana address")
	}
	return solana.Address(public).String(), nil
}

// Cosmos returns the address of an Ed25519 key under a chain's prefix. Chains use this form
// for consensus keys; most refuse Ed25519 for accounts, which the caller must know of the
// chain. The error is Invalid.
func Cosmos(prefix string, public []byte) (string, error) {
	if prefix == "" || len(prefix) > maxPrefix || strings.Trim(prefix, cosmosSet) != "" {
		return "", errs.New(errs.Invalid, "cosmos address: prefix %.60q, want 1 to %d lower-case letters and digits", prefix, maxPrefix)
	}
	if err := intent.CheckPublicKey(command.Ed25519, public); err != nil {
		return "", errs.Wrap(errs.Invalid, err, "cosmos address")
	}
	h := sha256.Sum256(public)
	s, err := bech32.EncodeFromBase256(prefix, h[:20])
	if err != nil {
		return "", errs.Wrap(errs.Internal, err, "cosmos address")
	}
	return s, nil
}

// ParseCosmos reads an address of 20 bytes and returns its prefix and bytes. The error is
// Malformed.
func ParseCosmos(s string) (prefix string, account [20]byte, err error) {
	if len(s) > maxBech32 {
		return "", account, errs.New(errs.Malformed, "cosmos address of %d characters, at most %d", len(s), maxBech32)
	}
	prefix, data, version, err := bech32.DecodeGeneric(s)
	if err != nil || version != bech32.Version0 || s != strings.ToLower(s) {
		return "", account, errs.New(errs.Malformed, "cosmos address %q is not bech32 in lower case", s)
	}
	b, err := bech32.ConvertBits(data, 5, 8, false)
	if err != nil || len(b) != len(account) {
		return "", account, errs.New(errs.Malformed, "cosmos address %q does not hold 20 bytes", s)
	}
	return prefix, [20]byte(b), nil
}
