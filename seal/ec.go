package seal

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// compress checks a public key as a token reports it and returns the form the vault
// stores: 33 bytes SEC 1 compressed, or 32 bytes for Ed25519.
func compress(kind Kind, point []byte) ([]byte, error) {
	switch kind {
	case P256:
		if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err == nil {
			return append([]byte{2 | point[64]&1}, point[1:33]...), nil
		}
	case Secp256k1:
		if pub, err := secp256k1.ParsePubKey(point); err == nil {
			return pub.SerializeCompressed(), nil
		}
	case Ed25519:
		if len(point) == ed25519.PublicKeySize {
			return bytes.Clone(point), nil
		}
	}
	return nil, errs.New(errs.HSMFailed, "token reports an unusable %s public key of %d bytes", kind, len(point))
}

// lowS normalises r||s in place to s <= n/2: tokens choose either, Bitcoin takes one.
func lowS(kind Kind, sig []byte) ([]byte, error) {
	if len(sig) != 64 {
		return nil, errs.New(errs.HSMFailed, "token returned a %s signature of %d bytes", kind, len(sig))
	}
	if kind == Ed25519 {
		return sig, nil
	}
	n := elliptic.P256().Params().N
	if kind == Secp256k1 {
		n = secp256k1.Params().N
	}
	s := new(big.Int).SetBytes(sig[32:])
	if s.Cmp(new(big.Int).Rsh(n, 1)) > 0 {
		s.Sub(n, s).FillBytes(sig[32:])
	}
	return sig, nil
}

// verifies reports whether sig is a signature of data (a digest for ECDSA) under a
// public key as the token reports it.
func verifies(kind Kind, point, data, sig []byte) bool {
	if len(sig) != 64 {
		return false
	}
	switch kind {
	case P256:
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		return err == nil && ecdsa.Verify(key, data, new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case Secp256k1:
		key, err := secp256k1.ParsePubKey(point)
		if err != nil {
			return false
		}
		var r, s secp256k1.ModNScalar
		if r.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:]) {
			return false
		}
		return secpecdsa.NewSignature(&r, &s).Verify(data, key)
	case Ed25519:
		return len(point) == ed25519.PublicKeySize && ed25519.Verify(point, data, sig)
	}
	return false
}
