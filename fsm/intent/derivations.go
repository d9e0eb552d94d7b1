package intent

import (
	"bytes"
	"sync"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// derivations remembers keys derived lately, one level each: deriving costs more than
// verifying a signature, and most paths of a key share all levels but the last.
var derivations = childCache{known: map[childStep]derived{}}

const maxChildren = 4096

type childCache struct {
	mu    sync.Mutex
	known map[childStep]derived // cleared when full
}

// childStep is everything a child depends on. Key is a public key of at most 33 bytes.
type childStep struct {
	curve command.Curve
	key   [33]byte
	chain [32]byte
	index uint32
}

type derived struct {
	key   []byte
	chain [32]byte
}

// root stands in a step's index for a key that was checked; no child has it, since it is hardened.
const root = 1<<32 - 1

// check is CheckPublicKey, once a key: it costs as much as a fifth of a verification.
func (c *childCache) check(curve command.Curve, key []byte) error {
	if len(key) > len(childStep{}.key) {
		return CheckPublicKey(curve, key)
	}
	_, _, err := c.derive(curve, key, [32]byte{}, root, func([]byte, [32]byte, uint32) ([]byte, [32]byte, error) {
		return nil, [32]byte{}, CheckPublicKey(curve, key)
	})
	return err
}

// derive returns the child by f, or as it was remembered.
func (c *childCache) derive(curve command.Curve, key []byte, chain [32]byte, index uint32,
	f func([]byte, [32]byte, uint32) ([]byte, [32]byte, error)) ([]byte, [32]byte, error) {
	step := childStep{curve: curve, chain: chain, index: index}
	copy(step.key[:], key)
	c.mu.Lock()
	d, ok := c.known[step]
	c.mu.Unlock()
	if ok {
		return bytes.Clone(d.key), d.chain, nil
	}
	child, next, err := f(key, chain, index)
	if err != nil {
		return nil, next, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxChildren {
		clear(c.known)
	}
	c.known[step] = derived{bytes.Clone(child), next}
	return child, next, nil
}
