package sealtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/tetrad-vault/tetrad/seal"
)

// rsaKeys are eight RSA-3072 keys of no value: making one takes a second of CPU, which
// a simulation of many nodes does not have. A device picks by its seed.
//
//go:embed rsa.pem
var rsaKeys []byte

type key struct {
	spec  seal.KeySpec
	owner *session // of a temporary key
	p256  *ecdsa.PrivateKey
	secp  *secp256k1.PrivateKey
	ed    ed25519.PrivateKey
	rsa   *rsa.PrivateKey

	destroyed [2]bool // the private half, the public half
}

func newKey(seed [8]byte, serial int, spec seal.KeySpec) (*key, error) {
	k := &key{spec: spec}
	for try := uint32(0); ; try++ {
		secret := scalar(seed, serial, try, spec)
		switch spec.Kind {
		case seal.P256:
			priv, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret[:])
			if err != nil {
				continue // not below the order: next
			}
			k.p256 = priv
		case seal.Secp256k1:
			k.secp = secp256k1.PrivKeyFromBytes(secret[:])
		case seal.Ed25519:
			k.ed = ed25519.NewKeyFromSeed(secret[:])
		case seal.RSA3072:
			k.rsa = embeddedRSA(int(binary.BigEndian.Uint64(seed[:])+uint64(spec.Use)*4) & 7)
		default:
			return nil, errMechanism
		}
		return k, nil
	}
}

func scalar(seed [8]byte, serial int, try uint32, spec seal.KeySpec) [32]byte {
	b := append([]byte("sealtest"), seed[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(serial))
	b = binary.BigEndian.AppendUint32(b, try)
	b = append(b, byte(spec.Kind))
	return sha256.Sum256(append(b, spec.Label...))
}

func embeddedRSA(n int) *rsa.PrivateKey {
	rest := rsaKeys
	for {
		block, tail := pem.Decode(rest)
		if n == 0 {
			priv, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				panic(err) // the file is part of the source
			}
			return priv.(*rsa.PrivateKey)
		}
		rest, n = tail, n-1
	}
}

func (k *key) public() []byte {
	switch k.spec.Kind {
	case seal.P256:
		b, _ := k.p256.PublicKey.Bytes()
		return b
	case seal.Secp256k1:
		return k.secp.PubKey().SerializeUncompressed()
	case seal.Ed25519:
		return k.ed.Public().(ed25519.PublicKey)
	}
	b, _ := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	return b
}

func (k *key) sign(data []byte) ([]byte, error) {
	switch k.spec.Kind {
	case seal.P256:
		der, err := k.p256.Sign(nil, data, crypto.SHA256) // no randomness: RFC 6979
		if err != nil {
			return nil, err
		}
		return fromDER(der, elliptic.P256().Params().N, data)
	case seal.Secp256k1:
		return fromDER(secpecdsa.Sign(k.secp, data).Serialize(), secp256k1.Params().N, data)
	case seal.Ed25519:
		return ed25519.Sign(k.ed, data), nil
	}
	h := sha256.Sum256(data)
	return rsa.SignPSS(zeros{}, k.rsa, crypto.SHA256, h[:], &rsa.PSSOptions{SaltLength: 32})
}

// fromDER returns r||s; as tokens do, half of the time with a high s.
func fromDER(der []byte, n *big.Int, data []byte) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	high := sig.S.Cmp(new(big.Int).Rsh(n, 1)) > 0
	if want := data[0]&1 == 1; want != high {
		sig.S.Sub(n, sig.S)
	}
	out := make([]byte, 64)
	sig.R.FillBytes(out[:32])
	sig.S.FillBytes(out[32:])
	return out, nil
}

func (k *key) decrypt(h seal.Hash, ciphertext []byte) ([]byte, error) {
	if h == seal.SHA1 {
		return rsa.DecryptOAEP(sha1.New(), nil, k.rsa, ciphertext, nil)
	}
	return rsa.DecryptOAEP(sha256.New(), nil, k.rsa, ciphertext, nil)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
