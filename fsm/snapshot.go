package fsm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"

	"github.com/hashicorp/go-memdb"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// A snapshot is a header and records in order of tag and key, each one row in canonical
// form; the last one is the SHA-256 of all before it, which is also the state digest.
//
//	"TETRSNAP" | version uint16 | lineage [32] | { tag uint8 | length uint32 | bytes }
const (
	snapshotMagic   = "TETRSNAP"
	snapshotVersion = 1
)

const (
	tagHead      = 1
	tagRegion    = 2
	tagTenant    = 3
	tagPrincipal = 4
	tagKey       = 5
	tagOpen      = 6
	tagSettled   = 7
	tagMemo      = 8
	tagBucket    = 9
	tagWrap      = 10
	tagPool      = 11
	tagControl   = 40 // only where administrators decided about regions or the clock
	tagRollout   = 41 // only while all threshold keys are being refreshed
	tagSchedule  = 42 // only where that is done by schedule
	tagLevel     = 44 // only above the first release's level
	tagEnd       = 255
)

type recorder struct {
	w   io.Writer
	err error
}

func (o *recorder) record(tag uint8, b []byte) {
	var h [5]byte
	h[0] = tag
	binary.BigEndian.PutUint32(h[1:], uint32(len(b)))
	o.write(h[:])
	o.write(b)
}

func (o *recorder) write(b []byte) {
	if o.err == nil {
		_, o.err = o.w.Write(b)
	}
}

func recordAll[R row](o *recorder, txn *memdb.Txn, table string, tag uint8, encode func(R) []byte) {
	scan(txn, table, nil, func(r R) bool {
		o.record(tag, encode(r))
		return o.err == nil
	})
}

// writeRecords writes all but the end.
func (s *state) writeRecords(w io.Writer) error {
	o := &recorder{w: w}
	o.write([]byte(snapshotMagic))
	o.write(binary.BigEndian.AppendUint16(nil, snapshotVersion))
	o.write(s.lineage[:])
	o.record(tagHead, s.head.encode())
	for _, r := range s.roster.regions {
		o.record(tagRegion, r.encode())
	}
	txn := s.db.Txn(false)
	recordAll(o, txn, tenantTable, tagTenant, (*tenant).encode)
	recordAll(o, txn, principalTable, tagPrincipal, (*Principal).encode)
	recordAll(o, txn, keyTable, tagKey, (*Key).encode)
	recordAll(o, txn, openTable, tagOpen, (*Request).encode)
	recordAll(o, txn, settledTable, tagSettled, func(s *settled) []byte { return s.blob })
	recordAll(o, txn, memoTable, tagMemo, (*memo).encode)
	recordAll(o, txn, bucketTable, tagBucket, (*bucket).encode)
	recordAll(o, txn, wrapTable, tagWrap, (*Wrap).encode)
	recordAll(o, txn, poolTable, tagPool, (*NoncePool).encode)
	if s.head.control != nil {
		o.record(tagControl, s.head.control.encode())
	}
	if s.head.rollout != nil {
		o.record(tagRollout, s.head.rollout.encode())
	}
	if s.head.schedule != nil {
		o.record(tagSchedule, s.head.schedule.encode())
	}
	if s.head.level != 0 {
		o.record(tagLevel, encodeLevel(s.head.level))
	}
	return o.err
}

type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func (s *state) writeTo(w io.Writer) (int64, error) {
	c := &counted{w: w}
	out, h := bufio.NewWriterSize(c, 64<<10), sha256.New()
	err := s.writeRecords(io.MultiWriter(out, h))
	if err == nil {
		o := &recorder{w: out}
		o.record(tagEnd, h.Sum(nil))
		err = o.err
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return c.n, errs.Wrap(errs.DiskFailed, err, "writing a snapshot of index %d", s.head.meta.Index)
	}
	return c.n, nil
}

// restoring reads a snapshot into a database of its own.
type restoring struct {
	in   *bufio.Reader
	sum  hash.Hash
	txn  *memdb.Txn
	head *head
	regs []*Region

	tag  uint8                          // of the last record
	last []byte                         // its key
	due  map[command.RequestID]struct{} // what buckets have still to name
	uses map[uint32]uint32              // what lies under each wrapping epoch
}

func corrupt(format string, args ...any) error {
	return errs.New(errs.Corrupt, "snapshot: "+format, args...).
		WithHint("restore an older snapshot, or let the region be sent one by the leader")
}

// readState reads and validates a whole snapshot.
func readState(m *Machine, r io.Reader) (*state, *memdb.MemDB, error) {
	db := newDB()
	o := &restoring{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New(), txn: db.Txn(true),
		due: map[command.RequestID]struct{}{}, uses: map[uint32]uint32{}}
	defer o.txn.Abort()
	if err := o.header(m.lineage); err != nil {
		return nil, nil, err
	}
	for o.tag != tagEnd {
		if err := o.next(); err != nil {
			return nil, nil, err
		}
	}
	if _, err := o.in.ReadByte(); err != io.EOF {
		return nil, nil, corrupt("bytes after its end")
	}
	if err := o.check(m); err != nil {
		return nil, nil, err
	}
	o.txn.Commit()
	return &state{genesis: m.document(), lineage: m.lineage, db: db.Snapshot(), head: *o.head, roster: newRoster(o.regs), levelOf: m.levelOf, beacon: m.beacon}, db, nil
}

func (o *restoring) read(b []byte) error {
	if _, err := io.ReadFull(o.in, b); err != nil {
		return errs.Wrap(errs.Corrupt, err, "snapshot: cut short")
	}
	return nil
}

func (o *restoring) header(lineage [32]byte) error {
	b := make([]byte, len(snapshotMagic)+2+32)
	if err := o.read(b); err != nil {
		return err
	}
	o.sum.Write(b)
	version := binary.BigEndian.Uint16(b[len(snapshotMagic):])
	switch {
	case string(b[:len(snapshotMagic)]) != snapshotMagic:
		return corrupt("not a snapshot")
	case version != snapshotVersion:
		return corrupt("version %d, this release reads %d", version, snapshotVersion)
	case [32]byte(b[len(b)-32:]) != lineage:
		return errs.New(errs.Stale, "snapshot of another lineage").WithHint("it belongs to another cluster or to one before a recovery")
	}
	return nil
}

func (o *restoring) next() error {
	var h [5]byte
	if err := o.read(h[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > maxRecord {
		return corrupt("a record of %d bytes, limit %d", n, maxRecord)
	}
	b := make([]byte, n)
	if err := o.read(b); err != nil {
		return err
	}
	tag := h[0]
	if tag < o.tag || tag == tagHead && o.tag == tagHead {
		return corrupt("record %d after record %d", tag, o.tag)
	}
	if tag == tagEnd {
		o.tag = tag
		if !bytes.Equal(b, o.sum.Sum(nil)) {
			return corrupt("its checksum does not match")
		}
		return nil
	}
	if tag != o.tag {
		o.tag, o.last = tag, nil
	}
	o.sum.Write(h[:])
	o.sum.Write(b)
	return o.take(tag, b)
}

// take decodes one record and puts its row in place.
func (o *restoring) take(tag uint8, b []byte) (err error) {
	if (tag == tagHead) != (o.head == nil) {
		return corrupt("the head is missing or not first")
	}
	h := o.head
	switch tag {
	case tagHead:
		o.head, err = decodeHead(b)
	case tagRegion:
		var g *Region
		if g, err = decodeRegion(b); err == nil {
			o.regs = append(o.regs, g)
		}
	case tagTenant:
		err = load(o, tenantTable, b, decodeTenant, &h.tenants)
	case tagPrincipal:
		err = load(o, principalTable, b, decodePrincipal, &h.principals)
	case tagKey:
		err = load(o, keyTable, b, decodeKey, &h.keys)
	case tagOpen:
		err = load(o, openTable, b, decodeRequest, &h.open)
	case tagSettled:
		err = load(o, settledTable, b, decodeSettled, &h.settled)
	case tagMemo:
		err = load(o, memoTable, b, decodeMemo, &h.memos)
	case tagBucket:
		err = load(o, bucketTable, b, decodeBucket, &h.buckets)
	case tagWrap:
		err = load(o, wrapTable, b, decodeWrap, &h.wraps)
	case tagPool:
		err = load(o, poolTable, b, decodePool, &h.pools)
	case tagRollout:
		if h.rollout != nil {
			return corrupt("a second refresh of all keys")
		}
		h.rollout, err = decodeRollout(b)
	case tagSchedule:
		if h.schedule != nil {
			return corrupt("a second schedule")
		}
		h.schedule, err = decodeSchedule(b)
	case tagLevel:
		if h.level != 0 {
			return corrupt("a second level")
		}
		h.level, err = decodeLevel(b)
	case tagControl:
		if h.control != nil {
			return corrupt("a second record of control")
		}
		h.control, err = decodeControl(b)
	default:
		err = corrupt("record %d is unknown to this version", tag)
	}
	if err != nil && errs.CodeOf(err) != errs.Corrupt {
		err = errs.Wrap(errs.Corrupt, err, "snapshot: record %d", tag)
	}
	return err
}

func decodeSettled(b []byte) (*settled, error) {
	q, err := decodeRequest(b)
	if err != nil {
		return nil, err
	}
	return &settled{id: q.ID, blob: b}, nil
}

func load[R row](o *restoring, table string, b []byte, decode func([]byte) (R, error), count *uint64) error {
	r, err := decode(b)
	if err != nil {
		return err
	}
	if o.last != nil && bytes.Compare(o.last, r.rowKey()) >= 0 {
		return corrupt("rows of table %s are not in order", table)
	}
	o.last = r.rowKey()
	if err := o.account(r); err != nil {
		return err
	}
	*count++
	if err := o.txn.Insert(table, r); err != nil {
		return errs.Wrap(errs.Corrupt, err, "snapshot: table %s", table)
	}
	return nil
}

// account keeps what the head counts and sees that every remembered row has one bucket
// to forget it by.
func (o *restoring) account(r row) error {
	switch r := r.(type) {
	case *Principal:
		if r.admin() {
			o.head.admins++
		}
	case *Key:
		return o.accountKey(r)
	case *Wrap:
		r.Live = o.uses[r.Epoch]
		delete(o.uses, r.Epoch)
		o.head.newest = r.Epoch
	case *Request:
		if r.State != RequestOpen || len(r.Attempts) == 0 {
			return corrupt("request %s is among the open ones and is not", r.ID)
		}
		if r.threshold() && len(r.Attempts[0].Nonces) == 0 {
			return corrupt("request %s has no nonces", r.ID)
		}
		o.due[r.ID] = struct{}{}
	case *settled:
		if q := r.request(); q.State == RequestOpen || len(q.Payload) != 0 {
			return corrupt("request %s is among the final ones and is not", r.id)
		}
		o.due[r.id] = struct{}{}
	case *memo:
		o.due[r.slot] = struct{}{}
	case *bucket:
		for _, s := range r.slots {
			if _, ok := o.due[s]; !ok {
				return corrupt("a bucket names what is not remembered")
			}
			delete(o.due, s)
		}
	}
	return nil
}

// accountKey counts what a threshold key uses. Ceremonies are of somebody, and only keys
// in use have them.
func (o *restoring) accountKey(k *Key) error {
	for _, e := range k.wraps() {
		o.uses[e]++
	}
	if c := k.Ceremony; c.Running() {
		if len(c.Dealers) == 0 && k.Import == nil || len(c.Holders) == 0 {
			return corrupt("nobody takes part in the ceremony of key %s", k.ID)
		}
		o.head.ceremonies++
	}
	if k.State == KeyRetired && (k.Ceremony != nil || k.Retiring != nil) {
		return corrupt("key %s is retired and is not at rest", k.ID)
	}
	dealt := k.Import != nil && k.Ceremony.Running() && k.Ceremony.Step == StepFinish
	if (k.Import != nil) != dealt || dealt != (k.Outside && k.State == KeyPending) || k.Outside && k.Scheme != command.SchemeThreshold {
		return corrupt("key %s was brought in, and is at no step of that", k.ID)
	}
	return nil
}

// checkWraps sees that what shares are sealed under is there, and that exactly what is of
// no use any more is doomed.
func (o *restoring) checkWraps() (err error) {
	if len(o.uses) != 0 {
		return corrupt("a share lies under a wrapping epoch that is not there")
	}
	if r := o.head.rollout; r != nil && (r.wrap == 0 || r.wrap > o.head.newest) {
		return corrupt("keys are being refreshed for a wrapping epoch that is not there")
	}
	if s := o.head.schedule; (s != nil) != (o.head.settings.RefreshEvery != 0) || s != nil && s.wrap > o.head.newest {
		return corrupt("a schedule where none is set, none where one is, or for a wrapping epoch that is not there")
	}
	scan(o.txn, wrapTable, nil, func(e *Wrap) bool {
		if (e.Doomed != 0) != (e.Epoch != o.head.newest && e.Live == 0) {
			err = corrupt("wrapping epoch %d has %d uses and was given up at index %d", e.Epoch, e.Live, e.Doomed)
		}
		return err == nil
	})
	return err
}

func (o *restoring) check(m *Machine) error {
	h := o.head
	if h == nil {
		return corrupt("empty")
	}
	if h.frontier.Size() == 0 || len(o.due) != 0 {
		return corrupt("%d rows without an end, audit tree of %d leaves", len(o.due), h.frontier.Size())
	}
	if err := o.checkWraps(); err != nil {
		return err
	}
	founders := m.document().Regions
	if len(o.regs) != len(founders) {
		return corrupt("%d regions, want %d", len(o.regs), len(founders))
	}
	for i, g := range o.regs {
		if g.ID != founders[i].ID || !g.Founder().Equal(founders[i].Identity) {
			return corrupt("region %d is not the founders'", g.ID)
		}
	}
	return nil
}
