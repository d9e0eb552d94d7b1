package edtable

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"sync"

	"filippo.io/edwards25519"
)

// Key is an Ed25519 public key with the table of its negated point.
type Key struct {
	bytes [ed25519.PublicKeySize]byte
	minus *Table
}

// NewKey decodes pub as crypto/ed25519 does; false if it does not decode.
func NewKey(pub []byte) (*Key, bool) {
	p, err := new(edwards25519.Point).SetBytes(pub)
	if err != nil {
		return nil, false
	}
	return &Key{[ed25519.PublicKeySize]byte(pub), New(p.Negate(p))}, true
}

// Verify gives the answer of crypto/ed25519.Verify: the equation without the cofactor,
// judged by the bytes of R, with s below the order.
func (k *Key) Verify(msg, sig []byte) bool {
	if len(sig) != ed25519.SignatureSize {
		return false
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(sig[32:])
	if err != nil {
		return false
	}
	h := sha512.New()
	h.Write(sig[:32])
	h.Write(k.bytes[:])
	h.Write(msg)
	var sum [sha512.Size]byte
	c, err := new(edwards25519.Scalar).SetUniformBytes(h.Sum(sum[:0]))
	if err != nil {
		panic("edtable: SHA-512 is not 64 bytes")
	}
	return bytes.Equal(k.minus.multiply(c, s).bytes(), sig[:32])
}

// Keys remembers the tables of the keys used most lately: at most 2*half. A key gets its
// table when it is met again, so that passing ones cost nothing but a place. Safe for
// concurrent use.
type Keys struct {
	half     int
	mu       sync.Mutex
	now, old map[[ed25519.PublicKeySize]byte]*Key // nil for a key met once; a full generation pushes the older out
}

// NewKeys returns an empty memory for half to 2*half keys.
func NewKeys(half int) *Keys {
	return &Keys{half: max(half, 1), now: map[[ed25519.PublicKeySize]byte]*Key{}}
}

// Verify reports whether sig is pub's signature of msg, like crypto/ed25519.Verify, and
// false for a pub of another length.
func (m *Keys) Verify(pub, msg, sig []byte) bool {
	if len(pub) != ed25519.PublicKeySize {
		return false
	}
	at := [ed25519.PublicKeySize]byte(pub)
	k, met := m.find(at)
	if k == nil && met {
		if k, met = NewKey(pub); met {
			m.put(at, k)
		}
	}
	if k == nil {
		return ed25519.Verify(pub, msg, sig)
	}
	return k.Verify(msg, sig)
}

// find returns the key's table, if it has one, and whether it was met before.
func (m *Keys) find(at [ed25519.PublicKeySize]byte) (k *Key, met bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, met = m.now[at]; met {
		return k, true
	}
	k, met = m.old[at]
	m.set(at, k)
	return k, met
}

func (m *Keys) put(at [ed25519.PublicKeySize]byte, k *Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(at, k)
}

func (m *Keys) set(at [ed25519.PublicKeySize]byte, k *Key) {
	if _, ok := m.now[at]; !ok && len(m.now) >= m.half {
		m.old, m.now = m.now, make(map[[ed25519.PublicKeySize]byte]*Key, m.half)
	}
	m.now[at] = k
}
