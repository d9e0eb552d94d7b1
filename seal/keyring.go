package seal

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Purpose separates the uses of the root key: each has subkeys of its own, and a
// blob sealed for one never opens as another. Numbers are part of the stored format.
type Purpose uint8

// The purposes.
const (
	PurposeEntry    Purpose = 1 // log entries
	PurposeSnapshot Purpose = 2 // state snapshots
	PurposeLeaf     Purpose = 3 // audit leaves
	PurposeLocal    Purpose = 4 // files no other region may read; under the region's own key
	PurposeBackup   Purpose = 5 // backups
	PurposeRecovery Purpose = 6 // what officers and replaced regions need
)

// String returns the name used in messages.
func (p Purpose) String() string {
	names := [...]string{"invalid", "entry", "snapshot", "leaf", "local", "backup", "recovery"}
	if int(p) < len(names) {
		return names[p]
	}
	return "invalid"
}

func (p Purpose) valid() bool { return p >= PurposeEntry && p <= PurposeRecovery }

// Keyring holds the root key by version and the region's own key. It is made once at
// unseal and lives as long as the node is open.
type Keyring struct {
	cluster identity.ClusterID
	current uint32
	roots   map[uint32]Root
	local   Root

	mu      sync.Mutex
	sealers map[sealerID]*Sealer
	openers openers
}

type sealerID struct {
	purpose Purpose
	region  identity.RegionID
	boot    identity.Boot
}

// NewKeyring returns a keyring over roots by version (the highest seals) and local,
// the region's own key for PurposeLocal.
func NewKeyring(cluster identity.ClusterID, roots map[uint32]Root, local Root) (*Keyring, error) {
	if len(roots) == 0 || len(roots) > maxRootKeys {
		return nil, errs.New(errs.Invalid, "keyring with %d root keys, want 1 to %d", len(roots), maxRootKeys)
	}
	if _, ok := roots[0]; ok {
		return nil, errs.New(errs.Invalid, "root key versions start at 1")
	}
	for v, r := range roots {
		if r == (Root{}) {
			return nil, errs.New(errs.Invalid, "root key version %d is zero", v)
		}
	}
	if local == (Root{}) {
		return nil, errs.New(errs.Invalid, "the region's own key is zero")
	}
	return &Keyring{
		cluster: cluster,
		current: slices.Max(slices.Collect(maps.Keys(roots))),
		roots:   maps.Clone(roots),
		local:   local,
		sealers: map[sealerID]*Sealer{},
	}, nil
}

// Format keeps the keys out of logs and errors, whatever the verb.
func (k *Keyring) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[keyring at version %d]", k.current) }

// Current returns the version that seals.
func (k *Keyring) Current() uint32 { return k.current }

// Root returns a version, for wrapping it to another region's HSM or to officers.
func (k *Keyring) Root(version uint32) (Root, bool) { r, ok := k.roots[version]; return r, ok }

// Derive returns a 32-byte secret that all regions of the cluster share, for uses
// that bring their own cipher, such as gossip.
func (k *Keyring) Derive(label string) []byte {
	root := k.roots[k.current]
	return derive(root[:], k.cluster, "tetrad/derive/v1/"+label)
}

// Sealer returns the sealer of purpose for one boot of one region. Equal arguments
// give the same Sealer, so that no two count nonces under one subkey.
func (k *Keyring) Sealer(purpose Purpose, region identity.RegionID, boot identity.Boot) *Sealer {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := sealerID{purpose, region, boot}
	s, ok := k.sealers[id]
	if !ok {
		s = newSealer(k, id)
		k.sealers[id] = s
	}
	return s
}

// secret returns the key that subkeys of purpose are derived from.
func (k *Keyring) secret(purpose Purpose, version uint32) (Root, bool) {
	root, ok := k.roots[version]
	if ok && purpose == PurposeLocal {
		return k.local, true
	}
	return root, ok
}
