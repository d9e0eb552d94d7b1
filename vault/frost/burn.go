package frost

// Keep burns every nonce whose serial want does not ask for, and returns how many those
// were. want is called under the pool's lock.
func (p *Pool) Keep(want func(serial uint32) bool) (burned int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for serial, n := range p.fresh {
		if !want(serial) {
			n.wipe()
			delete(p.fresh, serial)
			burned++
		}
	}
	return burned
}
