package frost

import (
	"fmt"
	"io"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Secret is a whole key in one place: what threshold signing is there to avoid. It exists
// only where escrowed shares are put together again. It prints as its suite, whatever the
// verb.
type Secret struct {
	key   *PublicKey
	value scalar // of key.point
}

// Recover puts a key together from at least its threshold of shares, of distinct holders,
// and compares it with the public key k, which must not be a derived one.
func Recover(k *PublicKey, shares []*Share) (*Secret, error) {
	if k.tweak != nil || k.negated || len(shares) < k.threshold {
		return nil, errs.New(errs.Invalid, "%d shares of a key of which %d are needed, and only of the root key itself", len(shares), k.threshold)
	}
	shares = slices.Clone(shares[:k.threshold])
	slices.SortFunc(shares, func(a, b *Share) int { return int(a.region) - int(b.region) })
	regions := make([]uint8, len(shares))
	for i, s := range shares {
		if err := s.Matches(k); err != nil {
			return nil, err
		}
		regions[i] = s.region
	}
	if err := checkRegions(regions); err != nil {
		return nil, err
	}
	g := k.suite.group
	sum := g.number(0)
	for i, c := range k.suite.lagrange(regions) {
		sum = replace(sum, g.mulAdd(shares[i].secret, c, sum))
	}
	return newSecret(k, sum)
}

// newSecret takes value over; it is wiped if it is not k's.
func newSecret(k *PublicKey, value scalar) (*Secret, error) {
	if !k.suite.group.base(value).equal(k.point) {
		value.wipe()
		return nil, errs.New(errs.Corrupt, "the secret is not that of key %x", k.Bytes())
	}
	return &Secret{k, value}, nil
}

// DecodeSecret parses Bytes' form and compares it with k. The caller clears b.
func DecodeSecret(k *PublicKey, b []byte) (*Secret, error) {
	v, ok := k.suite.group.decodeScalar(b)
	if !ok || v.isZero() {
		return nil, errs.New(errs.Malformed, "%d bytes that are no secret scalar of %v", len(b), k.suite)
	}
	return newSecret(k, v)
}

// Bytes returns the scalar, 32 bytes: big-endian for BIP-340, little-endian for Ed25519
// (which is no RFC 8032 seed, and has none). They are the caller's to clear.
func (s *Secret) Bytes() []byte { return s.value.bytes() }

// Public returns the key it is the secret of.
func (s *Secret) Public() *PublicKey { return s.key }

// Wipe overwrites the secret; it is useless afterwards.
func (s *Secret) Wipe() { s.value.wipe() }

// Format keeps the secret out of logs and errors, whatever the verb.
func (s *Secret) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[whole %v key]", s.key.suite) }

// Derive returns the secret of a key that Derive or Taproot made from the root key.
func (s *Secret) Derive(child *PublicKey) (*Secret, error) {
	if s.key.tweak != nil || child.suite != s.key.suite || !child.root.equal(s.key.root) {
		return nil, errs.New(errs.Invalid, "a child of another key")
	}
	return newSecret(child, child.shareSecret(s.value))
}

const soloNonce = "tetrad/frost/solo-nonce/v1"

// Sign makes an ordinary signature: 64 bytes that the suite's verifiers accept. The nonce
// hangs on the secret, the message and 32 fresh bytes, so that a bad random source alone
// does not give the key away.
func (s *Secret) Sign(random io.Reader, msg []byte) ([]byte, error) {
	if len(msg) > maxMessage {
		return nil, errs.New(errs.TooLarge, "message of %d bytes, limit %d", len(msg), maxMessage)
	}
	if err := s.key.suite.signless(); err != nil {
		return nil, err
	}
	var fresh [32]byte
	if _, err := io.ReadFull(random, fresh[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "randomness")
	}
	suite, g := s.key.suite, s.key.suite.group
	secret := s.value.bytes()
	defer clear(secret)
	nonce := suite.proofScalar(soloNonce, secret, fresh[:], msg)
	r, y := g.base(nonce), suite.normal(s.key.point)
	if suite.evenY && g.oddY(r) {
		nonce, r = replace(nonce, g.negate(nonce)), g.negatePoint(r)
	}
	value := g.add(s.value, g.number(0))
	if suite.evenY && g.oddY(s.key.point) {
		value = replace(value, g.negate(value))
	}
	z := g.mulAdd(value, suite.challenge(suite, r.bytes(), y.bytes(), msg), nonce)
	nonce.wipe()
	value.wipe()
	sig := suite.signature(r.bytes(), z.bytes())
	return sig, s.key.Verify(msg, sig)
}
