package cluster

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Where the log of another region no longer reaches down to what is lacking, its newest
// attested snapshot is fetched, piece by piece: each is a question of its own, so that
// nobody holds up who answers.

// piece asks for bytes of the sealed snapshot at a place.
type piece struct{ Index, Term, Offset uint64 }

func snapshotItem(s *raft.InstallSnapshotRequest) item {
	w := wire.NewWriter(64 + len(s.Configuration))
	writeSnapshot(w, s)
	return item{itemSnapshot, w.Bytes()}
}

func decodeSnapshotItem(b []byte) (*raft.InstallSnapshotRequest, error) {
	r := wire.NewReader(b)
	s := readSnapshot(r, raft.RPCHeader{})
	return s, r.Done()
}

// addSnapshot offers the newest snapshot, if it reaches beyond an index.
func (c *Cluster) addSnapshot(p *reply, after uint64) error {
	metas, err := c.snapshots.List()
	if err != nil {
		return err
	}
	if len(metas) == 0 || metas[0].Index <= after {
		return errs.New(errs.Unavailable, "no snapshot reaches beyond index %d", after)
	}
	m := metas[0]
	s := &raft.InstallSnapshotRequest{SnapshotVersion: m.Version, LastLogIndex: m.Index, LastLogTerm: m.Term,
		Configuration: raft.EncodeConfiguration(m.Configuration), ConfigurationIndex: m.ConfigurationIndex, Size: m.Size}
	o, err := c.offer(s)
	if err != nil {
		return err
	}
	p.Items = append(p.Items, snapshotItem(s), o)
	return nil
}

// addPiece adds bytes of a snapshot that is still kept.
func (c *Cluster) addPiece(p *reply, q *piece) error {
	b, err := c.snapshots.piece(snapshotName(link{index: q.Index, term: q.Term}), q.Offset)
	if err == nil {
		p.Items = append(p.Items, item{itemPiece, b})
	}
	return err
}

// piece reads part of a sealed snapshot.
func (s *snapshotStore) piece(name string, offset uint64) ([]byte, error) {
	s.shelf.Lock()
	defer s.shelf.Unlock()
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, name) || offset > maxSnapshot {
		return nil, errs.New(errs.NotFound, "snapshot %s is not kept here any more", name)
	}
	f, err := s.fs.Open(snapshotDir + "/" + name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, maxPiece)
	n, err := f.ReadAt(b, int64(offset))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], errors.Join(err, f.Close())
}

// takeSnapshot judges an offer as if the leader made it, but for whose word it is, receives
// the snapshot and has raft install it.
func (c *Cluster) takeSnapshot(m Member, from remote, raw []byte, items []item, end time.Time) error {
	s, err := decodeSnapshotItem(raw)
	if err != nil {
		return err
	}
	v, err := c.offered(from, s, items)
	if err != nil {
		return err
	}
	if s.LastLogIndex <= c.book.own.Floor() || s.SnapshotVersion != 1 {
		return errs.New(errs.Unverified, "region %d offers a snapshot of index %d, which helps nobody", from.region, s.LastLogIndex)
	}
	received, err := c.snapshots.receive(c.pieces(m, s, end), s.Size, c.cfg.MinFree)
	if err != nil {
		return err
	}
	defer received.Close()
	if received.sum.digest != v.Proof.State && liar.Defends(liar.SnapshotState) {
		return errs.New(errs.Unverified, "snapshot at %d is not the state that was attested", s.LastLogIndex)
	}
	return c.installFetched(from, s, v, received)
}

// installFetched has raft install a snapshot in the name of who leads. A log that conflicts
// with it is cut first, and then it is tried again.
func (c *Cluster) installFetched(from remote, s *raft.InstallSnapshotRequest, v *voucher, received io.Reader) error {
	for range 2 {
		in, rec := c.instance(), c.book.record()
		if in == nil {
			return errStopped
		}
		_, header, err := c.inTheName(in, rec)
		if err != nil {
			return err
		}
		c.fed.Store(time.Now().UnixNano())
		s.RPCHeader, s.Leader, s.Term = header, header.Addr, rec.Term
		p := c.install(c.ctx, in, from, s, v, received)
		switch {
		case p.Yes:
			c.book.base(v.Proof.Link) // held already, without a certificate, or installed now
			c.note(slog.LevelWarn, from.region, "a snapshot was fetched", slog.Uint64("index", s.LastLogIndex))
			return nil
		case p.Code == errs.Unavailable: // the log was cut
			continue
		case p.Code != errs.OK:
			return errs.New(p.Code, "%s", p.Text)
		}
		return errs.New(errs.Stale, "the term changed while a snapshot of index %d was fetched", s.LastLogIndex)
	}
	return errs.New(errs.Unavailable, "the log was cut for a snapshot of index %d again and again", s.LastLogIndex)
}

// pieces reads a snapshot from another region until some time, as long as it is needed.
func (c *Cluster) pieces(m Member, s *raft.InstallSnapshotRequest, end time.Time) io.Reader {
	var have []byte
	offset, next := uint64(0), time.Now()
	return readerFunc(func(b []byte) (n int, err error) {
		for len(have) == 0 {
			sleep(c.ctx, time.Until(next), nil) // no more than it gives
			next = time.Now().Add(time.Second / pieceRate)
			switch {
			case c.ctx.Err() != nil:
				return 0, errStopped
			case time.Now().After(end):
				return 0, errs.New(errs.DeadlineExceeded, "%d of %d bytes of a snapshot have come in time", offset, s.Size)
			case c.book.own.Floor() >= s.LastLogIndex:
				return 0, errs.New(errs.BadState, "a snapshot of index %d is not needed any more", s.LastLogIndex)
			case offset >= uint64(s.Size):
				return 0, io.EOF
			}
			if have, err = c.fetchPiece(m, &piece{s.LastLogIndex, s.LastLogTerm, offset}); err != nil {
				return 0, err
			}
			offset += uint64(len(have))
		}
		n = copy(b, have)
		have = have[n:]
		return n, nil
	})
}

func (c *Cluster) fetchPiece(m Member, at *piece) ([]byte, error) {
	p, _, err := c.ask(m, &request{Kind: kindPiece, Piece: at})
	if err != nil {
		return nil, err
	}
	b := find(p.Items, itemPiece)
	if len(b) == 0 || len(b) > maxPiece {
		return nil, errs.New(errs.Malformed, "a piece of %d bytes of a snapshot", len(b))
	}
	return b, nil
}
