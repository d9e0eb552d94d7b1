package cluster

import (
	"encoding/binary"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// Time moves by the stamps of entries. A follower stores none that is too far from its
// own clock; a leader does not propose what a quorum would not store.
//
// What may not wedge an honest cluster, and so passes: a certified entry (a region that catches up, long after clocks were repaired); a stamp no
// later than the committed clock, which moves nothing; and an old stamp in an entry of
// an earlier term, which its next leader may have to send again.

// stampGrace is how old the stamp of a fresh entry may be beyond the permitted skew: the
// longest write that does not end its leader, and an election.
func (t Timing) stampGrace() time.Duration { return t.HungWrite + t.Heartbeat + t.Election }

// judgeStamps checks the stamps of entries that are about to be stored and returns how
// many are good.
func (c *Cluster) judgeStamps(a *raft.AppendEntriesRequest, v *arrival, certified uint64) (good int, err error) {
	if c.cfg.Time == nil || !liar.Defends(liar.Stamps) {
		return len(a.Entries), nil
	}
	clock, skew := c.cfg.Time()
	now := c.cfg.Now()
	behind := c.book.known() // up to there entries may be old: they are certified, or never will be
	for i, e := range a.Entries {
		entry := v.entries[i].entry
		switch {
		case entry == nil:
		case e.Index <= certified:
			clock = later(clock, entry.Stamp)
		case entry.Stamp.After(now.Add(skew)) && entry.Stamp.After(clock):
			return i, errs.New(errs.Skewed, "entry %d is stamped %s ahead of this region's clock, allowed are %s", e.Index, entry.Stamp.Sub(now), skew)
		case e.Index > behind && e.Term == a.Term && entry.Stamp.Before(now.Add(-skew-c.cfg.Timing.stampGrace())):
			return i, errs.New(errs.Skewed, "entry %d is stamped %s behind this region's clock, allowed are %s", e.Index, now.Sub(entry.Stamp), skew)
		}
	}
	return len(a.Entries), nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// shun is how followers get rid of a leader whose entries they cannot store: heartbeats
// alone would keep it in office. Touched by the holder of the gate only.
type shun struct {
	server raft.ServerID
	term   uint64
	since  time.Time // first refusal in a row
	until  time.Time // not listened to
}

// resent notes a refused append. Refused for a heartbeat's time-out, its leader is not
// heard for long enough that a quorum of such refusals elects another.
func (c *Cluster) resent(from remote, term uint64) {
	now := time.Now()
	if s := &c.shun; s.server != from.server || s.term != term || s.since.IsZero() {
		*s = shun{server: from.server, term: term, since: now}
	} else if now.Sub(s.since) >= c.cfg.Timing.Heartbeat {
		s.since, s.until = time.Time{}, now.Add(4*c.cfg.Timing.Election)
		c.log.Error("leader is not listened to for a while: its entries are refused", slog.String("server", string(from.server)))
	}
}

func (c *Cluster) shuns(from remote, term uint64) bool {
	s := &c.shun
	return s.server == from.server && s.term == term && time.Now().Before(s.until)
}

func clockItem(t time.Time) item {
	return item{itemClock, binary.BigEndian.AppendUint64(nil, uint64(t.UnixMilli()))}
}

// offset bounds how far the own clock is ahead of a peer's.
type offset struct {
	low, high time.Duration
	at        time.Time
}

// noteClock reads a peer's clock from its answer to a call that began and ended then.
func (c *Cluster) noteClock(peer remote, began, ended time.Time, p *reply) {
	for _, it := range p.Items {
		if it.Kind == itemClock && len(it.Data) == 8 {
			theirs := time.UnixMilli(int64(binary.BigEndian.Uint64(it.Data)))
			c.ackMu.Lock()
			c.offsets[peer.server] = offset{began.Sub(theirs), ended.Sub(theirs), time.Now()}
			c.ackMu.Unlock()
		}
	}
}

// stampable reports whether a quorum of voters would store a stamp of now, as far as
// their last answers tell.
func (c *Cluster) stampable(in *instance, stamp time.Time) bool {
	if c.cfg.Time == nil {
		return true
	}
	clock, skew := c.cfg.Time()
	voters, against := 0, 0
	for _, s := range in.raft.GetConfiguration().Configuration().Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		c.ackMu.Lock()
		o, ok := c.offsets[s.ID]
		c.ackMu.Unlock()
		if s.ID == c.self() || !ok || time.Since(o.at) > 2*c.cfg.Timing.Heartbeat {
			continue
		}
		if o.low > skew && stamp.After(clock) || -o.high > skew+c.cfg.Timing.stampGrace() {
			against++
		}
	}
	return voters-against >= voters/2+1
}

// giveWay hands leadership to a region whose clock others share.
func (c *Cluster) giveWay(in *instance) error {
	c.log.Error("this region leads but its clock differs from the others': leadership is handed over",
		slog.String("hint", "check this region's clock"))
	_, _ = in.ask(func(r *raft.Raft) raft.Future { return r.LeadershipTransfer() })
	return errs.New(errs.NoLeader, "the clock of the leader, region %d, differs from the others': another region takes over", c.cfg.Session.Cert.Region).
		WithHint("try again shortly; check that region's clock")
}
