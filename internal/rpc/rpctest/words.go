package rpctest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/rpc"
	"github.com/tetrad-vault/tetrad/vault"
)

// words gives the region's true word on what State decided, bent by a liar before it is
// signed.
type words struct {
	rpc.Brakes // nothing else is pretended
	n          *Node
	bend       func(*command.OutcomeWord)
	asked      *atomic.Int64
}

// GiveWords has the node answer for commands, and returns how often it was asked. bend may
// be nil.
func (n *Node) GiveWords(bend func(*command.OutcomeWord)) *atomic.Int64 {
	w := &words{n: n, bend: bend, asked: &atomic.Int64{}}
	n.Brakes = w
	n.Attach()
	return w.asked
}

func (w *words) Stopped() *vault.Stop { return nil }
func (w *words) Idle() time.Duration  { return 0 }

// OutcomeWord implements rpc.Brakes.
func (w *words) OutcomeWord(ctx context.Context, q vault.Inquiry) ([]byte, error) {
	w.asked.Add(1)
	s := w.n.cluster.State
	slot := command.RequestIDOf(q.Author, q.Command)
	s.mu.Lock()
	o, ok := s.outcomes[slot]
	content := s.contents[slot]
	s.mu.Unlock()
	if !ok {
		return nil, errs.New(errs.NotReady, "region %d has not applied command %s", w.n.Region, q.Command)
	}
	at := Place(o.Index)
	out := &command.OutcomeWord{Lineage: s.Lineage(), Command: content, Nonce: q.Nonce, Code: o.Code, Key: o.Key, Next: o.Next, Region: w.n.Region, Applied: 1 << 40,
		Meta: command.Meta{Index: at.Index, Term: at.Term, Chain: at.Hash}, Skew: time.Second, At: time.Now()}
	if r, ok := s.Request(o.Request); ok {
		if q.Final && r.State == fsm.RequestOpen {
			return nil, errs.New(errs.NotReady, "request %s is open", r.ID)
		}
		standing := r.Standing()
		out.Request, out.Standing = r.ID, standing.Hash()
	}
	if w.bend != nil {
		w.bend(out)
	}
	if err := out.Sign(ctx, s.cluster, w.n.Session); err != nil {
		return nil, err
	}
	return out.Encode(), nil
}
