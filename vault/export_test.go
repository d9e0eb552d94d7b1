package vault

import (
	"context"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// OpenShares is the sharer of a vault that has not begun to run.
type OpenShares func(ctx context.Context, key *fsm.Key, epoch uint32) (*frost.Share, *frost.PublicKey, error)

func (f OpenShares) share(ctx context.Context, key *fsm.Key, epoch uint32) (*frost.Share, *frost.PublicKey, error) {
	return f(ctx, key, epoch)
}

// SetShares has v's shares opened by f.
func (v *Vault) SetShares(f OpenShares) { v.signer.shares = f }

// Nonces returns how many nonces v holds in memory, and how many its pool should hold.
func (v *Vault) Nonces(c command.Curve) (held, target int) {
	s := v.nonces.stocks[c]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pool.Len(), s.target
}

// StoredAnswers decodes what one frame of the journal holds.
func StoredAnswers(plain []byte) (items []command.AnswerItem, err error) {
	records, err := decodeRecords(plain)
	for _, r := range records {
		items = append(items, command.AnswerItem{Request: r.Request, Attempt: r.Attempt, Signatures: r.Signatures})
	}
	return items, err
}
