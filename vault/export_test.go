package vault

import "github.com/tetrad-vault/tetrad/fsm/command"

// Nonces returns how many nonces v holds in memory, and how many its pool should hold.
func (v *Vault) Nonces(c command.Curve) (held, target int) {
	s := v.nonces.stocks[c]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool.Load() == nil {
		return 0, s.target
	}
	return s.pool.Load().Len(), s.target
}

// StoredAnswers decodes what one frame of the journal holds.
func StoredAnswers(plain []byte) (items []command.AnswerItem, err error) {
	records, err := decodeRecords(plain)
	for _, r := range records {
		items = append(items, command.AnswerItem{Request: r.Request, Attempt: r.Attempt, Signatures: r.Signatures})
	}
	return items, err
}
