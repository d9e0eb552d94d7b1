package node

import (
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/clock"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/network"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault"
)

// Addresses are what one node listens on.
type Addresses struct {
	Raft   string
	API    string
	Gossip string // "" switches gossip off
}

// Config is everything a node needs from outside.
type Config struct {
	FS      durable.FS     // data directory, as the ceremony installed it
	Stores  cluster.Stores // raft's log, term and vote
	HSM     seal.Config    // token and PIN
	Network network.Network
	Listen  Addresses

	Timing  cluster.Timing
	Vault   vault.Timing  // zero: defaults
	Shares  vault.Keeping // zero: defaults
	Limits  rpc.Limits    // zero: defaults
	MinFree uint64        // bytes of disk below which nothing is proposed; zero: default
	Clock   clock.Clock
	Random  io.Reader // crypto/rand when nil

	// Watch, where set, wraps the machine raft drives: how the chaos suite sees what each
	// region applies. It may look at the state between two batches.
	Watch func(m cluster.Machine, view func() fsm.View) cluster.Machine

	// Answered, where set, is shown every answer to another region before it leaves.
	Answered func(answer []byte)

	Metrics *prometheus.Registry // nil: none
	Logger  *slog.Logger
	Started time.Time // when the process began, for the times it reports
}

func (c *Config) validate() error {
	if c.FS == nil || c.Stores.Log == nil || c.HSM.Token == nil || c.Network == nil || c.Listen.Raft == "" || c.Listen.API == "" {
		return errs.New(errs.Invalid, "node configuration needs a data directory, raft stores, a token, a network and addresses")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Started.IsZero() {
		c.Started = time.Now()
	}
	return c.Timing.Check()
}
