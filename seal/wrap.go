package seal

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"hash"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Wrapped blob (docs/spec/sealed.md): a fresh AES-256-GCM key under RSA-OAEP, and the
// plaintext under that key with label as associated data. OAEP itself gets no label,
// because several HSMs know none. Anyone can make such a blob: what comes out of
// Unwrap is authentic only if something inside says so.
const (
	formatWrapped = 1
	maxOAEP       = 512
)

// Wrap encrypts plaintext to the holder of the RSA key pub (PKIX). Unwrap must repeat
// label.
func Wrap(pub []byte, h uint8, plaintext []byte, label string) ([]byte, error) {
	key, err := wrappingKey(pub)
	if err != nil {
		return nil, err
	}
	if len(plaintext) > maxWrapped {
		return nil, errs.New(errs.TooLarge, "wrapping %d bytes, limit %d", len(plaintext), maxWrapped)
	}
	newHash, err := Hash(h).new()
	if err != nil {
		return nil, err
	}
	fresh := make([]byte, 32)
	defer clear(fresh)
	if _, err := rand.Read(fresh); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "randomness")
	}
	oaep, err := rsa.EncryptOAEP(newHash, rand.Reader, key, fresh, nil)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "wrapping to an RSA key")
	}
	aead, err := newGCM(fresh)
	if err != nil {
		return nil, err
	}
	w := wire.NewWriter(64 + len(oaep) + len(plaintext))
	w.U8(formatWrapped)
	w.U8(h)
	w.Blob(oaep)
	head := w.Bytes()
	return aead.Seal(head, make([]byte, nonceSize), plaintext, wrapAAD(head, label)), nil
}

// openWrapped undoes Wrap; decrypt is the token's OAEP.
func openWrapped(b []byte, label string, decrypt func(h Hash, oaep []byte) ([]byte, error)) ([]byte, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != formatWrapped {
		r.Fail("wrapped blob format %d", v)
	}
	h := Hash(r.U8())
	if _, err := h.new(); err != nil {
		r.Fail("OAEP hash %d", h)
	}
	oaep := r.Blob(maxOAEP)
	sealed := r.Rest()
	if err := r.Done(); err != nil || len(sealed) < tagSize || len(sealed) > maxWrapped+tagSize {
		return nil, errs.Wrap(errs.Corrupt, err, "wrapped blob of %d bytes", len(b))
	}
	fresh, err := decrypt(h, oaep)
	if err != nil {
		return nil, err
	}
	defer clear(fresh)
	if len(fresh) != 32 {
		return nil, errs.New(errs.Corrupt, "wrapped key has %d bytes, want 32", len(fresh))
	}
	aead, err := newGCM(fresh)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, nonceSize), sealed, wrapAAD(b[:len(b)-len(sealed)], label))
	if err != nil {
		return nil, errs.New(errs.Corrupt, "wrapped blob does not authenticate")
	}
	return plain, nil
}

func wrapAAD(head []byte, label string) []byte {
	w := wire.NewWriter(64 + len(head))
	w.String("tetrad/wrapped/v1")
	w.Blob(head)
	w.String(label)
	return w.Bytes()
}

func wrappingKey(pub []byte) (*rsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(pub)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "wrapping key")
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 3072 || key.N.BitLen() > 4096 {
		return nil, errs.New(errs.Invalid, "wrapping key is not RSA of 3072 to 4096 bits")
	}
	return key, nil
}

func (h Hash) new() (hash.Hash, error) {
	switch h {
	case SHA1:
		return sha1.New(), nil
	case SHA256:
		return sha256.New(), nil
	}
	return nil, errs.New(errs.Invalid, "OAEP hash %d does not exist", h)
}
