package cluster

import (
	"context"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// A leader that sends heartbeats and does not do its work is left. A region that brought
// its leader a command and does not see it decided, by its own replica, shows it to the
// others; each brings it too and watches. Whoever waits too long complains to the others,
// and who complains itself and hears two others complain leaves. So one region alone
// deposes nobody, and an honest leader is free of suspicion as soon as it commits the
// command, whatever its outcome: nothing it answers counts for it or against it.

// show is what a region says of a command, or of the leader.
type show struct {
	Term      uint64 // of the leader
	Complains bool   // the leader's time is up, for whatever command
}

// Brought notes that a command goes to the leader, in the name of whoever signed it. The
// caller hands the leader's answer to answered and passes on what that returns: a refusal
// that nothing in the log bears out may be no more than the leader's word, and becomes
// errs.OutcomeUnknown where this region goes on bringing the command itself.
func (c *Cluster) Brought(cmd *command.Command) (answered func(context.Context, error) error) {
	term, _, heard := c.followed()
	q := (*due)(nil)
	if heard && !c.IsLeader() {
		q = c.dues.bring(cmd)
	}
	return func(ctx context.Context, err error) error {
		if q == nil || err == nil || errs.CodeOf(err) == errs.OutcomeUnknown {
			return err
		}
		if givenUp(err) {
			return errs.Wrap(errs.OutcomeUnknown, err, "nobody waits for command %s any more, and it is brought again", cmd.ID).
				WithHint("ask again with the same id")
		}
		now, _, heard := c.followed()
		if (!busyLeader(err) || heard && now == term && c.dues.put(q)) && c.unborne(ctx, q) || !c.dues.drop(q) {
			return errs.Wrap(errs.OutcomeUnknown, err, "the leader refuses command %s, and the log does not say so: it is brought again", cmd.ID).
				WithHint("ask again with the same id")
		}
		return err
	}
}

// givenUp tells the end of somebody's patience from refusals.
func givenUp(err error) bool {
	code := errs.CodeOf(err)
	return code == errs.Canceled || code == errs.DeadlineExceeded
}

// busyLeader tells what a leader refuses without proposing it, for reasons of its own.
// Few such commands put it to the test: whoever asks in vain because of too much work is
// not to make more of it.
func busyLeader(err error) bool {
	switch errs.CodeOf(err) {
	case errs.Throttled, errs.DiskFull, errs.NotReady, errs.NotLeader, errs.NoLeader, errs.Unavailable, errs.Sealed, errs.Stale:
		return true
	}
	return false
}

// unborne reports whether a refused command is owed a decision, and the log does not show
// one within moments.
func (c *Cluster) unborne(ctx context.Context, q *due) bool {
	if c.owes(q.cmd) != nil {
		return false
	}
	select {
	case <-q.gone:
		return !q.seen
	case <-ctx.Done():
	case <-time.After(c.cfg.Timing.Patience / 4):
	}
	return true
}

// owes is nil if an honest leader would see to it that a command is decided.
func (c *Cluster) owes(cmd *command.Command) error {
	if c.cfg.Owed == nil {
		return nil
	}
	return c.cfg.Owed(cmd)
}

// followed returns the leader that is heard and believed now.
func (c *Cluster) followed() (term uint64, leader identity.RegionID, ok bool) {
	rec := c.book.record()
	led, ok := c.Leader()
	return rec.Term, led, ok && rec.Proof != nil && rec.Proof.Leader == led
}

// keepWilling watches the leader. Time counts in turns of this loop: a process that was
// stopped has not waited.
func (c *Cluster) keepWilling() {
	turn := c.cfg.Timing.Patience / 8
	for last := time.Now(); c.ctx.Err() == nil; {
		sleep(c.ctx, turn, nil)
		now := time.Now()
		passed := min(now.Sub(last), 2*turn)
		last = now
		if term, leader, ok := c.followed(); ok && liar.Defends(liar.Willing) {
			c.dues.under(term, leader)
			c.dues.ripe(c.cfg.Timing.Patience/2, c.owes)
			c.watchLeader(term, leader, passed)
		}
	}
}

// hears reports whether the leader spoke just now: raft believes in it for much longer.
func (c *Cluster) hears(leader identity.RegionID) bool {
	return leader == c.book.self || time.Since(time.Unix(0, c.heard.Load())) < c.cfg.Timing.Heartbeat/2
}

// watchLeader brings what is owed once more, tells the others, and leaves a leader whose
// time is up for three regions.
func (c *Cluster) watchLeader(term uint64, leader identity.RegionID, passed time.Duration) {
	var late *due
	lags, hears := c.book.known() > c.Applied(), c.hears(leader)
	c.dues.listen(hears, c.cfg.Timing.Patience)
	for _, q := range c.dues.opened() {
		if c.owes(q.cmd) != nil {
			c.dues.mu.Lock()
			c.dues.remove(q, false)
			c.dues.mu.Unlock()
			continue
		}
		c.bringAgain(q, term, leader)
		if leader == c.book.self || !hears || c.transport.fenced() || c.dues.rests() {
			continue // an own disk that stands still decides nothing
		}
		if c.dues.age(q, passed, c.cfg.Timing.Patience, lags) && late == nil {
			late = q
		}
	}
	others := c.dues.complaints(c.cfg.Timing.Patience)
	if late == nil && (others == 0 || liar.Defends(liar.Complaints)) {
		return
	}
	if late != nil && c.dues.turn(late, c.book.self, c.cfg.Timing.Patience/4) {
		c.tellOthers(&show{term, true}, nil, leader)
	}
	if 1+others >= chain.Quorum(c.book.roster.Regions()) || !liar.Defends(liar.Complaints) {
		c.leaveLeader(term, leader, late)
	}
}

// bringAgain puts a command before the leader, and what was brought here before the others.
func (c *Cluster) bringAgain(q *due, term uint64, leader identity.RegionID) {
	patience := c.cfg.Timing.Patience
	for _, m := range c.Members() {
		switch {
		case m.Region == c.book.self && leader == c.book.self:
			if c.dues.turn(q, m.Region, patience) {
				c.proposeShown(m.Region, q.cmd)
			}
		case m.Region == c.book.self:
		case m.Region == leader && c.dues.turn(q, leader, patience/2), m.Region != leader && q.from == c.book.self && c.dues.turn(q, m.Region, patience):
			c.tellShow(m, &show{Term: term}, q.cmd)
		}
	}
}

func (c *Cluster) tellOthers(s *show, cmd *command.Command, leader identity.RegionID) {
	for _, m := range c.Members() {
		if m.Region != c.book.self && m.Region != leader {
			c.tellShow(m, s, cmd)
		}
	}
}

func (c *Cluster) tellShow(to Member, s *show, cmd *command.Command) {
	q := &request{Kind: kindShow, Header: c.transport.header(), Show: s}
	if cmd != nil {
		q.Items = append(q.Items, item{itemCommand, cmd.Encode()})
	}
	c.wg.Go(func() {
		if err := c.transport.tell(c.ctx, raft.ServerID(to.ServerID), raft.ServerAddress(to.Addr), q, c.transport.beat); err != nil {
			c.log.Debug("not shown", slog.Int("region", int(to.Region)), slog.String("error", err.Error()))
		}
	})
}

// leaveLeader stops hearing a leader for the rest of its term. That the next election has
// another outcome, nobody here votes for it for a while: it may hold what nobody else got.
func (c *Cluster) leaveLeader(term uint64, leader identity.RegionID, q *due) {
	rest := c.dues.leave()
	c.book.passOver(leader, time.Now().Add(rest))
	if !c.book.fence(leader, term) {
		return
	}
	c.log.LogAttrs(c.ctx, slog.LevelError, "leader left: it did not decide a command in time", append(q.attrs(), slog.Int("leader", int(leader)), slog.Uint64("term", term))...)
	c.news.fire()
	if c.cfg.Left != nil {
		c.cfg.Left(leader)
	}
}

func (q *due) attrs() []slog.Attr {
	if q == nil {
		return nil
	}
	return []slog.Attr{slog.String("command", q.cmd.ID.String()), slog.String("type", q.cmd.Type.String()),
		slog.Int("shown_by", int(q.from)), slog.Duration("within", q.waited)}
}

// serveShow hears of a command that another region says is owed, or its complaint.
func (c *Cluster) serveShow(from remote, q *request) {
	if !c.isMember(from) {
		return
	}
	if rec := c.book.record(); q.Show.Complains && q.Show.Term == rec.Term {
		c.dues.complained(from.region, rec.Term)
	}
	raw := find(q.Items, itemCommand)
	if raw == nil {
		return
	}
	cmd, err := command.Decode(raw)
	if err == nil && c.IsLeader() {
		err = c.proposeFor(from.region, cmd)
	} else if err == nil {
		err = c.dues.show(from.region, cmd, c.owes)
	}
	if err != nil {
		c.note(slog.LevelInfo, from.region, "a command that was shown is not brought", slog.String("why", err.Error()))
	}
}

// proposeFor judges a command shown to the leader.
func (c *Cluster) proposeFor(from identity.RegionID, cmd *command.Command) error {
	if !c.dues.spend(from) {
		return errs.New(errs.Throttled, "region %d shows commands too often", from)
	}
	if err := c.owes(cmd); err != nil {
		return err
	}
	c.proposeShown(from, cmd)
	return nil
}

// proposeShown proposes a command unless it is being proposed already.
func (c *Cluster) proposeShown(from identity.RegionID, cmd *command.Command) {
	done := c.dues.propose(from, cmd)
	if done == nil {
		return
	}
	c.wg.Go(func() {
		defer done()
		ctx, cancel := context.WithTimeout(c.ctx, c.cfg.Timing.Patience)
		defer cancel()
		if _, err := c.Propose(ctx, cmd); err != nil {
			c.log.Debug("a command that was shown is not proposed", slog.String("command", cmd.ID.String()), slog.String("error", err.Error()))
		}
	})
}
