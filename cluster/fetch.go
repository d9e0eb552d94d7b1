package cluster

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// A leader that lies may keep entries from one region. That region cannot prove it, and on
// its word alone nobody leaves a leader. So it fetches what it lacks from the other regions,
// in turns: entries that a certificate proves, or a snapshot that three regions signed. What
// comes is judged like what a leader brings (fetched.go); who answers is bounded (feed.go).

// fetch asks for what is certified after an index.
type fetch struct{ After uint64 }

// hunger is what keepFed remembers. Touched by it only.
type hunger struct {
	floor uint64    // own highest certified index, when it moved last
	moved time.Time // or nothing was lacking
	level time.Time // when enough regions were heard of last
	even  time.Time // when nothing was lacking last, or enough had come
	from  uint64    // own highest certified index then
	fed   time.Time // when fetching brought something last, and the leader nothing since
	asked time.Time
	rest  time.Duration // until the next question
	spool time.Duration // for a whole snapshot
	turn  int
}

// keepFed watches whether the leader brings what is certified, and fetches it if not.
func (c *Cluster) keepFed() {
	now := time.Now()
	h := &hunger{moved: now, level: now, even: now, spool: fetchSpool}
	for c.ctx.Err() == nil {
		sleep(c.ctx, fetchTurn, nil)
		in := c.instance()
		if in == nil || c.dead() || c.transport.fenced() || !liar.Defends(liar.Fetch) || !h.starves(time.Now(), c.glance(in)) {
			continue
		}
		c.commitCertified(in)
		if c.book.known() > c.book.own.Floor() || c.book.wordless() {
			c.fetchOnce(h)
		}
	}
}

// glance is what shows whether the leader does its work.
type glance struct {
	floor    uint64 // own highest certified index
	lacks    bool   // a certificate is known beyond it, or raft was not told to commit so far
	wordless bool   // too few other regions were heard of lately
	leads    bool   // this region itself
	spooling bool   // a snapshot of the leader's is coming
}

func (c *Cluster) glance(in *instance) glance {
	floor := c.book.own.Floor()
	return glance{floor, c.book.known() > floor || in.raft.CommitIndex() < floor, c.book.wordless(), in.raft.State() == raft.Leader, c.spooling.Load()}
}

// starves reports whether this region has waited long enough for what it lacks. Entries
// that come one by one while more and more is lacking are not enough.
func (h *hunger) starves(now time.Time, g glance) bool {
	if g.floor != h.floor { // by the leader: what was fetched is noted already
		h.floor, h.moved, h.fed = g.floor, now, time.Time{}
	}
	if !g.lacks || g.leads {
		h.moved, h.even, h.from = now, now, g.floor
	}
	if g.floor >= h.from+dripLeast {
		h.even, h.from = now, g.floor
	}
	if !g.wordless || g.leads {
		h.level = now
	}
	patience, words := fetchPatience, wordPatience
	switch {
	case now.Sub(h.fed) < fetchMemory:
		patience, words = fetchAgain, fetchAgain
	case g.spooling:
		patience, words = spoolPatience, spoolPatience
	}
	return g.lacks && (now.Sub(h.moved) >= patience || now.Sub(h.even) >= dripPatience) || g.wordless && now.Sub(h.level) >= words
}

// fetchOnce asks one region, and the next one the next time.
func (c *Cluster) fetchOnce(h *hunger) {
	from := c.sources()
	if len(from) == 0 || time.Since(h.asked) < h.rest {
		return
	}
	m := from[h.turn%len(from)]
	h.turn, h.asked = h.turn+1, time.Now()
	before := c.book.own.Floor()
	err := c.fetchFrom(m, h.spool)
	if err != nil && c.ctx.Err() == nil {
		c.note(slog.LevelWarn, m.Region, "not fetched", slog.Uint64("after", before), slog.String("error", err.Error()))
	}
	if errs.CodeOf(err) == errs.DeadlineExceeded { // of a liar, or large: the next one has longer
		h.spool = min(2*h.spool, fetchSpoolMost)
	}
	if floor := c.book.own.Floor(); floor > before {
		c.fetched.Add(1)
		c.note(slog.LevelWarn, m.Region, "fetched what the leader did not bring", slog.Uint64("after", before), slog.Uint64("up_to", floor))
		h.floor, h.fed, h.rest, h.spool = floor, time.Now(), 0, fetchSpool
	} else if h.rest = min(2*h.rest, fetchRest); h.rest == 0 || errs.CodeOf(err) == errs.Unavailable { // the log was cut: at once
		h.rest = fetchPatience / 2
	}
}

// sources are the regions that may be asked: not the leader, which brings what it likes.
func (c *Cluster) sources() (out []Member) {
	leader := identity.RegionID(0)
	if rec := c.book.record(); rec.Proof != nil {
		leader = rec.Proof.Leader
	}
	for _, m := range c.Members() {
		if m.Region != c.book.self && m.Region != leader && m.Region != 0 {
			out = append(out, m)
		}
	}
	return out
}

// fetchFrom asks a region for what is certified beyond the own log, and takes it: entries,
// or a snapshot if that region's log does not reach down to what is lacking, which must have
// come within some time.
func (c *Cluster) fetchFrom(m Member, within time.Duration) error {
	after := c.book.own.Floor()
	p, from, err := c.ask(m, &request{Kind: kindFetch, Fetch: &fetch{after}})
	if err == nil {
		err = c.learn(p)
	}
	if err != nil {
		return err
	}
	if raw := find(p.Items, itemSnapshot); raw != nil {
		return c.takeSnapshot(m, from, raw, p.Items, time.Now().Add(within))
	}
	f, err := c.inspectFetched(after, p)
	if err != nil || f == nil {
		return err
	}
	return c.takeFetched(from, f)
}

// ask puts one question, and waits for the answer for a bounded time, however slowly it
// comes.
func (c *Cluster) ask(m Member, q *request) (*reply, remote, error) {
	within := 2 * c.transport.beat
	ctx, cancel := context.WithTimeout(c.ctx, within)
	defer cancel()
	q.Header = c.transport.header()
	p, conn, err := c.transport.callUntil(ctx, raft.ServerID(m.ServerID), raft.ServerAddress(m.Addr), q, within, nil)
	if err != nil {
		return nil, remote{}, err
	}
	return p, conn.peer, nil
}

// learn takes who leads, and the newest acks of all, from whoever tells it: both prove
// themselves.
func (c *Cluster) learn(p *reply) error {
	if raw := find(p.Items, itemProof); raw != nil {
		proof, err := chain.DecodeLeaderProof(raw)
		if err != nil {
			return err
		}
		if proof.Term >= c.book.record().Term {
			if err := c.believeLeader(remote{region: proof.Leader}, proof); err != nil {
				return err
			}
		}
	}
	acks, err := decodeAcks(find(p.Items, itemAcks))
	if err == nil {
		c.hearAll(acks)
	}
	return err
}

// inTheName finds the server of the region that leads a term: what is fetched goes to raft
// in its name, in its term.
func (c *Cluster) inTheName(in *instance, rec *record) (remote, raft.RPCHeader, error) {
	if rec.Proof == nil || rec.Proof.Leader == c.book.self {
		return remote{}, raft.RPCHeader{}, errs.New(errs.NotReady, "nobody else is proven to lead term %d", rec.Term)
	}
	_, led := in.raft.LeaderWithID()
	members := c.Members()
	i := slices.IndexFunc(members, func(m Member) bool { return m.Region == rec.Proof.Leader && m.ServerID == string(led) })
	if i < 0 {
		i = slices.IndexFunc(members, func(m Member) bool { return m.Region == rec.Proof.Leader })
	}
	if i < 0 {
		return remote{}, raft.RPCHeader{}, errs.New(errs.NotReady, "region %d leads term %d and is no member", rec.Proof.Leader, rec.Term)
	}
	m := members[i]
	return remote{m.Region, raft.ServerID(m.ServerID)},
		raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(m.ServerID), Addr: []byte(m.Addr)}, nil
}
