package box

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"io"

	"github.com/tetrad-vault/tetrad/internal/erase"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

const (
	ownDomain  = "tetrad/own-box/v1"
	saltDomain = "tetrad/own-box/salt/v1"
	ownKeySize = 32
)

// Seal encrypts plaintext, up to 64 KiB, to the key itself; info is as for the other Seal.
// Each box has a key of its own, derived by its salt, so that GCM's nonce may be zero. The
// salt depends on what is sealed as well as on chance: should a machine repeat its
// randomness, as a clone may, two boxes with one key have one content. BadState: k is wiped.
func (k *Key) Seal(info, plaintext []byte) ([]byte, error) {
	return k.sealWith(rand.Reader, info, plaintext)
}

func (k *Key) sealWith(random io.Reader, info, plaintext []byte) ([]byte, error) {
	if err := bounded(info, plaintext); err != nil {
		return nil, err
	}
	if err := k.usable(); err != nil {
		return nil, err
	}
	chance := make([]byte, sha256.Size)
	if _, err := io.ReadFull(random, chance); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "randomness")
	}
	out, err := make([]byte, OwnOverhead+len(plaintext)), error(nil)
	out[0] = formatOwn
	erase.After(func() {
		k.salt(out[1:1], chance, info, plaintext)
		var aead cipher.AEAD
		if aead, err = k.sealer(out[1 : 1+saltSize]); err == nil {
			aead.Seal(out[:1+saltSize], make([]byte, aead.NonceSize()), plaintext, bound(info))
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// openOwn returns memory of the caller's: what is made in here may be erased.
func (k *Key) openOwn(box, info []byte) (plain []byte, err error) {
	salt, sealed := box[1:1+saltSize], box[1+saltSize:]
	plain = make([]byte, len(sealed)-tagSize)
	erase.After(func() {
		var aead cipher.AEAD
		if aead, err = k.sealer(salt); err == nil {
			_, err = aead.Open(plain[:0], make([]byte, aead.NonceSize()), sealed, bound(info))
		}
	})
	if err != nil {
		return nil, err
	}
	return plain, nil
}

// salt writes saltSize bytes to the start of to.
func (k *Key) salt(to, random, info, plaintext []byte) {
	h := hmac.New(sha256.New, k.own())
	w := wire.NewWriter(128 + len(info))
	w.String(saltDomain)
	w.Fixed(random)
	w.Blob(info)
	h.Write(w.Bytes())
	h.Write(plaintext) // last, so that nothing has to say where it ends
	copy(to[:saltSize], h.Sum(nil))
	rinse(h)
}

// sealer is the cipher of one box.
func (k *Key) sealer(salt []byte) (cipher.AEAD, error) {
	var secret [ownKeySize]byte
	defer clear(secret[:])
	expand(secret[:0], k.own(), ownDomain+string(salt))
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "cipher of an own box")
	}
	return cipher.NewGCM(block)
}

// extract and expand are HKDF with SHA-256 (RFC 5869), no salt and one block of output:
// crypto/hkdf leaves copies of what it returns behind.
func extract(secret []byte) []byte {
	h := hmac.New(sha256.New, make([]byte, sha256.Size))
	h.Write(secret)
	defer rinse(h)
	return h.Sum(nil)
}

// rinse overwrites what h still holds of its input, and spoils it.
func rinse(h hash.Hash) { h.Write(make([]byte, h.BlockSize())) }

// expand appends sha256.Size bytes to to, which has room for them.
func expand(to, key []byte, info string) {
	h := hmac.New(sha256.New, key)
	h.Write(append([]byte(info), 1))
	h.Sum(to)
}
