package cluster

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// raft counts entries, and an entry may hold one command or a thousand. Disk, and the
// time a start takes to check the log and to carry it out again, go by bytes: so the log
// is compacted by them too. A start carries out 8 MiB of signatures in about a second.
const (
	minLogGrowth   = 8 << 20  // bytes after which a snapshot is taken, or its own size if that is more
	maxLogTrailing = 32 << 20 // about what stays for followers that are a little behind
	minTrailing    = 256      // entries that stay in any case
	compactEvery   = 5 * time.Second
)

// growth is what was stored since the log was compacted last.
type growth struct {
	bytes, entries atomic.Int64
	base           uint64 // the snapshot it counts from; touched by its keeper only
}

func (g *growth) add(l *raft.Log) {
	g.bytes.Add(int64(entryOverhead + len(l.Data) + len(l.Extensions)))
	g.entries.Add(1)
}

// trailing is how many entries to leave, at most what the configuration says.
func (g *growth) trailing(most uint64) uint64 {
	n, size := g.entries.Load(), g.bytes.Load()
	if n == 0 || size == 0 {
		return most
	}
	return min(most, max(minTrailing, uint64(maxLogTrailing*n/size)))
}

// rebase leaves what stands above a newer snapshot, as if all entries had one size.
func (g *growth) rebase(snapshot, last uint64) {
	n := g.entries.Load()
	if snapshot == g.base || n == 0 {
		return
	}
	left := min(n, int64(last-min(snapshot, last)))
	g.base = snapshot
	g.bytes.Store(g.bytes.Load() / n * left)
	g.entries.Store(left)
}

func (c *Cluster) keepCompact() {
	for c.ctx.Err() == nil {
		sleep(c.ctx, compactEvery, nil)
		if in := c.instance(); in != nil && c.ctx.Err() == nil {
			c.compact(in)
		}
	}
}

// compact takes a snapshot when there is a mark that has none.
func (c *Cluster) compact(in *instance) {
	g := &c.chain.growth
	trailing := g.trailing(c.cfg.Timing.TrailingLogs)
	g.rebase(c.snapshots.newestIndex(), c.lastStored())
	conf := in.raft.ReloadableConfig()
	if trailing < conf.TrailingLogs || trailing > 2*conf.TrailingLogs {
		conf.TrailingLogs = trailing
		if err := in.raft.ReloadConfig(conf); err != nil {
			c.log.Warn("setting how much of the log stays", slog.String("error", err.Error()))
		}
	}
	if c.marks.newest(c.snapshots.newestIndex()) == nil {
		return
	}
	_, err := in.ask(func(r *raft.Raft) raft.Future { return r.Snapshot() })
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !errors.Is(err, raft.ErrRaftShutdown) {
		if more, ok := c.sparse.allow("compact"); ok {
			c.log.LogAttrs(c.ctx, slog.LevelError, "the log could not be compacted", append(more, slog.String("error", err.Error()))...)
		}
	}
}
