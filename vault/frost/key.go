package frost

import (
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// PublicKey is the public side of a threshold key: the key itself, and for each holder
// the point that verifies its part. It is immutable. One that was derived (Child,
// Taproot) remembers how, so that shares of the root key sign under it.
type PublicKey struct {
	suite     *Suite
	epoch     uint32
	threshold int
	regions   []uint8 // ascending
	shares    []point // shares[i] verifies regions[i], of the root key
	root      point
	point     point // root, or derived from it: ±root + tweak*generator
	negated   bool
	tweak     scalar // nil for none; public
	output    bool   // a Taproot output key, from which nothing is derived
}

// Suite returns the key's suite.
func (k *PublicKey) Suite() *Suite { return k.suite }

// Epoch returns the number of the sharing: 1 when the key was made, one more for each
// refresh or reshare; 0 for one from before the first ceremony. Shares of different epochs do not mix.
func (k *PublicKey) Epoch() uint32 { return k.epoch }

// Threshold returns how many regions sign.
func (k *PublicKey) Threshold() int { return k.threshold }

// Holders returns the regions that hold shares, ascending.
func (k *PublicKey) Holders() []uint8 { return slices.Clone(k.regions) }

// Bytes returns the key as the suite's verifiers take it: 32 bytes, for BIP-340 x only.
func (k *PublicKey) Bytes() []byte {
	b := slices.Clone(k.point.bytes())
	if k.suite.evenY {
		return b[1:]
	}
	return b
}

// Compressed returns the whole point, 33 bytes with its parity for secp256k1 (BIP-32 and
// extended keys want it), 32 for Ed25519.
func (k *PublicKey) Compressed() []byte { return slices.Clone(k.point.bytes()) }

// Verify judges a finished signature under k. The error is Unverified.
func (k *PublicKey) Verify(msg, sig []byte) error {
	if err := k.suite.signless(); err != nil {
		return err
	}
	if !k.suite.verify(k.point, msg, sig) {
		return errs.New(errs.Unverified, "threshold signature does not verify under key %x", k.Bytes())
	}
	return nil
}

func (k *PublicKey) indexOf(region uint8) int { return slices.Index(k.regions, region) }

// shareOf returns the point that verifies region's part under k itself, derived or not.
func (k *PublicKey) shareOf(region uint8) point {
	p := k.shares[k.indexOf(region)]
	if k.negated {
		p = k.suite.group.negatePoint(p)
	}
	if k.tweak != nil {
		p = k.suite.addPoints(p, k.suite.group.base(k.tweak))
	}
	return p
}

const keyVersion = 1

// Encode returns the stored form: 8 bytes and 1 + 33 (Ed25519: 32) for each holder, and the
// key. Of a derived key it is the root's: derivations are computed, not stored.
func (k *PublicKey) Encode() []byte {
	size := k.suite.group.pointSize()
	w := wire.NewWriter(8 + size + len(k.regions)*(size+1))
	w.U8(keyVersion)
	w.U8(k.suite.id)
	w.U32(k.epoch)
	w.U8(uint8(k.threshold))
	w.U8(uint8(len(k.regions)))
	w.Fixed(k.root.bytes())
	for i, r := range k.regions {
		w.U8(r)
		w.Fixed(k.shares[i].bytes())
	}
	return w.Bytes()
}

// DecodePublicKey parses and validates the stored form: strict encodings, points of prime
// order, and shares that lie on one polynomial of degree below the threshold through the
// key, so that every signer set signs for it.
func DecodePublicKey(b []byte) (*PublicKey, error) {
	r := wire.NewReader(b)
	suite := readHead(r, keyVersion, "threshold public key")
	k := &PublicKey{suite: suite, epoch: r.U32(), threshold: int(r.U8())}
	n := int(r.U8())
	if r.Err() == nil {
		k.root = readElement(r, suite)
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		k.regions = append(k.regions, r.U8())
		k.shares = append(k.shares, readElement(r, suite))
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	k.point = k.root
	return k, k.validate()
}

func (k *PublicKey) validate() error {
	if err := checkHolders(k.threshold, k.regions); err != nil {
		return err
	}
	if k.epoch == 0 && !k.suite.founded {
		return errs.New(errs.Invalid, "threshold key of epoch 0: the first is 1")
	}
	// One window of t shares fixes the polynomial; every further one must agree at zero.
	for first := 0; first+k.threshold <= len(k.regions); first++ {
		window := k.regions[first : first+k.threshold]
		at0 := k.suite.group.combine(nil, k.suite.lagrange(window), k.shares[first:first+k.threshold])
		if !at0.equal(k.root) {
			return errs.New(errs.Invalid, "threshold key: public shares of regions %v do not give the key", window)
		}
	}
	return nil
}

func checkHolders(threshold int, regions []uint8) error {
	n := len(regions)
	if n > maxRegions || threshold < minThreshold || threshold > n {
		return errs.New(errs.Invalid, "threshold key: %d of %d regions, want %d to n of at most %d", threshold, n, minThreshold, maxRegions)
	}
	return checkRegions(regions)
}

// checkRegions wants numbers of 1 and more, ascending, none twice.
func checkRegions(regions []uint8) error {
	last := uint8(0)
	for _, r := range regions {
		if r <= last {
			return errs.New(errs.Invalid, "threshold key: regions %v, want numbers from 1, ascending, none twice", regions)
		}
		last = r
	}
	return nil
}

// readHead reads version and suite, which begin every stored form of the package.
func readHead(r *wire.Reader, version uint8, what string) *Suite {
	if v := r.U8(); v != version {
		r.Fail("%s version %d, this version reads %d", what, v, version)
	}
	id := r.U8()
	if r.Err() != nil {
		return nil
	}
	s, err := SuiteOf(id)
	if err != nil {
		r.Fail("%s of suite %d, which this version does not know", what, id)
	}
	return s
}

// readSigner reads the head of what only suites that sign have.
func readSigner(r *wire.Reader, version uint8, what string) *Suite {
	s := readHead(r, version, what)
	if s != nil && s.signless() != nil {
		r.Fail("%s of %v, which signs nothing", what, s)
	}
	return s
}

// readElement reads a point strictly: canonical and of prime order.
func readElement(r *wire.Reader, s *Suite) point {
	b := make([]byte, s.group.pointSize())
	r.Fixed(b)
	if r.Err() != nil {
		return nil
	}
	p, ok := s.decodeElement(b)
	if !ok {
		r.Fail("not a canonical point of prime order")
	}
	return p
}
