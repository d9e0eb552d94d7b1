package frost

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestRecover: any threshold of shares is the whole key, which signs alone, as itself, as a
// child and as a Taproot output, what independent verifiers accept.
func TestRecover(t *testing.T) {
	for _, s := range []*Suite{Ed25519, BIP340} {
		for threshold := 2; threshold <= 4; threshold++ {
			w := newWorld(t, s, threshold, rand.Reader)
			for _, set := range signerSets(threshold) {
				var shares []*Share
				for i := len(set) - 1; i >= 0; i-- {
					shares = append(shares, w.shares[set[i]])
				}
				secret, err := Recover(w.key, shares)
				must(t, err)
				signsAlone(t, secret)
				back, err := DecodeSecret(w.key, secret.Bytes())
				must(t, err)
				child, _, err := w.key.Derive([32]byte{1}, 0, 7)
				must(t, err)
				derived, err := back.Derive(child)
				must(t, err)
				signsAlone(t, derived)
				if s == BIP340 {
					out, err := child.Taproot(nil)
					must(t, err)
					derived, err := back.Derive(out)
					must(t, err)
					signsAlone(t, derived)
				}
				if text := fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, secret); strings.Contains(text, fmt.Sprintf("%x", secret.Bytes())) || !strings.Contains(text, "[whole") {
					t.Errorf("prints as %s", text)
				}
			}
		}
	}
}

func signsAlone(t *testing.T, s *Secret) {
	t.Helper()
	msg := []byte("thirty-two bytes, as BIP-340 asks")[:32]
	one, err := s.Sign(rand.Reader, msg)
	must(t, err)
	two, err := s.Sign(rand.Reader, msg)
	must(t, err)
	must(t, independent(s.Public(), msg, one))
	must(t, independent(s.Public(), msg, two))
	if string(one[:32]) == string(two[:32]) {
		t.Error("two signatures with one nonce")
	}
}

func TestRecoverRefuses(t *testing.T) {
	w, other := newWorld(t, Ed25519, 2, rand.Reader), newWorld(t, Ed25519, 2, rand.Reader)
	child, _, err := w.key.Derive([32]byte{1}, 3)
	must(t, err)
	for name, c := range map[string]struct {
		k      *PublicKey
		shares []*Share
		code   errs.Code
	}{
		"too few":      {w.key, []*Share{w.shares[1]}, errs.Invalid},
		"one twice":    {w.key, []*Share{w.shares[1], w.shares[1]}, errs.Invalid},
		"another key":  {w.key, []*Share{w.shares[1], other.shares[2]}, errs.Corrupt},
		"of the child": {child, []*Share{w.shares[1], w.shares[2]}, errs.Invalid},
	} {
		if _, err := Recover(c.k, c.shares); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	secret, err := Recover(w.key, []*Share{w.shares[3], w.shares[2]})
	must(t, err)
	if _, err := DecodeSecret(other.key, secret.Bytes()); errs.CodeOf(err) != errs.Corrupt {
		t.Errorf("the secret of another key: %v", err)
	}
	if _, err := secret.Derive(other.key); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("a child of another key: %v", err)
	}
	for _, b := range [][]byte{nil, make([]byte, 32), make([]byte, 31), []byte(strings.Repeat("\xff", 32))} {
		if _, err := DecodeSecret(w.key, b); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%x: %v", b, err)
		}
	}
}
