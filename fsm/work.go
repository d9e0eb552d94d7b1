package fsm

import (
	"bytes"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// work is one batch in progress: the state before it, and what the batch writes.
type work struct {
	m      *Machine
	base   *memdb.Txn // reads the state before the batch
	head   head
	roster *roster

	tenants    writes[string, *tenant]
	principals writes[identity.Fingerprint, *Principal]
	keys       writes[command.KeyID, *Key]
	open       writes[command.RequestID, *Request]
	settled    writes[command.RequestID, *settled]
	memos      writes[command.RequestID, *memo]
	buckets    writes[bucketKey, *bucket]
	wraps      writes[uint32, *Wrap]
	pools      writes[poolKey, *NoncePool]

	// Of the entry in progress.
	meta   command.Meta
	stamp  time.Time
	before *roster // as the entry found it
	result *Result
	effect audit.Effect                  // of the command in progress
	due    map[int64][]command.RequestID // what the entry made, by second of expiry
}

func (m *Machine) begin() *work {
	s := m.state.Load()
	w := &work{m: m, base: s.db.Txn(false), head: s.head, roster: s.roster, due: map[int64][]command.RequestID{}}
	w.head.frontier = s.head.frontier.Clone()
	h := &w.head
	w.tenants = writes[string, *tenant]{table: tenantTable, base: w.base, bytes: func(s string) []byte { return []byte(s) }, count: h.tenants}
	w.principals = writes[identity.Fingerprint, *Principal]{table: principalTable, base: w.base, bytes: func(f identity.Fingerprint) []byte { return f[:] }, count: h.principals}
	w.keys = writes[command.KeyID, *Key]{table: keyTable, base: w.base, bytes: func(k command.KeyID) []byte { return k[:] }, count: h.keys}
	w.open = writes[command.RequestID, *Request]{table: openTable, base: w.base, bytes: slotBytes, count: h.open}
	w.settled = writes[command.RequestID, *settled]{table: settledTable, base: w.base, bytes: slotBytes, count: h.settled}
	w.memos = writes[command.RequestID, *memo]{table: memoTable, base: w.base, bytes: slotBytes, count: h.memos}
	w.buckets = writes[bucketKey, *bucket]{table: bucketTable, base: w.base, bytes: func(k bucketKey) []byte { b := k.bytes(); return b[:] }, count: h.buckets}
	w.wraps = writes[uint32, *Wrap]{table: wrapTable, base: w.base, bytes: epochKey, count: h.wraps}
	w.pools = writes[poolKey, *NoncePool]{table: poolTable, base: w.base, bytes: poolKey.bytes, count: h.pools}
	return w
}

// reading returns what rules need to be asked of a state that nobody changes.
func (s *state) reading() *work {
	w := &work{base: s.db.Txn(false), head: s.head, roster: s.roster}
	w.wraps = writes[uint32, *Wrap]{table: wrapTable, base: w.base, bytes: epochKey}
	return w
}

func slotBytes(id command.RequestID) []byte { return id[:] }

// commit writes the batch and publishes the state after it.
func (w *work) commit() {
	txn := w.m.db.Txn(true)
	w.tenants.flush(txn)
	w.principals.flush(txn)
	w.keys.flushSome(txn, (*Key).neverLive) // gives up a name that another row of the batch may have taken
	w.keys.flushSome(txn, func(k *Key) bool { return !k.neverLive() })
	w.open.flush(txn)
	w.settled.flush(txn)
	w.memos.flush(txn)
	w.buckets.flush(txn)
	w.wraps.flush(txn)
	w.pools.flush(txn)
	txn.Commit()
	h := &w.head
	h.tenants, h.principals, h.keys = w.tenants.count, w.principals.count, w.keys.count
	h.open, h.settled, h.memos, h.buckets = w.open.count, w.settled.count, w.memos.count, w.buckets.count
	h.wraps, h.pools = w.wraps.count, w.pools.count
	w.m.publish(w.head, w.roster)
}

// remembered counts the rows kept for repeated ids.
func (w *work) remembered() uint64 { return w.open.count + w.settled.count + w.memos.count }

// remember notes when a row may be forgotten.
func (w *work) remember(slot command.RequestID, expiry time.Time) {
	second := expiry.Add(time.Second - time.Millisecond).Unix()
	w.due[second] = append(w.due[second], slot)
}

// fileDue turns the entry's notes into buckets.
func (w *work) fileDue() {
	for second, slots := range w.due {
		k := bucketKey{uint64(second), w.meta.Index}
		w.buckets.insert(k, newBucket(k, slots))
	}
	clear(w.due)
}

// putKey writes a changed key and tells about it.
func (w *work) putKey(k *Key) {
	if k.Scheme.Shared() {
		was, ok := w.keys.get(k.ID)
		if w.recount(was, k); !ok && k.Scheme == command.SchemeBeacon {
			w.keys.count++ // its first refresh
		}
	}
	w.keys.put(k.ID, k)
	for _, id := range w.result.Keys {
		if id == k.ID {
			return
		}
	}
	w.result.Keys = append(w.result.Keys, k.ID)
}

func (w *work) keyChanged(k *Key) {
	c := audit.KeyChange{Key: k.ID, State: uint8(k.State), Version: k.Version}
	if k.State != KeyPending && k.Version > 0 {
		c.Attestations = AttestationsHash(k)
	}
	w.effect.Keys = append(w.effect.Keys, c)
	w.putKey(k)
}

func (w *work) keyByName(tenant, name string) bool {
	for _, p := range w.keys.rows {
		if p.row.Tenant == tenant && p.row.Name == name && !p.row.neverLive() {
			return true
		}
	}
	k, ok := lookup[*Key](w.base, keyTable, "name", nameKey(tenant, name))
	if !ok {
		return false
	}
	_, written := w.keys.rows[k.ID]
	return !written // else it stands above, if it has the name still
}

func (w *work) putRegion(r *Region) {
	w.roster = w.roster.with(r)
	w.result.Regions = true
	c := audit.RegionChange{Region: r.ID, Status: uint8(r.Status), Healthy: r.Healthy}
	if len(r.Sessions) > 0 {
		c.Session = r.Sessions[0].Session.Fingerprint()
	}
	w.effect.Regions = append(w.effect.Regions, c)
}

// finish closes an open request for good.
func (w *work) finish(q *Request, s RequestState) *Request {
	d := *q
	d.State, d.Closed = s, w.meta.Index
	if s != RequestComplete {
		d.Attempts = withNonces(d.Attempts, 0, nil)
	}
	w.open.remove(q.ID, q)
	w.settled.insert(q.ID, settle(&d))
	switch s {
	case RequestComplete:
		w.effect.Completed = append(w.effect.Completed, q.ID)
		w.result.Completed = append(w.result.Completed, q.ID)
	case RequestFailed:
		w.effect.Failed = append(w.effect.Failed, q.ID)
		w.result.Failed = append(w.result.Failed, q.ID)
	case RequestExpired:
		w.effect.Expired = append(w.effect.Expired, q.ID)
		w.result.Expired = append(w.result.Expired, q.ID)
	}
	return &d
}

// openAttempt records a draw among eligible and tells about it. Of a threshold key every
// eligible region gives a nonce for each of the messages.
func (w *work) openAttempt(q *Request, k *Key, number uint8, eligible []identity.RegionID, messages int) {
	a := Attempt{Number: number, Meta: w.meta, Stamp: w.stamp, Eligible: eligible}
	told := audit.OpenedAttempt{Request: q.ID, Number: number, Key: q.Key, KeyVersion: q.KeyVersion, Signers: k.Signers, Eligible: eligible}
	if k.Scheme == command.SchemeThreshold {
		a.Epoch, a.Nonces = k.Sharing.Epoch, w.take(k.Curve, eligible, messages)
		told.Epoch = a.Epoch
		for _, s := range a.Nonces {
			told.Nonces = append(told.Nonces, bytes.Join(s.Commitments, nil))
		}
	}
	q.Attempts = append(q.Attempts[:len(q.Attempts):len(q.Attempts)], a)
	w.effect.Opened = append(w.effect.Opened, told)
	w.result.Opened = append(w.result.Opened, q.ID)
}

// failOpen fails the open requests that f picks: what was asked before a freeze or a
// revocation must not come to life after it.
func (w *work) failOpen(f func(*Request) bool) {
	for _, q := range sortByID(w.open.all(func(q *Request) command.RequestID { return q.ID })) {
		if f(q) {
			w.finish(q, RequestFailed)
		}
	}
}
