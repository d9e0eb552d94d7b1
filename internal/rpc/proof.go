package rpc

import (
	"context"
	"slices"
	"time"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// Proof shows that one entry is certified.
type Proof struct {
	Cover    []byte   // canonical
	Sessions [][]byte // certificates of the session keys that signed it
}

// Covers gives proofs of entries. errs.NotReady while there is none yet, errs.NotFound
// once there is none any more.
type Covers interface {
	Proof(index uint64) (*Proof, error)
}

const (
	proofWait  = 500 * time.Millisecond // for the proof of an entry just committed
	proofPause = 10 * time.Millisecond
)

// certified proves an entry to the caller, waiting a moment for a proof that is about to
// be there. Without one the answer goes out all the same: what it is worth then, the
// caller decides. Nil where the node knows no proofs.
func (v *vaultService) certified(ctx context.Context, index uint64) *tetradv1.Certified {
	rooms, err := v.server.attached()
	if err != nil || rooms.Covers == nil || index == 0 {
		return nil
	}
	for end := time.Now().Add(proofWait); ; {
		p, err := rooms.Covers.Proof(index)
		if err == nil {
			return &tetradv1.Certified{Index: index, Cover: p.Cover, Sessions: p.Sessions}
		}
		if errs.CodeOf(err) == errs.NotFound || !time.Now().Before(end) || !pause(ctx, proofPause) {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// answer shows a request with the proof of the entry it reports.
func (v *vaultService) answer(ctx context.Context, r *fsm.Request) *tetradv1.Request {
	out := v.show(r, false)
	out.Certified = v.certified(ctx, reported(r))
	return out
}

// reported is the entry at which what is shown of a request came about: the draw of its
// signatures, or what ended it without any.
func reported(r *fsm.Request) uint64 {
	if r.State == fsm.RequestFailed || r.State == fsm.RequestExpired {
		return r.Closed
	}
	if len(r.Attempts) == 0 {
		return r.Opened
	}
	for i := range r.Attempts {
		if drew(r, &r.Attempts[i]) {
			return r.Attempts[i].Meta.Index
		}
	}
	return r.Attempts[len(r.Attempts)-1].Meta.Index
}

// drew reports whether an attempt's draw is the one whose regions signed.
func drew(r *fsm.Request, a *fsm.Attempt) bool {
	if len(r.Results) == 0 || len(r.Results) > len(a.Eligible) {
		return false
	}
	eligible := make([]uint8, len(a.Eligible))
	for i, e := range a.Eligible {
		eligible[i] = uint8(e)
	}
	order := draw.Permutation(r.Value, r.ID, a.Number, eligible)
	return slices.EqualFunc(r.Results, order[:len(r.Results)], func(s fsm.SignatureSet, o uint8) bool {
		return s.Region == identity.RegionID(o)
	})
}

// shareProofs leaves each proof with the first request of its entry: a batch is mostly of
// one entry.
func shareProofs(items []*tetradv1.SignItem) {
	seen := map[uint64]bool{}
	for _, it := range items {
		c := it.GetRequest().GetCertified()
		if c == nil {
			continue
		}
		if seen[c.Index] {
			it.Request.Certified = &tetradv1.Certified{Index: c.Index}
		}
		seen[c.Index] = true
	}
}
