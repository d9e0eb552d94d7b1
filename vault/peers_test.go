package vault_test

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault"
)

// peers carries calls between regions.
type peers struct{ n *node }

func (w *world) isCut(a, b identity.RegionID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[[2]identity.RegionID{a, b}]
}

func (w *world) sever(id identity.RegionID, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for other := range w.nodes {
		w.cut[[2]identity.RegionID{id, other}], w.cut[[2]identity.RegionID{other, id}] = cut, cut
	}
}

func (p peers) call(ctx context.Context, kind string, to identity.RegionID, question []byte, do func(ctx context.Context, v *vault.Vault, q []byte) ([]byte, error)) ([]byte, error) {
	w, m := p.n.world, &message{ctx: ctx, kind: kind, question: question}
	w.mu.Lock()
	w.sent[kind]++
	tamper := w.tamper
	w.mu.Unlock()
	time.Sleep(time.Millisecond)
	if p.n.isDown() || w.nodes[to].isDown() || w.isCut(p.n.id, to) {
		return nil, errs.New(errs.Unavailable, "region %d is not reached", to)
	}
	if tamper != nil {
		if tamper(p.n.id, to, m); m.err != nil {
			return nil, m.err
		}
	}
	m.answer, m.err = do(ctx, w.nodes[to].vault, m.question)
	if a, err := command.DecodeAnswer(m.answer); kind == "cosign" && m.err == nil && err == nil {
		w.emitted("wire", to, a.Items)
	}
	if w.isCut(to, p.n.id) || w.nodes[to].isDown() {
		return nil, errs.New(errs.Unavailable, "region %d fell silent", to)
	}
	if tamper != nil && m.err == nil {
		tamper(p.n.id, to, m)
	}
	return m.answer, m.err
}

func (p peers) CoSign(ctx context.Context, to identity.RegionID, q []byte) ([]byte, error) {
	return p.call(ctx, "cosign", to, q, func(ctx context.Context, v *vault.Vault, q []byte) ([]byte, error) {
		return v.HandleCoSign(ctx, p.n.id, q)
	})
}

func (p peers) Partial(ctx context.Context, to identity.RegionID, meta command.Meta) ([]byte, error) {
	return p.call(ctx, "partial", to, nil, func(ctx context.Context, v *vault.Vault, _ []byte) ([]byte, error) {
		return v.HandlePartial(ctx, p.n.id, meta)
	})
}

func (p peers) Word(ctx context.Context, to identity.RegionID, ask []byte) ([]byte, error) {
	return p.call(ctx, "word", to, ask, func(ctx context.Context, v *vault.Vault, q []byte) ([]byte, error) {
		return v.HandleWord(ctx, p.n.id, q)
	})
}

type leaves struct{ n *node }

func (l leaves) Healthy() error {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	return l.n.leaves
}

// sealer marks what is sealed, so that a test sees what is not.
type sealer struct{}

func (sealer) Seal(plain, context []byte) ([]byte, error) {
	sum := sha256.Sum256(append(slices.Clone(context), plain...))
	return append(sum[:], plain...), nil
}

func (sealer) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < 32 || sha256.Sum256(append(slices.Clone(context), sealed[32:]...)) != [32]byte(sealed[:32]) {
		return nil, errs.New(errs.Corrupt, "sealed bytes fail their check")
	}
	return sealed[32:], nil
}
