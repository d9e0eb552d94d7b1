package cluster

import (
	"log/slog"
	"slices"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// A region may be enrolled with another HSM, and so get another identity key. From the
// entry on that says so, nothing counts that sessions of the old one sign: whoever has that
// HSM now is not the region. What they signed before is in the log, certified.

// ever is every identity key a region has or had.
func (cfg *Config) ever(region identity.RegionID) (keys []identity.PublicKey) {
	for _, pins := range []identity.Pins{cfg.Former, cfg.Older, cfg.Pins} {
		if pins != nil {
			keys = append(keys, pins(region)...)
		}
	}
	return keys
}

// history is a roster for what this region stored itself, once it had been verified.
func (c *Cluster) history() *chain.Book {
	return chain.NewBook(c.cfg.Cluster, c.cfg.ever, len(c.cfg.regions()))
}

// vouchesPresent refuses sessions of a region's present server under an identity that was
// replaced: whoever has the old HSM must not convict the region that came back without it.
func (c *Cluster) vouchesPresent(cert *identity.SessionCert) error {
	now := c.cfg.Pins // of the server that the own state has
	if c.cfg.Older != nil && len(c.cfg.Older(cert.Region)) > 0 {
		now = c.cfg.Older
	}
	if cert.ServerID == c.approvedServer(cert.Region) && !signedBy(now, c.cfg.Cluster, cert) {
		return errs.New(errs.Unverified, "a session of server %s under an identity that region %d does not have any more", cert.ServerID, cert.Region)
	}
	return nil
}

// repin lets go of sessions and connections of identities that the state replaced. It is
// called after anything was applied, and looks only where a pin is another one than before.
func (c *Cluster) repin() {
	if !c.pinned.changed(c.cfg) {
		return
	}
	lost := c.book.roster.repin()
	if len(lost) == 0 {
		return
	}
	c.log.Warn("sessions of a replaced identity count no more", slog.Any("regions", lost))
	c.transport.d.dropOf(func(r identity.RegionID) bool { return slices.Contains(lost, r) })
	c.doubtful.Store(true)
}

// unprovable reports, once after sessions were let go, whether the present term rests on the
// vote of one: who joins now could not believe its leader, nor could anybody who starts
// again. So the leader gives way to another one, elected by those who count.
func (c *Cluster) unprovable() bool { return c.doubtful.Swap(false) && !c.provable() }

func (c *Cluster) provable() bool {
	proof := c.book.record().Proof
	return proof == nil || proof.Verify(c.book.roster, c.cfg.Lineage) == nil
}

// pinned remembers what regions' identities were when it was last asked.
type pinned map[identity.RegionID]identity.PublicKey

func (p pinned) changed(cfg Config) (news bool) {
	for _, m := range cfg.Members {
		keys := cfg.Pins(m.Region)
		if len(keys) == 0 {
			continue
		}
		if last := keys[len(keys)-1]; !p[m.Region].Equal(last) {
			p[m.Region], news = last, true
		}
	}
	return news
}
