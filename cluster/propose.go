package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// proposer batches commands into entries. One entry is in flight at a time: what
// arrives while one commits rides in the next. At light load an entry holds one
// command, under load many, and then the next one waits a little for more (gather). Of
// light load only completions wait for a timer: their clients have been answered, and an
// entry of their own would delay the next request.
type proposer struct {
	propose func(context.Context, []*command.Command) ([]fsm.Outcome, error)
	ctx     context.Context

	mu    sync.Mutex
	queue []*proposal
	calls int // of the queue, those somebody waits for
	bytes int
	stop  error
	wake  chan struct{}
}

type proposal struct {
	cmd   *command.Command
	size  int
	due   time.Time // when it goes even if it goes alone; zero: at once
	taken bool
	done  chan struct{}
	out   fsm.Outcome
	err   error
}

func newProposer(ctx context.Context, propose func(context.Context, []*command.Command) ([]fsm.Outcome, error)) *proposer {
	return &proposer{propose: propose, ctx: ctx, wake: make(chan struct{}, 1)}
}

// submit queues one command and waits for its outcome. Until the command is taken
// into an entry it can still be withdrawn; after that an end of ctx says nothing
// about what happens to it.
func (p *proposer) submit(ctx context.Context, cmd *command.Command) (fsm.Outcome, error) {
	canonical, size, err := recode(cmd)
	if err != nil {
		return fsm.Outcome{}, err
	}
	q := &proposal{cmd: canonical, size: size, done: make(chan struct{})}
	if canonical.Type == command.TypeComplete {
		q.due = time.Now().Add(completionWait)
	}
	if err := p.enqueue(q); err != nil {
		return fsm.Outcome{}, err
	}
	select {
	case <-q.done:
		return q.out, q.err
	case <-ctx.Done():
	}
	if p.withdraw(q) {
		return fsm.Outcome{}, errs.Wrap(errs.CodeOf(ctx.Err()), ctx.Err(), "command %s was not proposed", cmd.ID)
	}
	select {
	case <-q.done: // the race was won after all
		return q.out, q.err
	default:
		return fsm.Outcome{}, errs.Wrap(errs.OutcomeUnknown, ctx.Err(), "command %s was proposed and may be committed", cmd.ID).
			WithHint("ask again with the same id")
	}
}

// recode returns the command as every other node will read it, so that the leader
// applies exactly what it sent, and refuses what could not be decoded again: such an
// entry would halt every node.
func recode(cmd *command.Command) (*command.Command, int, error) {
	b := cmd.Encode()
	c, err := command.Decode(b)
	return c, len(b), err
}

func (p *proposer) enqueue(q *proposal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stop != nil:
		return p.stop
	case len(p.queue) >= maxQueue, p.bytes+q.size > maxQueueBytes:
		return errs.New(errs.Throttled, "%d commands wait for a proposal", len(p.queue)).WithHint("try again shortly")
	}
	p.queue = append(p.queue, q)
	p.count(q, 1)
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

// count books a proposal that comes into the queue or leaves it.
func (p *proposer) count(q *proposal, by int) {
	p.bytes += by * q.size
	if q.due.IsZero() {
		p.calls += by
	}
}

func (p *proposer) withdraw(q *proposal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.taken {
		return false
	}
	for i, o := range p.queue {
		if o == q {
			p.queue = append(p.queue[:i:i], p.queue[i+1:]...)
			p.count(q, -1)
			return true
		}
	}
	return false
}

// take removes the commands of the next entry from the queue. It returns nothing while
// only completions are there, and how long the first of them may still wait.
func (p *proposer) take() (batch []*proposal, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil, 0
	}
	if wait = time.Until(p.queue[0].due); p.calls == 0 && wait > 0 {
		return nil, wait
	}
	const overhead = 64
	n, size := 0, overhead
	for n < len(p.queue) && n < command.MaxCommands {
		if size += p.queue[n].size + 4; size > command.MaxEntry {
			break
		}
		p.queue[n].taken = true
		p.count(p.queue[n], -1)
		n++
	}
	batch = append(batch, p.queue[:n]...)
	p.queue = append([]*proposal(nil), p.queue[n:]...)
	return batch, 0
}

func (p *proposer) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}

// run proposes until ctx ends, then refuses what still waits.
func (p *proposer) run() {
	rest := time.Duration(0)
	for {
		if rest > 0 {
			p.gather(rest)
		}
		batch, wait := p.take()
		if rest = 0; len(batch) > 0 {
			begun := time.Now()
			p.commit(batch)
			rest = gatherFor(len(batch), time.Since(begun))
			continue
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-p.wake:
		case <-due:
		case <-p.ctx.Done():
			p.close(errs.New(errs.Unavailable, "this region is shutting down"))
			return
		}
	}
}

// gatherFor returns how long the next entry waits for company after one of so many
// commands, and how long that one took. What every entry costs all regions is a
// fifth of a signature's processor time at twenty commands an entry; the wait shares it among more.
func gatherFor(commands int, took time.Duration) time.Duration {
	if commands < gatherFrom {
		return 0
	}
	return min(took/2, gatherMost)
}

// gather waits, or until the queue would fill an entry.
func (p *proposer) gather(wait time.Duration) {
	end := time.NewTimer(wait)
	defer end.Stop()
	for p.waiting() < command.MaxCommands {
		select {
		case <-p.wake:
		case <-end.C:
			return
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *proposer) close(err error) {
	p.mu.Lock()
	rest := p.queue
	p.queue, p.stop = nil, err
	p.mu.Unlock()
	for _, q := range rest {
		q.err = err
		close(q.done)
	}
}

func (p *proposer) commit(batch []*proposal) {
	cmds := make([]*command.Command, len(batch))
	for i, q := range batch {
		cmds[i] = q.cmd
	}
	out, err := p.propose(p.ctx, cmds)
	if err == nil && len(out) != len(batch) {
		err = errs.New(errs.OutcomeUnknown, "committed, but the state machine gave %d outcomes for %d commands", len(out), len(batch))
	}
	for i, q := range batch {
		if q.err = err; err == nil {
			q.out = out[i]
		}
		close(q.done)
	}
}

// proposeEntry stamps, seals and commits one entry of this leader.
func (c *Cluster) proposeEntry(_ context.Context, cmds []*command.Command) ([]fsm.Outcome, error) {
	in := c.instance()
	if in == nil {
		return nil, errs.New(errs.Unavailable, "this region is shutting down")
	}
	if in.raft.State() != raft.Leader {
		return nil, c.notLeader()
	}
	entry := &command.Entry{Stamp: c.stamp(), Commands: cmds}
	if !c.stampable(in, entry.Stamp) {
		return nil, c.giveWay(in)
	}
	entry = c.falseEntry(entry)
	if c.cfg.Admit != nil {
		if err := c.cfg.Admit(entry); err != nil { // followers would refuse it, for ever
			return nil, err
		}
	}
	sealed, err := c.cfg.EntrySealer.Seal(entry.Encode(), entryContext(c.cfg.Lineage))
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "sealing an entry")
	}
	sealed = c.falseBytes(sealed)
	defer c.decoded.propose(sealed, entry)()
	f, err := in.ask(func(r *raft.Raft) raft.Future { return r.Apply(sealed, c.cfg.Timing.HungWrite) })
	if err != nil {
		return nil, c.proposalError(err)
	}
	out, ok := f.(raft.ApplyFuture).Response().([]fsm.Outcome)
	if !ok {
		return nil, errs.New(errs.OutcomeUnknown, "committed, but this region stopped before applying it")
	}
	return out, nil
}

// stamp is this node's clock, never before an earlier entry's.
func (c *Cluster) stamp() time.Time {
	now := later(c.cfg.Now().UTC().Truncate(time.Millisecond), c.replica.lastStamp())
	if c.cfg.Time == nil {
		return now
	}
	clock, _ := c.cfg.Time() // after a snapshot only the state knows
	return later(now, clock)
}

// proposalError tells what is known not to have happened from what is unknown.
func (c *Cluster) proposalError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return c.notLeader()
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return errs.Wrap(errs.NoLeader, err, "leadership is being handed over").WithHint("try again shortly")
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return errs.Wrap(errs.Throttled, err, "the leader did not take the entry in time")
	}
	return errs.Wrap(errs.OutcomeUnknown, err, "the entry may or may not be committed").WithHint("ask again with the same id")
}

func (c *Cluster) notLeader() error {
	if region, ok := c.Leader(); ok && region != c.cfg.Session.Cert.Region {
		return errs.New(errs.NotLeader, "region %d leads", region)
	}
	return errs.New(errs.NoLeader, "no leader is known").WithHint("three of four regions must be reachable to each other")
}
