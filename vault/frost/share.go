package frost

import (
	"fmt"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Share is one region's secret share of a key's sharing in one epoch. It prints as its
// region only, whatever the verb.
type Share struct {
	suite  *Suite
	epoch  uint32
	region uint8
	secret scalar
	public point
}

// Region returns whose share it is.
func (s *Share) Region() uint8 { return s.region }

// Epoch returns the number of the sharing the share belongs to.
func (s *Share) Epoch() uint32 { return s.epoch }

// Matches reports whether s is the share that k expects of its region.
func (s *Share) Matches(k *PublicKey) error {
	i := k.indexOf(s.region)
	if s.suite != k.suite || i < 0 {
		return errs.New(errs.Invalid, "%v share of region %d: the %v key has no such holder", s.suite, s.region, k.suite)
	}
	if s.epoch != k.epoch {
		return errs.New(errs.Stale, "share of region %d is of epoch %d, the key's sharing of epoch %d", s.region, s.epoch, k.epoch).
			WithHint("unseal the share of the key's current epoch; older ones are erased once a refresh is acknowledged")
	}
	if !s.public.equal(k.shares[i]) {
		return errs.New(errs.Corrupt, "share of region %d is not the one the public key names", s.region).
			WithHint("restore the region's own state; a share cannot be taken from another key or region")
	}
	return nil
}

// Wipe overwrites the secret; the share is useless afterwards.
func (s *Share) Wipe() { s.secret.wipe() }

// Format keeps the secret out of logs and errors, whatever the verb.
func (s *Share) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%v share of region %d, epoch %d", s.suite, s.region, s.epoch)
}

const shareVersion = 1

// ShareSize is the length of a share's stored form.
const ShareSize = 39

// Encode returns the stored form, ShareSize bytes, which are secret: seal them, then clear
// them.
func (s *Share) Encode() []byte {
	w := wire.NewWriter(ShareSize)
	w.U8(shareVersion)
	w.U8(s.suite.id)
	w.U32(s.epoch)
	w.U8(s.region)
	secret := s.secret.bytes()
	w.Fixed(secret)
	clear(secret)
	return w.Bytes()
}

// DecodeShare parses the stored form. The caller clears b.
func DecodeShare(b []byte) (*Share, error) {
	s, err := readShare(b)
	if err != nil {
		return nil, err
	}
	protected(func() { s.public = s.suite.group.base(s.secret) })
	return s, nil
}

// KnownShare parses the stored form of a share that was decoded before and matched k. It
// takes the public side from k, which spares the multiplication. The caller clears b.
func KnownShare(b []byte, k *PublicKey) (*Share, error) {
	s, err := readShare(b)
	if err != nil {
		return nil, err
	}
	i := k.indexOf(s.region)
	if s.suite != k.suite || s.epoch != k.epoch || i < 0 {
		s.Wipe()
		return nil, errs.New(errs.Invalid, "%v is not of the %v key of epoch %d", s, k.suite, k.epoch)
	}
	s.public = k.shares[i]
	return s, nil
}

// readShare leaves the public side out.
func readShare(b []byte) (*Share, error) {
	r := wire.NewReader(b)
	suite := readHead(r, shareVersion, "threshold share")
	s := &Share{suite: suite, epoch: r.U32(), region: r.U8()}
	var secret [32]byte
	r.Fixed(secret[:])
	if err := r.Done(); err != nil {
		return nil, err
	}
	ok := false
	protected(func() {
		s.secret, ok = suite.group.decodeScalar(secret[:])
		clear(secret[:])
		ok = ok && !s.secret.isZero()
	})
	if !ok || s.region == 0 || s.epoch == 0 && !suite.founded {
		return nil, errs.New(errs.Malformed, "threshold share of region %d, epoch %d: not a canonical share", s.region, s.epoch)
	}
	return s, nil
}
