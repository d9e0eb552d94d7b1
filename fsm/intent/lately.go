package intent

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// lately remembers signatures found good: who leads verifies a signature before it is
// filed, and again when the log hands it back. What is remembered is the hash of
// everything the answer depends on, and good answers only.
var lately = goodSignatures{known: map[[sha256.Size]byte]struct{}{}}

const maxGood = 2048

type goodSignatures struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]struct{} // cleared when full
}

// verify returns what f says, or said of the same before.
func (g *goodSignatures) verify(curve command.Curve, key, message, sig []byte, f func(key, message, sig []byte) bool) bool {
	h := sha256.New()
	var head [13]byte
	head[0] = byte(curve)
	binary.BigEndian.PutUint32(head[1:], uint32(len(key)))
	binary.BigEndian.PutUint64(head[5:], uint64(len(message)))
	for _, part := range [][]byte{head[:], key, message, sig} {
		h.Write(part)
	}
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	g.mu.Lock()
	_, good := g.known[sum]
	g.mu.Unlock()
	if good {
		return true
	}
	if !f(key, message, sig) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= maxGood {
		clear(g.known)
	}
	g.known[sum] = struct{}{}
	return true
}
