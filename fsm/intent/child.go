package intent

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"

	"filippo.io/edwards25519"
	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Child returns the child of a threshold key at a path of non-hardened indices, in the
// form of the key itself (33 bytes compressed, or 32), and its chain code: BIP-32, and for
// Ed25519 the scheme of docs/spec/frost.md. An empty path gives the key. The error is
// Invalid, for a path with an index that gives no key too.
//
// The regions derive the same from their shares (vault/frost); here only public values
// meet, for those who check what they sign and for names and addresses.
func Child(curve command.Curve, point []byte, chain [32]byte, path ...uint32) ([]byte, [32]byte, error) {
	if err := derivations.check(curve, point); err != nil {
		return nil, chain, err
	}
	if len(path) > command.MaxDepth {
		return nil, chain, errs.New(errs.Invalid, "path of %d levels, limit %d", len(path), command.MaxDepth)
	}
	derive := childEd25519
	switch curve {
	case command.Ed25519:
	case command.Secp256k1:
		derive = childSecp256k1
	default:
		return nil, chain, errs.New(errs.Invalid, "no threshold key is on curve %s", curve)
	}
	key := bytes.Clone(point)
	for _, index := range path {
		if index >= hdkeychain.HardenedKeyStart {
			return nil, chain, errs.New(errs.Invalid, "index %d of a path is hardened; a threshold key has no whole secret", index)
		}
		var err error
		if key, chain, err = derivations.derive(curve, key, chain, index, derive); err != nil {
			return nil, chain, err
		}
	}
	return key, chain, nil
}

func childSecp256k1(key []byte, chain [32]byte, index uint32) ([]byte, [32]byte, error) {
	version := chaincfg.MainNetParams.HDPublicKeyID // the network does not enter derivation
	parent := hdkeychain.NewExtendedKey(version[:], key, bytes.Clone(chain[:]), make([]byte, 4), 0, 0, false)
	child, err := parent.Derive(index)
	if err != nil {
		return nil, chain, noChild(index)
	}
	public, err := child.ECPubKey()
	if err != nil {
		return nil, chain, noChild(index)
	}
	return public.SerializeCompressed(), [32]byte(child.ChainCode()), nil
}

func childEd25519(key []byte, chain [32]byte, index uint32) ([]byte, [32]byte, error) {
	material := binary.BigEndian.AppendUint32(append(chain[:], key...), index)
	wide := sha512.Sum512(append([]byte("FROST-ED25519-SHA512-v1"+"tetrad/frost/ed25519/child/v1"), material...))
	t, err := new(edwards25519.Scalar).SetUniformBytes(wide[:])
	if err != nil {
		return nil, chain, errs.Wrap(errs.Internal, err, "ed25519 child")
	}
	point, err := new(edwards25519.Point).SetBytes(key)
	if err != nil {
		return nil, chain, errs.Wrap(errs.Invalid, err, "ed25519 child: parent")
	}
	point.Add(point, new(edwards25519.Point).ScalarBaseMult(t))
	if t.Equal(edwards25519.NewScalar()) == 1 || point.Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, chain, noChild(index)
	}
	return point.Bytes(), sha256.Sum256(append([]byte("tetrad/frost/ed25519/chain/v1"), material...)), nil
}

func noChild(index uint32) error {
	return errs.New(errs.Invalid, "index %d of a path gives no key", index).WithHint("take the next index")
}
