package box

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

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
// randomness, as a clone may, two boxes with one key have one content.
func (k *Key) Seal(info, plaintext []byte) ([]byte, error) {
	if err := bounded(info, plaintext); err != nil {
		return nil, err
	}
	random := make([]byte, sha256.Size)
	if _, err := rand.Read(random); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "randomness")
	}
	salt := k.salt(random, info, plaintext)
	aead, err := k.sealer(salt)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, OwnOverhead+len(plaintext))
	out = append(append(out, formatOwn), salt...)
	return aead.Seal(out, make([]byte, aead.NonceSize()), plaintext, bound(info)), nil
}

func (k *Key) openOwn(box, info []byte) ([]byte, error) {
	salt, sealed := box[1:1+saltSize], box[1+saltSize:]
	aead, err := k.sealer(salt)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, make([]byte, aead.NonceSize()), sealed, bound(info))
}

func (k *Key) salt(random, info, plaintext []byte) []byte {
	h := hmac.New(sha256.New, k.own)
	w := wire.NewWriter(128 + len(info))
	w.String(saltDomain)
	w.Fixed(random)
	w.Blob(info)
	h.Write(w.Bytes())
	h.Write(plaintext) // last, so that nothing has to say where it ends
	return h.Sum(nil)[:saltSize]
}

// sealer is the cipher of one box.
func (k *Key) sealer(salt []byte) (cipher.AEAD, error) {
	secret, err := hkdf.Expand(sha256.New, k.own, ownDomain+string(salt), ownKeySize)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "deriving the key of an own box")
	}
	defer clear(secret)
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "cipher of an own box")
	}
	return cipher.NewGCM(block)
}
