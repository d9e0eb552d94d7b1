package cluster

import (
	"crypto/sha256"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// entryContext is what sealed entries are bound to: an entry of another lineage does
// not open. Its place in the log is bound by the chain.
func entryContext(lineage [32]byte) []byte {
	w := wire.NewWriter(64)
	w.String("tetrad/entry/v1")
	w.Fixed(lineage[:])
	return w.Bytes()
}

// opened is an entry with the hash of the sealed bytes it came from.
type opened struct {
	data  [32]byte
	chain [32]byte // as claimed
	entry *command.Entry
}

// openEntry opens and decodes sealed bytes.
func openEntry(s Sealer, lineage [32]byte, sealed []byte) (*command.Entry, error) {
	plain, err := s.Open(sealed, entryContext(lineage))
	if err != nil {
		return nil, errs.Wrap(errs.Unverified, err, "entry does not open")
	}
	return command.DecodeEntry(plain)
}

func dataHash(l *raft.Log) [32]byte { return sha256.Sum256(l.Data) }

// opensDraws reports whether an entry holds a command that opens a draw.
func opensDraws(e *command.Entry) bool {
	for _, c := range e.Commands {
		if c.Type == command.TypeRequestSignature || c.Type == command.TypeOpenAttempt {
			return true
		}
	}
	return false
}

// decodedCache keeps entries between admission (or proposal) and Apply, so that each
// is opened and decoded once. Keys are chain hashes; proposals wait under the hash
// of their sealed bytes until the log gives them a place.
type decodedCache struct {
	mu       sync.Mutex
	byChain  map[[32]byte]*command.Entry
	order    [][32]byte
	proposed map[[32]byte]*command.Entry
}

func newDecodedCache() *decodedCache {
	return &decodedCache{byChain: map[[32]byte]*command.Entry{}, proposed: map[[32]byte]*command.Entry{}}
}

func (c *decodedCache) put(chain [32]byte, e *command.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byChain[chain] != nil {
		return
	}
	c.byChain[chain] = e
	if c.order = append(c.order, chain); len(c.order) > maxDecoded {
		delete(c.byChain, c.order[0])
		c.order = c.order[1:]
	}
}

// take returns an entry and forgets it.
func (c *decodedCache) take(chain [32]byte) *command.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byChain[chain]
	delete(c.byChain, chain)
	return e
}

func (c *decodedCache) propose(sealed []byte, e *command.Entry) (forget func()) {
	h := sha256.Sum256(sealed)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proposed[h] = e
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.proposed, h)
	}
}

func (c *decodedCache) proposal(data [32]byte) *command.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proposed[data]
}
