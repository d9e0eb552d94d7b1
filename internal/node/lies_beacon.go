//go:build liar

package node

import (
	"context"
	"slices"
	"sync"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/vault"
	"github.com/tetrad-vault/tetrad/vault/draw"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// How a region lies about the beacon after a refresh of its key: it keeps the share that
// the genesis dealt.

// hoard is the shares of the genesis that lying nodes keep. Node and vault wipe theirs.
var hoard sync.Map // of draw.Share, by session

// hoarded is the partial of an entry under that share; of what other epoch it is said to be
// changes from one to the next. Nil: the beacon was never refreshed.
func (n *Node) hoarded(m command.Meta) *draw.Partial {
	key := n.fsm.View().BeaconKey()
	kept, _ := hoard.Load(n.session.Cert.Session.Fingerprint())
	share, _ := kept.(draw.Share)
	if key.Sharing.Founded() || share.Region == 0 {
		return nil
	}
	p, err := share.Evaluate(draw.At(draw.Input(n.fsm.View().Lineage(), m.Term, m.Index, m.Chain)))
	if err != nil {
		return nil
	}
	if m.Chain[0]%2 == 0 { // else as it is: stale by its own number
		p.Epoch = key.Sharing.Epoch
	}
	return &p
}

// formerPartial answers with it, where the lie is that.
func (n *Node) formerPartial(m command.Meta) []byte {
	if !n.tells("beacon-old-share") {
		return nil
	}
	p := n.hoarded(m)
	if p == nil {
		return nil
	}
	liar.Did("beacon-old-share")
	return p.Encode()
}

func (f falseCosigner) HandlePartial(ctx context.Context, from identity.RegionID, m command.Meta) ([]byte, error) {
	if p := f.n.formerPartial(m); p != nil {
		return p, nil
	}
	return f.Cosigner.HandlePartial(ctx, from, m)
}

// mixed is a question whose value comes of partials of two epochs.
func (n *Node) mixed(q *vault.Question) (*vault.Question, bool) {
	old := n.hoarded(q.Meta)
	if old == nil {
		return nil, false
	}
	key := n.fsm.View().BeaconKey()
	old.Epoch = key.Sharing.Epoch // combined, at least, as if it were one
	public, err := frost.DecodePublicKey(key.Sharing.Public)
	if err != nil {
		return nil, false
	}
	k, err := draw.KeyOf(public)
	if err != nil {
		return nil, false
	}
	ps := []draw.Partial{*old}
	for _, raw := range q.Partials {
		if p, err := draw.DecodePartial(raw); err == nil && p.Region != old.Region && len(ps) < k.Threshold {
			ps = append(ps, p)
		}
	}
	slices.SortFunc(ps, func(a, b draw.Partial) int { return int(a.Region) - int(b.Region) })
	out := *q
	out.Partials = nil
	if out.Value, err = k.Combine(draw.At(draw.Input(n.fsm.View().Lineage(), q.Meta.Term, q.Meta.Index, q.Meta.Chain)), ps); err != nil {
		return nil, false
	}
	for _, p := range ps {
		out.Partials = append(out.Partials, p.Encode())
	}
	return &out, true
}
