// Package genesis is the document a cluster begins with: who its regions,
// administrators and officers are, the beacon's public key, and the commitment to
// the root key. It is final when all four region identities and the first
// administrators signed its hash; that hash is the first lineage of the log.
//
// The package is pure: the ceremony that makes the document lives in
// internal/ceremony, the state it starts in fsm.
package genesis

import (
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Document is everything the founders agree on.
type Document struct {
	Cluster        identity.ClusterID
	Name           string
	Created        time.Time
	Regions        []Region // ids 1..n in order
	Administrators []Principal
	Officers       Officers
	Settings       command.Settings
	Beacon         Beacon
	RootCheck      [32]byte   // commitment to root key version 1, see seal
	Contributions  [][32]byte // SHA-256 of each region's contribution, in order of region id
}

// Region is one founding region.
type Region struct {
	ID         identity.RegionID
	Name       string
	ServerID   string // raft id: name and incarnation
	Identity   identity.PublicKey
	Wrapping   []byte // PKIX RSA key in the HSM that opens what is sealed to the region
	OAEPHash   uint8  // 1 SHA-1, 2 SHA-256: what this HSM's OAEP accepts
	RaftAddr   string
	APIAddr    string
	GossipAddr string
	Curves     []command.Curve // what its HSM signs with
	HSM        string          // maker, model, serial, firmware, for people
	Attributes []byte          // attributes of identity and wrapping key as read back
}

// Principal is a founding administrator.
type Principal struct {
	Name  string
	Key   identity.PublicKey
	Roles command.Role
}

// Officers hold the root key's M-of-N recovery shares.
type Officers struct {
	Threshold  uint8
	Recipients []string // age recipients
}

// Beacon is the public side of the threshold PRF dealt in the ceremony (vault/draw).
type Beacon struct {
	Threshold uint8
	Public    [32]byte
	Shares    [][]byte // 32-byte verification key of each region, in order of region id
}

// Genesis is a signed document.
type Genesis struct {
	Document   Document
	Signatures []command.Signature // regions' identity keys and administrators, over SignedBytes
}
