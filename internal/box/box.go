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
	"crypto/hpke"
	"crypto/rand"
	"fmt"

	"github.com/tetrad-vault/tetrad/internal/erase"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Sizes in bytes.
const (
	PublicSize = 1216
	SeedSize   = 32
	Overhead   = 1 + encapsulated + tagSize

	OwnOverhead = 1 + saltSize + tagSize

	SecretSize = SeedSize + ownKeySize // of a Key

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

// Key opens boxes, and makes own ones, until it is wiped. It is safe for concurrent use, but
// for Move and Wipe, which nothing may run beside; and prints as nothing. What HPKE needs is
// made of the seed when a box is opened, and dropped.
type Key struct {
	public []byte
	secret []byte // SecretSize bytes: the seed, then the key of own boxes; nil once wiped
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
	k := &Key{public: make([]byte, PublicSize), secret: make([]byte, SecretSize)}
	copy(k.secret, seed)
	err := k.withPrivate(func(private hpke.PrivateKey) error {
		copy(k.public, private.PublicKey().Bytes())
		key := extract(k.seed())
		expand(k.own()[:0], key, ownDomain)
		clear(key)
		return nil
	})
	if err != nil {
		k.Wipe()
		return nil, errs.Wrap(errs.Corrupt, err, "seed of a wrapping key")
	}
	return k, nil
}

func (k *Key) seed() []byte { return k.secret[:SeedSize:SeedSize] }
func (k *Key) own() []byte  { return k.secret[SeedSize:] }

// withPrivate lets f have the private key as HPKE wants it. Of its copies the seed is wiped
// afterwards; what was derived of it the library keeps to itself, and only a build that
// erases takes care of that.
func (k *Key) withPrivate(f func(hpke.PrivateKey) error) (err error) {
	erase.Thoroughly(func() {
		var private hpke.PrivateKey
		if private, err = hpke.MLKEM768X25519().NewPrivateKey(k.seed()); err != nil {
			return
		}
		err = f(private)
		if its, none := private.Bytes(); none == nil {
			clear(its) // its own, not a copy
		}
	})
	return err
}

// Move has the secret live in memory of the caller's, SecretSize bytes, and wipes where it
// was; the memory is k's until Wipe.
func (k *Key) Move(to []byte) error {
	if k.secret == nil || len(to) != SecretSize {
		return errs.New(errs.Invalid, "a wrapping key has %d bytes of secret, not %d, and none once wiped", SecretSize, len(to))
	}
	copy(to, k.secret)
	clear(k.secret)
	k.secret = to
	return nil
}

// Wipe overwrites the secret: only the public half is left.
func (k *Key) Wipe() {
	clear(k.secret)
	k.secret = nil
}

func (k *Key) usable() error {
	if k.secret == nil {
		return errs.New(errs.BadState, "the wrapping key was wiped")
	}
	return nil
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
	out := make([]byte, Overhead+len(plaintext))
	out[0] = formatBox
	erase.After(func() {
		var sealed []byte
		sealed, err = hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), bound(info), plaintext)
		copy(out[1:], sealed)
	})
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "sealing a box")
	}
	return out, nil
}

func bounded(info, plaintext []byte) error {
	if len(plaintext) > maxPlaintext || len(info) > maxInfo {
		return errs.New(errs.TooLarge, "box of %d bytes and %d of info, limits %d and %d", len(plaintext), len(info), maxPlaintext, maxInfo)
	}
	return nil
}

// Open undoes both ways of sealing. Every failure is Corrupt: what was altered, belongs
// elsewhere, or is sealed to another region or epoch looks the same. BadState: k is wiped.
func (k *Key) Open(box, info []byte) (plain []byte, err error) {
	if err := k.usable(); err != nil {
		return nil, err
	}
	switch {
	case fits(box, formatBox, Overhead):
		plain, err = k.openHPKE(box, info)
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

// openHPKE returns a copy of the caller's: what is made in here may be erased.
func (k *Key) openHPKE(box, info []byte) ([]byte, error) {
	plain := make([]byte, len(box)-Overhead)
	err := k.withPrivate(func(private hpke.PrivateKey) error {
		got, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), bound(info), box[1:])
		copy(plain, got)
		clear(got)
		return err
	})
	if err != nil {
		return nil, err
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
