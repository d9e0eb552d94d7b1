package rpc

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// join registers a follower for as long as the returned function is not called.
func (v *vaultService) join(f *follower) (leave func(), err error) {
	h, m := v.server.hub, v.server.metrics
	if err := h.add(f); err != nil {
		return nil, err
	}
	m.follower.Inc()
	return func() { h.remove(f); m.follower.Dec() }, nil
}

// FollowRequests sends requests as they change.
func (v *vaultService) FollowRequests(req *tetradv1.FollowRequestsRequest, ss grpc.ServerStreamingServer[tetradv1.FollowRequestsResponse]) error {
	ctx := ss.Context()
	view, p, err := v.read(ctx)
	if err != nil {
		return err
	}
	tenant, err := scope(view, p, req.Tenant)
	if err != nil {
		return err
	}
	f := &follower{tenant: tenant, all: tenant == "", changes: make(chan *fsm.Request, followBuffer)}
	leave, err := v.join(f)
	if err != nil {
		return err
	}
	defer leave()
	if err := ss.Send(&tetradv1.FollowRequestsResponse{}); err != nil {
		return err
	}
	for {
		// Checked first, so that a dropped follower does not read out its backlog.
		select {
		case <-f.done:
			return f.err
		default:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
			return f.err
		case r := <-f.changes:
			if err := v.still(p.ID, tenant); err != nil {
				return err
			}
			if err := ss.Send(&tetradv1.FollowRequestsResponse{Request: v.show(r, false)}); err != nil {
				return err
			}
		}
	}
}

// still checks that a long stream's caller has kept its rights.
func (v *vaultService) still(who identity.Fingerprint, tenant string) error {
	rooms, err := v.server.attached()
	if err != nil {
		return err
	}
	view := rooms.Reader.Local()
	if _, err := principal(view, who); err != nil {
		return err
	}
	if !view.MayRead(who, tenant) {
		return errs.New(errs.Denied, "principal %s may no longer read this", who.Short())
	}
	return nil
}

// auditor lets principals of the vault read its history.
func (v *vaultService) auditor(ctx context.Context) (*Rooms, View, error) {
	view, p, err := v.read(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !view.MayRead(p.ID, "") {
		return nil, nil, errs.New(errs.Denied, "principal %s may not read the audit log of the vault", p.ID.Short())
	}
	rooms, err := v.server.attached()
	return rooms, view, err
}

// AuditLeaves sends a range of the log.
func (v *vaultService) AuditLeaves(req *tetradv1.AuditLeavesRequest, ss grpc.ServerStreamingServer[tetradv1.AuditLeavesResponse]) error {
	rooms, _, err := v.auditor(ss.Context())
	if err != nil {
		return err
	}
	size := rooms.Leaves.Size()
	to := req.To
	if to == 0 {
		to = size
	}
	if req.From > to || to > size {
		return errs.New(errs.Invalid, "leaves %d to %d asked for, the log has %d", req.From, to, size)
	}
	_, err = sendLeaves(ss.Context(), rooms.Leaves, req.From, to, func(from uint64, leaves [][]byte) error {
		return ss.Send(&tetradv1.AuditLeavesResponse{From: from, Leaves: leaves})
	})
	return err
}

// FollowAudit sends the log from a place on. The leaf store is the buffer: a slow
// reader costs nothing but its stream.
func (v *vaultService) FollowAudit(req *tetradv1.FollowAuditRequest, ss grpc.ServerStreamingServer[tetradv1.FollowAuditResponse]) error {
	ctx := ss.Context()
	rooms, _, err := v.auditor(ctx)
	if err != nil {
		return err
	}
	f := &follower{}
	leave, err := v.join(f)
	if err != nil {
		return err
	}
	defer leave()
	at := req.From
	if size := rooms.Leaves.Size(); at > size {
		return errs.New(errs.Invalid, "leaf %d asked for, the log has %d", at, size)
	}
	for {
		wake := v.server.hub.next() // before looking, so that no leaf is missed
		at, err = sendLeaves(ctx, rooms.Leaves, at, rooms.Leaves.Size(), func(from uint64, leaves [][]byte) error {
			return ss.Send(&tetradv1.FollowAuditResponse{From: from, Leaves: leaves})
		})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
			return f.err
		case <-wake:
		}
		if err := v.still(callerOf(ctx).principal, ""); err != nil {
			return err
		}
	}
}

// sendLeaves sends leaves [from, to) in messages of bounded size and returns where it
// stopped.
func sendLeaves(ctx context.Context, store Leaves, from, to uint64, send func(uint64, [][]byte) error) (uint64, error) {
	for from < to {
		page, err := encodeLeaves(ctx, store, from, int(min(to-from, leavesPageMax)))
		if err != nil {
			return from, err
		}
		if len(page) == 0 {
			return from, errs.New(errs.Corrupt, "audit leaf %d of %d is missing", from, to)
		}
		if err := send(from, page); err != nil {
			return from, err
		}
		from += uint64(len(page))
	}
	return from, nil
}

// encodeLeaves reads a page of leaves within the size of one message.
func encodeLeaves(ctx context.Context, store Leaves, from uint64, most int) ([][]byte, error) {
	leaves, err := store.Leaves(ctx, from, most)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	total := 0
	for i := range leaves {
		b := leaves[i].Encode()
		if total += len(b); total > leavesPageBytes && len(out) > 0 {
			break
		}
		out = append(out, b)
	}
	return out, nil
}

// AuditCheckpoint signs the log as it stands and asks the other regions to sign the
// same tree; those that cannot within moments are left out.
func (v *vaultService) AuditCheckpoint(ctx context.Context, _ *tetradv1.AuditCheckpointRequest) (*tetradv1.AuditCheckpointResponse, error) {
	rooms, view, err := v.auditor(ctx)
	if err != nil {
		return nil, err
	}
	cp, err := rooms.Leaves.Checkpoint(ctx, rooms.Leaves.Size())
	if err != nil {
		return nil, err
	}
	v.cosignCheckpoint(ctx, view, cp)
	out := &tetradv1.AuditCheckpointResponse{Size: cp.Size, Root: cp.Root[:], Checkpoint: cp.Encode()}
	for _, s := range cp.Signatures {
		out.Regions = append(out.Regions, uint32(s.Region))
	}
	return out, nil
}

func (v *vaultService) cosignCheckpoint(ctx context.Context, view View, cp *audit.Checkpoint) {
	if v.server.cfg.Dialer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointWait)
	defer cancel()
	peers, mine := NewPeers(v.server.cfg.Dialer), *cp
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, r := range view.Regions() {
		if r.ID == v.server.cfg.Region || r.Status != fsm.RegionActive {
			continue
		}
		wg.Go(func() {
			theirs, err := peers.Checkpoint(ctx, r.ID, mine.Size)
			if err != nil {
				return
			}
			if sig, ok := verifyCheckpoint(view, &mine, theirs, r.ID); ok {
				mu.Lock()
				defer mu.Unlock()
				_ = cp.Add(sig)
			}
		})
	}
	wg.Wait()
}

// verifyCheckpoint returns a region's signature over the very tree that is mine.
func verifyCheckpoint(view View, mine, theirs *audit.Checkpoint, region identity.RegionID) (sig audit.CheckpointSignature, ok bool) {
	for _, s := range theirs.Signatures {
		if s.Region != region {
			continue
		}
		r, cert, known := view.RegionBySession(s.Session)
		return s, known && r.ID == region && cert.Session.Verify(mine.SignedBytes(region, s.At), s.Sig)
	}
	return sig, false
}
