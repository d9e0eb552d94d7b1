package box

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestMoveAndWipe: the secret lives where it was moved to, and nowhere once wiped.
func TestMoveAndWipe(t *testing.T) {
	k, seed, err := New()
	if err != nil {
		t.Fatal(err)
	}
	first, memory := k.secret, make([]byte, SecretSize)
	if err := k.Move(memory[1:]); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("moved to too little memory: %v", err)
	}
	if err := k.Move(memory); err != nil || !bytes.Equal(memory[:SeedSize], seed) || !zero(first) {
		t.Fatalf("moved: %v; the old place is wiped: %v", err, zero(first))
	}
	boxes := sealBoth(t, k)
	for _, b := range boxes {
		if got, err := k.Open(b, nil); err != nil || string(got) != "x" {
			t.Errorf("a moved key opens %q: %v", got, err)
		}
	}
	k.Wipe()
	k.Wipe()
	if !zero(memory) || len(k.Public()) != PublicSize {
		t.Error("the secret is still there, or the public half is not")
	}
	for _, b := range boxes {
		if got, err := k.Open(b, nil); errs.CodeOf(err) != errs.BadState || got != nil {
			t.Errorf("a wiped key opens %q: %v", got, err)
		}
	}
	if b, err := k.Seal(nil, nil); errs.CodeOf(err) != errs.BadState || b != nil {
		t.Errorf("a wiped key seals: %v", err)
	}
	if err := k.Move(memory); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("a wiped key moves: %v", err)
	}
}

func sealBoth(t *testing.T, k *Key) [2][]byte {
	t.Helper()
	one, err := Seal(k.Public(), nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := k.Seal(nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	return [2][]byte{one, two}
}

func zero(b []byte) bool { return bytes.Equal(b, make([]byte, len(b))) }

// TestClonedMachine: two copies of a machine that draw the same randomness seal two contents
// under two keys, and the same content in the same place as the same box: nothing is sealed
// twice with one key and nonce.
func TestClonedMachine(t *testing.T) {
	k, _, err := New()
	if err != nil {
		t.Fatal(err)
	}
	seal := func(info, plain string) []byte {
		b, err := k.sealWith(bytes.NewReader(make([]byte, sha256.Size)), []byte(info), []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := seal("info", "one share")
	for what, b := range map[string][]byte{
		"another content": seal("info", "two share"), "a longer one": seal("info", "one share "), "another place": seal("onfi", "one share"),
	} {
		if bytes.Equal(b[1:1+saltSize], first[1:1+saltSize]) {
			t.Errorf("%s is sealed with the salt, so the key and nonce, of the first", what)
		}
	}
	if again := seal("info", "one share"); !bytes.Equal(again, first) {
		t.Error("the salt hangs on something else too")
	}
	if b, err := k.sealWith(bytes.NewReader(nil), nil, nil); errs.CodeOf(err) != errs.Internal || b != nil {
		t.Errorf("sealed without randomness: %v", err)
	}
}

// TestExpand against the standard library's HKDF.
func TestExpand(t *testing.T) {
	for _, info := range []string{"", "x", ownDomain, string(make([]byte, 300))} {
		secret := []byte("thirty-two bytes of a seed, more")
		want, err := hkdf.Key(sha256.New, secret, nil, info, ownKeySize)
		if err != nil {
			t.Fatal(err)
		}
		var got [ownKeySize]byte
		if expand(got[:0], extract(secret), info); !bytes.Equal(got[:], want) {
			t.Errorf("info of %d bytes: %x, want %x", len(info), got, want)
		}
	}
}
