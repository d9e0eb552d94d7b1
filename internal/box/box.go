// Package box seals small secrets to a public key that only one region can open: HPKE
// (RFC 9180) with ML-KEM-768 and X25519 (X-Wing), HKDF-SHA256 and AES-256-GCM, so that
// what is recorded today stays closed to whoever breaks one of the two tomorrow. Where
// the private key comes from and how long it lives is the caller's (seal, vault).
//
// A box says nothing about its author: anybody can make one. What comes out is authentic
// only if the message that carried it is, or something inside says so.
//
// What a region seals to itself needs no public key: an own box is AES-256-GCM under a key
// derived from the same seed, a twentieth of the size, and nobody else can make one.
//
//	public key  1216 bytes
//	seed          32 bytes, all there is of a private key; secret
//	box         1137 bytes and the plaintext
//	own box       41 bytes and the plaintext
//
// Format: docs/spec/sealed.md.
package box

import (
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Sizes in bytes.
const (
	PublicSize = 1216
	SeedSize   = 32
	Overhead   = 1 + encapsulated + tagSize

	OwnOverhead = 1 + saltSize + tagSize

	encapsulated = 1120
	saltSize     = 24
	tagSize      = 16

	maxPlaintext = 64 << 10
	maxInfo      = 1024
)

const (
	formatBox = 1
	formatOwn = 2
	domain    = "tetrad/box/v1"
)

// Key opens boxes, and makes own ones. It is safe for concurrent use and prints as nothing.
type Key struct {
	private hpke.PrivateKey
	public  []byte
	own     []byte // of own boxes
}

// New makes a key pair and returns it with its seed, the caller's to clear.
func New() (k *Key, seed []byte, err error) {
	seed = make([]byte, SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return nil, nil, errs.Wrap(errs.Internal, err, "randomness")
	}
	k, err = FromSeed(seed)
	return k, seed, err
}

// FromSeed makes the key pair again; it keeps nothing of seed, which is the caller's to
// clear.
func FromSeed(seed []byte) (*Key, error) {
	if len(seed) != SeedSize {
		return nil, errs.New(errs.Corrupt, "seed of a wrapping key has %d bytes, want %d", len(seed), SeedSize)
	}
	private, err := hpke.MLKEM768X25519().NewPrivateKey(append([]byte(nil), seed...))
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "seed of a wrapping key")
	}
	own, err := hkdf.Key(sha256.New, seed, nil, ownDomain, ownKeySize)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "deriving the key of own boxes")
	}
	return &Key{private, private.PublicKey().Bytes(), own}, nil
}

// Public returns the public half, PublicSize bytes.
func (k *Key) Public() []byte { return append([]byte(nil), k.public...) }

// Format keeps the key out of logs and errors, whatever the verb.
func (k *Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[wrapping key]") }

// CheckPublic reports whether public is a key that Seal takes. The error is Malformed.
func CheckPublic(public []byte) error {
	_, err := parse(public)
	return err
}

func parse(public []byte) (hpke.PublicKey, error) {
	k, err := hpke.MLKEM768X25519().NewPublicKey(public)
	if err != nil {
		return nil, errs.Wrap(errs.Malformed, err, "public wrapping key of %d bytes", len(public))
	}
	return k, nil
}

// Seal encrypts plaintext, up to 64 KiB, to the holder of public. info says what it is and
// where it belongs; Open must repeat it.
func Seal(public, info, plaintext []byte) ([]byte, error) {
	if err := bounded(info, plaintext); err != nil {
		return nil, err
	}
	to, err := parse(public)
	if err != nil {
		return nil, err
	}
	sealed, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), bound(info), plaintext)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "sealing a box")
	}
	return append([]byte{formatBox}, sealed...), nil
}

func bounded(info, plaintext []byte) error {
	if len(plaintext) > maxPlaintext || len(info) > maxInfo {
		return errs.New(errs.TooLarge, "box of %d bytes and %d of info, limits %d and %d", len(plaintext), len(info), maxPlaintext, maxInfo)
	}
	return nil
}

// Open undoes both ways of sealing. Every failure is Corrupt: what was altered, belongs
// elsewhere, or is sealed to another region or epoch looks the same.
func (k *Key) Open(box, info []byte) (plain []byte, err error) {
	switch {
	case fits(box, formatBox, Overhead):
		plain, err = hpke.Open(k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), bound(info), box[1:])
	case fits(box, formatOwn, OwnOverhead):
		plain, err = k.openOwn(box, info)
	default:
		return nil, errs.New(errs.Corrupt, "not a box: %d bytes, want format %d and %d to %d, or format %d and %d to %d", len(box),
			formatBox, Overhead, Overhead+maxPlaintext, formatOwn, OwnOverhead, OwnOverhead+maxPlaintext)
	}
	if err != nil {
		return nil, errs.New(errs.Corrupt, "box does not open").
			WithHint("it was altered, belongs to another place, or is sealed to another region's wrapping key or one of another epoch")
	}
	return plain, nil
}

func fits(box []byte, format byte, overhead int) bool {
	return len(box) >= overhead && len(box) <= overhead+maxPlaintext && box[0] == format
}

// bound is HPKE's info: the caller's, under the format's own domain.
func bound(info []byte) []byte {
	w := wire.NewWriter(64 + len(info))
	w.String(domain)
	w.Blob(info)
	return w.Bytes()
}
