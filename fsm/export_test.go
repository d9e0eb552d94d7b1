package fsm

import "github.com/tetrad-vault/tetrad/internal/identity"

// Remembers reports whether a signature is in memory.
func (v *Verifier) Remembers(pub identity.PublicKey, msg, sig []byte) bool {
	k := verified(pub, msg, sig)
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.remembers(k)
}

// Pretend has the machine believe that it remembers so many commands.
func (m *Machine) Pretend(memos uint64) {
	s := *m.state.Load()
	s.head.memos = memos
	m.state.Store(&s)
}
