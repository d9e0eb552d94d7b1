package intent

import (
	"fmt"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// TestGoodSignaturesAreRemembered: the same is judged once, if it is good; what differs
// in anything, also in where one part ends and the next begins, is judged by itself.
func TestGoodSignaturesAreRemembered(t *testing.T) {
	judged := 0
	g := goodSignatures{known: map[[32]byte]struct{}{}}
	verify := func(curve command.Curve, key, message, sig string, good bool) bool {
		return g.verify(curve, []byte(key), []byte(message), []byte(sig), func(k, m, s []byte) bool {
			if string(k) != key || string(m) != message || string(s) != sig {
				t.Fatalf("judged %q, %q, %q in place of %q, %q, %q", k, m, s, key, message, sig)
			}
			judged++
			return good
		})
	}
	for range 3 {
		if !verify(command.Ed25519, "key", "message", "sig", true) {
			t.Fatal("a good signature is not good")
		}
	}
	if judged != 1 {
		t.Fatalf("judged %d times", judged)
	}
	for i, c := range []struct {
		curve             command.Curve
		key, message, sig string
	}{
		{command.Secp256k1, "key", "message", "sig"}, {command.Ed25519, "keymes", "sage", "sig"},
		{command.Ed25519, "key", "messages", "ig"}, {command.Ed25519, "kex", "message", "sig"},
		{command.Ed25519, "key", "message", "sih"},
	} {
		for again := range 2 {
			if verify(c.curve, c.key, c.message, c.sig, false) || judged != 2+2*i+again {
				t.Fatalf("%+v: taken for another, or remembered though bad (judged %d times)", c, judged)
			}
		}
	}
	for i := range maxGood {
		verify(command.Ed25519, "key", fmt.Sprint(i), "sig", true)
	}
	if len(g.known) > maxGood {
		t.Fatalf("%d remembered, limit %d", len(g.known), maxGood)
	}
}
