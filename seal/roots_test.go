package seal

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Stored format: docs/spec/sealed.md, "Root keys for a guest".
const goldenRoots = "0100000002" +
	"000000010100000000000000000000000000000000000000000000000000000000000000" +
	"000000030300000000000000000000000000000000000000000000000000000000000000"

func TestRoots(t *testing.T) {
	roots := map[uint32]Root{3: {3}, 1: {1}}
	if got := hex.EncodeToString(encodeRoots(roots)); got != goldenRoots {
		t.Fatalf("root keys encode to %s", got)
	}
	check := RootCheck(stateCluster, Root{1})
	back, err := DecodeRoots(encodeRoots(roots), stateCluster, check)
	if err != nil || len(back) != 2 || back[3] != (Root{3}) {
		t.Fatal(back, err)
	}
	if _, err := DecodeRoots(encodeRoots(map[uint32]Root{1: {2}}), stateCluster, check); errs.CodeOf(err) != errs.Unverified {
		t.Errorf("another root key: %v", err)
	}
	for name, bad := range map[string]map[uint32]Root{"no first": {2: {1}}, "zero": {1: {1}, 2: {}}, "none": {}} {
		if _, err := DecodeRoots(encodeRoots(bad), stateCluster, check); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWrapRoots: what is wrapped for one opens for it alone, with the label it was given,
// and carries nothing of the region's own.
func TestWrapRoots(t *testing.T) {
	key := testRSA(t)
	ring, err := NewKeyring(stateCluster, map[uint32]Root{1: {1}}, Root{9})
	if err != nil {
		t.Fatal(err)
	}
	b, err := ring.WrapRoots(pkix(t, key), uint8(SHA256), "label")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, encodeRoots(ring.roots)[8:]) {
		t.Error("the root key stands in the blob")
	}
	decrypt := func(_ Hash, oaep []byte) ([]byte, error) {
		return rsa.DecryptOAEP(sha256.New(), nil, key, oaep, nil)
	}
	plain, err := openWrapped(b, "label", decrypt)
	if err != nil || !bytes.Equal(plain, encodeRoots(ring.roots)) {
		t.Fatal(plain, err)
	}
	if _, err := openWrapped(b, "other", decrypt); errs.CodeOf(err) != errs.Corrupt {
		t.Errorf("with another label: %v", err)
	}
}

func FuzzDecodeRoots(f *testing.F) {
	f.Add(encodeRoots(map[uint32]Root{1: {1}, 2: {2}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if roots, err := decodeRoots(b); err == nil && !bytes.Equal(encodeRoots(roots), b) {
			t.Errorf("%x encodes to other bytes", b)
		}
	})
}
