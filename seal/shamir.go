package seal

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Share is one officer's part of a secret split M of N over GF(256). Fewer than
// Threshold shares say nothing about the secret; shares of one split carry the same
// Set and Check.
type Share struct {
	Set       [8]byte  // names the split: shares of two splits never mix
	Threshold uint8    // M
	Index     uint8    // x coordinate, 1..255
	Check     [16]byte // of the secret, so that a wrong combination is noticed
	Data      []byte   // as long as the secret
}

const (
	maxShareSecret = 1024
	shareVersion   = 1
)

// Format keeps the share out of logs and errors, whatever the verb.
func (s Share) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "[share %d of split %x]", s.Index, s.Set[:])
}

// Split splits secret into n shares, any m of which give it back.
func Split(rand io.Reader, secret []byte, m, n int) ([]Share, error) {
	if m < 2 || n < m || n > 255 {
		return nil, errs.New(errs.Invalid, "cannot split %d of %d: want 2 <= m <= n <= 255", m, n)
	}
	if len(secret) == 0 || len(secret) > maxShareSecret {
		return nil, errs.New(errs.Invalid, "cannot split %d bytes, want 1 to %d", len(secret), maxShareSecret)
	}
	var set [8]byte
	if _, err := io.ReadFull(rand, set[:]); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "randomness")
	}
	check := shareCheck(set, secret)
	shares := make([]Share, n)
	for i := range shares {
		shares[i] = Share{set, uint8(m), uint8(i + 1), check, make([]byte, len(secret))}
	}
	poly := make([]byte, m)
	defer clear(poly)
	for j, s := range secret {
		if _, err := io.ReadFull(rand, poly[1:]); err != nil {
			return nil, errs.Wrap(errs.Internal, err, "randomness")
		}
		poly[0] = s
		for i := range shares {
			shares[i].Data[j] = gfEval(poly, shares[i].Index)
		}
	}
	return shares, nil
}

// Combine gives the secret back from at least Threshold shares of one split. With
// more shares than needed, all must agree.
func Combine(shares []Share) ([]byte, error) {
	if err := checkShares(shares); err != nil {
		return nil, err
	}
	first := shares[0]
	m := int(first.Threshold)
	secret := interpolate(shares[:m], 0)
	check := shareCheck(first.Set, secret)
	ok := subtle.ConstantTimeCompare(check[:], first.Check[:])
	for _, extra := range shares[m:] {
		ok &= subtle.ConstantTimeCompare(interpolate(shares[:m], extra.Index), extra.Data)
	}
	if ok != 1 {
		clear(secret)
		return nil, errs.New(errs.Corrupt, "the shares do not give back what was split").WithHint("one of them is damaged: try others")
	}
	return secret, nil
}

func checkShares(shares []Share) error {
	if len(shares) == 0 {
		return errs.New(errs.Invalid, "no shares")
	}
	first, seen := shares[0], [256]bool{}
	for _, s := range shares {
		switch {
		case s.Set != first.Set || s.Threshold != first.Threshold || s.Check != first.Check || len(s.Data) != len(first.Data):
			return errs.New(errs.Invalid, "share %d belongs to another split", s.Index)
		case s.Index == 0 || s.Threshold < 2 || len(s.Data) == 0:
			return errs.New(errs.Invalid, "share %d is malformed", s.Index)
		case seen[s.Index]:
			return errs.New(errs.Invalid, "share %d was given twice", s.Index)
		}
		seen[s.Index] = true
	}
	if len(shares) < int(first.Threshold) {
		return errs.New(errs.Invalid, "%d shares are too few: this split needs %d", len(shares), first.Threshold)
	}
	return nil
}

func shareCheck(set [8]byte, secret []byte) (check [16]byte) {
	h := sha256.New()
	h.Write([]byte("tetrad/share-check/v1"))
	h.Write(set[:])
	h.Write(secret)
	copy(check[:], h.Sum(nil))
	return check
}

// Encode returns the canonical form, ending in a checksum for what people store.
func (s Share) Encode() []byte {
	w := wire.NewWriter(48 + len(s.Data))
	w.U8(shareVersion)
	w.Fixed(s.Set[:])
	w.U8(s.Threshold)
	w.U8(s.Index)
	w.Fixed(s.Check[:])
	w.Blob(s.Data)
	sum := sha256.Sum256(w.Bytes())
	w.Fixed(sum[:4])
	return w.Bytes()
}

// DecodeShare parses the canonical form.
func DecodeShare(b []byte) (Share, error) {
	var s Share
	r := wire.NewReader(b)
	if v := r.U8(); v != shareVersion {
		r.Fail("share version %d", v)
	}
	r.Fixed(s.Set[:])
	s.Threshold, s.Index = r.U8(), r.U8()
	r.Fixed(s.Check[:])
	s.Data = bytes.Clone(r.Blob(maxShareSecret))
	var sum [4]byte
	r.Fixed(sum[:])
	if err := r.Done(); err != nil {
		return Share{}, err
	}
	if want := sha256.Sum256(b[:len(b)-4]); !bytes.Equal(sum[:], want[:4]) {
		return Share{}, errs.New(errs.Corrupt, "share %d is damaged: its checksum does not match", s.Index)
	}
	return s, nil
}

// interpolate evaluates at x the polynomial through shares. Coordinates are public,
// data is secret: the arithmetic takes the same time whatever the data.
func interpolate(shares []Share, x uint8) []byte {
	out := make([]byte, len(shares[0].Data))
	for i, s := range shares {
		num, den := uint8(1), uint8(1)
		for j, o := range shares {
			if i != j {
				num = gfMul(num, x^o.Index)
				den = gfMul(den, s.Index^o.Index)
			}
		}
		basis := gfMul(num, gfInv(den))
		for k, d := range s.Data {
			out[k] ^= gfMul(basis, d)
		}
	}
	return out
}

func gfEval(poly []byte, x uint8) uint8 {
	var y uint8
	for i := len(poly) - 1; i >= 0; i-- {
		y = gfMul(y, x) ^ poly[i]
	}
	return y
}

// gfMul multiplies in GF(2^8) modulo x^8+x^4+x^3+x+1, without tables or branches.
func gfMul(a, b uint8) uint8 {
	var p uint8
	for range 8 {
		p ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return p
}

// gfInv is a^254, the inverse of a; 0 for 0.
func gfInv(a uint8) uint8 {
	y := uint8(1)
	for range 7 { // 254 = 11111110 in binary
		a = gfMul(a, a)
		y = gfMul(y, a)
	}
	return y
}
