package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc"
)

// status is what only the node itself knows.
type status struct{ n *Node }

func (s status) Ready() error { return s.n.cluster.Ready() }

const (
	healthWait  = time.Second // for the token's answer when somebody asks for status
	healthEvery = time.Second // however many ask: the token's time is for signing
)

// checkup is what the token last said of itself.
type checkup struct {
	running atomic.Bool
	last    atomic.Pointer[checked]
}

type checked struct {
	at  time.Time
	err error
}

// get asks the token unless it was asked just now; nil before the first answer.
func (c *checkup) get(ask func(context.Context) error) error {
	last := c.last.Load()
	if (last == nil || time.Since(last.at) > healthEvery) && c.running.CompareAndSwap(false, true) {
		defer c.running.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), healthWait)
		defer cancel()
		last = &checked{err: ask(ctx), at: time.Now()}
		c.last.Store(last)
	}
	if last == nil {
		return nil
	}
	return last.err
}

func (s status) Report() rpc.Report {
	n := s.n
	r := rpc.Report{RegionName: n.address().Name, Started: n.cfg.Started, HSM: n.hsm.Describe(), Seen: map[identity.RegionID]string{}}
	if err := n.checkup.get(n.hsm.Health); err != nil {
		r.HSMError = err.Error()
	}
	if err := n.leaves.Healthy(); err != nil {
		r.StoreError = err.Error()
	}
	hints := n.cluster.Hints()
	for _, region := range n.fsm.View().Regions() {
		if _, alive := hints[region.ServerID]; alive || region.ID == n.region() {
			r.Seen[region.ID] = "alive"
		} else if n.cfg.Listen.Gossip != "" {
			r.Seen[region.ID] = "gone"
		}
	}
	return r
}

func (n *Node) registerer() prometheus.Registerer {
	if n.cfg.Metrics == nil {
		return nil
	}
	return n.cfg.Metrics
}

// registerMetrics exports what the rooms know about themselves.
func (n *Node) registerMetrics() error {
	if n.cfg.Metrics == nil {
		return nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tetrad_" + name, Help: help}, value)
	}
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	for _, c := range []prometheus.Collector{
		gauge("ready", "1 when the node may sign.", func() float64 { return flag(n.cluster.Ready() == nil) }),
		gauge("leads", "1 when the node believes to lead.", func() float64 { return flag(n.cluster.IsLeader()) }),
		gauge("applied_index", "Index of the last applied entry.", func() float64 { return float64(n.cluster.Applied()) }),
		gauge("term", "Raft term.", func() float64 { return float64(n.cluster.Stats().Term) }),
		gauge("certified_index", "Highest certified entry of the own log.", func() float64 { return float64(n.cluster.Stats().Certified) }),
		gauge("lease", "1 while signatures may leave this region.", func() float64 { return flag(n.cluster.Stats().Lease) }),
		gauge("alarms", "Acked entries that were truncated, and states that differ: 0 unless a region lies or a disk does.", func() float64 { return float64(n.cluster.Stats().Alarms) }),
		gauge("convicted_regions", "Regions convicted by their own signatures.", func() float64 { return float64(len(n.cluster.Stats().Convicted)) }),
		gauge("refused_appends", "Appends refused at admission.", func() float64 { return float64(n.cluster.Stats().Refused) }),
		gauge("fetches", "Times since its start that this region had what is certified from another region, because its leader did not bring it.", func() float64 { return float64(n.cluster.Stats().Fetched) }),
		gauge("leaders_left", "Leaders this region left since its start, because three regions saw a command undecided for too long.", func() float64 { return float64(n.cluster.Stats().Left) }),
		gauge("fenced", "1 while the disk watchdog holds back outgoing messages.", func() float64 { return flag(n.cluster.Stats().Fenced) }),
		gauge("low_space", "1 when the disk is nearly full.", func() float64 { return flag(n.cluster.Stats().LowSpace) }),
		gauge("audit_leaves", "Audit leaves stored here.", func() float64 { return float64(n.leaves.Size()) }),
		gauge("audit_healthy", "1 when audit leaves can be stored.", func() float64 { return flag(n.leaves.Healthy() == nil) }),
		gauge("stopped_here_only", "1 while this region is stopped by a local stop, which no other region knows of.", func() float64 { return flag(n.vault.Stopped() != nil) }),
		gauge("open_shares", "Opened shares of threshold keys in memory.", func() float64 { return float64(n.vault.Shares().Shares) }),
		gauge("shares_unlocked", "1 while opened shares are in memory that could be swapped out: see the log.", func() float64 { return flag(n.vault.Shares().Unlocked != nil) }),
		gauge("key_ceremonies", "Threshold keys whose sharing is being made.", func() float64 { return float64(n.vault.Stats().Ceremonies) }),
		gauge("key_ceremony_tries_failed", "Tries at a sharing that failed since the start: see the faults of the key for who is to blame.", func() float64 { return float64(n.vault.Stats().FailedTries) }),
		gauge("refresh_due_seconds", "Unix time at which threshold keys are refreshed by schedule next; 0: there is none.", func() float64 { return unix(n.schedule().Due) }),
		gauge("refresh_last_seconds", "Unix time of the last refresh of all threshold keys since the schedule was set; 0: none yet.", func() float64 { return n.lastRefresh() }),
		gauge("refresh_lagging", "Sharings that the last refresh of all did not bring along: they lie under an older wrapping epoch.", func() float64 { return float64(n.schedule().Lagging) }),
		gauge("signature_shares", "Shares of threshold signatures made here since the start.", func() float64 { return float64(n.vault.Stats().Shares) }),
		gauge("nonces_offered", "Nonce commitments this region put into its committed pools since the start.", func() float64 { return float64(n.vault.Stats().NoncesOffered) }),
		gauge("turned_away", "Times since the start that a command found too few regions to draw among: their nonce pools were dry, or they were ill. Each region counts what all were asked.", func() float64 { return float64(n.vault.Stats().TurnedAway) }),
		gauge("idle_seconds", "Time since an entry was applied; beyond a minute nobody moves the clock.", func() float64 { return n.vault.Idle().Seconds() }),
		newAccusations(proofs{n}.Evidence, func() []*fsm.Region { return n.fsm.View().Regions() }),
		gauge("open_requests", "Signature requests that wait for their signatures.", func() float64 { return float64(len(n.fsm.View().OpenRequests())) }),
	} {
		if err := n.cfg.Metrics.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// schedule is where the refresh of threshold keys stands, the zero value without one.
func (n *Node) schedule() fsm.Schedule {
	s, _ := n.fsm.View().Schedule()
	return s
}

func (n *Node) lastRefresh() float64 {
	return unix(n.schedule().Last)
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}
