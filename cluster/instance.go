package cluster

import (
	"context"
	"log/slog"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// instance is one run of raft. The cluster can stop one, change the log, and start
// another without the process noticing.
type instance struct {
	raft  *raft.Raft
	end   *endpoint
	watch *raft.Observer
	wg    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	asked  sync.WaitGroup
}

// ask puts something to raft and waits for the answer. raft answers everything as long
// as it runs, and forgets what still waits in its queues when it ends: close lets what
// was asked be answered first, or its asker would wait for ever.
func (in *instance) ask(put func(*raft.Raft) raft.Future) (raft.Future, error) {
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		return nil, raft.ErrRaftShutdown
	}
	in.asked.Add(1)
	in.mu.Unlock()
	defer in.asked.Done()
	f := put(in.raft)
	return f, f.Error()
}

func (c *Cluster) newEndpoint() *endpoint {
	life, end := context.WithCancel(context.Background())
	return &endpoint{transport: c.transport, rpc: make(chan raft.RPC), stop: make(chan struct{}), life: life, end: end}
}

func (c *Cluster) newInstance() (in *instance, err error) {
	in = &instance{end: c.newEndpoint()}
	leading := make(chan bool, 64) // raft waits for room
	defer func() {
		if p := recover(); p != nil { // raft panics on a log it cannot read
			err = errs.New(errs.Corrupt, "raft does not start: %v", p)
		}
	}()
	in.raft, err = raft.NewRaft(c.raftConfig(leading), c.replica, c.chain, c.stable, c.snapshots, in.end)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "raft does not start")
	}
	changes := make(chan raft.Observation, 64)
	in.watch = raft.NewObserver(changes, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	in.raft.RegisterObserver(in.watch)
	in.wg.Go(func() { c.watch(in, leading, changes) })
	return in, nil
}

// watch passes on changes of leadership.
func (c *Cluster) watch(in *instance, leading <-chan bool, changes <-chan raft.Observation) {
	was := false
	for {
		select {
		case is := <-leading:
			if was = is; c.cfg.OnLeader != nil {
				c.cfg.OnLeader(is)
			}
			c.log.Info("leadership", slog.Bool("leading", is), slog.Uint64("term", in.raft.CurrentTerm()))
		case o := <-changes:
			if l, ok := o.Data.(raft.LeaderObservation); ok && l.LeaderID == "" {
				c.losses.Add(1)
			}
		case <-in.end.stop:
			if was && c.cfg.OnLeader != nil {
				c.cfg.OnLeader(false)
			}
			return
		}
		c.news.fire()
	}
}

// close stops raft and waits for it. Connections go first: calls in flight would
// keep raft's goroutines for as long as they last.
func (in *instance) close(t *transport) error {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.asked.Wait()
	stopping := in.raft.Shutdown()
	close(in.end.stop)
	in.end.end()
	t.reset()
	err := stopping.Error()
	in.raft.DeregisterObserver(in.watch)
	in.wg.Wait()
	return err
}

// restart stops raft, lets between change what it stores, and starts it again.
func (c *Cluster) restart(between func() error) error {
	select {
	case c.life <- struct{}{}:
	case <-c.ctx.Done():
		return errStopped
	}
	defer func() { <-c.life }()
	in := c.inst.Swap(nil)
	if in == nil {
		return errStopped
	}
	if err := in.close(c.transport); err != nil {
		return err
	}
	c.restarts.Add(1)
	if err := between(); err != nil {
		c.die(err)
		return err
	}
	in, err := c.newInstance()
	if err != nil {
		c.die(err)
		return err
	}
	c.inst.Store(in)
	c.news.fire()
	return nil
}

// cut deletes the log from index on, with raft stopped. The caller holds the gate.
func (c *Cluster) cut(index uint64) error {
	err := c.restart(func() error {
		last, err := c.chain.LastIndex()
		if err != nil || last < index {
			return err
		}
		return c.chain.DeleteRange(index, last)
	})
	if err != nil {
		return errs.Wrap(errs.CodeOf(err), err, "cutting the log from %d", index)
	}
	return errs.New(errs.Unavailable, "log was cut from %d: send again", index)
}

// lastStored is the last index in log or snapshot.
func (c *Cluster) lastStored() uint64 { return c.chain.links.tail() }
