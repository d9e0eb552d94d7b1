package fsm

import (
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

var errTodo = errs.New(errs.Internal, "fsm: not yet implemented")

// View is the state at one index: immutable, safe for concurrent use, cheap to keep.
// Rows it returns are shared and must not be modified.
type View struct{}

// Cluster returns the cluster's id.
func (v View) Cluster() (id identity.ClusterID) { return }

// Lineage returns the hash of the genesis document.
func (v View) Lineage() (l [32]byte) { return }

// ClusterName returns the name given at genesis.
func (v View) ClusterName() string { return "" }

// Meta returns the place of the last applied entry.
func (v View) Meta() (m command.Meta) { return }

// Clock returns the time of the state: the highest stamp so far.
func (v View) Clock() (t time.Time) { return }

// Settings returns the replicated limits.
func (v View) Settings() (s command.Settings) { return }

// Frozen reports whether the whole vault is frozen, why and by whom.
func (v View) Frozen() (reason string, by identity.Fingerprint, ok bool) { return }

// Beacon returns the public side of the beacon.
func (v View) Beacon() (b genesis.Beacon) { return }

// Region returns one region.
func (v View) Region(id identity.RegionID) (*Region, bool) { return nil, false }

// Regions returns all regions, ascending.
func (v View) Regions() []*Region { return nil }

// RegionBySession returns the region a session key speaks for, and its certificate.
func (v View) RegionBySession(fp identity.Fingerprint) (*Region, *identity.SessionCert, bool) {
	return nil, nil, false
}

// Principal returns one credential, removed ones included.
func (v View) Principal(fp identity.Fingerprint) (*Principal, bool) { return nil, false }

// Principals returns all credentials in order of fingerprint, removed ones included.
func (v View) Principals() []*Principal { return nil }

// Tenants returns the tenants' names, ascending.
func (v View) Tenants() []string { return nil }

// Key returns one key.
func (v View) Key(id command.KeyID) (*Key, bool) { return nil, false }

// KeyByName returns a tenant's key.
func (v View) KeyByName(tenant, name string) (*Key, bool) { return nil, false }

// Keys returns a tenant's keys in order of name; tenant "" means all.
func (v View) Keys(tenant string) []*Key { return nil }

// Request returns one request, as long as it is remembered.
func (v View) Request(id command.RequestID) (*Request, bool) { return nil, false }

// Requests pages through requests in order of id, beginning after a given one.
// Tenant "" means all.
func (v View) Requests(tenant string, after command.RequestID, limit int) []*Request { return nil }

// OpenRequests returns all open requests in order of id.
func (v View) OpenRequests() []*Request { return nil }

// Frontier returns the right edge of the audit tree. Clone it before appending.
func (v View) Frontier() (f audit.Frontier) { return }

// Digest hashes the whole state; equal on all replicas at one index.
func (v View) Digest() (d [32]byte) { return }

// MayRead reports whether a principal may read a tenant's keys, requests and audit;
// tenant "" means the vault's own.
func (v View) MayRead(p identity.Fingerprint, tenant string) bool { return false }

// AttestationsHash returns what the regions of a key confirm: all attestations.
func AttestationsHash(k *Key) (h [32]byte) { return }
