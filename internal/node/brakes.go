package node

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/vault"
)

// brakes is the vault's, and besides gives leadership away when the region is stopped: it
// would lead without a partial of its own.
type brakes struct {
	*vault.Vault
	n *Node
}

func (b brakes) StopHere(ctx context.Context, by identity.Fingerprint, reason string) (*vault.Stop, error) {
	s, err := b.Vault.StopHere(ctx, by, reason)
	b.n.nudge()
	return s, err
}

// nudge has keepMembers look at once.
func (n *Node) nudge() {
	select {
	case n.leads <- struct{}{}:
	default:
	}
}

// stepDown hands leadership over while this region is stopped or in quarantine.
func (n *Node) stepDown(ctx context.Context) {
	fit := n.vault.Stopped() == nil && n.address().Status == fsm.RegionActive
	if fit || !n.cluster.IsLeader() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, memberStep)
	defer cancel()
	if err := n.cluster.TransferLeadership(ctx); err != nil {
		n.log.Warn("this region takes no part in signing, and leadership not handed over", slog.Any("error", err))
	}
}

// proofs serves what the cluster room can prove.
type proofs struct{ n *Node }

func (p proofs) Cover(index uint64) (*chain.Cover, error) { return p.n.cluster.Cover(index) }
func (p proofs) Evidence() []*chain.Evidence              { return p.n.cluster.Evidence() }

// repairs tells the cluster room about committed repairs of this region's log; never from
// within Apply, which a repair may have to stop.
func (n *Node) repairs(results []fsm.Result) {
	for i := range results {
		for _, r := range results[i].Repairs {
			if r.Region == n.region() {
				select {
				case n.cuts <- r.Keep:
				default:
					n.log.Error("too many repairs of the log at once: one was left out", slog.Uint64("keep", r.Keep))
				}
			}
		}
	}
}

// keepRepairs carries out what repairs heard of.
func (n *Node) keepRepairs(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case keep := <-n.cuts:
			n.repairLog(keep)
		}
	}
}

func (n *Node) repairLog(keep uint64) {
	if err := n.cluster.Repair(keep); err != nil {
		n.log.Error("the log was not cut as two administrators ordered", slog.Uint64("keep", keep), slog.Any("error", err))
		return
	}
	n.log.Warn("the log was cut by order of two administrators", slog.Uint64("keep", keep))
}

// RepairHere cuts this region's log on a command that two administrators signed and that
// came here directly: a region whose log conflicts does not get it from the log.
func (b brakes) RepairHere(ctx context.Context, c *command.Command) error {
	body, err := c.Body()
	if err != nil {
		return err
	}
	r, ok := body.(*command.RepairRegion)
	switch view, now := b.n.fsm.View(), b.n.cfg.Clock.Now(); {
	case !ok || r.Region != b.n.region():
		return errs.New(errs.Invalid, "command %s is no repair of region %d", c.ID, b.n.region())
	case r.Keep == 0:
		return errs.New(errs.Invalid, "a repair keeps at least entry 1")
	case !c.Expiry.After(now) || c.Expiry.After(now.Add(command.MaxLifetime)):
		return errs.New(errs.Expired, "command %s expired, or expires more than %s ahead", c.ID, command.MaxLifetime)
	case !dualSigned(view, c):
		return errs.New(errs.NeedsSecondAdmin, "command %s is not signed by two administrators this region knows", c.ID)
	}
	return b.n.cluster.Repair(r.Keep)
}

// dualSigned reports whether two different administrators signed c.
func dualSigned(view fsm.View, c *command.Command) bool {
	cm := c.Commitment()
	msg := cm.SignedBytes(view.Cluster())
	signed := map[identity.Fingerprint]bool{}
	for _, s := range c.Signatures {
		p, ok := view.Principal(s.Principal)
		if ok && !p.Removed && p.Tenant == "" && p.Roles&command.RoleAdmin != 0 && p.Key.Verify(msg, s.Sig) {
			signed[s.Principal] = true
		}
	}
	return len(signed) >= 2
}

var _ rpc.Brakes = brakes{}

// accusations exports what is held against regions, and who is quarantined.
type accusations struct {
	evidence    func() []*chain.Evidence
	regions     func() []*fsm.Region
	total, quar *prometheus.Desc
}

func newAccusations(evidence func() []*chain.Evidence, regions func() []*fsm.Region) *accusations {
	return &accusations{evidence, regions,
		prometheus.NewDesc("tetrad_evidence_total", "Accusations kept here, by accused region and kind.", []string{"region", "kind"}, nil),
		prometheus.NewDesc("tetrad_quarantined", "1 for a region in quarantine.", []string{"region"}, nil)}
}

// Describe implements prometheus.Collector.
func (a *accusations) Describe(to chan<- *prometheus.Desc) { to <- a.total; to <- a.quar }

// Collect implements prometheus.Collector.
func (a *accusations) Collect(to chan<- prometheus.Metric) {
	type against struct {
		region identity.RegionID
		kind   chain.Kind
	}
	names, counts := map[identity.RegionID]string{}, map[against]int{}
	for _, r := range a.regions() {
		names[r.ID] = r.Name
		in := 0.0
		if r.Status == fsm.RegionQuarantined {
			in = 1
		}
		to <- prometheus.MustNewConstMetric(a.quar, prometheus.GaugeValue, in, r.Name)
	}
	for _, e := range a.evidence() {
		counts[against{e.Accused, e.Kind}]++
	}
	for k, n := range counts {
		if name, ok := names[k.region]; ok {
			to <- prometheus.MustNewConstMetric(a.total, prometheus.GaugeValue, float64(n), name, k.kind.String())
		}
	}
}
