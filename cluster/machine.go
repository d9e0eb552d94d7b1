package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"slices"
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
	machine   Machine
	entries   Sealer
	snaps     Sealer
	lineage   [32]byte
	chain     *chainStore
	decoded   *decodedCache
	admit     func(*command.Entry) error // may be nil
	fits      func() error               // may be nil
	fatal     func(error)
	advanced  func(link) // after the machine applied; must not block
	dues      *dues
	certified func(index uint64) bool
	vouched   func(*mark) (*voucher, error) // by a quorum
	kept      *snapshotStore
	marks     *marks
	log       *slog.Logger

	mu      sync.Mutex
	applied link // last entry the machine applied
	stamp   time.Time
	halted  error
	config  uint64 // index of the last committed membership
	members raft.Configuration
	news    chan struct{} // closed when applied moves; nil when nobody waits
}

var _ raft.BatchingFSM = (*replica)(nil)

// Apply implements raft.FSM; raft uses ApplyBatch.
func (r *replica) Apply(l *raft.Log) any { return r.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM: one answer a log, memberships included.
func (r *replica) ApplyBatch(logs []*raft.Log) []any {
	b := &batch{r: r, out: make([]any, len(logs))}
	if r.haltedErr() != nil {
		return b.out
	}
	for i, l := range logs {
		if err := b.add(i, l); err != nil {
			r.halt(err)
			return b.out
		}
	}
	last, err := linkOf(logs[len(logs)-1])
	if err != nil {
		r.halt(err)
		return b.out
	}
	b.apply(last)
	return b.out
}

// batch is what goes to the machine at once: the rest of raft's batch, or what comes
// before a mark.
type batch struct {
	r      *replica
	out    []any
	inputs []fsm.Input
	places []int
}

func (b *batch) add(i int, l *raft.Log) error {
	r := b.r
	if !r.certified(l.Index) {
		return errs.New(errs.Internal, "raft commits entry %d, which is not certified", l.Index)
	}
	if l.Type == raft.LogConfiguration {
		return r.configured(l.Data, l.Index)
	}
	if l.Type != raft.LogCommand || l.Index <= r.at().index {
		return nil
	}
	in, err := r.input(l)
	if err != nil {
		return err
	}
	b.inputs, b.places = append(b.inputs, in), append(b.places, i)
	mark, err := r.marks.due(l)
	if err != nil {
		return err
	}
	at := link{l.Index, l.Term, in.Meta.Chain}
	if raises(in.Entry) { // nothing that comes after it may be misread
		b.apply(at)
		if err := r.outgrown(); err != nil {
			return err
		}
	}
	if !mark {
		return nil
	}
	b.apply(at)
	return r.mark(at)
}

func raises(e *command.Entry) bool {
	return slices.ContainsFunc(e.Commands, func(c *command.Command) bool { return c.Type == command.TypeRaiseLevel })
}

// outgrown reports that this release does not understand the state any more.
func (r *replica) outgrown() error {
	if r.fits == nil {
		return nil
	}
	return r.fits()
}

func (b *batch) apply(last link) {
	if len(b.inputs) > 0 {
		outcomes := b.r.machine.Apply(b.inputs)
		for i, o := range outcomes {
			b.out[b.places[i]] = o
		}
		b.r.dues.applied(b.inputs, outcomes)
	}
	b.r.advance(last, b.inputs)
	b.inputs, b.places = nil, nil
}

// mark keeps the state as it stands after an entry.
func (r *replica) mark(at link) error {
	state, err := r.machine.Snapshot()
	if err != nil {
		return err
	}
	r.mu.Lock()
	k := &mark{at: at, state: state, config: r.members.Clone(), configIndex: r.config}
	r.mu.Unlock()
	r.marks.set(k)
	return nil
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

func (r *replica) advance(last link, inputs []fsm.Input) {
	r.mu.Lock()
	moved := last.index > r.applied.index
	if moved {
		r.applied = last
		if r.news != nil {
			close(r.news)
			r.news = nil
		}
	}
	for _, in := range inputs {
		if in.Entry.Stamp.After(r.stamp) {
			r.stamp = in.Entry.Stamp
		}
	}
	r.mu.Unlock()
	if moved {
		r.advanced(last)
	}
}

func (r *replica) configured(encoded []byte, index uint64) error {
	members, err := decodeConfiguration(encoded)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if index >= r.config {
		r.config, r.members = index, members
	}
	return nil
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

// Snapshot implements raft.FSM: the state at the newest mark, if no snapshot has it yet.
func (r *replica) Snapshot() (raft.FSMSnapshot, error) {
	if err := r.haltedErr(); err != nil {
		return nil, err
	}
	k := r.marks.newest(r.kept.newestIndex())
	if k == nil {
		return nil, raft.ErrNothingNewToSnapshot
	}
	return &pendingSnapshot{r, k}, nil
}

type pendingSnapshot struct {
	r *replica
	k *mark
}

// Persist seals the state into the sink and gathers the other regions' signatures over
// it: an error comes before the log is compacted.
func (p *pendingSnapshot) Persist(s raft.SnapshotSink) error {
	k, ok := s.(*sink)
	if !ok {
		return errs.New(errs.Internal, "snapshot sink of type %T", s)
	}
	h, err := k.header(p.k)
	if err != nil {
		return err
	}
	w, err := newEnvelopeWriter(k, h, p.r.snaps)
	if err != nil {
		return err
	}
	if _, err := p.k.state.WriteTo(w); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	v, err := p.r.vouched(p.k)
	if err != nil {
		return err
	}
	p.r.marks.done(p.k.at.index)
	return p.r.kept.keepVoucher(v)
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
	if err := r.configured(e.Header.Config, e.Header.ConfigIndex); err != nil {
		return err
	}
	if e.Header.Link.index <= r.at().index {
		_, err := io.Copy(io.Discard, e)
		return err
	}
	size := &counter{hash: sha256.New()}
	if err := r.machine.Restore(io.TeeReader(e, size)); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, e); n != 0 || err != nil {
		err = errors.Join(err, errs.New(errs.Corrupt, "snapshot at %d: state ends before the snapshot does", e.Header.Link.index))
		r.halt(err)
		return err
	}
	r.log.Info("state restored from a snapshot", slog.Uint64("index", e.Header.Link.index))
	r.dues.restored()
	r.marks.restored(e.Header.Link.index, size.n)
	r.advance(e.Header.Link, nil)
	if err := r.outgrown(); err != nil {
		r.halt(err)
		return err
	}
	return nil
}
