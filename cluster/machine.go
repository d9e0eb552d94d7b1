package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// replica stands between raft and the Machine. It outlives restarts of raft within
// the process: what the machine applied is not applied again when raft replays.
type replica struct {
	machine  Machine
	entries  Sealer
	snaps    Sealer
	lineage  [32]byte
	chain    *chainStore
	decoded  *decodedCache
	admit    func(*command.Entry) error // may be nil
	fatal    func(error)
	advanced func(link) // after the machine applied; must not block
	log      *slog.Logger

	mu      sync.Mutex
	applied link // last entry the machine applied
	seen    uint64
	stamp   time.Time
	halted  error
	config  uint64        // index of the last committed membership
	news    chan struct{} // closed when applied moves; nil when nobody waits
}

var _ raft.BatchingFSM = (*replica)(nil)

// Apply implements raft.FSM; raft uses ApplyBatch.
func (r *replica) Apply(l *raft.Log) any { return r.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM: one answer a log, memberships included.
func (r *replica) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	if r.haltedErr() != nil {
		return out
	}
	var batch []fsm.Input
	var places []int
	for i, l := range logs {
		if l.Type == raft.LogConfiguration {
			r.configured(l.Index)
		}
		if l.Type != raft.LogCommand || l.Index <= r.at().index {
			continue
		}
		in, err := r.input(l)
		if err != nil {
			r.halt(err)
			return out
		}
		batch, places = append(batch, in), append(places, i)
	}
	last, err := linkOf(logs[len(logs)-1])
	if err != nil {
		r.halt(err)
		return out
	}
	if len(batch) > 0 {
		outcomes := r.machine.Apply(batch)
		for i, o := range outcomes {
			out[places[i]] = o
		}
	}
	r.advance(last, batch)
	return out
}

// input finds or opens the entry of a committed log. What does not open or decode
// halts the node: skipping it would fork the state.
func (r *replica) input(l *raft.Log) (fsm.Input, error) {
	at, err := linkOf(l)
	if err != nil {
		return fsm.Input{}, err
	}
	e := r.decoded.take(at.chain)
	if e == nil {
		if e, err = r.reopen(l, at); err != nil {
			return fsm.Input{}, err
		}
	}
	return fsm.Input{Meta: command.Meta{Index: l.Index, Term: l.Term, Chain: at.chain}, Entry: e}, nil
}

// reopen trusts nothing about a log that was read back from disk.
func (r *replica) reopen(l *raft.Log, at link) (*command.Entry, error) {
	prev, err := r.chain.mustAt(l.Index - 1)
	if err != nil {
		return nil, err
	}
	if ChainHash(prev.chain, l.Term, l.Index, l.Type, sha256.Sum256(l.Data)) != at.chain {
		return nil, errs.New(errs.Corrupt, "committed entry %d does not match its chain hash", l.Index)
	}
	e, err := openEntry(r.entries, r.lineage, l.Data)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "committed entry %d", l.Index).
			WithHint("this version cannot read what the cluster committed: it must not go on")
	}
	if r.admit != nil {
		_ = r.admit(e) // it is committed, whatever this says: its signatures are checked in parallel
	}
	return e, nil
}

func (r *replica) advance(last link, batch []fsm.Input) {
	r.mu.Lock()
	r.seen = max(r.seen, last.index)
	moved := last.index > r.applied.index
	if moved {
		r.applied = last
		if r.news != nil {
			close(r.news)
			r.news = nil
		}
	}
	for _, in := range batch {
		if in.Entry.Stamp.After(r.stamp) {
			r.stamp = in.Entry.Stamp
		}
	}
	r.mu.Unlock()
	if moved {
		r.advanced(last)
	}
}

func (r *replica) configured(index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.config = max(r.config, index)
}

// configuration returns where the last committed membership stands.
func (r *replica) configuration() (index uint64, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.config, r.config > 0
}

func (r *replica) at() link {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied
}

func (r *replica) lastStamp() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stamp
}

func (r *replica) haltedErr() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.halted
}

// halt stops applying for good and ends the node.
func (r *replica) halt(err error) {
	r.mu.Lock()
	if r.halted == nil {
		r.halted = err
	}
	if r.news != nil {
		close(r.news)
		r.news = nil
	}
	r.mu.Unlock()
	r.fatal(err)
}

// wait returns once the machine applied index.
func (r *replica) wait(ctx context.Context, index uint64) error {
	for {
		r.mu.Lock()
		if r.applied.index >= index {
			r.mu.Unlock()
			return nil
		}
		if r.halted != nil {
			r.mu.Unlock()
			return errs.Wrap(errs.NotReady, r.halted, "this region has stopped applying")
		}
		if r.news == nil {
			r.news = make(chan struct{})
		}
		news := r.news
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

// Snapshot implements raft.FSM. While raft replays what the machine already holds,
// its idea of the index is behind the state: no snapshot then.
func (r *replica) Snapshot() (raft.FSMSnapshot, error) {
	r.mu.Lock()
	behind, halted := r.seen < r.applied.index, r.halted
	r.mu.Unlock()
	if halted != nil {
		return nil, halted
	}
	if behind {
		return nil, raft.ErrNothingNewToSnapshot
	}
	state, err := r.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	return &pendingSnapshot{r, state}, nil
}

type pendingSnapshot struct {
	r     *replica
	state io.WriterTo
}

// Persist seals the state into the sink. Later, the other regions' signatures over
// the snapshot are gathered here: an error comes before the log is compacted.
func (p *pendingSnapshot) Persist(s raft.SnapshotSink) error {
	k, ok := s.(*sink)
	if !ok {
		return errs.New(errs.Internal, "snapshot sink of type %T", s)
	}
	h, err := k.header()
	if err != nil {
		return err
	}
	w, err := newEnvelopeWriter(k, h, p.r.snaps)
	if err != nil {
		return err
	}
	if _, err := p.state.WriteTo(w); err != nil {
		return err
	}
	return w.Close()
}

func (p *pendingSnapshot) Release() {}

// Restore implements raft.FSM; in are the sealed bytes. A snapshot at or below what
// the machine applied is skipped: state never goes back.
func (r *replica) Restore(in io.ReadCloser) error {
	defer in.Close()
	e, err := newEnvelopeReader(in, r.snaps)
	if err != nil {
		return err
	}
	if e.Header.Lineage != r.lineage {
		return errs.New(errs.Stale, "snapshot belongs to another lineage")
	}
	r.configured(e.Header.ConfigIndex)
	if e.Header.Link.index <= r.at().index {
		_, err := io.Copy(io.Discard, e)
		r.replayed(e.Header.Link.index)
		return err
	}
	if err := r.machine.Restore(e); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, e); n != 0 || err != nil {
		err = errors.Join(err, errs.New(errs.Corrupt, "snapshot at %d: state ends before the snapshot does", e.Header.Link.index))
		r.halt(err)
		return err
	}
	r.log.Info("state restored from a snapshot", slog.Uint64("index", e.Header.Link.index))
	r.advance(e.Header.Link, nil)
	return nil
}

func (r *replica) replayed(index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = max(r.seen, index)
}

// restarted notes that raft begins again from its newest snapshot.
func (r *replica) restarted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = 0
}
