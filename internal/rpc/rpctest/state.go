package rpctest

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// State is replicated state without a log: one value shared by all nodes. It
// implements rpc.View; tests change it through its methods.
type State struct {
	cluster identity.ClusterID
	lineage [32]byte

	mu         sync.Mutex
	regions    []*fsm.Region
	principals map[identity.Fingerprint]*fsm.Principal
	keys       []*fsm.Key
	requests   []*fsm.Request // ascending by id
	outcomes   map[command.RequestID]fsm.Outcome
	contents   map[command.RequestID][32]byte // of the decided commands
	frontier   audit.Frontier
	leaves     []audit.Leaf
	wraps      []*fsm.Wrap
	pools      []*fsm.NoncePool
	settings   command.Settings
	schedule   *fsm.Schedule
	index      uint64

	unrefreshed map[command.KeyID]unrefreshed
}

// unrefreshed is what fsm.View.Unrefreshed returns.
type unrefreshed struct {
	awaited bool
	why     error
}

func newState(cluster identity.ClusterID, lineage [32]byte) *State {
	return &State{cluster: cluster, lineage: lineage, settings: command.Settings{MaxSkew: time.Second, MaxOpen: 10}, principals: map[identity.Fingerprint]*fsm.Principal{},
		outcomes: map[command.RequestID]fsm.Outcome{}, contents: map[command.RequestID][32]byte{}}
}

// PutPrincipal adds or replaces a principal.
func (s *State) PutPrincipal(p fsm.Principal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.ID = p.Key.Fingerprint()
	s.principals[p.ID] = &p
}

// PutKey adds or replaces a key.
func (s *State) PutKey(k fsm.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = slices.DeleteFunc(s.keys, func(o *fsm.Key) bool { return o.ID == k.ID })
	s.keys = append(s.keys, &k)
	slices.SortFunc(s.keys, func(a, b *fsm.Key) int { return bytes.Compare(a.ID[:], b.ID[:]) })
}

// PutRequest adds or replaces a request.
func (s *State) PutRequest(r fsm.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = slices.DeleteFunc(s.requests, func(o *fsm.Request) bool { return o.ID == r.ID })
	s.requests = append(s.requests, &r)
	slices.SortFunc(s.requests, func(a, b *fsm.Request) int { return bytes.Compare(a.ID[:], b.ID[:]) })
}

// AddLeaf appends an audit leaf.
func (s *State) AddLeaf(l audit.Leaf) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.Seq = s.frontier.Size()
	s.frontier.Append(l.Hash())
	s.leaves = append(s.leaves, l)
}

func (s *State) setRegion(id identity.RegionID, change func(*fsm.Region)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.regions {
		if r.ID == id {
			next := *r
			change(&next)
			s.regions[i] = &next
		}
	}
}

// Quarantine takes a region's membership away.
func (s *State) Quarantine(id identity.RegionID) {
	s.setRegion(id, func(r *fsm.Region) { r.Status = fsm.RegionQuarantined })
}

// Replace approves another incarnation of a region.
func (s *State) Replace(id identity.RegionID, server string) {
	s.setRegion(id, func(r *fsm.Region) { r.ServerID = server })
}

// Reenrol gives a region another HSM, as its server has it or not: former sessions are gone.
func (s *State) Reenrol(id identity.RegionID, to identity.PublicKey) {
	s.setRegion(id, func(r *fsm.Region) {
		r.Former, r.Identity, r.Sessions = append(r.Former, fsm.Former{Identity: r.Identity, Index: 1}), to, nil
	})
}

func (s *State) Cluster() identity.ClusterID { return s.cluster }
func (s *State) ClusterName() string         { return "rpctest" }
func (s *State) Lineage() [32]byte           { return s.lineage }
func (s *State) Clock() time.Time            { return time.Unix(1700000000, 0) }
func (s *State) Digest() [32]byte            { return [32]byte{9} }
func (s *State) Settings() command.Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// Configure replaces the settings.
func (s *State) Configure(set command.Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = set
}

// PutSchedule sets where the refresh by schedule stands.
func (s *State) PutSchedule(p fsm.Schedule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schedule = &p
}

func (s *State) Schedule() (fsm.Schedule, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.schedule == nil {
		return fsm.Schedule{}, false
	}
	return *s.schedule, true
}

func (s *State) Refreshing() (after command.KeyID, ok bool) { return after, false }

// PutUnrefreshed sets what is told of a key that a refresh of all has not brought along.
func (s *State) PutUnrefreshed(id command.KeyID, awaited bool, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unrefreshed == nil {
		s.unrefreshed = map[command.KeyID]unrefreshed{}
	}
	s.unrefreshed[id] = unrefreshed{awaited, why}
}

func (s *State) Unrefreshed(k *fsm.Key) (awaited bool, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.unrefreshed[k.ID]
	return u.awaited, u.why
}

func (s *State) Frozen() (string, identity.Fingerprint, bool) {
	return "", identity.Fingerprint{}, false
}

// Level is that of the first release.
func (s *State) Level() uint32 { return 0 }

func (s *State) FrozenPaths() []*fsm.Key {
	return slices.DeleteFunc(s.Keys(""), func(k *fsm.Key) bool { return len(k.FrozenPaths) == 0 })
}

func (s *State) Meta() command.Meta {
	s.mu.Lock()
	defer s.mu.Unlock()
	return command.Meta{Index: s.index, Term: 1}
}

func (s *State) Frontier() audit.Frontier {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frontier.Clone()
}

func (s *State) Region(id identity.RegionID) (*fsm.Region, bool) {
	for _, r := range s.Regions() {
		if r.ID == id {
			return r, true
		}
	}
	return nil, false
}

func (s *State) Regions() []*fsm.Region {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.regions)
}

func (s *State) RegionBySession(fp identity.Fingerprint) (*fsm.Region, *identity.SessionCert, bool) {
	for _, r := range s.Regions() {
		for i := range r.Sessions {
			if r.Sessions[i].Session.Fingerprint() == fp {
				return r, &r.Sessions[i], true
			}
		}
	}
	return nil, nil, false
}

func (s *State) Principal(fp identity.Fingerprint) (*fsm.Principal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.principals[fp]
	return p, ok
}

func (s *State) Principals() (out []*fsm.Principal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.principals {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *fsm.Principal) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out
}

func (s *State) Tenants() []string { return []string{"acme", "zenith"} }

func (s *State) Key(id command.KeyID) (*fsm.Key, bool) {
	for _, k := range s.Keys("") {
		if k.ID == id {
			return k, true
		}
	}
	return nil, false
}

func (s *State) KeyByName(tenant, name string) (*fsm.Key, bool) {
	for _, k := range s.Keys(tenant) {
		if k.Name == name {
			return k, true
		}
	}
	return nil, false
}

func (s *State) Keys(tenant string) (out []*fsm.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if tenant == "" || k.Tenant == tenant {
			out = append(out, k)
		}
	}
	return out
}

func (s *State) Request(id command.RequestID) (*fsm.Request, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if r.ID == id {
			return r, true
		}
	}
	return nil, false
}

func (s *State) Requests(tenant string, after command.RequestID, limit int) (out []*fsm.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if len(out) < limit && bytes.Compare(r.ID[:], after[:]) > 0 && (tenant == "" || r.Tenant == tenant) {
			out = append(out, r)
		}
	}
	return out
}

func (s *State) OpenRequests() (out []*fsm.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if r.State == fsm.RequestOpen {
			out = append(out, r)
		}
	}
	return out
}

// MayRead lets principals of the vault read everything and the others their tenant.
func (s *State) MayRead(fp identity.Fingerprint, tenant string) bool {
	p, ok := s.Principal(fp)
	return ok && !p.Removed && (p.Tenant == "" || p.Tenant == tenant)
}

// Muted says no.
func (s *State) Muted(identity.RegionID) bool { return false }

// Threshold keys' tables; tests set them through PutWrap and PutPool.

// PutWrap adds or replaces a wrapping epoch.
func (s *State) PutWrap(w fsm.Wrap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wraps = slices.DeleteFunc(s.wraps, func(o *fsm.Wrap) bool { return o.Epoch == w.Epoch })
	s.wraps = append(s.wraps, &w)
	slices.SortFunc(s.wraps, func(a, b *fsm.Wrap) int { return int(a.Epoch) - int(b.Epoch) })
}

// PutPool adds or replaces a pool of nonce commitments.
func (s *State) PutPool(p fsm.NoncePool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pools = slices.DeleteFunc(s.pools, func(o *fsm.NoncePool) bool { return o.Region == p.Region && o.Curve == p.Curve })
	s.pools = append(s.pools, &p)
}

func (s *State) Wraps() []*fsm.Wrap {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.wraps)
}

func (s *State) Wrap(epoch uint32) (*fsm.Wrap, bool) {
	for _, w := range s.Wraps() {
		if w.Epoch == epoch {
			return w, true
		}
	}
	return nil, false
}

func (s *State) NoncePool(r identity.RegionID, c command.Curve) (*fsm.NoncePool, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pools {
		if p.Region == r && p.Curve == c {
			return p, true
		}
	}
	return nil, false
}
