package draw

import (
	"bytes"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestKnownShare: what was kept of a share is the share.
func TestKnownShare(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	secret[31] = 1
	share, err := NewShare(3, 2, secret)
	if err != nil {
		t.Fatal(err)
	}
	k := PublicKey{Epoch: 3, Threshold: 2, Shares: make([][32]byte, 4)}
	k.Shares[1] = share.Public()
	again, err := KnownShare(k, 2, share.Secret())
	if err != nil || !bytes.Equal(again.Secret(), secret) || again.Matches(k) != nil {
		t.Fatalf("%v", err)
	}
	at := At([]byte("an entry"))
	one, err1 := share.Evaluate(at)
	two, err2 := again.Evaluate(at)
	if err1 != nil || err2 != nil || !bytes.Equal(one.Encode(), two.Encode()) {
		t.Errorf("other partials: %v, %v", err1, err2)
	}
	for name, c := range map[string]struct {
		region uint8
		secret []byte
	}{"of a region that holds none": {1, secret}, "of none": {5, secret}, "that is no scalar": {2, bytes.Repeat([]byte{0xff}, 32)}, "that is short": {2, secret[1:]}} {
		if s, err := KnownShare(k, c.region, c.secret); errs.CodeOf(err) != errs.Malformed || s != nil {
			t.Errorf("a share %s: %v", name, err)
		}
	}
	again.Wipe()
	if _, err := again.Evaluate(at); errs.CodeOf(err) != errs.Invalid || !bytes.Equal(again.Secret(), make([]byte, 32)) {
		t.Errorf("a wiped share evaluates: %v", err)
	}
}
