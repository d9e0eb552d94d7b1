package node

import (
	"context"

	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc"
)

// shown lets whoever watches see what leaves.
func (n *Node) shown(c rpc.Cosigner) rpc.Cosigner {
	if n.cfg.Answered == nil {
		return c
	}
	return watchedCosigner{c, n.cfg.Answered}
}

type watchedCosigner struct {
	rpc.Cosigner
	answered func([]byte)
}

func (w watchedCosigner) HandleCoSign(ctx context.Context, from identity.RegionID, question []byte) ([]byte, error) {
	raw, err := w.Cosigner.HandleCoSign(ctx, from, question)
	if err == nil {
		w.answered(raw)
	}
	return raw, err
}
