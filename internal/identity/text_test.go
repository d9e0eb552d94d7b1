package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

func TestPublicKeyText(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewKeySigner(p256)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []PublicKey{GenerateEd25519().Public(), s.Public()} {
		got, err := ParsePublicKey(" " + k.Text() + "\n")
		if err != nil || !got.Equal(k) {
			t.Errorf("%s: %v, %v", k.Text(), got, err)
		}
	}
	for _, bad := range []string{"", "ed25519", "ed25519:zz", "ed25519:00", "rsa:00", GenerateEd25519().Public().Text() + "00"} {
		if _, err := ParsePublicKey(bad); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
