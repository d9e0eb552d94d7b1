package auditor

import (
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// books are the verifier's own notes on who may speak and what is open.
type books struct {
	stopped  bool // leaves withhold fields: nothing further is judged
	sessions map[identity.Fingerprint]session
	keys     map[command.KeyID]uint8 // state, numbers of fsm.KeyState
	frozen   bool
	children map[command.KeyID][][]uint32 // frozen ones
	open     map[command.RequestID]*request
	settled  map[command.RequestID]*request
	oldest   []command.RequestID // of settled, in order
	values   map[uint64][32]byte // verified beacon value by index
	drawn    map[string]*histogram
	proofs   proofs

	sharings map[command.KeyID]sharings // of threshold keys: those that went live and are good
	nonces   map[nonceSlot]nonceMark
	anew     anew
	splits   map[command.KeyID][]byte // what was dealt of keys from outside, until they are live or given up
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

	spends []intent.Spend // of a threshold key: aligned with messages
	info   intent.KeyInfo
}

type attempt struct {
	meta     command.Meta
	eligible []identity.RegionID
	signers  uint8
	order    []identity.RegionID // drawn, once a verified value is known
	answered map[identity.RegionID]bool
	parts    partsOf // of a threshold key
}

func newBooks() books {
	return books{sessions: map[identity.Fingerprint]session{}, keys: map[command.KeyID]uint8{}, children: map[command.KeyID][][]uint32{}, open: map[command.RequestID]*request{},
		settled: map[command.RequestID]*request{}, values: map[uint64][32]byte{}, drawn: map[string]*histogram{},
		proofs: proofs{judged: map[uint64]bool{}}, sharings: map[command.KeyID]sharings{}, nonces: map[nonceSlot]nonceMark{},
		splits: map[command.KeyID][]byte{}}
}

// find returns a request that is open or was closed not too long ago.
func (b *books) find(id command.RequestID) *request {
	if q := b.open[id]; q != nil {
		return q
	}
	return b.settled[id]
}

// begin enters an open request. One that had its id and was forgotten by the log makes
// room for it.
func (b *books) begin(q *request) {
	if b.settled[q.id] != nil {
		b.forget(q.id)
		b.oldest = slices.DeleteFunc(b.oldest, func(id command.RequestID) bool { return id == q.id })
	}
	b.open[q.id] = q
}

// forget drops a closed request.
func (b *books) forget(id command.RequestID) {
	for i := range b.settled[id].attempts {
		delete(b.values, b.settled[id].attempts[i].meta.Index)
		delete(b.proofs.judged, b.settled[id].attempts[i].meta.Index)
	}
	delete(b.settled, id)
}

// settle closes an open request; false if it was not open.
func (b *books) settle(id command.RequestID) bool {
	q := b.open[id]
	if q == nil {
		return false
	}
	delete(b.open, id)
	b.settled[id] = q
	for i := range q.attempts {
		q.attempts[i].settle()
	}
	if b.oldest = append(b.oldest, id); len(b.oldest) > settledMax {
		b.forget(b.oldest[0])
		b.oldest = b.oldest[1:] // append moves the rest now and then
	}
	return true
}
