package cluster

import (
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// fetched are entries that another region than the leader sent, as if its leader had
// brought them in the present term.
type fetched struct {
	*raft.AppendEntriesRequest
	*arrival
	leader remote
}

func entriesItem(entries []*raft.Log) item {
	size := 4
	for _, e := range entries {
		size += entryOverhead + len(e.Data) + len(e.Extensions)
	}
	w := wire.NewWriter(size)
	writeEntries(w, entries)
	return item{itemEntries, w.Bytes()}
}

func decodeEntries(b []byte) ([]*raft.Log, error) {
	r := wire.NewReader(b)
	entries := readEntries(r)
	return entries, r.Done()
}

// inspectFetched judges what shows without the own log, outside the gate; nil: there is
// nothing. That some came and no certificate proves them is an error.
func (c *Cluster) inspectFetched(after uint64, p *reply) (*fetched, error) {
	raw := find(p.Items, itemEntries)
	entries, err := decodeEntries(raw)
	if raw == nil || err != nil || len(entries) == 0 {
		return nil, err
	}
	in, rec := c.instance(), c.book.record()
	prev, ok := c.chain.at(after)
	if in == nil || !ok {
		return nil, errStopped
	}
	leader, header, err := c.inTheName(in, rec)
	if err != nil {
		return nil, err
	}
	f := &fetched{leader: leader, AppendEntriesRequest: &raft.AppendEntriesRequest{RPCHeader: header, Term: rec.Term,
		PrevLogEntry: after, PrevLogTerm: prev.term, Entries: entries, LeaderCommitIndex: ^uint64(0)}}
	proven := item{itemCertificate, find(p.Items, itemCertificate)}
	f.arrival, err = c.inspect(leader, &request{Kind: kindAppend, Append: f.AppendEntriesRequest, Items: []item{proven}})
	if err == nil && (f.cert == nil || f.cert.Index != entries[len(entries)-1].Index) {
		err = errs.New(errs.Unverified, "no certificate of entry %d came with it", entries[len(entries)-1].Index)
	}
	return f, err
}

// takeFetched hands raft what was fetched. All of it must be certified on the own chain:
// then it is what the leader itself would have to bring, whoever leads now. raft takes it
// for a word of its leader and waits for the next one, so only what takes this region
// further may come this way, which nobody has any amount of.
func (c *Cluster) takeFetched(from remote, f *fetched) error {
	in := c.instance()
	if in == nil {
		return errStopped
	}
	if err := c.enter(c.ctx, in); err != nil {
		return err
	}
	defer c.leave()
	if now := c.book.record().Term; now != f.Term || f.cert.Index <= c.book.own.Floor() {
		return nil // the leader was faster, or another leads
	}
	attached, err := c.follows(f.leader, f.AppendEntriesRequest, f.arrival)
	switch {
	case f.admitted.Cut > 0 && (err != nil || f.admitted.Rival):
		return c.yield(from, f, err != nil)
	case err != nil:
		return err
	case !attached || c.reach(f.arrival) < f.cert.Index:
		return errs.New(errs.Unverified, "the certificate of entry %d is not of this region's chain", f.cert.Index)
	}
	c.remember(f.AppendEntriesRequest, f.arrival)
	f.LeaderCommitIndex = c.book.allow(c.capCommit(f.AppendEntriesRequest, f.arrival))
	if err := c.appendFor(in, f.AppendEntriesRequest); err != nil {
		return err
	}
	c.book.grown()
	c.book.certify(f.cert)
	return nil
}

// appendFor hands raft an append that its leader did not send. The caller holds the gate.
func (c *Cluster) appendFor(in *instance, a *raft.AppendEntriesRequest) error {
	c.fed.Store(time.Now().UnixNano())
	r, err := c.deliver(c.ctx, in, a, nil)
	if err == nil && !r.(*raft.AppendEntriesResponse).Success {
		err = errs.New(errs.BadState, "raft does not store the entries after %d", a.PrevLogEntry)
	}
	return err
}

// yield cuts a suffix of the own log that raft cannot replace: its leader signed other
// entries for the same places, or is the present one. What was fetched comes after the next
// question. The caller holds the gate.
func (c *Cluster) yield(from remote, f *fetched, news bool) error {
	rec, at := c.book.record(), f.admitted.Cut
	t := chain.Truncation{Term: rec.Term, Proof: rec.Proof, From: at, Own: c.book.own, New: f.admitted.Log,
		Certified: append(c.book.certifiedTuples(), f.cert.Tuple), Acked: c.book.highestAcked()}
	alarm, err := chain.MayYield(t)
	if err != nil {
		return err
	}
	if alarm && news {
		c.alarms.Add(1)
	}
	c.note(slog.LevelError, from.region, "the end of the log conflicts with a certificate and is cut", slog.Uint64("from", at), slog.Bool("acked", alarm))
	return c.cutFor(rec.Term, at)
}

// cutFor deletes the log from an index on, because what three regions signed conflicts with
// it. A region that acked some of that in the present term acks and votes no more in it: a
// liar leads. The caller holds the gate.
func (c *Cluster) cutFor(term, index uint64) error {
	if c.book.own.Last().Term == term {
		if err := c.book.cutting(); err != nil {
			return err
		}
	}
	return c.cut(index)
}

// commitCertified has raft commit what is certified here already, and its leader does not
// say so.
func (c *Cluster) commitCertified(in *instance) {
	at, ok := c.chain.at(c.book.own.Floor())
	if _, led := in.raft.LeaderWithID(); !ok || led == "" || in.raft.CommitIndex() >= at.index || c.enter(c.ctx, in) != nil {
		return
	}
	defer c.leave()
	rec := c.book.record()
	_, header, err := c.inTheName(in, rec)
	if err == nil {
		err = c.appendFor(in, &raft.AppendEntriesRequest{RPCHeader: header, Term: rec.Term,
			PrevLogEntry: at.index, PrevLogTerm: at.term, LeaderCommitIndex: at.index})
	}
	if err != nil {
		c.log.Debug("what is certified is not committed", slog.String("error", err.Error()))
	}
}
