package frost

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Derivation adds a public number to the key, and the same number to every share: since
// the Lagrange coefficients of any signer set sum to one, shares x_i + t share x + t.
const (
	edChildDomain = "tetrad/frost/ed25519/child/v1"
	edChainDomain = "tetrad/frost/ed25519/chain/v1"
	chainDomain   = "tetrad/frost/chain/v1"
)

// ChainCode returns the chain code that a new key starts with, from the transcript hash of
// the ceremony that made it. It stays the key's own through refresh and reshare. Whoever
// knows it can link children to the key, and with a child's whole secret compute the
// key's; it is stored like an extended public key.
func ChainCode(transcript [32]byte) [32]byte {
	return sha256.Sum256(append([]byte(chainDomain), transcript[:]...))
}

// Child derives the non-hardened child key and its chain code: for BIP340 as BIP-32 says,
// for Ed25519 by a scheme of our own (docs/spec/frost.md; SLIP-10 has none). Indices from
// 2^31 are hardened and refused: they need the whole secret, which nobody has.
func (k *PublicKey) Child(chain [32]byte, index uint32) (*PublicKey, [32]byte, error) {
	if err := k.suite.signless(); err != nil {
		return nil, [32]byte{}, err
	}
	if index >= hardenedStart {
		return nil, [32]byte{}, errs.New(errs.Invalid, "derivation: index %d is hardened; a threshold key has no whole secret", index).
			WithHint("make the hardened level a key of its own and derive below it")
	}
	if k.output {
		return nil, [32]byte{}, errs.New(errs.Invalid, "derivation: nothing is derived from a Taproot output key")
	}
	t, next, ok := k.suite.child(k.suite, k.point.bytes(), chain[:], index)
	if !ok {
		return nil, [32]byte{}, errs.New(errs.Invalid, "derivation: index %d gives no key", index).WithHint("take the next index")
	}
	child, err := k.add(false, t)
	return child, next, err
}

// Derive walks a path of non-hardened indices.
func (k *PublicKey) Derive(chain [32]byte, path ...uint32) (*PublicKey, [32]byte, error) {
	if len(path) > maxPath {
		return nil, [32]byte{}, errs.New(errs.TooLarge, "derivation: path of %d levels, limit %d", len(path), maxPath)
	}
	var err error
	for _, index := range path {
		if k, chain, err = k.Child(chain, index); err != nil {
			return nil, [32]byte{}, err
		}
	}
	return k, chain, nil
}

// Taproot returns the BIP-341 output key of the internal key k. merkleRoot is empty for an
// output without scripts, else 32 bytes.
func (k *PublicKey) Taproot(merkleRoot []byte) (*PublicKey, error) {
	if k.suite != BIP340 || k.output || len(merkleRoot) != 0 && len(merkleRoot) != 32 {
		return nil, errs.New(errs.Invalid, "taproot: needs an internal key on secp256k1, and a Merkle root of 0 or 32 bytes, not %d", len(merkleRoot))
	}
	sum := taggedHash("TapTweak", k.Bytes(), merkleRoot)
	t, ok := k.suite.group.decodeScalar(sum[:])
	if !ok {
		return nil, errs.New(errs.Invalid, "taproot: this internal key and Merkle root give no output key")
	}
	out, err := k.add(k.suite.group.oddY(k.point), t)
	if err == nil {
		out.output = true
	}
	return out, err
}

// add returns ±k + t.
func (k *PublicKey) add(negate bool, t scalar) (*PublicKey, error) {
	g, out := k.suite.group, *k
	if out.tweak == nil {
		out.tweak = g.number(0)
	}
	if negate {
		out.point, out.negated, out.tweak = g.negatePoint(out.point), !out.negated, g.negate(out.tweak)
	}
	out.point = k.suite.addPoints(out.point, g.base(t))
	out.tweak = g.add(out.tweak, t)
	if out.point.isIdentity() {
		return nil, errs.New(errs.Invalid, "derivation gives no key").WithHint("take the next index")
	}
	return &out, nil
}

func childBIP32(s *Suite, key, chain []byte, index uint32) (scalar, [32]byte, bool) {
	mac := hmac.New(sha512.New, chain)
	mac.Write(key)
	mac.Write(binary.BigEndian.AppendUint32(nil, index))
	i := mac.Sum(nil)
	t, ok := s.group.decodeScalar(i[:32])
	return t, [32]byte(i[32:]), ok
}

func childEd25519(s *Suite, key, chain []byte, index uint32) (scalar, [32]byte, bool) {
	w := wire.NewWriter(80)
	w.Fixed(chain)
	w.Fixed(key)
	w.U32(index)
	next := sha256.Sum256(append([]byte(edChainDomain), w.Bytes()...))
	t := s.hashScalar(edChildDomain, w.Bytes())
	return t, next, !t.isZero()
}
