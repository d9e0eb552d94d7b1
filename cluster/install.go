package cluster

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// serveSnapshot installs a snapshot unless the log shows that it would take state
// back or is not needed. A log that conflicts with it is cut first, with raft
// stopped: raft keeps the conflict and would ask for the same snapshot for ever.
func (c *Cluster) serveSnapshot(ctx context.Context, in *instance, from remote, q *request, body io.Reader) *reply {
	s := q.Snapshot
	if _, err := decodeConfiguration(s.Configuration); err != nil || s.SnapshotVersion != 1 {
		return c.fail(errs.New(errs.Malformed, "snapshot announcement of server %s", from.server))
	}
	if raw := find(q.Items, itemProof); raw != nil {
		if p, err := chain.DecodeLeaderProof(raw); err != nil || p.Term == s.Term && c.believeLeader(from, p) != nil {
			return c.fail(errs.New(errs.Unverified, "region %d did not prove that it leads term %d", from.region, s.Term))
		}
	}
	if s.Term < c.book.record().Term {
		return c.justify(&reply{Header: c.transport.header(), Code: errs.OK, Term: c.book.record().Term}, s.Term)
	}
	if err := c.proven(from, s.Term, nil); err != nil {
		return c.fail(err)
	}
	vouched, err := c.offered(from, s, q.Items)
	if err != nil {
		c.note(slog.LevelError, from.region, "snapshot refused", slog.Uint64("index", s.LastLogIndex), slog.String("error", err.Error()))
		return c.fail(err)
	}
	if p := c.unwanted(in, s, vouched.Proof); p != nil {
		return p
	}
	received, err := c.spooled(from, s.Term, s.Size, body)
	if err != nil {
		return c.fail(err)
	}
	defer received.Close()
	if received.sum.digest != vouched.Proof.State && liar.Defends(liar.SnapshotState) {
		c.note(slog.LevelError, from.region, "snapshot refused", slog.Uint64("index", s.LastLogIndex))
		return c.fail(errs.New(errs.Unverified, "snapshot at %d is not the state that was attested", s.LastLogIndex))
	}
	return c.install(ctx, in, from, s, vouched, received)
}

// install hands raft a snapshot that was received and verified, whoever brought it.
func (c *Cluster) install(ctx context.Context, in *instance, from remote, s *raft.InstallSnapshotRequest, vouched *voucher, received io.Reader) *reply {
	if err := c.enter(ctx, in); err != nil {
		return c.fail(err)
	}
	defer c.leave()
	if p := c.unwanted(in, s, vouched.Proof); p != nil { // again: things moved meanwhile
		return p
	}
	if last := c.lastStored(); last >= s.LastLogIndex {
		c.note(slog.LevelWarn, from.region, "log conflicts with a snapshot and is cut", slog.Uint64("index", s.LastLogIndex), slog.Uint64("last", last))
		return c.fail(c.cutFor(s.Term, s.LastLogIndex))
	}
	if err := c.markStarted(); err != nil {
		return c.fail(err)
	}
	if err := c.snapshots.keepVoucher(vouched); err != nil {
		return c.fail(err)
	}
	r, err := c.deliver(ctx, in, s, received)
	if err != nil {
		return c.fail(err)
	}
	v := r.(*raft.InstallSnapshotResponse)
	if v.Success {
		if base, ok := c.chain.links.base(s.LastLogIndex); ok {
			err = c.chain.shed(base)
		}
	}
	if err != nil {
		return c.fail(err)
	}
	return c.justify(&reply{Header: c.transport.header(), Code: errs.OK, Term: v.Term, Yes: v.Success}, s.Term)
}

// unwanted answers for a snapshot that is not installed, nil for one that is.
func (c *Cluster) unwanted(in *instance, s *raft.InstallSnapshotRequest, p *chain.SnapshotProof) *reply {
	own, held := c.chain.at(s.LastLogIndex)
	switch {
	case s.Term < in.raft.CurrentTerm():
		return c.justify(&reply{Header: c.transport.header(), Code: errs.OK, Term: in.raft.CurrentTerm()}, s.Term)
	case held && own.place() == p.Link:
		// Its last entry is in the log, and so is everything before it.
		return &reply{Header: c.transport.header(), Code: errs.OK, Term: s.Term, Yes: true}
	}
	if err := chain.MayInstall(c.book.roster, c.cfg.Lineage, c.replica.at().index, p); err != nil {
		return c.fail(errs.Wrap(errs.Unverified, err, "snapshot at %d would take back state", s.LastLogIndex))
	}
	return nil
}
