package seal

import (
	"crypto/hmac"
	"maps"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

const rootsVersion = 1

// WrapRoots wraps the root key, all versions, to another region's HSM. What only this
// region may read stays out. label says for whom and by whom; OpenRoots must repeat it.
func (k *Keyring) WrapRoots(wrapping []byte, hash uint8, label string) ([]byte, error) {
	plain := encodeRoots(k.roots)
	defer clear(plain)
	return Wrap(wrapping, hash, plain, label)
}

func encodeRoots(roots map[uint32]Root) []byte {
	w := wire.NewWriter(8 + 36*len(roots))
	w.U8(rootsVersion)
	w.U32(uint32(len(roots)))
	for _, v := range slices.Sorted(maps.Keys(roots)) {
		root := roots[v]
		w.U32(v)
		w.Fixed(root[:])
	}
	return w.Bytes()
}

// DecodeRoots parses what WrapRoots wrapped, once it was unwrapped. Anybody can wrap
// something: rootCheck of the genesis says whether version 1 is the founders' key. Later
// versions are authentic only if somebody believed says so.
func DecodeRoots(b []byte, cluster identity.ClusterID, rootCheck [32]byte) (map[uint32]Root, error) {
	roots, err := decodeRoots(b)
	if err != nil {
		return nil, err
	}
	if check := RootCheck(cluster, roots[1]); !hmac.Equal(check[:], rootCheck[:]) {
		return nil, errs.New(errs.Unverified, "the root key is not the one of the genesis")
	}
	return roots, nil
}

func decodeRoots(b []byte) (map[uint32]Root, error) {
	r, roots, last := wire.NewReader(b), map[uint32]Root{}, uint32(0)
	if v := r.U8(); v != rootsVersion {
		r.Fail("root keys version %d", v)
	}
	for range r.Count(maxRootKeys) {
		var root Root
		v := r.U32()
		r.Fixed(root[:])
		if v <= last || root == (Root{}) {
			r.Fail("root key versions out of order, or a zero key")
		}
		roots[v], last = root, v
	}
	if _, first := roots[1]; r.Err() == nil && !first {
		r.Fail("no root key of version 1")
	}
	return roots, r.Done()
}
