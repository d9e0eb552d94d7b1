// Package config reads vaultd's configuration file: HCL, validated whole. Every
// problem is reported at once with file and line, unknown names are refused, and
// what is left out has the default written here (docs/ops/configuration.md).
//
// Only values live here. Nothing is opened, resolved or dialled, and no secret is
// ever part of a configuration: a PIN is named by file or systemd credential.
package config

import (
	"log/slog"
	"time"
)

// Config is a validated configuration. Paths are absolute.
type Config struct {
	Path      string // file it was read from
	DataDir   string
	Region    string // name of this region in the genesis
	Mlock     Mlock
	HSM       HSM
	Listen    Addresses
	Advertise Addresses // what other regions and clients dial; Listen where left out
	Raft      Raft
	Limits    Limits
	Shares    Shares
	Log       Log
	Telemetry Telemetry
}

// Mlock says what happens when memory cannot be locked.
type Mlock string

// The mlock settings.
const (
	MlockRequire Mlock = "require" // refuse to start
	MlockTry     Mlock = "try"     // start and say so
	MlockOff     Mlock = "off"
)

// HSM names the PKCS#11 module and token, and where its PIN is.
type HSM struct {
	Module        string
	InitArgs      string // string for C_Initialize's pReserved (NSS)
	TokenLabel    string
	PINFile       string // this or PINCredential
	PINCredential string // name below $CREDENTIALS_DIRECTORY
	Workers       int    // concurrent token calls
	Timeout       time.Duration
}

// Addresses are host:port pairs.
type Addresses struct {
	Raft   string
	API    string
	Gossip string
}

// Profile names a set of Raft timings.
type Profile string

// The profiles.
const (
	ProfileWAN      Profile = "wan"
	ProfileLoopback Profile = "loopback"
)

// Raft holds the profile and what overrides it; zero means the profile's value.
type Raft struct {
	Profile           Profile
	HeartbeatTimeout  time.Duration
	ElectionTimeout   time.Duration
	LeaseTimeout      time.Duration
	CommitTimeout     time.Duration
	OneWayDelay       time.Duration // longest between two regions
	SnapshotInterval  time.Duration
	SnapshotThreshold uint64
	TrailingLogs      uint64
}

// Limits bound what one node takes on before authentication and per peer.
type Limits struct {
	MaxConnections           int     // API connections at once
	MaxConnectionsPerAddress int     // of them from one address
	MaxStreams               int     // API calls at once on one connection
	RequestRate              float64 // API calls a second from one address
	RequestBurst             int     // calls at once above the rate
	MinFreeDisk              uint64  // bytes; below it nothing new is proposed
}

// Log says how the process logs, always to standard error.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
}

// Telemetry is the metrics endpoint; empty means none.
type Telemetry struct {
	Listen string
	Pprof  bool // profiles are served too; only on a loopback address
}

// Shares says how long opened shares of threshold keys stay in memory.
type Shares struct {
	Keep time.Duration // unused that long, a share is dropped
	Most int           // at once
}
