package auditor

import (
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// books are the verifier's own notes on who may speak and what is open.
type books struct {
	stopped  bool // leaves withhold fields: nothing further is judged
	sessions map[identity.Fingerprint]session
	keys     map[command.KeyID]uint8 // state, numbers of fsm.KeyState
	frozen   bool
	open     map[command.RequestID]*request
	settled  map[command.RequestID]*request
	oldest   []command.RequestID // of settled, in order
	values   map[uint64][32]byte // verified beacon value by index
	drawn    map[string]*histogram
}

type session struct {
	region identity.RegionID
	key    identity.PublicKey
}

// request is what signatures of one request are held against.
type request struct {
	id       command.RequestID
	key      command.KeyID
	messages [][]byte // what each region was to sign
	unfit    error    // why there are none
	attempts []attempt
}

type attempt struct {
	meta     command.Meta
	eligible []identity.RegionID
	signers  uint8
	order    []identity.RegionID // drawn, once a verified value is known
	answered map[identity.RegionID]bool
}

func newBooks() books {
	return books{sessions: map[identity.Fingerprint]session{}, keys: map[command.KeyID]uint8{}, open: map[command.RequestID]*request{},
		settled: map[command.RequestID]*request{}, values: map[uint64][32]byte{}, drawn: map[string]*histogram{}}
}

// find returns a request that is open or was closed not too long ago.
func (b *books) find(id command.RequestID) *request {
	if q := b.open[id]; q != nil {
		return q
	}
	return b.settled[id]
}

// settle closes an open request; false if it was not open.
func (b *books) settle(id command.RequestID) bool {
	q := b.open[id]
	if q == nil {
		return false
	}
	delete(b.open, id)
	b.settled[id] = q
	if b.oldest = append(b.oldest, id); len(b.oldest) > settledMax {
		old := b.settled[b.oldest[0]]
		for i := range old.attempts {
			delete(b.values, old.attempts[i].meta.Index)
		}
		delete(b.settled, b.oldest[0])
		b.oldest = slices.Delete(b.oldest, 0, 1)
	}
	return true
}
