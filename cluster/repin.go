package cluster

import (
	"log/slog"
	"slices"

	"github.com/tetrad-vault/tetrad/cluster/chain"
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

// repin lets go of sessions and connections of identities that the state replaced. It is
// called after anything was applied, and looks only where a pin is another one than before.
func (c *Cluster) repin() {
	c.turning.Lock()
	defer c.turning.Unlock()
	changed := c.pinned.changed(c.cfg)
	if len(changed) == 0 {
		return
	}
	lost := c.book.roster.repin()
	c.book.acquit(changed)
	if err := c.evidence.load(); err != nil {
		c.log.Error("evidence not judged again", slog.String("error", err.Error()))
	}
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

// signersOf knows who may have signed entries of a term, as they come in another one: in
// that one itself, only who counts now.
func (b *book) signersOf(of, in uint64) chain.Roster {
	if of < in {
		return signers{b.roster}
	}
	return b.roster
}

// pinned remembers what regions' identities were when it was last asked.
type pinned map[identity.RegionID]identity.PublicKey

// changed returns the regions whose identity is another one since it was last asked.
func (p pinned) changed(cfg Config) (news []identity.RegionID) {
	for _, m := range cfg.Members {
		keys := cfg.Pins(m.Region)
		if len(keys) == 0 {
			continue
		}
		if last := keys[len(keys)-1]; !p[m.Region].Equal(last) {
			p[m.Region], news = last, append(news, m.Region)
		}
	}
	return news
}
