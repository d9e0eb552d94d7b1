package identity

import (
	"encoding/hex"
	"strings"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Text returns the form people copy: the algorithm's name, a colon, the key in hex.
func (k PublicKey) Text() string { return k.Alg.String() + ":" + hex.EncodeToString(k.Key) }

// ParsePublicKey reads the form Text writes, and checks the key.
func ParsePublicKey(s string) (PublicKey, error) {
	name, digits, _ := strings.Cut(strings.TrimSpace(s), ":")
	key, err := hex.DecodeString(digits)
	if err != nil || len(key) > maxPublicKey {
		return PublicKey{}, errs.New(errs.Invalid, "public key %.80q: want ALGORITHM:HEX, as vaultctl keygen prints it", s)
	}
	for _, a := range []Alg{Ed25519, P256, RSAPSS} {
		if a.String() == name {
			k := PublicKey{a, key}
			return k, k.Check()
		}
	}
	return PublicKey{}, errs.New(errs.Invalid, "public key %.80q: algorithm %q is none of ed25519, p256, rsa-pss", s, name)
}
