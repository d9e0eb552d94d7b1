package fsm

import (
	"bytes"
	"crypto/sha256"
	"io"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// state is everything at one index. Immutable once published.
type state struct {
	genesis *genesis.Document
	lineage [32]byte
	db      *memdb.MemDB // a snapshot: never written
	head    head
	roster  *roster
	levelOf func(command.Type) uint32
	beacon  *Key // as of the genesis
}

// View is the state at one index: immutable, safe for concurrent use, cheap to keep.
// Rows it returns are shared and must not be modified.
type View struct{ s *state }

// Cluster returns the cluster's id.
func (v View) Cluster() identity.ClusterID { return v.s.genesis.Cluster }

// Lineage returns the hash of the genesis document.
func (v View) Lineage() [32]byte { return v.s.lineage }

// ClusterName returns the name given at genesis.
func (v View) ClusterName() string { return v.s.genesis.Name }

// Meta returns the place of the last applied entry.
func (v View) Meta() command.Meta { return v.s.head.meta }

// Clock returns the time of the state: the highest stamp so far.
func (v View) Clock() time.Time { return v.s.head.clock }

// Settings returns the replicated limits.
func (v View) Settings() command.Settings { return v.s.head.settings }

// Frozen reports whether the whole vault is frozen, why and by whom.
func (v View) Frozen() (reason string, by identity.Fingerprint, ok bool) {
	if f := v.s.head.frozen; f != nil {
		return f.reason, f.by, true
	}
	return "", identity.Fingerprint{}, false
}

// Beacon returns the public side of the beacon as of the genesis. The key stays; its shares
// are those of BeaconKey.
func (v View) Beacon() genesis.Beacon { return v.s.genesis.Beacon }

// Region returns one region.
func (v View) Region(id identity.RegionID) (*Region, bool) { return v.s.roster.region(id) }

// Regions returns all regions, ascending.
func (v View) Regions() []*Region { return v.s.roster.regions }

// Able returns the regions, ascending, among which a draw for k would be if it were opened
// next.
func (v View) Able(k *Key) (ids []identity.RegionID) {
	for _, r := range v.s.roster.regions {
		if r.Healthy && r.able(k) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// RegionBySession returns the region a session key speaks for, and its certificate.
func (v View) RegionBySession(fp identity.Fingerprint) (*Region, *identity.SessionCert, bool) {
	s, ok := v.s.roster.sessions[fp]
	return s.region, s.cert, ok
}

func (v View) txn() *memdb.Txn { return v.s.db.Txn(false) }

// Principal returns one credential, removed ones included.
func (v View) Principal(fp identity.Fingerprint) (*Principal, bool) {
	return lookup[*Principal](v.txn(), principalTable, "id", fp[:])
}

// Principals returns all credentials in order of fingerprint, removed ones included.
func (v View) Principals() []*Principal { return collect[*Principal](v, principalTable) }

func collect[R row](v View, table string) (out []R) {
	scan(v.txn(), table, nil, func(r R) bool { out = append(out, r); return true })
	return out
}

// Tenants returns the tenants' names, ascending.
func (v View) Tenants() (names []string) {
	for _, t := range collect[*tenant](v, tenantTable) {
		names = append(names, t.name)
	}
	return names
}

// Key returns one key.
func (v View) Key(id command.KeyID) (*Key, bool) {
	k, ok := lookup[*Key](v.txn(), keyTable, "id", id[:])
	if !ok && id == command.BeaconKey {
		return v.s.beacon, true
	}
	return k, ok
}

// BeaconKey returns the beacon key with its sharings.
func (v View) BeaconKey() *Key {
	k, _ := v.Key(command.BeaconKey)
	return k
}

// KeyByName returns a tenant's key.
func (v View) KeyByName(tenant, name string) (*Key, bool) {
	return lookup[*Key](v.txn(), keyTable, "name", nameKey(tenant, name))
}

// Keys returns a tenant's keys in order of tenant and name; tenant "" means all, the beacon
// key apart.
func (v View) Keys(tenant string) (keys []*Key) {
	it, err := v.txn().Get(keyTable, "name")
	if err != nil {
		panic(err) // tables and indexes are constants
	}
	for obj := it.Next(); obj != nil; obj = it.Next() {
		if k := obj.(*Key); (tenant == "" || k.Tenant == tenant) && k.Scheme != command.SchemeBeacon {
			keys = append(keys, k)
		}
	}
	return keys
}

// Request returns one request, as long as it is remembered.
func (v View) Request(id command.RequestID) (*Request, bool) {
	txn := v.txn()
	if q, ok := lookup[*Request](txn, openTable, "id", id[:]); ok {
		return q, true
	}
	if s, ok := lookup[*settled](txn, settledTable, "id", id[:]); ok {
		return s.request(), true
	}
	return nil, false
}

// Requests pages through requests in order of id, beginning after a given one (the zero
// id: at the first). Tenant "" means all.
func (v View) Requests(tenant string, after command.RequestID, limit int) (out []*Request) {
	txn := v.txn()
	open, _ := txn.LowerBound(openTable, "id", after[:])
	done, _ := txn.LowerBound(settledTable, "id", after[:])
	o, d := open.Next(), done.Next()
	for len(out) < limit && (o != nil || d != nil) {
		var q *Request
		if d == nil || o != nil && bytes.Compare(o.(row).rowKey(), d.(row).rowKey()) < 0 {
			q, o = o.(*Request), open.Next()
		} else {
			q, d = d.(*settled).request(), done.Next()
		}
		if q.ID != after && (tenant == "" || q.Tenant == tenant) {
			out = append(out, q)
		}
	}
	return out
}

// OpenRequests returns all open requests in order of id.
func (v View) OpenRequests() []*Request { return collect[*Request](v, openTable) }

// Frontier returns the right edge of the audit tree, a copy.
func (v View) Frontier() audit.Frontier { return v.s.head.frontier.Clone() }

// Digest hashes the whole state; equal on all replicas at one index. It reads every
// row: for checks, not for every entry.
func (v View) Digest() [32]byte {
	h := sha256.New()
	if err := v.s.writeRecords(h); err != nil {
		panic(err) // a hash takes everything
	}
	return [32]byte(h.Sum(nil))
}

// MayRead reports whether a principal may read a tenant's keys, requests and audit;
// tenant "" means the vault's own and everybody's. Whoever holds a role in the vault
// may read all, whoever holds one in a tenant that tenant's.
func (v View) MayRead(p identity.Fingerprint, tenant string) bool {
	who, ok := v.Principal(p)
	return ok && !who.Removed && who.Roles != 0 && (who.Tenant == "" || who.Tenant == tenant)
}

// MaySign reports whether a principal may have a tenant's keys sign now.
func (v View) MaySign(p identity.Fingerprint, tenant string) bool {
	who, ok := v.Principal(p)
	return ok && who.signs(tenant)
}

// AttestationsHash returns what the regions of a key confirm: the key's parameters and
// every attestation, in order of region; of a threshold key, SharingHash.
func AttestationsHash(k *Key) [32]byte {
	if k.Scheme.Shared() {
		return SharingHash(k)
	}
	w := wire.NewWriter(1024)
	w.String("tetrad/attestations/v1")
	w.Fixed(k.ID[:])
	w.U8(uint8(k.Scheme))
	w.U8(uint8(k.Curve))
	w.U8(k.Signers)
	w.Bool(k.AllowBlind)
	writeRegions(w, k.Regions)
	w.U8(uint8(len(k.Attestations)))
	for i := range k.Attestations {
		k.Attestations[i].write(w)
	}
	return sha256.Sum256(w.Bytes())
}

// Snapshot is a state to be written out.
type Snapshot struct{ s *state }

// Meta returns the place of the last entry in the snapshot.
func (s *Snapshot) Meta() command.Meta { return s.s.head.meta }

// View returns the state the snapshot holds.
func (s *Snapshot) View() View { return View{s.s} }

// WriteTo streams the canonical form.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) { return s.s.writeTo(w) }
