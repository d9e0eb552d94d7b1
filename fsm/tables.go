package fsm

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// The tables. Regions are so few that they live in the roster.
const (
	tenantTable    = "tenant"    // tenant
	principalTable = "principal" // Principal
	keyTable       = "key"       // Key, also by name, and by when time changes it
	openTable      = "open"      // Request, open: small and busy
	settledTable   = "settled"   // settled: final requests, encoded
	memoTable      = "memo"      // memo: outcomes of other commands
	bucketTable    = "bucket"    // bucket: what to forget when
	wrapTable      = "wrap"      // Wrap: epochs of wrapping keys
	poolTable      = "pool"      // NoncePool
)

// row is what a table holds. Rows are never changed once inserted; rowKey may alias them.
type row interface{ rowKey() []byte }

type tenant struct{ name string }

// settled is a final request in canonical form: a third of the memory of a Request,
// and nothing in it for the collector to follow.
type settled struct {
	id   command.RequestID
	blob []byte
}

// memo is what is remembered of a command that left no request behind. Slot is
// RequestIDOf its author and id: one name space with requests, one row a command.
type memo struct {
	slot    command.RequestID
	outcome remembered
}

// bucket lists what one entry made that expires within one second. Append-only: no row
// is rewritten however many requests share an expiry.
type bucket struct {
	key   bucketKey
	raw   [16]byte
	slots []command.RequestID
}

// bucketKey orders buckets by time, then by the entry that made them.
type bucketKey struct{ second, index uint64 }

func (k bucketKey) bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], k.second)
	binary.BigEndian.PutUint64(b[8:], k.index)
	return b
}

func (k bucketKey) compare(o bucketKey) int {
	return cmp.Or(cmp.Compare(k.second, o.second), cmp.Compare(k.index, o.index))
}

func newBucket(k bucketKey, slots []command.RequestID) *bucket {
	return &bucket{key: k, raw: k.bytes(), slots: slots}
}

func (t *tenant) rowKey() []byte    { return []byte(t.name) }
func (p *Principal) rowKey() []byte { return p.ID[:] }
func (k *Key) rowKey() []byte       { return k.ID[:] }
func (q *Request) rowKey() []byte   { return q.ID[:] }
func (s *settled) rowKey() []byte   { return s.id[:] }
func (m *memo) rowKey() []byte      { return m.slot[:] }
func (b *bucket) rowKey() []byte    { return b.raw[:] }
func (e *Wrap) rowKey() []byte      { return epochKey(e.Epoch) }
func (p *NoncePool) rowKey() []byte { return poolKey{p.Region, p.Curve}.bytes() }

func epochKey(epoch uint32) []byte { return binary.BigEndian.AppendUint32(nil, epoch) }

// poolKey finds a pool: there is one a region and curve.
type poolKey struct {
	region identity.RegionID
	curve  command.Curve
}

func (k poolKey) bytes() []byte { return []byte{byte(k.region), byte(k.curve)} }

// nameKey has no ambiguity: names hold no zero byte.
func nameKey(tenant, name string) []byte { return []byte(tenant + "\x00" + name) }

type byKey struct{}

func (byKey) FromArgs(args ...any) ([]byte, error)     { return args[0].([]byte), nil }
func (byKey) FromObject(obj any) (bool, []byte, error) { return true, obj.(row).rowKey(), nil }

type byName struct{}

func (byName) FromArgs(args ...any) ([]byte, error) { return args[0].([]byte), nil }
func (byName) FromObject(obj any) (bool, []byte, error) {
	k := obj.(*Key)
	if k.neverLive() {
		return true, nameKey(k.Tenant, k.Name+"\x00"+string(k.ID[:])), nil // listed, but not in the way
	}
	return true, nameKey(k.Tenant, k.Name), nil
}

// byDue finds the keys that time alone changes, in order of when.
type byDue struct{}

func (byDue) FromArgs(args ...any) ([]byte, error) { return args[0].([]byte), nil }
func (byDue) FromObject(obj any) (bool, []byte, error) {
	k := obj.(*Key)
	at, ok := k.due()
	if !ok {
		return false, nil, nil
	}
	return true, dueKey(at, k.ID), nil
}

// byEscrow finds the keys whose escrow waits for time or for regions.
type byEscrow struct{}

func (byEscrow) FromArgs(args ...any) ([]byte, error) { return args[0].([]byte), nil }
func (byEscrow) FromObject(obj any) (bool, []byte, error) {
	k := obj.(*Key)
	if k.Escrowing() == nil {
		return false, nil, nil
	}
	return true, k.rowKey(), nil
}

// byPaths finds the keys of which children are frozen.
type byPaths struct{}

func (byPaths) FromArgs(args ...any) ([]byte, error) { return args[0].([]byte), nil }
func (byPaths) FromObject(obj any) (bool, []byte, error) {
	k := obj.(*Key)
	if len(k.FrozenPaths) == 0 {
		return false, nil, nil // no key either: memdb would leave the old entry in place
	}
	return true, k.rowKey(), nil
}

func dueKey(at time.Time, id command.KeyID) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())), id[:]...)
}

// newDB returns an empty database. It is a snapshot of itself, because only the primary
// tracks watches, which nobody here uses.
func newDB() *memdb.MemDB {
	schema := &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{}}
	for _, t := range []string{tenantTable, principalTable, keyTable, openTable, settledTable, memoTable, bucketTable, wrapTable, poolTable} {
		schema.Tables[t] = &memdb.TableSchema{Name: t, Indexes: map[string]*memdb.IndexSchema{
			"id": {Name: "id", Unique: true, Indexer: byKey{}}}}
	}
	schema.Tables[keyTable].Indexes["name"] = &memdb.IndexSchema{Name: "name", Unique: true, Indexer: byName{}}
	schema.Tables[keyTable].Indexes["due"] = &memdb.IndexSchema{Name: "due", Unique: true, AllowMissing: true, Indexer: byDue{}}
	schema.Tables[keyTable].Indexes["escrow"] = &memdb.IndexSchema{Name: "escrow", Unique: true, AllowMissing: true, Indexer: byEscrow{}}
	schema.Tables[keyTable].Indexes["paths"] = &memdb.IndexSchema{Name: "paths", Unique: true, AllowMissing: true, Indexer: byPaths{}}
	db, err := memdb.NewMemDB(schema)
	if err != nil {
		panic(err) // the schema is a constant
	}
	return db.Snapshot()
}

// lookup reads one row of a transaction.
func lookup[R row](txn *memdb.Txn, table, index string, key []byte) (r R, ok bool) {
	obj, err := txn.First(table, index, key)
	if err != nil {
		panic(err) // tables and indexes are constants
	}
	if obj == nil {
		return r, false
	}
	return obj.(R), true
}

// scan calls f for every row from a key on (nil: all) in key order until f is false.
func scan[R row](txn *memdb.Txn, table string, from []byte, f func(R) bool) {
	scanBy(txn, table, "id", from, f)
}

// scanBy does the same in the order of an index.
func scanBy[R row](txn *memdb.Txn, table, index string, from []byte, f func(R) bool) {
	var it memdb.ResultIterator
	var err error
	if from == nil {
		it, err = txn.Get(table, index)
	} else {
		it, err = txn.LowerBound(table, index, from)
	}
	if err != nil {
		panic(err) // tables and indexes are constants
	}
	for obj := it.Next(); obj != nil; obj = it.Next() {
		if !f(obj.(R)) {
			return
		}
	}
}

// writes collects what a batch does to one table, over the state before the batch.
// memdb would do it too, but pays a copy of the tree's path for each read after a write.
type writes[K comparable, R row] struct {
	table string
	base  *memdb.Txn
	bytes func(K) []byte
	rows  map[K]write[R]
	count uint64 // rows in the table
}

type write[R row] struct {
	row  R
	gone bool
}

func (t *writes[K, R]) get(k K) (r R, ok bool) {
	if w, written := t.rows[k]; written {
		return w.row, !w.gone
	}
	return lookup[R](t.base, t.table, "id", t.bytes(k))
}

func (t *writes[K, R]) put(k K, r R) {
	if t.rows == nil {
		t.rows = make(map[K]write[R])
	}
	t.rows[k] = write[R]{row: r}
}

func (t *writes[K, R]) insert(k K, r R) { t.count++; t.put(k, r) }

func (t *writes[K, R]) remove(k K, r R) {
	t.count--
	t.put(k, r)
	t.rows[k] = write[R]{row: r, gone: true}
}

// all returns every row in no particular order.
func (t *writes[K, R]) all(key func(R) K) []R {
	var out []R
	scan(t.base, t.table, nil, func(r R) bool {
		if _, written := t.rows[key(r)]; !written {
			out = append(out, r)
		}
		return true
	})
	for _, w := range t.rows {
		if !w.gone {
			out = append(out, w.row)
		}
	}
	return out
}

// flush writes everything into txn. The order does not matter: a radix tree depends on
// what it holds only.
func (t *writes[K, R]) flush(txn *memdb.Txn) { t.flushSome(txn, func(R) bool { return true }) }

// flushSome writes the rows that f picks.
func (t *writes[K, R]) flushSome(txn *memdb.Txn, f func(R) bool) {
	for _, w := range t.rows {
		if !f(w.row) {
			continue
		}
		var err error
		if !w.gone {
			err = txn.Insert(t.table, w.row)
		} else if err = txn.Delete(t.table, w.row); errors.Is(err, memdb.ErrNotFound) {
			err = nil // came and went within the batch
		}
		if err != nil {
			panic(err) // tables and indexes are constants
		}
	}
}

func sortByID[R row](rows []R) []R {
	slices.SortFunc(rows, func(a, b R) int { return slices.Compare(a.rowKey(), b.rowKey()) })
	return rows
}

// roster is the regions with what finds them. Immutable: with makes a changed copy.
type roster struct {
	regions    []*Region // ascending
	identities map[identity.Fingerprint]*Region
	former     map[identity.Fingerprint]*Region
	sessions   map[identity.Fingerprint]seat
}

type seat struct {
	region *Region
	cert   *identity.SessionCert
}

func newRoster(regions []*Region) *roster {
	o := &roster{regions: regions, identities: map[identity.Fingerprint]*Region{}, former: map[identity.Fingerprint]*Region{}, sessions: map[identity.Fingerprint]seat{}}
	for _, r := range regions {
		o.identities[r.Identity.Fingerprint()] = r
		for i := range r.Former {
			o.former[r.Former[i].Identity.Fingerprint()] = r
		}
		for i := range r.Sessions {
			o.sessions[r.Sessions[i].Session.Fingerprint()] = seat{r, &r.Sessions[i]}
		}
	}
	return o
}

func (o *roster) region(id identity.RegionID) (*Region, bool) {
	for _, r := range o.regions {
		if r.ID == id {
			return r, true
		}
	}
	return nil, false
}

// taken reports whether a credential is a session's of a region, or its identity, or was that.
func (o *roster) taken(fp identity.Fingerprint) bool {
	_, session := o.sessions[fp]
	_, id := o.identities[fp]
	_, was := o.former[fp]
	return session || id || was
}

// wrapped reports whether a key is the wrapping key of a region, or was.
func (o *roster) wrapped(pkix []byte) bool {
	sum := sha256.Sum256(pkix)
	return slices.ContainsFunc(o.regions, func(r *Region) bool {
		return bytes.Equal(r.Wrapping, pkix) || slices.ContainsFunc(r.Former, func(f Former) bool { return f.Wrapping == sum })
	})
}

func (o *roster) with(r *Region) *roster {
	regions := slices.Clone(o.regions)
	for i := range regions {
		if regions[i].ID == r.ID {
			regions[i] = r
		}
	}
	return newRoster(regions)
}
